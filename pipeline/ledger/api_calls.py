"""Requests made to the API, by day and route: the table `api_calls`. A metric; nothing is decided by it.

A process that is killed takes those of its last step with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from pipeline.ledger import schema
from pipeline.ledger.db import Ledger
from pipeline.ledger.states import State

_t = schema.api_calls

ABOUT_BATCHES = "%/v3/batches%"
"""Routes that grow with the batches. Holders are created once each, webhooks are looked at once a day."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Requests in all, those about batches, and landed batches."""

    total: int
    about_batches: int
    landed: int

    @property
    def per_landed(self) -> float | None:
        """Requests about batches for each landed one: submission, looks, results, and their repeats."""
        return self.about_batches / self.landed if self.landed else None


def add(ledger: Ledger, calls: Mapping[str, int]) -> None:
    """Add to today's counts (UTC), by method and route as `ApiClient.calls` has them."""
    if not calls:
        return
    today = ledger.now().date()
    with ledger.write() as conn:
        for call, count in calls.items():
            where = (_t.c.day == today, _t.c.call == call)
            if not conn.execute(update(_t).where(*where).values(calls=_t.c.calls + count)).rowcount:
                conn.execute(insert(_t).values(day=today, call=call, calls=count))


def counted(conn: Connection) -> Calls:
    """All that were ever made from this data folder."""
    total = select(func.coalesce(func.sum(_t.c.calls), 0))
    b = schema.batches
    landed = select(func.count()).where(b.c.state == State.LANDED)
    return Calls(
        int(conn.execute(total).scalar_one()),
        int(conn.execute(total.where(_t.c.call.like(ABOUT_BATCHES))).scalar_one()),
        int(conn.execute(landed).scalar_one()),
    )
