"""Open batches watched: webhook events as hints, one list call, lookups that end in time and starve nobody."""

from __future__ import annotations

import time

import pytest

from pipeline.api.errors import ApiError
from pipeline.flow.cadence import cadence, poll_seconds, webhooks_are_healthy
from pipeline.flow.progress import progress
from pipeline.flow.recovering import recover
from pipeline.flow.watching import EVENTS_AT_ONCE, take_events, watch
from pipeline.ledger import inbox
from pipeline.ledger.batches import by_keys
from pipeline.ledger.inbox import Event
from pipeline.ledger.states import State
from pipeline.sensors import look

GET = "GET /v3/batches/{id}"
DONE = "batches.completed"


@pytest.fixture
def sent(steps_for, bank_file):
    """Batches of five rows that the API has; each takes 15 s on its clock, 75 ms here, or as long as is asked."""

    def make(n=3, **given):
        steps = steps_for(batch_size=5, **given)
        steps.ingest(bank_file(5 * n))
        steps.plan()
        assert len(steps.submit().submitted) == n
        return steps

    return make


SLOW = [{"call": "POST /v3/batches", "do": "batch_slow", "factor": 10_000}]


def hear(steps, *vendor_ids, kind=DONE, first=1):
    for number, vendor_id in enumerate(vendor_ids, first):
        assert inbox.receive(steps.ws.ledger, Event(f"e-{number}", kind, vendor_id, "completed"))


def vendor_ids(steps):
    return [row.vendor_batch_id for key in steps.keys(*State) for row in steps.attempts(key) if row.vendor_batch_id]


def outcomes(steps):
    rows = steps.ws.ledger.rows(inbox.schema.webhook_inbox.select())
    return {row.event_id: row.outcome for row in rows}


def until_ended(steps):
    """Wait at the API's books, so that nobody here has looked."""
    end = time.monotonic() + 20
    while any(batch.status == "processing" for batch in steps.client.iter_batches()):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_event_has_its_batch_looked_at_with_one_call_and_no_list(sent):
    steps = sent()
    first, *_ = vendor_ids(steps)
    until_ended(steps)
    before = steps.client.calls.copy()
    hear(steps, first)
    report = take_events(steps.ws, steps.client)
    assert dict(steps.client.calls - before) == {GET: 1}
    assert [steps.row(key).state for key in report.completed] == [State.COMPLETED]
    assert len(steps.keys(State.SUBMITTED)) == 2
    assert outcomes(steps) == {"e-1": "completed"}


def test_an_event_that_lies_changes_nothing(sent):
    steps = sent(1, faults=SLOW)
    hear(steps, *vendor_ids(steps))
    report = take_events(steps.ws, steps.client)
    assert (report.completed, report.open) == ([], 1)
    assert outcomes(steps) == {"e-1": "processing"}
    assert len(steps.keys(State.SUBMITTED)) == 1


def test_many_events_of_one_batch_are_one_look(sent):
    steps = sent(1)
    until_ended(steps)
    hear(steps, *vendor_ids(steps) * 40)
    before = steps.client.calls.copy()
    take_events(steps.ws, steps.client)
    assert dict(steps.client.calls - before) == {GET: 1}
    assert set(outcomes(steps).values()) == {"completed"}
    hear(steps, *vendor_ids(steps), first=100)
    assert take_events(steps.ws, steps.client).lookups == 0
    assert outcomes(steps)["e-100"] == "known already"


def test_an_event_of_a_stranger_is_taken_and_forgotten_after_its_days(sent):
    steps = sent(1, faults=SLOW)
    hear(steps, "of-another-system", None)
    assert take_events(steps.ws, steps.client).strangers == 0
    assert set(outcomes(steps).values()) == {"unknown batch"}
    assert inbox.forget(steps.ws.ledger, steps.ws.later(1)) == 2


def test_an_event_of_a_stranger_waits_while_a_submission_is_unsettled_and_belongs_to_it_then(steps_for, bank_file):
    steps = steps_for(batch_size=5, faults=[{"call": "POST /v3/batches", "nth": [1], "do": "drop", "when": "after"}])
    steps.ingest(bank_file(5))
    steps.plan()
    steps.submit()
    (lost,) = steps.client.iter_batches()
    hear(steps, lost.id)
    assert take_events(steps.ws, steps.client).strangers == 1
    assert outcomes(steps) == {"e-1": None}
    end = time.monotonic() + 20
    while steps.keys(State.UNCONFIRMED):
        assert time.monotonic() < end
        recover(steps.ws, steps.client)
        time.sleep(0.02)
    take_events(steps.ws, steps.client)
    assert outcomes(steps)["e-1"] in {"completed", "known already"}


def test_an_event_whose_batch_cannot_be_read_stays(sent):
    steps = sent(2, faults=[{"call": GET, "nth": [1], "do": "status", "status": 500}], client={"retries": 0})
    first, second = vendor_ids(steps)
    until_ended(steps)
    hear(steps, first)
    with pytest.raises(ApiError):
        take_events(steps.ws, steps.client)
    assert outcomes(steps) == {"e-1": None}
    hear(steps, second, first=2)
    assert len(take_events(steps.ws, steps.client).completed) == 2


def test_one_batch_that_raises_does_not_stop_the_others(sent):
    steps = sent(3, faults=[{"call": GET, "nth": [1], "do": "status", "status": 500}], client={"retries": 0})
    until_ended(steps)
    report = watch(steps.ws, steps.client)
    assert (len(report.completed), len(report.troubles)) == (2, 1)
    assert len(watch(steps.ws, steps.client).completed) == 1


def test_every_lookup_failing_fails_the_look(sent):
    steps = sent(2, faults=[{"call": GET, "do": "status", "status": 500}], client={"retries": 0})
    until_ended(steps)
    with pytest.raises(ApiError):
        watch(steps.ws, steps.client)
    assert len(steps.keys(State.SUBMITTED)) == 2


def test_a_look_without_time_takes_one_and_the_next_goes_on_with_another(sent):
    steps = sent(4)
    until_ended(steps)
    late = time.monotonic() - 1
    assert (watch(steps.ws, steps.client, until=late).left, len(steps.keys(State.COMPLETED))) == (3, 1)
    assert (watch(steps.ws, steps.client, until=late).left, len(steps.keys(State.COMPLETED))) == (2, 2)
    assert (watch(steps.ws, steps.client).left, len(steps.keys(State.COMPLETED))) == (0, 4)


def test_a_batch_that_always_fails_starves_nobody(sent):
    steps = sent(3)
    until_ended(steps)
    broken = steps.keys(State.SUBMITTED)[0]
    with steps.ws.ledger.write() as conn:
        b = inbox.schema.batches
        conn.execute(b.update().where(b.c.batch_key == broken).values(vendor_batch_id="gone"))
    late = time.monotonic() - 1
    for _ in range(3):
        watch(steps.ws, steps.client, until=late)
    assert len(steps.keys(State.COMPLETED)) == 2
    assert steps.keys(State.SUBMITTED) == [broken]


def test_progress_is_told_by_tenths(sent):
    steps = sent(1, faults=[{"call": "POST /v3/batches", "do": "batch_slow", "factor": 20}])
    (key,) = steps.keys(State.SUBMITTED)
    told, end = [], time.monotonic() + 30
    while steps.keys(State.SUBMITTED):
        assert time.monotonic() < end
        told += watch(steps.ws, steps.client).progressed
        if (row := steps.row(key)).progress:
            going = progress(row, steps.ws.ledger.now())
            assert 0 < going.done <= 5
            assert (going.rate or 1) > 0  # nothing can be said of one that has just been seen
            assert going.rate is None or going.seconds_left >= 0
        time.sleep(0.02)
    assert 1 <= len(told) <= 10


@pytest.mark.parametrize(
    ("webhooks", "overdue_only", "seconds"),
    [(False, False, 15), (True, False, 120), (False, True, 300), (True, True, 300)],
)
def test_the_three_cadences(webhooks, overdue_only, seconds):
    assert cadence(usual=15, with_webhooks=120, webhooks=webhooks, overdue_only=overdue_only) == seconds


def test_webhooks_are_healthy_as_long_as_each_of_the_latest_ends_had_its_event(sent, monkeypatch):
    steps = sent(2)
    monkeypatch.setattr("pipeline.flow.cadence.EVENT_LAG", steps.ws.later(0) - steps.ws.later(0.05))
    first, second = vendor_ids(steps)
    assert not webhooks_are_healthy(steps.ws)
    until_ended(steps)
    hear(steps, first)
    take_events(steps.ws, steps.client)
    assert webhooks_are_healthy(steps.ws)
    assert poll_seconds(steps.ws) == 120 / steps.ws.settings.speed
    watch(steps.ws, steps.client)
    assert not webhooks_are_healthy(steps.ws)  # the second one's end was found by the list
    assert poll_seconds(steps.ws) == 15 / steps.ws.settings.speed
    hear(steps, second, first=2)
    assert webhooks_are_healthy(steps.ws)  # it was only late


def test_overdue_ones_alone_are_looked_at_slowly(sent):
    steps = sent(1, faults=SLOW, overdue_after=0.001)
    assert poll_seconds(steps.ws) == 300 / steps.ws.settings.speed


def test_where_there_was_no_time_for_the_open_ones_the_lost_ones_are_looked_for_by_a_later_look(steps_for, bank_file):
    steps = steps_for(batch_size=5, faults=[{"call": "POST /v3/batches", "nth": [3], "do": "drop", "when": "after"}])
    steps.ingest(bank_file(15))
    steps.plan()
    steps.submit()
    (lost,) = steps.keys(State.UNCONFIRMED)
    until_ended(steps)
    assert look(steps.ws, steps.client, until=time.monotonic() - 1).left == 1
    assert steps.keys(State.UNCONFIRMED) == [lost]
    end = time.monotonic() + 20
    while steps.keys(State.UNCONFIRMED):  # the one that was left first, and then the lost one
        assert time.monotonic() < end
        assert look(steps.ws, steps.client).left == 0
    assert len(steps.keys(State.COMPLETED)) >= 2


def test_events_that_nobody_takes_hide_none_that_came_later(steps_for, bank_file):
    """Of other systems' batches, kept while a submission of ours is unsettled: they filled each look for minutes."""
    steps = steps_for(batch_size=5, faults=[{"call": "POST /v3/batches", "nth": [2], "do": "drop", "when": "after"}])
    steps.ingest(bank_file(10))
    steps.plan()
    steps.submit()
    (ours,) = vendor_ids(steps)
    until_ended(steps)
    strangers = [Event(f"s-{number}", DONE, f"other-{number}") for number in range(EVENTS_AT_ONCE)]
    assert len(inbox.receive_all(steps.ws.ledger, strangers)) == EVENTS_AT_ONCE
    hear(steps, ours)
    assert steps.keys(State.UNCONFIRMED)
    assert len(take_events(steps.ws, steps.client).completed) == 1


def test_a_batch_whose_lookup_fails_starves_no_other_that_an_event_named(sent):
    """Events had one order, and two lookups that time out are a whole tick's time."""
    steps = sent(3, faults=[{"call": GET, "nth": [1, 2], "do": "status", "status": 500}], client={"retries": 0})
    until_ended(steps)
    hear(steps, *vendor_ids(steps))
    late = time.monotonic() - 1
    for _ in range(2):
        with pytest.raises(ApiError):
            take_events(steps.ws, steps.client, until=late)
    tried = [row for row in by_keys(steps.ws.ledger, steps.keys(State.SUBMITTED)).values() if row.looked_at is not None]
    assert len(tried) == 2
