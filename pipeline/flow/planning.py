"""Waiting rows cut into batches: one immutable plan file each, whose rows are exactly what is sent.

When and how much is cut is a pure function; the rest is one commit of the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import polars as pl
from sqlalchemy.exc import IntegrityError as DatabaseConflict

from pipeline.crashpoints import point
from pipeline.errors import ConflictError
from pipeline.flow.plan_files import hash_items, write_plan
from pipeline.flow.workspace import Workspace
from pipeline.lake import files, tables
from pipeline.ledger import batches, manifest
from pipeline.ledger.batches import NewBatch
from pipeline.ledger.manifest import NewFile
from pipeline.settings import Settings

_TRIES = 10


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What was cut: the new batches' keys and row counts, and how many rows still wait."""

    batches: dict[str, int]
    waiting: int


def cuts(waiting: int, oldest_age: float, settings: Settings, *, flush: bool) -> list[int]:
    """Row counts of the batches to cut now, in order; what is left of `waiting` goes on waiting.

    A backlog is cut into bulk-sized batches. A remainder smaller than a batch waits until the oldest row is
    `batch_max_age` seconds old, or is cut at once with `flush`.
    """
    size = settings.batch_size_bulk if waiting > settings.bulk_threshold else settings.batch_size
    sizes = [size] * (waiting // size)
    rest = waiting % size
    if rest and (flush or oldest_age >= settings.scaled(settings.batch_max_age)):
        sizes.append(rest)
    return sizes


def plan_is_due(ws: Workspace) -> bool:
    """Whether `plan` without `flush` would cut anything now."""
    with ws.ledger.read() as conn:
        live = manifest.live(conn, "waiting")
    waiting = sum(row.rows for row in live)
    return bool(waiting and cuts(waiting, _age(ws, live, ws.ledger.now()), ws.settings, flush=False))


def plan(ws: Workspace, *, flush: bool) -> PlanReport:
    """Cut what is due. Two planners over the same rows: one commits, the other finds its files gone and begins again.

    Raises ConflictError when that happens ten times in a row.
    """
    for _ in range(_TRIES):
        try:
            return _plan_once(ws, flush=flush)
        except (ConflictError, DatabaseConflict):
            continue
    raise ConflictError(f"other processes planned at the same time, {_TRIES} times over; run it again")


def _plan_once(ws: Workspace, *, flush: bool) -> PlanReport:
    with ws.ledger.read() as conn:
        live = manifest.live(conn, "waiting")
        seq = batches.next_plan_seq(conn)
    waiting = sum(row.rows for row in live)
    if not waiting:
        return PlanReport({}, 0)
    now = ws.ledger.now()
    sizes = cuts(waiting, _age(ws, live, now), ws.settings, flush=flush)
    if not sizes:
        return PlanReport({}, waiting)
    rows = files.read_table(ws.lake, [row.path for row in live])
    rows = rows.sort("account_holder_id", nulls_last=True, maintain_order=True)
    new, added = _write_plans(ws, rows, sizes, seq)
    rest = rows.slice(sum(sizes))
    if rest.height:
        added.append(_as_new_file(files.write_table(ws.lake, tables.WAITING, rest, stem=f"rest-{seq:08d}"), "waiting"))
    point("plan.before_commit")
    with ws.ledger.write() as conn:
        manifest.commit(conn, add=added, remove=[row.path for row in live], now=now)
        batches.insert_batches(conn, new, now=now)
    point("plan.after_commit")
    return PlanReport({batch.batch_key: batch.rows for batch in new}, rest.height)


def _age(ws: Workspace, live: list[Any], now: datetime) -> float:
    times = files.read_table(ws.lake, [row.path for row in live], columns=["ingested_at"])["ingested_at"]
    oldest = cast("datetime", times.min())
    return (now - oldest).total_seconds()


def _write_plans(ws: Workspace, rows: pl.DataFrame, sizes: list[int], seq: int) -> tuple[list[NewBatch], list[NewFile]]:
    new, added, start = [], [], 0
    for offset, size in enumerate(sizes):
        part = rows.slice(start, size)
        start += size
        items_hash = hash_items(part)
        key = f"{seq + offset:08d}-{items_hash[:8]}"
        file, document = write_plan(ws, key, part)
        added.append(file)
        ids = part["transaction_id"]
        new.append(
            NewBatch(
                key, seq + offset, items_hash, size, ids[0], ids[-1], attempts_allowed=ws.settings.max_attempts,
                document=document,
            )
        )  # fmt: skip
    return new, added


def _as_new_file(written: files.WrittenFile, kind: str) -> NewFile:
    return NewFile(kind, written.path, written.rows, written.bytes, written.sha256)
