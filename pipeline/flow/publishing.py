"""The warehouse made anew from the manifest: one consistent snapshot, checked, then swapped in.

When the identity does not hold nothing is published, and the revision that is out stays out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Connection, select, update

from pipeline.crashpoints import point
from pipeline.flow.landing import RESULT_MISSING
from pipeline.flow.workspace import Workspace
from pipeline.lake import files, tables
from pipeline.lake.identity import IdentityReport, SourceCount, archived_ids, check_identity
from pipeline.lake.publish import publish
from pipeline.lake.snapshot import Snapshot
from pipeline.lake.warehouse import current
from pipeline.ledger import category_sets, documents, manifest, schema
from pipeline.ledger.states import CHARGED_ATTEMPTS, IN_FLIGHT, ROW_STATE, State


@dataclass(slots=True)
class PublishReport:
    """The revision, what the identity check counted, what it found wrong, and whether it was published."""

    revision: int
    counts: dict[str, int]
    violations: list[str] = field(default_factory=list)
    published: bool = False
    seconds: float = 0.0
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    """What one read transaction of the ledger gave."""

    snapshot: Snapshot
    sources: list[SourceCount]
    unverified: list[Any]
    landed_files: dict[str, list[str]]
    miscounts: list[str]
    """Batches whose rows are not where the ledger says."""


def publish_warehouse(ws: Workspace) -> PublishReport:
    """Check the newest revision and publish it.

    Raises IntegrityError or StorageError when files are missing or the disk refuses.
    """
    read = _read(ws)
    identity = check_identity(read.snapshot, read.sources)
    report = PublishReport(read.snapshot.revision, identity.counts, list(identity.violations))
    report.violations += read.miscounts
    report.violations += _compare_archives(ws, read)
    if report.violations:
        return report
    _mark_verified(ws, read)
    point("publish.after_verified")
    publication = publish(ws.home, read.snapshot, keep=timedelta(hours=ws.settings.keep_warehouse_hours))
    point("publish.before_mark")
    manifest.mark_published(ws.ledger, publication.revision)
    point("publish.after_mark")
    report.published, report.seconds, report.path = publication.published, publication.seconds, publication.path
    return report


def publication_is_due(ws: Workspace) -> bool:
    """Whether the manifest has moved on since what is published, or what was published is gone."""
    head = manifest.head(ws.ledger)
    return bool(head.revision > head.published_revision or (head.published_revision and current(ws.home) is None))


def check_now(ws: Workspace) -> IdentityReport:
    """The identity of the newest revision, without publishing it."""
    read = _read(ws)
    return check_identity(read.snapshot, read.sources)


def _read(ws: Workspace) -> _Read:
    b = schema.batches
    with ws.ledger.read() as conn:
        revision = manifest.revision(conn)
        live = manifest.live(conn)
        states = {row.batch_key: State(row.state) for row in conn.execute(select(b.c.batch_key, b.c.state))}
        ledger = {
            "batches": _batches(conn),
            "batch_attempts": _attempts(conn),
            "account_holders": _holders(conn),
            "api_calls": _calls(conn),
            "category_days": _frame(tables.CATEGORY_DAYS, [tuple(row) for row in category_sets.days(conn)]),
        }
        sources = [SourceCount(row.file_id, row.name, row.records) for row in conn.execute(select(schema.source_files))]
        batch_rows = list(conn.execute(select(b).order_by(b.c.plan_seq)))
        unverified = list(
            conn.execute(select(b).where(b.c.landed_version.is_not(None), b.c.landed_version > b.c.verified_version))
        )
    by_kind: dict[str, list[Path]] = defaultdict(list)
    plans, landed = [], defaultdict(list)
    for row in live:
        path = ws.lake / row.path
        if row.kind == "plan":
            plans.append((path, ROW_STATE.get(states[row.batch_key], IN_FLIGHT)))
            continue
        by_kind[row.kind].append(path)
        if row.kind == "transactions":
            landed[row.batch_key].append(row.path)
    snapshot = Snapshot(revision, by_kind, plans, ledger)
    return _Read(snapshot, sources, unverified, landed, _miscounts(batch_rows, live))


def _miscounts(batches: list[Any], live: list[Any]) -> list[str]:
    """Rows of a batch = rows in its landed or plan file + rows that went on to its children, as the ledger says."""
    in_files: Counter[str] = Counter()
    for file in live:
        if file.kind in {"plan", "transactions"}:
            in_files[file.batch_key] += file.rows
    gone: Counter[str] = Counter()
    for row in batches:
        if row.parent_key is not None:
            gone[row.parent_key] += row.rows
    return [
        f"batch {row.batch_key}: {row.rows} rows, but {in_files[row.batch_key]} in its file and"
        f" {gone[row.batch_key]} in its children, where the ledger says {row.rows_moved}"
        for row in batches
        if row.rows != in_files[row.batch_key] + row.rows_moved or row.rows_moved != gone[row.batch_key]
    ]


def _compare_archives(ws: Workspace, read: _Read) -> list[str]:
    """Ids landed = ids archived, for each version that was landed since the last publication."""
    violations = []
    for row in read.unverified:
        columns = ["transaction_id", "error_code"]
        paths = read.landed_files.get(row.batch_key, [])
        landed = files.read_table(ws.lake, paths, columns, table=tables.TRANSACTIONS)
        answered = landed.filter(pl.col("error_code").is_null() | (pl.col("error_code") != RESULT_MISSING))
        with ws.ledger.read() as conn:
            answers = documents.answers(conn, row.batch_key, row.sequence)
        archived = {i for answer in answers for i in archived_ids(ws.archive, answer.path)}
        expected = archived & set(landed["transaction_id"])
        if expected != set(answered["transaction_id"]):
            wrong = len(expected ^ set(answered["transaction_id"]))
            violations.append(f"batch {row.batch_key}: {wrong} ids differ between its rows and the archived results")
    return violations


def _mark_verified(ws: Workspace, read: _Read) -> None:
    b = schema.batches
    if not read.unverified:
        return
    with ws.ledger.write() as conn:
        for row in read.unverified:
            conn.execute(update(b).where(b.c.batch_key == row.batch_key).values(verified_version=row.landed_version))


def _frame(table: tables.Table, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=table.schema, orient="row")


def _batches(conn: Connection) -> pl.DataFrame:
    b = schema.batches
    names = [b.c[name] for name in tables.BATCHES.names]
    return _frame(tables.BATCHES, [tuple(row) for row in conn.execute(select(*names).order_by(b.c.plan_seq))])


def _attempts(conn: Connection) -> pl.DataFrame:
    a = schema.attempts
    rows = conn.execute(select(a).order_by(a.c.batch_key, a.c.sequence))
    return _frame(
        tables.BATCH_ATTEMPTS,
        [
            (
                row.batch_key, row.sequence, row.state, row.reason, row.vendor_batch_id,
                row.credits if row.state in CHARGED_ATTEMPTS else 0, row.reserved_at, row.submitted_at,
                row.finished_at, row.request_id, row.error,
            )
            for row in rows
        ],
    )  # fmt: skip


def _holders(conn: Connection) -> pl.DataFrame:
    h, r = schema.holders, schema.recurrence
    query = (
        select(
            h.c.account_holder_id, h.c.type, h.c.state, h.c.first_seen_at, h.c.confirmed_at, h.c.detail,
            h.c.category_id, r.c.refreshed_at, r.c.due_since, r.c.error,
        )
        .outerjoin(r, r.c.account_holder_id == h.c.account_holder_id)
        .order_by(h.c.account_holder_id)
    )  # fmt: skip
    rows = conn.execute(query)
    return _frame(tables.ACCOUNT_HOLDERS, [tuple(row) for row in rows])


def _calls(conn: Connection) -> pl.DataFrame:
    c = schema.api_calls
    rows = conn.execute(select(c.c.day, c.c.call, c.c.calls).order_by(c.c.day, c.c.call))
    return _frame(tables.API_CALLS, [tuple(row) for row in rows])
