"""How far an open batch is, how fast it goes, and when it will be done: from what the API says of it and our clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """Items done; items a second and seconds left, both None while nothing can be said."""

    done: int
    rate: float | None
    seconds_left: float | None


def progress(row: Any, now: datetime) -> Progress:
    """Of a batch's row in the ledger, at this moment (naive UTC)."""
    done = min(row.progress or 0, row.rows)
    seconds = ((row.looked_at or now) - row.state_since).total_seconds()
    if not done or seconds <= 0:
        return Progress(done, None, None)
    rate = done / seconds
    end = (row.rows - done) / rate - (now - (row.looked_at or now)).total_seconds()
    return Progress(done, rate, max(0.0, end))
