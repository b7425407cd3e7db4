"""The API's credit bucket, kept durably and shared by every process of the data folder.

One credit is one item. Filled at `credits_per_second` up to `credits_capacity` (design figures: 500/s and 50,000; the
smaller of the two documented pairs).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from pipeline.ledger import schema
from pipeline.ledger.due import FOREVER, is_due

_bucket = schema.credit_bucket


@dataclass(frozen=True, slots=True)
class BucketSize:
    """Capacity in credits and refill in credits per real second (already scaled)."""

    capacity: float
    per_second: float


def level(conn: Connection, size: BucketSize, *, now: datetime) -> float:
    """Credits in the bucket now."""
    row = conn.execute(select(_bucket)).first()
    if row is None:
        return size.capacity
    elapsed = (now - row.updated_at).total_seconds()
    if elapsed < -size.capacity / size.per_second:
        # Put back by more than it takes to fill: nobody knows what was gained since, and it would stay as it is until
        # the clock has caught up. If this is too much, the API says 429, which costs nothing.
        return size.capacity
    elapsed = max(0.0, elapsed)
    return float(min(size.capacity, row.level + elapsed * size.per_second))


def take(conn: Connection, size: BucketSize, items: int, *, now: datetime) -> float | None:
    """Take a credit for each of `items`; returns the level before, or None with nothing taken: too few are there."""
    before = level(conn, size, now=now)
    if before < items:
        return None
    _set(conn, before - items, now)
    return before


def give_back(conn: Connection, size: BucketSize, items: int, *, now: datetime) -> None:
    """Return the credits of a request that was provably not accepted."""
    _set(conn, min(size.capacity, level(conn, size, now=now) + items), now)


def settle(
    conn: Connection, size: BucketSize, items: int, *, level_before: float, taken_at: datetime, now: datetime
) -> None:
    """Correct for refill that the server's bucket did not get while the request was under way.

    The server charges later than we do, and until then its bucket may have been full, so that what ours gained
    after the taking went over the rim of theirs. Without this we drift ahead by up to one request's time of refill.
    Never by more than the request's items: ours is full at most, theirs lacks these (a sender that was paused in a
    request once took the whole pause off the bucket, and nothing was sent until as long again had passed).
    """
    elapsed = max(0.0, (now - taken_at).total_seconds())
    excess = min(float(items), max(0.0, level_before + elapsed * size.per_second - size.capacity))
    if excess:
        _set(conn, level(conn, size, now=now) - excess, now)


def put_off(conn: Connection, *, now: datetime, seconds: float, longest: float) -> datetime:
    """After a 429: nothing is sent for `seconds`, twice as long for each further one in a row. Returns until when."""
    row = conn.execute(select(_bucket)).first()
    times = row.throttled if row is not None else 0
    until = now + timedelta(seconds=min(longest, seconds * 2**times))
    values = {"not_before": until, "throttled": times + 1}
    if row is None:
        conn.execute(insert(_bucket).values(id=1, level=0.0, updated_at=now, **values))
    else:
        conn.execute(update(_bucket).values(**values))
    return until


def not_before(conn: Connection, *, now: datetime, longest: float = FOREVER) -> datetime | None:
    """Until when the API wants to be left alone; None when it does not. `longest`: seconds that it ever is."""
    until: datetime | None = conn.execute(select(_bucket.c.not_before)).scalar()
    return None if is_due(until, now, longest) else until


def relax(conn: Connection) -> None:
    """The API took a batch: the next 429 counts as the first."""
    conn.execute(update(_bucket).values(not_before=None, throttled=0))


def _set(conn: Connection, value: float, now: datetime) -> None:
    if conn.execute(update(_bucket).values(level=value, updated_at=now)).rowcount == 0:
        conn.execute(insert(_bucket).values(id=1, level=value, updated_at=now, throttled=0))
