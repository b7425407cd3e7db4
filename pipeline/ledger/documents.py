"""What is archived for each batch: its plan, and the answers that it was landed from. Paths only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from pipeline.ledger import schema
from pipeline.ledger.db import Ledger

_d = schema.documents

PLAN = "plan"
"""Ids of the batch in order, with what was known of earlier tries. Sequence 0."""
RESULTS = "results"
"""An answer of `GET /v3/batches/{id}/results`, as it came."""
SINGLES = "singles"
"""Answers of `GET /v3/transactions/{id}` for items that the results lack, in the shape of a results document."""


@dataclass(frozen=True, slots=True)
class Document:
    """An archived document: `path` is relative to the archive's root."""

    kind: str
    path: str
    items: int


def add(conn: Connection, batch_key: str, sequence: int, document: Document, *, now: datetime) -> None:
    """Note an archived document, inside the caller's write transaction."""
    same = (_d.c.batch_key == batch_key, _d.c.sequence == sequence)
    nth = int(conn.execute(select(func.coalesce(func.max(_d.c.nth), 0)).where(*same)).scalar_one()) + 1
    conn.execute(
        insert(_d).values(
            batch_key=batch_key, sequence=sequence, nth=nth, kind=document.kind, path=document.path,
            items=document.items, archived_at=now,
        )
    )  # fmt: skip


def answers(conn: Connection, batch_key: str, sequence: int) -> list[Row[Any]]:
    """Documents of one attempt, in the order in which they came; what an earlier one has, a later does not change."""
    where = (_d.c.batch_key == batch_key, _d.c.sequence == sequence, _d.c.kind != PLAN)
    return list(conn.execute(select(_d).where(*where).order_by(_d.c.nth)))


def plan_of(conn: Connection, batch_key: str) -> str | None:
    """Path of a batch's archived plan."""
    where = (_d.c.batch_key == batch_key, _d.c.kind == PLAN)
    return conn.execute(select(_d.c.path).where(*where)).scalar_one_or_none()


def first_seen(ledger: Ledger, paths: Sequence[str], batch_key: str) -> list[str]:
    """Note fields that this version does not know; returns those of `paths` that were never seen before."""
    u = schema.unknown_fields
    with ledger.write() as conn:
        known = set(conn.execute(select(u.c.path).where(u.c.path.in_(paths))).scalars())
        new = [path for path in paths if path not in known]
        for path in new:
            conn.execute(insert(u).values(path=path, batch_key=batch_key, first_seen_at=ledger.now()))
    return new
