"""What is told of a batch, a report or a bank statement when it gets on: the event, stored when that is accepted.

Belongs here: the event's document, its time, and what the fault plan makes of it. To whom and when it is really sent is
in `deliveries`. As with batches, all of it is decided at acceptance, so that whoever serves the state file when the
time has come sends the same bytes under the same `event_id`.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.sandbox.call import encode
from pipeline.sandbox.faults import rules
from pipeline.sandbox.life import EVER, SECOND

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from pipeline.sandbox.config import SandboxConfig
    from pipeline.sandbox.life import Submission

WAITING = "waiting"
TOLD = "told"
LOST = "lost"
_LAST_STAMP = 250_000_000_000 * SECOND
"""In the year 9892."""


class Event(NamedTuple):
    """A row of `events` but for its number and what it is about. Times are microseconds since 1970."""

    id: str
    """One per event and not per webhook (a guess): two webhooks on one address see the same id."""
    owner: int
    type: str
    body: bytes
    due_at: int
    behind: int = 0
    """How many later events of the key have to be sent before it."""
    held_until: int = 0
    """It waits for these no longer than until then."""
    copies: int = 1
    apart: int = 0
    """Microseconds between two copies."""
    state: str = WAITING


def announced(made: Submission, faults: Sequence[rules.BatchRule], config: SandboxConfig) -> tuple[Submission, Event]:
    """The event of a batch that is about to be stored, and the batch as its rules want it shown."""
    told = _event(made)
    # How long it is held counts from when it is due, so whatever moves that goes first.
    for rule in sorted(faults, key=lambda rule: isinstance(rule, rules.WebhookReordered)):
        match rule:
            case rules.WebhookLost():
                told = told._replace(state=LOST)
            case rules.WebhookLate():
                told = told._replace(due_at=_later(told.due_at, rule.seconds, config))
            case rules.WebhookRepeated():
                told = told._replace(copies=rule.copies, apart=_later(0, rule.seconds, config))
            case rules.WebhookReordered():
                told = told._replace(behind=rule.behind, held_until=_later(told.due_at, rule.seconds, config))
            case rules.WebhookEarly(show="processing"):
                made = made._replace(finish_at=_later(made.finish_at, rule.seconds, config))
            case rules.WebhookEarly():
                since = _later(made.finish_at, rule.seconds, config)
                made = made._replace(listed_from=max(since, made.listed_from), found_from=max(since, made.found_from))
    return made, told


def store_event(con: sqlite3.Connection, seq: int, event: Event) -> None:
    """Put it into the queue, inside the transaction that accepts batch number `seq`."""
    marks = ", ".join("?" * len(event))
    columns = ", ".join(Event._fields)
    con.execute(f"INSERT INTO events (seq, {columns}) VALUES (?, {marks})", (seq, *event))  # noqa: S608


def store_other_event(con: sqlite3.Connection, about: str, event: Event) -> None:
    """Put into the queue what tells of a report or a bank statement, inside the transaction that accepts it."""
    marks = ", ".join("?" * len(event))
    columns = ", ".join(Event._fields)
    sql = f"INSERT INTO events (seq, about, {columns}) SELECT min(0, coalesce(min(seq), 0)) - 1, ?, {marks} FROM events"  # noqa: S608
    con.execute(sql, (about, *event))


def forget_other_events(con: sqlite3.Connection, about: str) -> None:
    """What it tells of is deleted: what is not due yet is never told."""
    con.execute("DELETE FROM events WHERE about = ? AND state = ?", (about, WAITING))


def event_of(owner: int, type_: str, data: Any, due_at: int) -> Event:
    """The event that shows `data` when it is due."""
    identity = str(uuid.uuid4())
    return Event(identity, owner, type_, encode({"event_id": identity, "event_type": type_, "data": data}), due_at)


def _event(made: Submission) -> Event:
    # The document of a batch that never ends is never seen, but it is written: 2**62 would be no date.
    told = made._replace(finish_at=min(made.finish_at, _LAST_STAMP))
    return event_of(made.owner, f"batches.{made.outcome}", told.answer(told.finish_at), made.finish_at)


def _later(moment: int, seconds: float, config: SandboxConfig) -> int:
    return min(EVER, moment + round(min(EVER, config.scaled(seconds) * SECOND)))
