"""How often the open batches are listed: three cadences, by what webhooks have brought lately.

Reads only. Being wrong costs calls or minutes, never a batch: every list call shows all of them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches, schema
from pipeline.ledger.states import Attempt, State

LATEST = 5
"""Batches that ended last, each of which must have had its event for webhooks to count as healthy."""

EVENT_LAG = timedelta(seconds=30)
"""Real time that an event may take after the batch's end was seen otherwise, before it counts as missed."""

OVERDUE_FACTOR = 20
"""Overdue batches alone are looked at so many times as seldom: every five minutes in place of every 15 s."""


def poll_seconds(ws: Workspace) -> float:
    """Real seconds between two list calls."""
    s = ws.settings
    return s.scaled(
        cadence(
            usual=s.poll_interval,
            with_webhooks=s.poll_interval_webhooks,
            webhooks=webhooks_are_healthy(ws),
            overdue_only=_only_overdue(ws),
        )
    )


def cadence(*, usual: float, with_webhooks: float, webhooks: bool, overdue_only: bool) -> float:
    """Seconds on the API's clock. Without webhooks, or when one was missed, the usual; what is overdue, slowly."""
    if overdue_only:
        return max(usual * OVERDUE_FACTOR, with_webhooks)
    return max(usual, with_webhooks) if webhooks else usual


def webhooks_are_healthy(ws: Workspace) -> bool:
    """Whether each of the batches that ended last had its event. False before the first one ended."""
    ended = _ended(ws, before=ws.ledger.now() - EVENT_LAG)
    if not ended:
        return False
    i = schema.webhook_inbox
    heard = ws.ledger.rows(select(i.c.vendor_batch_id).where(i.c.vendor_batch_id.in_(ended)).distinct())
    return len(heard) == len(ended)


def _ended(ws: Workspace, *, before: datetime) -> list[Any]:
    a = schema.attempts
    query = select(a.c.vendor_batch_id).where(
        a.c.state.in_([Attempt.COMPLETED, Attempt.ERRORED]), a.c.vendor_batch_id.is_not(None), a.c.finished_at < before
    )  # fmt: skip
    return [row.vendor_batch_id for row in ws.ledger.rows(query.order_by(a.c.finished_at.desc()).limit(LATEST))]


def _only_overdue(ws: Workspace) -> bool:
    horizon = ws.later(-ws.settings.scaled(ws.settings.overdue_after))
    open_rows = batches.in_states(ws.ledger, State.SUBMITTED, State.UNCONFIRMED)
    return bool(open_rows) and all(row.state_since < horizon for row in open_rows)
