"""A batch's plan: the file of exactly its items, and the archived list of their ids from which it can be made again.

Belongs here: writing and reading plans, keys and hashes. When a batch is cut or split is decided elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import polars as pl
from sqlalchemy.exc import IntegrityError as DatabaseConflict

from pipeline.crashpoints import point
from pipeline.errors import ConflictError
from pipeline.flow.workspace import Workspace
from pipeline.lake import archive, files, tables
from pipeline.ledger import batches, documents, manifest
from pipeline.ledger.batches import NewBatch
from pipeline.ledger.manifest import NewFile
from pipeline.ledger.states import State

T = TypeVar("T")

_TRIES = 10
_TRY_NAMES = [column.name for column in tables.TRY_COLUMNS]


class PlanDocument(msgspec.Struct, omit_defaults=True):
    """What is archived of a plan: ids in the order in which they are sent; earlier tries by id, if there were any."""

    batch_key: str
    ids: list[str]
    failed_tries: dict[str, int] = {}
    error_history: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that go on in a batch of their own. `rows` has the columns of a plan; key and position are given anew."""

    rows: pl.DataFrame
    next_reason: str
    attempts_allowed: int
    state: State = State.PLANNED
    reason: str | None = None
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """Batches and their plan files, written and not yet committed."""

    batches: list[NewBatch]
    files: list[NewFile]


def hash_items(rows: pl.DataFrame) -> str:
    """Hex digest over ids and contents, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for pair in rows.select("transaction_id", "content_hash").iter_rows():
        digest.update("\x1f".join(pair).encode() + b"\x1e")
    return digest.hexdigest()


def write_plan(ws: Workspace, key: str, rows: pl.DataFrame) -> tuple[NewFile, str]:
    """Write the plan of batch `key` from rows in order, and archive its ids. Returns the file and the archived path.

    Columns of earlier tries may be left out of `rows`; any key and position in it are replaced.
    """
    frame = rows.with_columns(
        batch_key=pl.lit(key),
        position=pl.int_range(rows.height, dtype=pl.Int64),
        **{n: pl.lit(None, tables.PLAN.schema[n]) for n in _TRY_NAMES if n not in rows.columns},
    ).select(tables.PLAN.names)
    written = files.write_table(ws.lake, tables.PLAN, frame, stem=key)
    document = _archive(ws, key, frame)
    return NewFile("plan", written.path, written.rows, written.bytes, written.sha256, batch_key=key), document


def _archive(ws: Workspace, key: str, frame: pl.DataFrame) -> str:
    tried = frame.filter(pl.col("failed_tries").is_not_null())
    document = PlanDocument(
        key,
        frame["transaction_id"].to_list(),
        dict(tried.select("transaction_id", "failed_tries").iter_rows()),
        dict(tried.select("transaction_id", "error_history").iter_rows()),
    )
    with ws.scratch() as scratch:
        path = scratch / "plan.json"
        path.write_bytes(msgspec.json.encode(document))
        return archive.archive_file(ws.archive, path, name=f"plan-{key}").path


def plan_file(ws: Workspace, key: str) -> Any:
    """The manifest's row of a batch's live plan file."""
    with ws.ledger.read() as conn:
        (found,) = manifest.live(conn, "plan", batch_key=key)
    return found


def read_plan(ws: Workspace, key: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Rows of a batch that has not landed, in the order in which they are sent."""
    return files.read_table(ws.lake, [plan_file(ws, key).path], columns)


def planned_ids(ws: Workspace, key: str) -> frozenset[str]:
    """Ids of a batch as it was sent, whatever has become of it. Raises IntegrityError when its archive is damaged."""
    with ws.ledger.read() as conn:
        path = documents.plan_of(conn, key)
    if path is None:
        return frozenset()
    with archive.open_archive(ws.archive, path) as stream:
        return frozenset(msgspec.json.decode(stream.read(), type=PlanDocument).ids)


def with_children(ws: Workspace, parent: Any, parts: Sequence[Part], commit: Callable[[Made], T]) -> T:
    """Write each part as a child of `parent` and have all committed; again when another process took the number.

    Raises ConflictError when that happens ten times in a row, and whatever `commit` raises.
    """
    for _ in range(_TRIES):
        try:
            return commit(_children(ws, parent, parts))
        except DatabaseConflict:
            continue
    raise ConflictError(f"other processes cut batches at the same time, {_TRIES} times over; run it again")


def _children(ws: Workspace, parent: Any, parts: Sequence[Part]) -> Made:
    made = Made([], [])
    if not parts:
        return made
    with ws.ledger.read() as conn:
        seq = batches.next_plan_seq(conn)
    for offset, part in enumerate(parts):
        items_hash = hash_items(part.rows)
        key = f"{seq + offset:08d}-{items_hash[:8]}"
        file, document = write_plan(ws, key, part.rows)
        made.files.append(file)
        ids = part.rows["transaction_id"]
        made.batches.append(
            NewBatch(
                key, seq + offset, items_hash, part.rows.height, ids[0], ids[-1], part.attempts_allowed,
                generation=parent.generation + 1, parent_key=parent.batch_key, root_key=parent.root_key,
                state=part.state, next_reason=part.next_reason, reason=part.reason,
                next_attempt_at=part.next_attempt_at, document=document,
            )
        )  # fmt: skip
    point("children.after_write")
    return made
