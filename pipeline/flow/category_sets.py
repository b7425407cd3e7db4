"""The category sets of the account, fetched and kept by day: nothing of them is written into the code.

A set that cannot be had does not keep the others from being fetched. Each answer that differs is archived as it came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from pipeline.api.categories import CategorySet, decode_set
from pipeline.api.client import ApiClient
from pipeline.api.errors import BadAnswer, Invalid, NotFound
from pipeline.flow.health import unknown_categories
from pipeline.flow.workspace import Workspace
from pipeline.lake import archive
from pipeline.ledger import category_sets, manifest


@dataclass(slots=True)
class CategoryReport:
    """Number of categories by set; sets that are not what they were; and why the others could not be had."""

    fetched: dict[str, int] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def fetch_category_sets(ws: Workspace, client: ApiClient, names: Sequence[str] | None = None) -> CategoryReport:
    """Fetch these sets, or all in use. Raises ApiError for what every other set would meet as well."""
    report = CategoryReport()
    for name in category_sets.in_use(ws.ledger) if names is None else names:
        try:
            raw = client.get_categories(name)
            found = decode_set(raw)
        except (BadAnswer, Invalid, NotFound) as error:
            report.failed[name] = str(error)
            continue
        if _keep(ws, name, raw, found):
            report.changed.append(name)
        report.fetched[name] = found.size
    return report


def outgrown(ws: Workspace) -> list[str]:
    """Sets that have not been fetched since a result, as published, named a category that none of their lists has.

    A set may change during a day. One that was fetched since and still lacks it is none of these: asking again would
    not help.
    """
    unknown = {row.category_set for row in unknown_categories(ws.home)}
    return [name for name in category_sets.older_than_results(ws.ledger) if name in unknown]


def content_id(name: str, raw: bytes | msgspec.Raw) -> str:
    """Id of an answer of one set: the same bytes are the same lists."""
    return hashlib.sha256(name.encode() + b"\n" + bytes(raw)).hexdigest()[:32]


def _keep(ws: Workspace, name: str, raw: msgspec.Raw, found: CategorySet) -> bool:
    """Archive what is new, and note it for today. True when today's lists are not what was known of today."""
    id_ = content_id(name, raw)
    with ws.ledger.read() as conn:
        path = category_sets.path_of(conn, id_)
    if path is None:
        path = _archive(ws, id_, raw)
    with ws.ledger.write() as conn:
        now = ws.ledger.now()
        if category_sets.path_of(conn, id_) is None:
            category_sets.add_list(conn, id_, name, found.incoming, found.outgoing, path, now=now)
        changed = category_sets.note(conn, name, id_, now=now)
        if changed:
            manifest.touch(conn)
    return changed


def _archive(ws: Workspace, id_: str, raw: msgspec.Raw) -> str:
    with ws.scratch() as scratch:
        file = scratch / "categories.json"
        file.write_bytes(bytes(raw))
        return archive.archive_file(ws.archive, file, name=f"categories-{id_}.json").path
