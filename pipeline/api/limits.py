"""How fast calls are made, and how long to wait before a call is made again.

Belongs here: the documented rates, token buckets and the back-off. Which calls may be repeated at all is decided in
`calls`; the credit bucket and the number of open batches are the ledger's, since all processes share them.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from threading import Lock

RATES: dict[str, float] = {
    "submit": 20,
    "batches": 20,
    "results": 10,
    "create_holder": 100,
    "holders": 10,
    "transactions": 10,
    "categories": 10,
    "webhooks": 10,
}
"""Calls a second per key (docs.ntropy.com/api/rate-limits). Categories and the PATCH of a webhook are not in
that table: the smallest is taken."""

_BURST_SECONDS = 0.2


class Throttle:
    """One token bucket per route group, for one process; safe to use from several threads.

    The bucket holds a fifth of a second only: with a full second of burst and half the rate, a process that begins
    would use all of the documented rate in its first second.
    """

    def __init__(self, *, share: float, time_scale: float) -> None:
        self._gaps = {group: 1 / (rate * share * time_scale) for group, rate in RATES.items()}
        # In gaps, so that a scaled clock does not make the burst larger as well.
        self._saved = {group: max(1.0, rate * share * _BURST_SECONDS) - 1 for group, rate in RATES.items()}
        self._free_at = dict.fromkeys(RATES, 0.0)
        self._lock = Lock()

    def wait(self, group: str) -> float:
        """Sleep until a call of this group may be made; returns the seconds slept."""
        with self._lock:
            now, gap = time.monotonic(), self._gaps[group]
            slot = max(self._free_at[group], now - self._saved[group] * gap)
            self._free_at[group] = slot + gap
        delay = slot - now
        if delay > 0:
            time.sleep(delay)
        return max(0.0, delay)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between attempts, in the API's seconds: exponential with full jitter, `Retry-After` first.

    `retries` bounds the count, `total` the seconds of waiting in all; `time_scale` divides what is really slept.
    """

    retries: int = 5
    base: float = 0.5
    cap: float = 20
    total: float = 120
    time_scale: float = 1.0

    def delay(self, attempt: int, retry_after: float | None) -> float:
        """Seconds before attempt `attempt` + 1 (from 0). A `Retry-After` is never undercut, only jittered upwards."""
        if retry_after is not None:
            return retry_after + random.uniform(0, self.base)
        return random.uniform(0, min(self.cap, self.base * 2**attempt))

    def sleep(self, seconds: float) -> None:
        """Sleep that many of the API's seconds."""
        time.sleep(seconds / self.time_scale)
