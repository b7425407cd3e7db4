"""What the state machine found, as shortest sequences: each broke a rule once, and holds now.

A defect that is not mended yet is a strict xfail here, and the machine goes around it until it is.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from pipeline.ledger import batches, claims, operating, outcomes, schema, sending
from pipeline.ledger.sending import DOUBLE_CHARGE
from pipeline.ledger.states import State

OWNER = "other-host/boot/1/1#a"
WHO = {"who": "person", "why": "because"}


def defect(reason):
    return pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason)


@pytest.fixture
def sent(ledger, planned, claim, limits):
    """A batch whose last byte went out: its intent."""

    def send(key=None):
        taken = claim(key or planned()[0], {State.PLANNED})
        intent = sending.reserve(ledger, taken, limits, fingerprint="f", server_clock=None, run_id=None)
        sending.release(ledger, intent)
        return intent

    return send


def row_of(ledger, key):
    return batches.by_keys(ledger, [key])[key]


def attempts_of(ledger, key):
    a = schema.attempts
    return ledger.rows(select(a).where(a.c.batch_key == key).order_by(a.c.sequence))


def answer(ledger, intent, limits, vendor="v"):
    return sending.submitted(ledger, intent, limits.bucket, vendor_batch_id=vendor, request_id=None)


def fail(ledger, claim, key, vendor="v"):
    """Ends in error, and is planned again with a back-off of an hour."""
    outcomes.report(ledger, vendor, "failed", progress=1)
    claims.release_claims(ledger, OWNER)
    later = ledger.now() + timedelta(hours=1)
    outcomes.plan_again(ledger, claim(key, {State.ERRORED}), retry_at=later, reason="error")


def test_a_late_answer_with_the_id_that_was_adopted_is_no_double_charge(ledger, sent, limits):
    intent = sent()
    key = intent.claim.batch_key
    sending.unconfirmed(ledger, key, 1, error="timed out")
    sending.adopt(ledger, key, 1, "v")
    outcomes.report(ledger, "v", "done", progress=10)
    answer(ledger, intent, limits)
    (attempt,) = attempts_of(ledger, key)
    assert (attempt.state, attempt.error == DOUBLE_CHARGE) == ("completed", False)


def test_an_answer_after_the_proof_of_absence_is_taken_while_nothing_was_sent_again(ledger, sent, limits):
    intent = sent()
    key = intent.claim.batch_key
    sending.unconfirmed(ledger, key, 1, error="timed out")
    sending.absent(ledger, key, 1, evidence="walked", hold=False, errored=False)
    answer(ledger, intent, limits)
    assert row_of(ledger, key).state == State.SUBMITTED, "it is bought a second time"


def test_an_adopted_attempt_counts(ledger, sent, limits, claim):
    key = (intent := sent()).claim.batch_key
    answer(ledger, intent, limits)
    fail(ledger, claim, key)
    operating.adopt(ledger, key, "x", **WHO)
    assert (len(attempts_of(ledger, key)), row_of(ledger, key).attempts) == (2, 2)


def test_an_adopted_second_charge_has_a_reason(ledger, sent, limits):
    key = (intent := sent()).claim.batch_key
    answer(ledger, intent, limits)
    outcomes.lost(ledger, key, reason="404")
    operating.adopt(ledger, key, "x", **WHO)
    assert [attempt.reason for attempt in attempts_of(ledger, key)] != ["first", "first"]


def test_what_was_adopted_and_completed_is_landed_at_once(ledger, sent, limits, claim):
    key = (intent := sent()).claim.batch_key
    answer(ledger, intent, limits)
    fail(ledger, claim, key)
    operating.adopt(ledger, key, "x", **WHO)
    outcomes.report(ledger, "x", "done", progress=10)
    assert [row.batch_key for row in batches.collectable(ledger)] == [key]


def test_a_collector_does_not_write_over_why_its_batch_was_held(ledger, sent, limits, claim):
    key = (intent := sent()).claim.batch_key
    answer(ledger, intent, limits)
    outcomes.report(ledger, "v", "done", progress=10)
    ledger.clock.pass_(61)
    claims.forget_lost_claims(ledger, State.COMPLETED)  # the sender's claim was never given up: one death
    mine = claim(key, {State.COMPLETED}, owner="other-host/boot/2/1#b")
    outcomes.hold_deadly(ledger, kills=1)
    before = row_of(ledger, key)
    try:
        outcomes.collect_later(ledger, mine, error="not ready", retry_at=ledger.now())
    except batches.LostClaimError:
        return
    assert row_of(ledger, key) == before


def test_what_a_person_releases_undecided_is_charged_again_for_a_reason(ledger, sent, limits, claim):
    key = sent().claim.batch_key
    sending.unconfirmed(ledger, key, 1, error="timed out")
    sending.undecided(ledger, key, 1, evidence="not ended")
    operating.release(ledger, key, **WHO)
    claims.release_claims(ledger, OWNER)
    taken = claim(key, {State.PLANNED})
    sending.reserve(ledger, taken, limits, fingerprint="f", server_clock=None, run_id=None)
    assert [attempt.reason for attempt in attempts_of(ledger, key)] != ["first", "first"]


def test_a_late_batch_is_of_use_when_all_that_followed_was_refused(ledger, sent, limits):
    key = sent().claim.batch_key
    sending.unconfirmed(ledger, key, 1, error="timed out")
    sending.absent(ledger, key, 1, evidence="walked", hold=False, errored=False)
    claims.release_claims(ledger, OWNER)
    again = sent(key)
    sending.refused(ledger, again, limits.bucket, error="429", request_id=None, retry_at=None)
    doubled = sending.late(ledger, key, 1, "v")
    row, (*_, latest) = row_of(ledger, key), attempts_of(ledger, key)
    assert (doubled, row.state, row.attempts, row.vendor_batch_id) == (False, State.SUBMITTED, 1, "v")
    assert (latest.state, latest.vendor_batch_id) == ("submitted", "v")


def test_an_answer_does_not_take_the_attempt_from_the_batch_that_was_adopted_for_it(ledger, sent, limits):
    key = (intent := sent()).claim.batch_key
    sending.unconfirmed(ledger, key, 1, error="timed out")
    operating.adopt(ledger, key, "x", **WHO)
    answer(ledger, intent, limits)
    (attempt,) = attempts_of(ledger, key)
    assert (attempt.vendor_batch_id, attempt.state) == ("x", "submitted"), "a batch that no attempt belongs to"
