"""The inbox in the ledger: once per event, taken once, forgotten when it can come no more."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import insert, make_url
from sqlalchemy.dialects import postgresql

from pipeline.ledger import inbox, schema
from pipeline.ledger.db import LedgerError, impatient, open_ledger
from pipeline.ledger.inbox import Event


def event(n, type_="batches.completed"):
    return Event(f"e-{n}", type_, f"b-{n}", "completed")


def test_an_event_is_new_once(ledger, clock):
    assert inbox.receive(ledger, event(1))
    clock.pass_(5)
    assert not inbox.receive(ledger, Event("e-1", "batches.error", "b-2", "error"))
    (row,) = inbox.waiting(ledger, 10)
    assert (row.event_id, row.event_type, row.vendor_batch_id, row.status) == (
        "e-1", "batches.completed", "b-1", "completed",
    )  # fmt: skip
    assert row.received_at < clock.now


def test_of_many_only_the_new_ones_are_named(ledger):
    inbox.receive(ledger, event(2))
    assert inbox.receive_all(ledger, [event(1), event(2), event(3), event(3)]) == {"e-1", "e-3"}
    assert len(inbox.waiting(ledger, 10)) == 3


def test_one_event_from_many_threads_is_one_row(ledger):
    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(lambda _: inbox.receive(ledger, event(1)), range(40)))
    assert sum(new) == 1
    assert len(inbox.waiting(ledger, 10)) == 1


def test_the_insert_is_one_that_postgresql_takes():
    statement = postgresql.insert(schema.webhook_inbox).on_conflict_do_nothing(index_elements=["event_id"])
    text = str(statement.returning(schema.webhook_inbox.c.event_id).compile(dialect=postgresql.dialect()))
    assert "ON CONFLICT (event_id) DO NOTHING RETURNING webhook_inbox.event_id" in text


def test_waiting_is_oldest_first_and_bounded(ledger, clock):
    for n in (3, 1, 2):
        inbox.receive(ledger, event(n))
        clock.pass_(1)
    assert [row.event_id for row in inbox.waiting(ledger, 2)] == ["e-3", "e-1"]


def test_other_events_are_kept_but_nobody_waits_for_them(ledger, clock):
    assert inbox.receive(ledger, Event("e-9", "reports.resolved"))
    assert inbox.waiting(ledger, 10) == []
    assert inbox.last_received(ledger) == clock.now
    assert not inbox.receive(ledger, Event("e-9", "reports.resolved"))


def test_the_first_taker_counts(ledger, clock):
    inbox.receive_all(ledger, [event(1), event(2)])
    assert inbox.take(ledger, ["e-1", "unknown"], "looked") == 1
    assert inbox.take(ledger, ["e-1", "e-2"], "late") == 1
    with ledger.read() as conn:
        rows = conn.execute(schema.webhook_inbox.select()).all()
    assert {row.event_id: row.outcome for row in rows} == {"e-1": "looked", "e-2": "late"}
    assert {row.taken_at for row in rows} == {clock.now}


def test_more_events_than_a_statement_takes(ledger):
    events = [event(n) for n in range(1_200)]
    assert len(inbox.receive_all(ledger, events)) == 1_200
    assert inbox.take(ledger, [e.event_id for e in events], "looked") == 1_200


def test_only_what_was_taken_is_forgotten(ledger, clock):
    inbox.receive_all(ledger, [event(1), event(2)])
    inbox.take(ledger, ["e-1"], "looked")
    clock.pass_(10)
    inbox.receive(ledger, event(3))
    inbox.take(ledger, ["e-3"], "looked")
    assert inbox.forget(ledger, clock.now) == 1
    assert [row.event_id for row in inbox.waiting(ledger, 10)] == ["e-2"]
    assert inbox.receive(ledger, event(1)), "forgotten, so it is new again"
    assert not inbox.receive(ledger, event(3))


def test_nothing_came_yet(ledger):
    assert inbox.last_received(ledger) is None
    assert inbox.receive_all(ledger, []) == set()


@pytest.mark.sqlite
def test_probing_leaves_nothing_and_sees_a_ledger_that_cannot_be_written(ledger):
    inbox.probe(ledger)
    assert inbox.last_received(ledger) is None
    hasty = impatient(ledger, 0.05)
    with sqlite3.connect(make_url(ledger.url).database, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError):
            inbox.probe(hasty)
        other.execute("ROLLBACK")
    other.close()
    inbox.probe(hasty)
    hasty.close()


@pytest.mark.sqlite
def test_probing_commits_pages(ledger):
    wal = Path(f"{make_url(ledger.url).database}-wal")
    before = wal.stat().st_size
    inbox.probe(ledger)
    assert wal.stat().st_size > before, "nothing was written, so a full disk would not show"


def test_which_webhooks_are_ours(ledger):
    inbox.note_registered(ledger, "w-1", "https://a/x")
    inbox.note_registered(ledger, "w-2", "https://b/x")
    inbox.note_registered(ledger, "w-3", "https://a/x")
    inbox.note_registered(ledger, "w-2", "https://b/y")
    assert inbox.registered(ledger) == {"w-3": "https://a/x", "w-2": "https://b/y"}
    inbox.forget_registered(ledger, "w-3")
    assert inbox.registered(ledger) == {"w-2": "https://b/y"}


def test_an_event_survives_a_second_opening(ledger):
    inbox.receive(ledger, event(1))
    again = open_ledger(ledger.url)
    try:
        assert not inbox.receive(again, event(1))
        with pytest.raises(Exception, match=r"(?i)unique"), again.write() as conn:
            conn.execute(insert(schema.webhook_inbox).values(event_id="e-1", event_type="x", received_at=again.now()))
    finally:
        again.close()
