"""`enrich retry --send` of a batch that the API knew no more: its first attempt ends, and is named if it comes back."""

from __future__ import annotations

import time

import pytest

from pipeline.flow.late import find_late
from pipeline.flow.operating import retry
from pipeline.flow.status import read_status
from pipeline.flow.watching import watch
from pipeline.ledger.sending import DOUBLE_CHARGE
from pipeline.ledger.states import Attempt, State

HIDDEN = {"call": "POST /v3/batches", "nth": [1], "do": "batch_hidden", "seconds": 500, "by_id": True}  # 2.5 s


@pytest.fixture
def lost(steps_for, bank_file):
    """A batch that answers 404 for longer than the grace, and that a person has sent again."""
    steps = steps_for(batch_size=10, grace=0, backoff_base=0, faults=[HIDDEN])
    steps.ingest(bank_file(10))
    (key,) = steps.plan()
    steps.submit()
    watch(steps.ws, steps.client)
    assert steps.row(key).state == State.HELD
    retry(steps.ws, key, who="ana", why="it is gone", send=True)
    return steps, key


def until_back(steps, vendor_id):
    end = time.monotonic() + 20
    while vendor_id not in {batch.id for batch in steps.client.iter_batches()}:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_attempt_ends_and_a_double_charge_is_named(lost):
    steps, key = lost
    assert [(a.state, a.error) for a in steps.attempts(key)] == [(Attempt.SUPERSEDED, "a person had it sent again")]
    assert find_late(steps.ws, steps.client) == {}  # 404 as yet
    steps.finish()
    first, second = steps.attempts(key)
    assert (first.state, second.state, second.reason) == (Attempt.SUPERSEDED, Attempt.COMPLETED, "operator")
    until_back(steps, first.vendor_batch_id)
    assert find_late(steps.ws, steps.client) == {key: first.vendor_batch_id}
    assert [(a.state, a.error) for a in steps.attempts(key)] == [
        (Attempt.COMPLETED, DOUBLE_CHARGE), (Attempt.COMPLETED, None)
    ]  # fmt: skip
    assert read_status(steps.ws).spending.charged_twice
    assert find_late(steps.ws, steps.client) == {}
    steps.check()


def test_one_that_comes_back_before_it_is_sent_again_is_not_sent_again(lost, books_of):
    steps, key = lost
    (first,) = steps.attempts(key)
    until_back(steps, first.vendor_batch_id)
    assert find_late(steps.ws, steps.client) == {}
    assert steps.row(key).state == State.SUBMITTED
    steps.finish()
    assert [(a.state, a.error) for a in steps.attempts(key)] == [(Attempt.COMPLETED, None)]
    assert books_of().summary().items_charged == 10
    steps.check()
