"""Batches that were never sent, as rows of the ledger, partitions and events: for `scale`. Nothing is measured here."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import insert, select

from pipeline.flow.workspace import Workspace
from pipeline.ledger import schema
from pipeline.partitions import BATCHES

AGE = timedelta(days=60)
"""How long ago they landed."""


def add_history(folder: Path, ws: Workspace, instance: dg.DagsterInstance, *, model: str, total: int) -> None:
    """Copy one landed batch under other keys until the instance has `total` partitions."""
    missing = total - len(instance.get_dynamic_partitions(BATCHES))
    first = 1_000_000  # beyond any sequence number in use
    keys = [f"{first + n:06d}-{n:08x}" for n in range(missing)]
    _copy_ledger(ws, model, keys, first)
    for start in range(0, len(keys), 1_000):
        instance.add_dynamic_partitions(BATCHES, keys[start : start + 1_000])
    _copy_events(folder, model, keys)


def _copy_ledger(ws: Workspace, model: str, keys: list[str], first: int) -> None:
    b, a = schema.batches, schema.attempts
    with ws.ledger.write() as conn:
        batch = dict(conn.execute(select(b).where(b.c.batch_key == model)).one()._mapping)  # noqa: SLF001
        attempt = dict(conn.execute(select(a).where(a.c.batch_key == model)).first()._mapping)  # type: ignore[union-attr]  # noqa: SLF001
        then = {name: value - AGE for name, value in batch.items() if isinstance(value, datetime)}
        # The attempts of before have the same ends; only the newest of them are ever asked for.
        sent = {name: value - AGE for name, value in attempt.items() if isinstance(value, datetime)}
        rows: list[dict[str, Any]] = []
        sends: list[dict[str, Any]] = []
        for n, key in enumerate(keys):
            own = {"batch_key": key, "vendor_batch_id": f"never-{n}"}
            rows.append({**batch, **then, **own, "plan_seq": first + n, "items_hash": key, "root_key": key})
            sends.append({**attempt, **sent, **own})
        conn.execute(insert(b), rows)
        conn.execute(insert(a), sends)


def _copy_events(folder: Path, model: str, keys: list[str]) -> None:
    """The model's materialisations under each key: 7 ms an event by Dagster's own call, half an hour for all."""
    path = folder / ".dagster" / "storage" / "history" / "runs" / "index.db"
    with sqlite3.connect(path) as con:
        names = [row[1] for row in con.execute("PRAGMA table_info(event_logs)") if row[1] != "id"]
        kept = ", ".join(names)
        found = con.execute(f"SELECT {kept} FROM event_logs WHERE partition = ?", (model,)).fetchall()
        marks = ", ".join("?" * len(names))
        con.executemany(
            f"INSERT INTO event_logs ({kept}) VALUES ({marks})",
            (
                tuple(value.replace(model, key) if isinstance(value, str) else value for value in row)
                for key in keys
                for row in found
            ),
        )


def finish_retirement(folder: Path, *, keep: list[str]) -> None:
    """Take out all other partitions, as many nights would."""
    path = folder / ".dagster" / "storage" / "history" / "runs" / "index.db"
    with sqlite3.connect(path) as con:
        marks = ", ".join("?" * len(keep))
        con.execute(f"DELETE FROM dynamic_partitions WHERE partition NOT IN ({marks})", keep)


def finish_times(state: Path) -> dict[str, datetime]:
    """When each batch of the sandbox ended (naive UTC), by its id."""
    with sqlite3.connect(f"file:{next(state.glob('*.sqlite'))}?mode=ro", uri=True) as con:
        rows = con.execute("SELECT id, finish_at FROM submissions WHERE kind = 'batch'").fetchall()
    return {name: datetime.fromtimestamp(at / 1e6, UTC).replace(tzinfo=None) for name, at in rows}
