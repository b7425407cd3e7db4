"""A batch on its way: credits, slots, intent, outcomes, recovery of what a dead process left."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from pipeline.ledger import batches, circuit, claims, operating, outcomes, schema, sending
from pipeline.ledger import credits as bucket
from pipeline.ledger.batches import LostClaimError
from pipeline.ledger.credits import BucketSize
from pipeline.ledger.sending import Limits, NoCapacityError
from pipeline.ledger.states import State


def row_of(ledger, key):
    return batches.by_keys(ledger, [key])[key]


def attempts_of(ledger, key):
    a = schema.attempts
    return ledger.rows(select(a).where(a.c.batch_key == key).order_by(a.c.sequence))


def level(ledger, limits):
    with ledger.read() as conn:
        return bucket.level(conn, limits.bucket, now=ledger.now())


@pytest.fixture
def reserve(ledger, planned, claim, limits):
    def do(key=None, **changes):
        key = key or planned()[0]
        taken = claim(key, {State.PLANNED})
        use = Limits(**{**{f: getattr(limits, f) for f in limits.__dataclass_fields__}, **changes})
        return sending.reserve(ledger, taken, use, fingerprint="f", server_clock=None, run_id="run")

    return do


def test_reserving_takes_credits_slot_and_intent_together(ledger, reserve, limits):
    intent = reserve()
    key = intent.claim.batch_key
    assert row_of(ledger, key).state == State.RESERVED
    assert level(ledger, limits) == 90
    (attempt,) = attempts_of(ledger, key)
    assert (attempt.state, attempt.reason, attempt.credits) == ("reserved", "first", 10)
    with ledger.read() as conn:
        assert batches.slots_in_use(conn) == 1


def test_no_slot_no_credits_no_cap_takes_nothing(ledger, planned, reserve, limits):
    for _ in range(3):
        reserve()
    key = planned()[0]
    for wanted, changes in (
        ("3 batches are under way", {}),
        ("ENRICH_SPEND_CAP_RUN of 30", {"max_in_flight": 9, "cap_run": 30}),
        ("ENRICH_SPEND_CAP_DAY of 39", {"max_in_flight": 9, "cap_day": 39}),
        ("ENRICH_SPEND_CAP_MONTH of 39", {"max_in_flight": 9, "cap_month": 39}),
        ("never fits", {"max_in_flight": 9, "bucket": BucketSize(9, 1)}),
    ):
        with pytest.raises(NoCapacityError, match=wanted):
            reserve(key, **changes)
        claims.release_claims(ledger, "other-host/boot/1/1#a")
    assert level(ledger, limits) == 70
    assert attempts_of(ledger, key) == []
    assert row_of(ledger, key).state == State.PLANNED


def test_the_bucket_refills_with_time_and_never_over_its_rim(ledger, reserve, limits, clock):
    reserve()
    clock.pass_(4)
    assert level(ledger, limits) == 94
    clock.pass_(400)
    assert level(ledger, limits) == 100


def test_two_connections_at_once_never_take_more_than_there_is(ledger, planned, limits):
    keys = planned(10, rows=60)
    taken, lock = [], threading.Lock()

    def take(key):
        claim = claims.claim_batches(ledger, [key], {State.PLANNED}, owner=f"o#{key}", seconds=60)[key]
        try:
            sending.reserve(ledger, claim, limits, fingerprint="f", server_clock=None, run_id=None)
        except NoCapacityError:
            return
        with lock:
            taken.append(key)

    threads = [threading.Thread(target=take, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    assert level(ledger, limits) == 40


def test_refill_that_the_server_did_not_get_is_taken_off(ledger, reserve, limits, clock):
    intent = reserve()  # from a full bucket: whatever the server refilled before it charged went over its rim
    sending.release(ledger, intent)
    clock.pass_(5)
    sending.submitted(ledger, intent, limits.bucket, vendor_batch_id="v", request_id=None)
    assert level(ledger, limits) == 90


def test_not_sent_gives_everything_back_and_counts_no_attempt(ledger, reserve, limits):
    intent = reserve()
    sending.not_sent(ledger, intent, limits.bucket, error="refused", retry_at=None)
    row = row_of(ledger, intent.claim.batch_key)
    assert (row.state, row.attempts, row.next_reason) == (State.PLANNED, 0, "first")
    assert level(ledger, limits) == 100
    assert attempts_of(ledger, row.batch_key)[0].state == "not_sent"


def test_a_refusal_after_the_last_byte_gives_back_as_well(ledger, reserve, limits, clock):
    intent = reserve()
    sending.release(ledger, intent)
    later = clock.now + timedelta(seconds=9)
    sending.refused(ledger, intent, limits.bucket, error="429", request_id="r", retry_at=later)
    row = row_of(ledger, intent.claim.batch_key)
    assert (row.state, row.attempts, row.next_attempt_at) == (State.PLANNED, 0, later)
    assert level(ledger, limits) == 100
    assert batches.sendable(ledger) == []


def test_a_batch_that_would_be_refused_again_is_held(ledger, reserve, limits):
    intent = reserve()
    sending.release(ledger, intent)
    sending.refused(ledger, intent, limits.bucket, error="422", request_id="r", retry_at=None)
    outcomes.hold_claimed(ledger, intent.claim, reason="422")
    row = row_of(ledger, intent.claim.batch_key)
    assert (row.state, row.reason, row.attempts) == (State.HELD, "422", 0)


def test_after_a_429_the_whole_account_waits_ever_longer_until_a_batch_is_taken(
    ledger, planned, reserve, limits, clock
):
    first, second = planned(2)
    for waited in (10, 20, 30, 30):  # doubled each time, and no longer than 30 s
        intent = reserve(first)
        sending.release(ledger, intent)
        until = sending.throttled(ledger, seconds=10, longest=30)
        assert until == clock.now + timedelta(seconds=waited)
        sending.refused(ledger, intent, limits.bucket, error="429", request_id="r", retry_at=until)
        claims.release_claims(ledger, intent.claim.owner)
        with pytest.raises(NoCapacityError, match="asked for patience until"):
            reserve(second)
        claims.release_claims(ledger, intent.claim.owner)
        clock.pass_(waited)
    send(ledger, reserve(first), limits, "v1")
    assert sending.throttled(ledger, seconds=10, longest=30) == clock.now + timedelta(seconds=10)


def test_the_last_byte_is_not_released_for_a_batch_that_was_recovered(ledger, reserve, limits):
    intent = reserve()
    assert sending.recover_dead_senders(ledger, limits.bucket) == (1, 0)
    assert level(ledger, limits) == 100
    with pytest.raises(LostClaimError):
        sending.release(ledger, intent)


def test_a_sender_that_died_after_the_last_byte_leaves_an_unconfirmed_batch(ledger, reserve, limits):
    intent = reserve()
    sending.release(ledger, intent)
    assert sending.recover_dead_senders(ledger, limits.bucket) == (0, 1)
    row = row_of(ledger, intent.claim.batch_key)
    assert row.state == State.UNCONFIRMED
    assert level(ledger, limits) == 90
    with ledger.read() as conn:
        assert batches.slots_in_use(conn) == 1


def test_a_late_answer_is_recorded_for_its_attempt(ledger, reserve, limits):
    intent = reserve()
    sending.release(ledger, intent)
    sending.unconfirmed(ledger, intent.claim.batch_key, intent.sequence, error="timed out")
    assert sending.submitted(ledger, intent, limits.bucket, vendor_batch_id="v", request_id=None)
    assert row_of(ledger, intent.claim.batch_key).state == State.SUBMITTED


def test_an_answer_for_a_superseded_attempt_is_told_as_a_double_charge(ledger, reserve, limits):
    intent = reserve()
    key = intent.claim.batch_key
    sending.release(ledger, intent)
    sending.unconfirmed(ledger, key, intent.sequence, error="timed out")
    sending.absent(ledger, key, intent.sequence, evidence="not listed", hold=False, errored=False)
    claims.release_claims(ledger, intent.claim.owner)
    again = reserve(key)
    sending.release(ledger, again)
    assert not sending.submitted(ledger, intent, limits.bucket, vendor_batch_id="late", request_id=None)
    first, second = attempts_of(ledger, key)
    assert first.vendor_batch_id == "late"
    assert "charged twice" in first.error
    assert second.state == "sending"


def test_an_open_circuit_stops_everything_but_one_probe(ledger, planned, reserve, clock, limits):
    with ledger.write() as conn:
        circuit.open_circuit(conn, status=423, reason="no credits", now=clock.now, probe_seconds=60)
    first, second = planned(2)
    with pytest.raises(NoCapacityError, match="the circuit is open: no credits"):
        reserve(first)
    claims.release_claims(ledger, "other-host/boot/1/1#a")
    clock.pass_(61)
    intent = reserve(first)
    with pytest.raises(NoCapacityError):
        reserve(second)
    sending.release(ledger, intent)
    sending.submitted(ledger, intent, limits.bucket, vendor_batch_id="v", request_id=None)
    with ledger.read() as conn:
        assert circuit.opened(conn) is None


def send(ledger, intent, limits, vendor):
    sending.release(ledger, intent)
    sending.submitted(ledger, intent, limits.bucket, vendor_batch_id=vendor, request_id=None)


def test_an_error_batch_is_planned_again_until_its_attempts_are_used_up(ledger, planned, reserve, claim, limits, clock):
    (key,) = planned(attempts_allowed=2)
    for number in (1, 2):
        send(ledger, reserve(key), limits, f"v{number}")
        assert outcomes.report(ledger, f"v{number}", "failed", progress=3) == State.ERRORED
        assert outcomes.report(ledger, f"v{number}", "failed", progress=3) is None
        claims.release_claims(ledger, "other-host/boot/1/1#a")
        taken = claim(key, {State.ERRORED})
        if number == 1:
            outcomes.plan_again(ledger, taken, retry_at=clock.now + timedelta(seconds=30), reason="attempt 1")
            assert batches.sendable(ledger) == []
            clock.pass_(31)
        else:
            outcomes.hold_errored(ledger, taken, reason="2 attempts ended in error")
        claims.release_claims(ledger, "other-host/boot/1/1#a")
    assert [(a.state, a.reason) for a in attempts_of(ledger, key)] == [("errored", "first"), ("errored", "batch_error")]
    assert operating.release(ledger, key, who="op", why="look again") == State.ERRORED
    taken = claim(key, {State.ERRORED})
    outcomes.hold_errored(ledger, taken, reason="2 attempts ended in error")
    claims.release_claims(ledger, "other-host/boot/1/1#a")
    assert operating.retry(ledger, key, who="op", why="vendor fixed it") == State.PLANNED
    send(ledger, reserve(key), limits, "v3")
    assert attempts_of(ledger, key)[-1].reason == "operator"


def test_a_report_of_an_unknown_or_ended_batch_changes_nothing(ledger, reserve, limits):
    intent = reserve()
    send(ledger, intent, limits, "v")
    assert outcomes.report(ledger, "somebody-elses", "done", progress=1) is None
    assert outcomes.report(ledger, "v", "waiting", progress=4) is None
    assert row_of(ledger, intent.claim.batch_key).progress == 4
    assert outcomes.report(ledger, "v", "done", progress=10) == State.COMPLETED
    assert outcomes.report(ledger, "v", "failed", progress=10) is None
    assert row_of(ledger, intent.claim.batch_key).state == State.COMPLETED


def test_hold_and_release_are_recorded_with_who_and_why(ledger, planned):
    (key,) = planned()
    operating.hold(ledger, key, who="ana", why="asked by the bank")
    assert batches.sendable(ledger) == []
    operating.release(ledger, key, who="ben", why="sorted out")
    assert [row.batch_key for row in batches.sendable(ledger)] == [key]
    actions = ledger.rows(select(schema.operator_actions.c["who", "action", "why"]))
    assert actions == [("ana", "hold", "asked by the bank"), ("ben", "release", "sorted out")]
