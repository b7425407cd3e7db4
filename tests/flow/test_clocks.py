"""Our own clock is put back or ahead: nothing is bought twice by that, and nothing waits for the length of the jump."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from pipeline.flow.recovering import recover
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
