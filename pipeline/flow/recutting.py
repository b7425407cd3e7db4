"""Rows that the API had been sent before this ledger knew of it, moved into a batch as it was sent.

Belongs here: finding rows in the live files, and the one commit that moves them. Which of the API's batches they were
sent in, and whether they may be moved, is `reconciling`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from sqlalchemy import Connection, insert, update
from sqlalchemy.exc import IntegrityError as DatabaseConflict

from pipeline.api.models import Batch
from pipeline.errors import ConflictError
from pipeline.flow.ingesting import LIVE_KINDS
from pipeline.flow.plan_files import hash_items, write_plan
from pipeline.flow.workspace import Workspace
from pipeline.lake import files, tables
from pipeline.lake.snapshot import reader
from pipeline.ledger import batches, manifest, operating, schema
from pipeline.ledger.batches import NewBatch
from pipeline.ledger.manifest import NewFile
from pipeline.ledger.states import Attempt, State

_COLUMNS = [column.name for column in (*tables.RAW_COLUMNS, *tables.TRY_COLUMNS)]


@dataclass(frozen=True, slots=True)
class Place:
    """The live file that holds a row: its kind, its path in the lake, its batch if it has one."""

    kind: str
    path: str
    batch_key: str | None


def locate(ws: Workspace, ids: Collection[str]) -> dict[str, Place]:
    """Where each of these transactions is now; those that were never accepted here are left out.

    Raises IntegrityError when a file cannot be read.
    """
    with ws.ledger.read() as conn:
        live = {ws.lake / row.path: row for row in manifest.live(conn, *LIVE_KINDS)}
    if not live or not ids:
        return {}
    with ws.scratch() as scratch, duckdb.connect() as con:
        wanted = scratch / "ids.parquet"
        pl.DataFrame({"transaction_id": list(ids)}, schema={"transaction_id": pl.String}).write_parquet(wanted)
        found = con.execute(
            f"SELECT transaction_id, filename FROM {reader(live, filename=True)}"  # noqa: S608
            f" WHERE transaction_id IN (SELECT transaction_id FROM {reader([wanted])})"
        ).fetchall()
    rows = {i: live[Path(name)] for i, name in found}
    return {i: Place(row.kind, row.path, row.batch_key) for i, row in rows.items()}


def is_free(row: Any) -> bool:
    """Whether rows may be taken out of a batch: nothing was sent for it whose result is still to come."""
    if row.state == State.HELD:
        return row.held_from in {None, State.PLANNED, State.ERRORED}
    return row.state in {State.PLANNED, State.QUARANTINED}


@dataclass(slots=True)
class _Cut:
    """New batches and files, and the batches that lose rows: key to (rows that count as its own, moved on, sent)."""

    sent: NewBatch
    batches: list[NewBatch]
    files: list[NewFile]
    left: dict[str, tuple[int, int, int]]


def recut(ws: Workspace, sent: Batch, ids: Sequence[str], places: Mapping[str, Place], *, who: str, why: str) -> str:
    """Move the rows `ids` out of their waiting and plan files into a batch that is submitted as `sent`; its key.

    `ids` are in the order of the results, `places` as `locate` found them. A planned, held or quarantined batch that
    loses rows is split, and the others go on in a child in its state. One commit. Raises ConflictError when another
    process moved some of the rows meanwhile, or took the batch's number: then look again.
    """
    sources = {places[i].path: places[i] for i in ids}
    rows = batches.by_keys(ws.ledger, sorted({p.batch_key for p in sources.values() if p.batch_key is not None}))
    cut = _cut(ws, sources, rows, ids)
    now = ws.ledger.now()
    try:
        with ws.ledger.write() as conn:
            manifest.commit(conn, add=cut.files, remove=list(sources), now=now)
            batches.insert_batches(conn, [cut.sent, *cut.batches], now=now)
            for key, (own, moved, gone) in cut.left.items():
                reason = f"{gone} of its {rows[key].rows} rows had been sent already, and are in {cut.sent.batch_key}"
                _split(conn, rows[key], own, moved, reason, now=now)
                _count_less(conn, rows[key].parent_key, rows[key].rows - own)
            _submit(conn, cut.sent, sent, who, now=now)
            operating.record(conn, now, who, "reconcile", cut.sent.batch_key, why)
    except DatabaseConflict as error:
        raise ConflictError(f"another process cut batches while {sent.id} was moved") from error
    return cut.sent.batch_key


def _cut(ws: Workspace, sources: Mapping[str, Place], rows: Mapping[str, Any], ids: Sequence[str]) -> _Cut:
    """Write the new files. Rows of one batch alone become its child; of several, or of waiting rows too, nobody's.

    A batch has one parent, and its rows count as those that the parent gave. So where they come from several, each
    batch that lost some counts as never having had them: it was not sent with them.
    """
    with ws.ledger.read() as conn:
        seq = batches.next_plan_seq(conn)
    frames = {path: _read(ws, path) for path in sources}
    mine = pl.col("transaction_id").is_in(list(ids))
    taken = pl.concat([frame.filter(mine) for frame in frames.values()])
    taken = pl.DataFrame({"transaction_id": list(ids)}).join(taken, on="transaction_id", maintain_order="left")
    parent: Any = next(iter(rows.values())) if len(sources) == len(rows) == 1 else None
    reason = next((row.next_reason for row in rows.values() if row.next_reason != "first"), "first")
    generation = max((row.generation + 1 for row in rows.values()), default=0)
    sent, file = _batch(ws, seq, taken.select(_COLUMNS), parent, State.PLANNED, reason, 1, generation)
    cut = _Cut(sent, [], [file], {})
    for path, place in sources.items():
        rest = frames[path].filter(~mine)
        if place.batch_key is None:
            if rest.height:
                w = files.write_table(
                    ws.lake, tables.WAITING, rest.select(tables.WAITING.names), stem=f"rest-{seq:08d}"
                )
                cut.files.append(NewFile("waiting", w.path, w.rows, w.bytes, w.sha256))
            continue
        row = rows[place.batch_key]
        cut.left[row.batch_key] = (
            row.rows if row is parent else rest.height,
            row.rows if row is parent else rest.height,
            row.rows - rest.height,
        )
        if rest.height:
            _keep_rest(ws, cut, seq + 1 + len(cut.batches), rest, row)
    return cut


def _read(ws: Workspace, path: str) -> pl.DataFrame:
    """Rows of a waiting or plan file, in the columns of a plan but for batch and position."""
    frame = files.read_table(ws.lake, [path])
    lacking = {name: pl.lit(None, tables.PLAN.schema[name]) for name in _COLUMNS if name not in frame.columns}
    return frame.with_columns(**lacking).select(_COLUMNS)


def _keep_rest(ws: Workspace, cut: _Cut, seq: int, rest: pl.DataFrame, row: Any) -> None:
    allowed = max(1, row.attempts_allowed - row.attempts)
    generation = row.generation + 1
    child, file = _batch(ws, seq, rest, row, State(row.state), row.next_reason, allowed, generation)
    cut.batches.append(child)
    cut.files.append(file)


def _batch(
    ws: Workspace, seq: int, rows: pl.DataFrame, parent: Any, state: State, next_reason: str, allowed: int,
    generation: int,
) -> tuple[NewBatch, NewFile]:  # fmt: skip
    items_hash = hash_items(rows)
    key = f"{seq:08d}-{items_hash[:8]}"
    file, document = write_plan(ws, key, rows)
    ids = rows["transaction_id"]
    batch = NewBatch(
        key, seq, items_hash, rows.height, ids[0], ids[-1], allowed, generation=generation,
        parent_key=parent.batch_key if parent is not None else None,
        root_key=parent.root_key if parent is not None else None, state=state, next_reason=next_reason,
        reason=parent.reason if parent is not None and state is not State.PLANNED else None,
        next_attempt_at=parent.next_attempt_at if parent is not None else None, document=document,
    )  # fmt: skip
    return batch, file


def _split(conn: Connection, row: Any, own: int, moved: int, reason: str, *, now: datetime) -> None:
    """The batch that lost rows, whose file is gone. Steps that had claimed it lose it."""
    if row.state != State.PLANNED:
        batches.move(conn, row.batch_key, State(row.state), State.PLANNED, now=now)
    batches.move(
        conn, row.batch_key, State.PLANNED, State.SPLIT, now=now, rows=own, rows_moved=moved, held_from=None,
        next_attempt_at=None, claim_fence=row.claim_fence + 1, claim_owner=None,
        reason=reason,
    )  # fmt: skip


def _count_less(conn: Connection, batch_key: str | None, rows: int) -> None:
    """The same for the batches that the rows were in before: what its children have is what a batch has moved."""
    b = schema.batches
    while rows and batch_key is not None:
        values = {"rows": b.c.rows - rows, "rows_moved": b.c.rows_moved - rows}
        conn.execute(update(b).where(b.c.batch_key == batch_key).values(**values))
        batch_key = batches.get(conn, batch_key).parent_key


def _submit(conn: Connection, new: NewBatch, sent: Batch, who: str, *, now: datetime) -> None:
    created = sent.created_at.replace(tzinfo=None)
    batches.move(
        conn, new.batch_key, State.PLANNED, State.SUBMITTED, now=now, sequence=1, attempts=1, vendor_batch_id=sent.id,
        reason=f"adopted by {who}", next_attempt_at=None,
    )  # fmt: skip
    conn.execute(
        insert(schema.attempts).values(
            batch_key=new.batch_key, sequence=1, state=Attempt.SUBMITTED, reason=new.next_reason, credits=sent.total,
            fingerprint="", owner="reconcile", server_clock=created, bucket_level=0, reserved_at=now, submitted_at=now,
            vendor_batch_id=sent.id,
        )
    )  # fmt: skip
