"""Webhook events in the ledger, each one once, and which webhooks at the API are this data folder's.

An event is only a hint that a batch is worth a look: nothing here changes a batch, and an event that never came, came
twice or came late changes nothing but when somebody looks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.ledger import schema
from pipeline.ledger.db import Ledger, chunks

_i = schema.webhook_inbox
_r = schema.registered_webhooks

BATCH_EVENTS = ("batches.completed", "batches.error")
"""The events that somebody waits for (Ntropy's OpenAPI document); others are stored as taken, with IGNORED."""

IGNORED = "ignored"
OFF = "switched off"
GONE = "gone"
_PROBE = "readiness-probe"


@dataclass(frozen=True, slots=True)
class Event:
    """What is kept of a delivery: ids and the status that it claims, none of a transaction's text."""

    event_id: str
    event_type: str
    vendor_batch_id: str | None = None
    status: str | None = None


def receive(ledger: Ledger, event: Event) -> bool:
    """Store an event; returns whether it is new. Durable when this returns.

    Raises LedgerError when the ledger does not take it: nothing is stored then.
    """
    return bool(receive_all(ledger, [event]))


def receive_all(ledger: Ledger, events: Sequence[Event]) -> set[str]:
    """Store several events in one transaction; returns the ids that are new. Errors as in `receive`."""
    if not events:
        return set()
    with ledger.write() as conn:
        now = ledger.now()
        # One INSERT in the dialect of the database, since the two spell the same clause through classes of their own.
        dialect = postgresql if conn.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(_i).on_conflict_do_nothing(index_elements=["event_id"]).returning(_i.c.event_id)
        rows = {event.event_id: _values(event, now) for event in events}
        return set(conn.execute(statement, list(rows.values())).scalars())


def _values(event: Event, now: datetime) -> dict[str, Any]:
    wanted = event.event_type in BATCH_EVENTS
    return {
        "event_id": event.event_id,
        "event_type": event.event_type,
        "vendor_batch_id": event.vendor_batch_id,
        "status": event.status,
        "received_at": now,
        "taken_at": None if wanted else now,
        "outcome": None if wanted else IGNORED,
    }


def waiting(ledger: Ledger, limit: int) -> list[Row[Any]]:
    """The events that nobody has taken yet, at most `limit`: of our batches, then of others, received first first.

    Those of unknown batches stay while a submission is unsettled; hundreds of them hid the events that came after.
    """
    a = schema.attempts
    is_ours = exists().where(a.c.vendor_batch_id == _i.c.vendor_batch_id)
    untaken = select(_i).where(_i.c.taken_at.is_(None))
    return ledger.rows(untaken.order_by(is_ours.desc(), _i.c.received_at, _i.c.event_id).limit(limit))


def take(ledger: Ledger, event_ids: Collection[str], outcome: str) -> int:
    """Note that these events were acted on, and with what outcome; returns how many were still waiting.

    Two takers of one event: the first one's outcome stays.
    """
    taken = 0
    with ledger.write() as conn:
        for part in chunks(sorted(event_ids)):
            free = (_i.c.event_id.in_(part), _i.c.taken_at.is_(None))
            taken += conn.execute(update(_i).where(*free).values(taken_at=ledger.now(), outcome=outcome)).rowcount
    return taken


def last_received(ledger: Ledger) -> datetime | None:
    """When the newest event came (naive UTC), of whatever type; None: never. A repeated delivery does not count."""
    newest: datetime | None = ledger.rows(select(func.max(_i.c.received_at)))[0][0]
    return newest


def forget(ledger: Ledger, before: datetime) -> int:
    """Delete taken events that were received before `before`; returns how many.

    Events are delivered again for up to 24 h (docs.ntropy.com/webhooks): one forgotten sooner would count as new.
    """
    with ledger.write() as conn:
        return conn.execute(delete(_i).where(_i.c.taken_at.is_not(None), _i.c.received_at < before)).rowcount


def probe(ledger: Ledger) -> None:
    """Write for certain and leave nothing: the pages are changed and committed, so a full disk shows as well.

    Raises LedgerError when the ledger cannot be written.
    """
    with ledger.write() as conn:
        conn.execute(delete(_i).where(_i.c.event_id == _PROBE))
        conn.execute(insert(_i), _values(Event(_PROBE, _PROBE), ledger.now()))
        conn.execute(delete(_i).where(_i.c.event_id == _PROBE))


def registered(ledger: Ledger) -> dict[str, str]:
    """URL by webhook id, of the webhooks that were registered from this data folder."""
    return {row.webhook_id: row.url for row in ledger.rows(select(_r).order_by(_r.c.webhook_id))}


def note_registered(ledger: Ledger, webhook_id: str, url: str) -> None:
    """Record the one webhook of this URL; an earlier one's row goes."""
    with ledger.write() as conn:
        conn.execute(delete(_r).where((_r.c.url == url) | (_r.c.webhook_id == webhook_id)))
        conn.execute(insert(_r).values(webhook_id=webhook_id, url=url, registered_at=ledger.now()))


def note_troubles(ledger: Ledger, troubles: Mapping[str, str]) -> None:
    """Record what a look at the API found of our webhooks; those that are not named have no trouble any more."""
    with ledger.write() as conn:
        conn.execute(update(_r).values(trouble=None))
        for webhook_id, trouble in troubles.items():
            conn.execute(update(_r).where(_r.c.webhook_id == webhook_id).values(trouble=trouble))


def troubles(ledger: Ledger) -> dict[str, str]:
    """What the last look found, by webhook id: `OFF` or `GONE`; webhooks without trouble are not in it."""
    query = select(_r.c.webhook_id, _r.c.trouble).where(_r.c.trouble.is_not(None)).order_by(_r.c.webhook_id)
    return {row.webhook_id: row.trouble for row in ledger.rows(query)}


def forget_registered(ledger: Ledger, webhook_id: str) -> None:
    """The webhook is none of ours any more."""
    with ledger.write() as conn:
        conn.execute(delete(_r).where(_r.c.webhook_id == webhook_id))
