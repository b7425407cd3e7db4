"""Account holders in the ledger: wanted, confirmed by the API, or known there under another type.

Which transactions belong to a holder is in the lake; here is one row per holder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from pipeline.ledger import schema
from pipeline.ledger.db import Ledger, chunks

_h = schema.holders

WANTED = "wanted"
CONFIRMED = "confirmed"
MISMATCH = "mismatch"
_CHUNK = 500


def want(conn: Connection, types: Mapping[str, str], *, now: Any) -> int:
    """Add the holders that are not known yet, as wanted; returns how many were new. Inside the caller's transaction."""
    known = set(known_types(conn, list(types)))
    new = [
        {"account_holder_id": holder, "type": type_, "state": WANTED, "first_seen_at": now}
        for holder, type_ in types.items()
        if holder not in known
    ]
    if new:
        conn.execute(insert(_h), new)
    return len(new)


def known_types(conn: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Type by id, for those of `ids` that the ledger knows."""
    found: dict[str, str] = {}
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        found |= {
            r.account_holder_id: r.type for r in conn.execute(select(_h).where(_h.c.account_holder_id.in_(chunk)))
        }
    return found


def wanted(ledger: Ledger, limit: int | None = None) -> list[Row[Any]]:
    """Holders that have to be created, those first seen first."""
    statement = select(_h).where(_h.c.state == WANTED).order_by(_h.c.first_seen_at, _h.c.account_holder_id)
    return ledger.rows(statement.limit(limit) if limit else statement)


def wanted_since(conn: Connection, moment: datetime) -> list[str]:
    """Ids of holders first named at this moment or later, and not created yet."""
    query = select(_h.c.account_holder_id).where(_h.c.state == WANTED, _h.c.first_seen_at >= moment)
    return [row.account_holder_id for row in conn.execute(query)]


def forget(conn: Connection, ids: Sequence[str]) -> None:
    """Take back that these are wanted; those that were created meanwhile stay."""
    for some in chunks(ids):
        conn.execute(delete(_h).where(_h.c.account_holder_id.in_(some), _h.c.state == WANTED))


def unconfirmed(ledger: Ledger, ids: Collection[str]) -> dict[str, str]:
    """State by id of those of `ids` that are not confirmed; an id the ledger does not know counts as wanted."""
    states: dict[str, str] = {}
    wanted_ids = sorted(ids)
    with ledger.read() as conn:
        for start in range(0, len(wanted_ids), _CHUNK):
            chunk = wanted_ids[start : start + _CHUNK]
            rows = conn.execute(select(_h.c.account_holder_id, _h.c.state).where(_h.c.account_holder_id.in_(chunk)))
            states |= {row.account_holder_id: row.state for row in rows}
    return {i: states.get(i, WANTED) for i in wanted_ids if states.get(i, WANTED) != CONFIRMED}


def settle(
    ledger: Ledger, account_holder_id: str, state: str, *, detail: str | None = None, category_id: str | None = None
) -> None:
    """Record that the API has the holder, or that it has it under another type. `category_id`: its own category set."""
    with ledger.write() as conn:
        now = ledger.now()
        conn.execute(
            update(_h)
            .where(_h.c.account_holder_id == account_holder_id)
            .values(
                state=state, confirmed_at=now if state == CONFIRMED else None, detail=detail, category_id=category_id
            )
        )  # fmt: skip


def want_again(conn: Connection, ids: Collection[str]) -> None:
    """Confirmed holders that the API says it does not have: created anew before their items are sent again."""
    for holder in ids:
        conn.execute(
            update(_h)
            .where(_h.c.account_holder_id == holder, _h.c.state == CONFIRMED)
            .values(state=WANTED, confirmed_at=None, detail="the API did not know it")
        )


def counts(ledger: Ledger) -> dict[str, int]:
    """Holders by state."""
    return {state: int(n) for state, n in ledger.rows(select(_h.c.state, func.count()).group_by(_h.c.state))}


def category_sets(conn: Connection) -> list[str]:
    """Ids of the own category sets that the API has for confirmed holders."""
    query = select(_h.c.category_id).where(_h.c.category_id.is_not(None)).distinct().order_by(_h.c.category_id)
    return list(conn.execute(query).scalars())
