"""Whether a moment noted in the ledger has come, with a clock that may have been ahead when it was noted.

Belongs here: the one comparison for back-off, patience, probes and requested runs. How long each waits is settings'.

With the clock a day ahead for a minute, a batch's back-off lasted a day once the clock was right. A moment further off
than the longest wait of its kind was noted by such a clock, and counts as come: at worst something is tried early,
which no money depends on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_

FOREVER = float(10 * 366 * 86_400)
"""Seconds; a wait of this length is not bounded."""


@dataclass(frozen=True, slots=True)
class LongestWaits:
    """Real seconds: between tries of a batch or after a 429, between probes of an open circuit, for a run to start."""

    retry: float = FOREVER
    probe: float = FOREVER
    dispatch: float = FOREVER


UNBOUNDED = LongestWaits()
"""For a ledger that no settings say anything about."""


def is_due(moment: datetime | None, now: datetime, longest: float) -> bool:
    """Whether it has come, was never set, or cannot be meant."""
    return moment is None or moment <= now or moment > now + timedelta(seconds=longest)


def due(column: Any, now: datetime, longest: float) -> Any:
    """`is_due` as a condition in SQL."""
    return or_(column.is_(None), column <= now, column > now + timedelta(seconds=longest))
