"""The limits of the API: calls per second, credit bucket, batches at once, prepaid balance.

Belongs here: taking and refusing. Credits, balance and open batches live in the state file, since several processes
serve one key; calls per second are counted per process, in memory, because a commit per call would cost more than the
call. Figures: fact sheet, section 1.3. Everything refills on the scaled clock.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from pipeline.sandbox.errors import ApiError, too_many
from pipeline.sandbox.keys import OF_ORGANIZATION
from pipeline.sandbox.life import SECOND

if TYPE_CHECKING:
    import sqlite3

    from pipeline.sandbox.config import SandboxConfig


class CallRates:
    """Token buckets per key and route group; each holds one second's worth of calls."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._buckets: dict[tuple[int, str], tuple[float, float]] = {}

    def take(self, owner: int, group: str) -> None:
        """Count one call; raises 429. `group` names the setting without `_per_second`."""
        if self._config.unthrottled:
            return
        rate: float = getattr(self._config, f"{group}_per_second")
        size = max(1.0, rate)
        now = time.monotonic()
        with self._lock:
            tokens, then = self._buckets.get((owner, group), (size, now))
            tokens = min(size, tokens + (now - then) * rate * self._config.time_scale)
            allowed = tokens >= 1
            self._buckets[owner, group] = (tokens - 1 if allowed else tokens, now)
        if not allowed:
            raise too_many(f"Rate limit exceeded: {rate:g} operations per second")


def take_credits(con: sqlite3.Connection, config: SandboxConfig, owner: int, credits_: int, now: int) -> None:
    """Charge `credits_` to the key, inside the caller's write transaction; raises 423 or 429.

    The balance is the organization's, the bucket the key's.
    """
    sql = "SELECT bucket, bucket_at FROM owners WHERE id = ?"
    bucket, bucket_at = con.execute(sql, (owner,)).fetchone()
    if config.balance is not None:
        sql = f"SELECT sum(spent) FROM owners WHERE id IN ({OF_ORGANIZATION})"  # noqa: S608
        if con.execute(sql, (owner, owner)).fetchone()[0] + credits_ > config.balance:
            raise ApiError(423, "Not enough credits left on this account")
    if not config.unthrottled:
        full = config.credits_capacity
        if bucket is None:
            bucket, bucket_at = full, now
        refill = max(0, now - bucket_at) / SECOND * config.credits_per_second * config.time_scale
        bucket = min(full, bucket + refill)
        if bucket < credits_:
            raise too_many("Rate limit exceeded: not enough credits in the bucket")
        bucket, bucket_at = bucket - credits_, max(now, bucket_at)
    sql = "UPDATE owners SET spent = spent + ?, bucket = ?, bucket_at = ? WHERE id = ?"
    con.execute(sql, (credits_, bucket, bucket_at, owner))


def take_slot(con: sqlite3.Connection, config: SandboxConfig, owner: int, now: int) -> None:
    """Refuse with 429 a batch beyond those that may be processing at once."""
    if config.unthrottled:
        return
    sql = "SELECT count(*) FROM submissions WHERE owner = ? AND kind = 'batch' AND finish_at > ?"
    if con.execute(sql, (owner, now)).fetchone()[0] >= config.max_processing:
        raise too_many(f"Rate limit exceeded: {config.max_processing} batches are being processed")
