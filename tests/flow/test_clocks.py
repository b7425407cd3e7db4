"""Our own clock is put back or ahead: nothing is bought twice by that, and nothing waits for the length of the jump."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from sqlalchemy import update

from pipeline.flow.choosing import may_call, sendable_now
from pipeline.flow.holder_sync import sync_holders
from pipeline.flow.recovering import recover
from pipeline.flow.submitting import submit
from pipeline.ledger import batches, circuit, schema, sending
from pipeline.ledger.db import utc_now
from pipeline.ledger.states import State

POST = "POST /v3/batches"
LOST = {"call": POST, "nth": [1], "do": "drop", "when": "after"}


def off_by(**jump):
    return lambda: utc_now() + timedelta(**jump)


@pytest.fixture
def lost(steps_for, bank_file, books_of):
    """A batch whose answer is lost; `fence`: how far the clock jumps once the API has the batch."""

    def make(*more, fence=None, **given):
        steps = steps_for(batch_size=10, backoff_base=0, faults=[LOST, *more], **given)
        steps.ingest(bank_file(10))
        steps.plan()
        if fence is not None:
            steps.ws.ledger.clock = lambda: utc_now() + (timedelta(**fence) if books_of().batches() else timedelta(0))
        steps.submit()
        (key,) = steps.keys(State.UNCONFIRMED)
        return steps, key

    return make


@pytest.mark.sqlite
def test_a_clock_put_back_before_the_fence_does_not_hide_our_own_batch(lost, books_of):
    # Items that were sent before have no veto, as after an error: the window of candidates alone decides.
    steps, key = lost(fence={"hours": -3}, grace=0)
    with steps.ws.ledger.write() as conn:
        conn.exec_driver_sql("UPDATE attempts SET reason = 'batch_error'")
    deadline = time.monotonic() + 20
    while steps.keys(State.UNCONFIRMED) and time.monotonic() < deadline:
        recover(steps.ws, steps.client)
        time.sleep(0.05)
    assert steps.row(key).state == State.SUBMITTED
    assert books_of().summary().items_charged == 10


@pytest.mark.sqlite
def test_a_clock_put_ahead_after_the_fence_does_not_end_the_grace(lost, books_of):
    hidden = {"call": POST, "nth": [1], "do": "batch_hidden", "seconds": 600, "by_id": True}  # 3 s of a grace of 9
    steps, key = lost(hidden, grace=1_800)
    steps.ws.ledger.clock = off_by(hours=3)
    assert list(recover(steps.ws, steps.client).waiting) == [key]
    steps.finish()
    assert steps.row(key).state == State.LANDED
    assert books_of().summary().items_charged == 10


@pytest.fixture
def was_ahead(steps_for, bank_file):
    """Two planned batches; `during(what)` does something with the clock a day ahead, which is put right after it."""

    def make(**given):
        steps = steps_for(batch_size=10, **given)
        steps.ingest(bank_file(20))
        steps.plan()
        sync_holders(steps.ws, steps.client)

        def during(what):
            steps.ws.ledger.clock = off_by(days=1)
            what()
            steps.ws.ledger.clock = utc_now

        return steps, during

    return make


def sent(steps):
    return len(submit(steps.ws, steps.client, sendable_now(steps.ws)).submitted)


@pytest.mark.sqlite
def test_credits_come_again(was_ahead):
    steps, during = was_ahead(credits_capacity=15, credits_per_second=100)
    during(lambda: steps.submit(steps.keys(State.PLANNED)[0]))
    assert sent(steps) == 1


@pytest.mark.sqlite
def test_a_bucket_from_a_moment_ago_is_not_full_again(was_ahead):
    """Clocks of two hosts differ, and a clock is corrected by less than a second all the time."""
    steps, _ = was_ahead(credits_capacity=15, credits_per_second=0.001)  # fills in 75 s
    steps.submit(steps.keys(State.PLANNED)[0])
    steps.ws.ledger.clock = off_by(seconds=-1)
    assert sent(steps) == 0


@pytest.mark.sqlite
def test_neither_back_off_nor_patience_nor_a_requested_run_lasts_for_the_jump(was_ahead):
    steps, during = was_ahead()
    ledger, keys = steps.ws.ledger, steps.keys(State.PLANNED)

    def note():
        sending.throttled(ledger, seconds=10, longest=10)
        batches.dispatch(ledger, keys, seconds=120)
        with ledger.write() as conn:
            conn.execute(update(schema.batches).values(next_attempt_at=steps.ws.later(10)))

    note()
    assert sendable_now(steps.ws) == []
    during(note)
    assert sent(steps) == 2


@pytest.mark.sqlite
def test_a_probe_is_not_put_off_for_the_jump(was_ahead):
    steps, during = was_ahead()
    ledger = steps.ws.ledger

    def open_it():
        with ledger.write() as conn:
            circuit.open_circuit(conn, status=423, reason="no balance", now=ledger.now(), probe_seconds=5)

    open_it()
    assert not may_call(steps.ws)
    during(open_it)
    assert may_call(steps.ws)
    assert sent(steps) == 1
