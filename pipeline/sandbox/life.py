"""The life of a batch: what it is at any moment, from what was stored when it was created.

Belongs here: pure functions of a stored submission and a time. Since no worker moves a batch along, two servers on one
state file cannot disagree, and killing them all cannot lose or delay a batch.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.sandbox.chance import draw
from pipeline.sandbox.schema import OPERATION

if TYPE_CHECKING:
    from pipeline.sandbox.config import SandboxConfig

SECOND = 1_000_000
EVER = 2**62


class Submission(NamedTuple):
    """A stored batch (or single transaction). Times are microseconds since 1970."""

    seq: int
    id: str
    owner: int
    kind: str
    nth: int | None
    priority: str
    total: int
    outcome: str
    created_at: int
    finish_at: int
    stop_at: int
    """Items processed when it ends: `total`, or fewer for an error batch."""
    skew: int = 0
    """What a fault makes its stamps be off by."""
    listed_from: int = 0
    found_from: int = 0
    found_until: int = EVER
    results_until: int = EVER
    ruleset: int | None = None
    """Number of the ruleset that counted when it was accepted; None if there were no rules."""

    @property
    def made(self) -> str:
        """`created_at` as the API tells it."""
        return stamp(self.created_at + self.skew)

    def status(self, now: int) -> str:
        """`processing`, `completed` or `error`."""
        return "processing" if now < self.finish_at else self.outcome

    def progress(self, now: int) -> int:
        """Items processed so far: never falls, reaches `total` with the completion only."""
        if now >= self.finish_at:
            return self.stop_at
        elapsed = max(0, now - self.created_at)
        return self.stop_at * elapsed // (self.finish_at - self.created_at)

    def visible(self, now: int) -> int:
        """Leading items that GET /v3/transactions shows: those processed; none of a batch that ends in error."""
        return 0 if self.outcome == "error" else self.progress(now)

    def answer(self, now: int) -> dict[str, Any]:
        """The Batch object, with `priority`, which SDK 5.7.0 requires."""
        return {
            "id": self.id,
            "operation": OPERATION,
            "status": self.status(now),
            "created_at": self.made,
            "updated_at": stamp(max(self.created_at, min(now, self.finish_at)) + self.skew),
            "progress": self.progress(now),
            "total": self.total,
            "priority": self.priority,
        }


def duration_us(config: SandboxConfig, nth: int, total: int, priority: str) -> int:
    """Real microseconds that the `nth` batch takes to complete."""
    seconds = config.batch_base_seconds + total / config.batch_items_per_second
    seconds *= 1 + config.batch_jitter * (2 * draw(config.seed, "time", nth) - 1)
    if priority == "low":
        seconds *= config.low_priority_factor
    return max(1, round(config.scaled(seconds) * SECOND))


def stamp(moment: int) -> str:
    """RFC 3339 in UTC with microseconds, as in the docs' samples."""
    seconds, micros = divmod(moment, SECOND)
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"
