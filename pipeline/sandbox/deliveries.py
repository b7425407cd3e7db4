"""The queue of webhook deliveries, over the state file.

Belongs here: which events go to which webhooks, what is due now, and what an attempt's outcome changes. Nothing here
sends. Each function is one transaction, of the kind that outlives a killed process but not a power cut: a delivery that
is made again under the same `event_id` is what clients are told to expect.

Not documented (open question Q16) and invented: the waits between attempts, the number of failures that disables, and
that a disabled webhook keeps what was queued for it (sent once it is enabled again, within the 24 h) but is told
nothing of what ends meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.sandbox.events import TOLD, WAITING
from pipeline.sandbox.life import SECOND, stamp
from pipeline.sandbox.store import now_us

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator

    from pipeline.sandbox.config import SandboxConfig
    from pipeline.sandbox.store import Store

DELIVERED = "delivered"
GIVEN_UP = "given_up"
DROPPED = "dropped"
"""Its webhook was deleted. The states of a delivery are these three and `events.WAITING`."""
RETRY_FOR = 24 * 3600.0
"""Documented seconds from when a delivery is first due until it is tried no more (fact sheet, section 5.2)."""
LONGEST_WAIT = 3600.0
EVENTS_AT_ONCE = 200


class Job(NamedTuple):
    """One POST to make. The address and the token are the webhook's at this moment, not at the event's."""

    delivery: int
    webhook: str
    url: str
    token: str | None
    body: bytes


def queue_events(store: Store, config: SandboxConfig) -> None:
    """Turn the events that are due into one delivery per webhook and copy; give up those that are too old."""
    # Without a webhook nothing is written, ever.
    now, con = now_us(), store.connection()
    if con.execute("SELECT 1 FROM webhooks LIMIT 1").fetchone() is None:
        return
    if _due_events(con, now):
        with store.counting() as writing:
            for row in _due_events(writing, now):
                _queue(writing, config, now, *row)
    sql = "SELECT 1 FROM deliveries WHERE state = 'waiting' AND until <= ? LIMIT 1"
    if con.execute(sql, (now,)).fetchone() is not None:
        with store.counting() as writing:
            sql = "UPDATE deliveries SET state = ? WHERE state = 'waiting' AND until <= ?"
            writing.execute(sql, (GIVEN_UP, now))


def forget_past(con: sqlite3.Connection, now: int) -> None:
    """Before the first webhook is stored: what is due by then is nobody's.

    The deliverer would find that out too, but 200 at a time: after 100,000 batches it would be a minute behind.
    """
    sql = "UPDATE events SET state = ? WHERE state = ? AND due_at < ? AND NOT EXISTS (SELECT 1 FROM webhooks)"
    con.execute(sql, (TOLD, WAITING, now))


def due(store: Store, busy: Collection[str]) -> list[Job]:
    """What is to be sent now: the earliest of each enabled webhook that is not `busy` with another one."""
    sql = (
        "SELECT d.seq, w.id, w.url, w.token, e.body FROM webhooks w JOIN deliveries d ON d.seq ="
        " (SELECT seq FROM deliveries WHERE webhook = w.id AND state = 'waiting' ORDER BY next_at, seq LIMIT 1)"
        " JOIN events e ON e.seq = d.event WHERE w.enabled AND d.next_at <= ? ORDER BY d.next_at, d.seq"
    )
    jobs = map(Job._make, store.connection().execute(sql, (now_us(),)))
    return [job for job in jobs if job.webhook not in busy]


def record(store: Store, config: SandboxConfig, job: Job, status: int | None) -> None:
    """Write down an attempt: `status` is what was answered, None for no answer in time or none at all."""
    now = now_us()
    succeeded = status is not None and 200 <= status < 300  # noqa: PLR2004
    with store.counting() as con:
        sql = "SELECT attempts, until FROM deliveries WHERE seq = ?"
        attempts, until = con.execute(sql, (job.delivery,)).fetchone()
        next_at = now + _us(config, min(LONGEST_WAIT, config.webhook_retry_seconds * 2.0 ** min(attempts, 32)))
        state = DELIVERED if succeeded else GIVEN_UP if next_at >= until else WAITING
        con.execute(
            "UPDATE deliveries SET attempts = attempts + 1, last_status = ?, attempted_at = ?, next_at = ?,"
            # Deleted in the meantime: it stays dropped, unless it has just arrived.
            " state = CASE WHEN state = 'waiting' OR ? = 'delivered' THEN ? ELSE state END WHERE seq = ?",
            (status, now, next_at, state, state, job.delivery),
        )
        if succeeded:
            con.execute("UPDATE webhooks SET failures = 0 WHERE id = ?", (job.webhook,))
            return
        sql = "UPDATE webhooks SET failures = failures + 1, enabled = enabled AND failures + 1 < ? WHERE id = ?"
        con.execute(sql, (config.webhook_failures, job.webhook))


def recorded(con: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Every delivery for the books, in the order they were queued."""
    sql = (
        "SELECT e.id, e.type, coalesce(e.about, s.id), d.webhook, d.copy, d.state, d.attempts, d.last_status,"
        " d.attempted_at FROM deliveries d JOIN events e ON e.seq = d.event"
        " LEFT JOIN submissions s ON s.seq = d.event ORDER BY d.seq"
    )
    for *known, attempted_at in con.execute(sql):
        yield (*known, None if attempted_at is None else stamp(attempted_at))


def _due_events(con: sqlite3.Connection, now: int) -> list[tuple[Any, ...]]:
    """Events to be queued. A held one waits until enough later ones have been tried at all of their webhooks."""
    sql = (
        "SELECT e.seq, e.owner, e.type, e.due_at, e.copies, e.apart FROM events e"
        " WHERE e.state = 'waiting' AND e.due_at <= :now AND (e.behind = 0 OR e.held_until <= :now OR e.behind <="
        " (SELECT count(*) FROM events l WHERE l.owner = e.owner AND l.state = 'told' AND l.due_at >= e.due_at"
        " AND EXISTS (SELECT 1 FROM deliveries d WHERE d.event = l.seq)"
        " AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event = l.seq AND d.copy = 1 AND d.attempts = 0)))"
        " ORDER BY e.due_at, e.seq LIMIT :limit"
    )
    return con.execute(sql, {"now": now, "limit": EVENTS_AT_ONCE}).fetchall()


def _queue(
    con: sqlite3.Connection, config: SandboxConfig, now: int, seq: int, owner: int, type_: str,
    due_at: int, copies: int, apart: int,
) -> None:  # fmt: skip
    """One event to every enabled webhook that wants its type and was there when it was due."""
    con.execute("UPDATE events SET state = ? WHERE seq = ?", (TOLD, seq))
    sql = (
        "SELECT id FROM webhooks WHERE owner = ? AND enabled AND since <= ?"
        " AND ? IN (SELECT value FROM json_each(webhooks.events)) ORDER BY seq"
    )
    webhooks = [identity for (identity,) in con.execute(sql, (owner, due_at, type_))]
    sql = "INSERT INTO deliveries (event, webhook, copy, state, next_at, until) VALUES (?, ?, ?, ?, ?, ?)"
    for copy in range(copies):
        # The 24 h begin when somebody could first send it: the sandbox may have been down until now.
        at = due_at + copy * apart
        rows = [(seq, one, copy + 1, WAITING, at, max(now, at) + _us(config, RETRY_FOR)) for one in webhooks]
        con.executemany(sql, rows)


def _us(config: SandboxConfig, seconds: float) -> int:
    return round(config.scaled(seconds) * SECOND)
