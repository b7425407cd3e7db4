"""Operations of senders: reserve to the answer, in time or late. What has no answer is in `ledger_recovery`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ledger_model import Try
from ledger_processes import CLAIM, always
from ledger_world import PROBE_SECONDS, Op

from pipeline.ledger import circuit as real_circuit
from pipeline.ledger import sending
from pipeline.ledger.batches import LostClaimError
from pipeline.ledger.sending import NoCapacityError
from pipeline.ledger.states import Attempt, State

WAITING = (State.PLANNED, State.HELD)
"""States in which an attempt that was given up is of use still."""


def my_intents(world):
    """Intents ever recorded, settled ones too, of processes that live."""
    return [(i.claim.batch_key, i) for i in world.intents if world.acts(i.claim.owner)]


def run_of(world, claim):
    """Two processes to a run."""
    return f"run-{[o.tag for o in world.owners].index(claim.owner) // 2}"


def has_room(world, claim):
    return world.model.has_room(len(world.batches[claim.batch_key].items), run_of(world, claim), world.now)


def call_reserve(world, claim):
    return sending.reserve(
        world.ledger, claim, world.limits, fingerprint="f", server_clock=None, run_id=run_of(world, claim)
    )


def reserve(world, key, claim):
    batch, model = world.batches[key], world.model
    run_id, level = run_of(world, claim), model.bucket.level(world.now)
    intent = call_reserve(world, claim)
    batch.tries.append(Try(len(batch.tries) + 1, batch.next_reason, len(batch.items), run_id, world.now, level))
    batch.goto(State.RESERVED, attempts=batch.attempts + 1, vendor=None)
    model.bucket.put(level - len(batch.items), world.now)
    if model.circuit is not None:
        model.circuit.begin_probe(world.now, PROBE_SECONDS)
    assert (intent.sequence, intent.bucket_level) == (batch.last.sequence, level)
    world.intents.append(intent)


def refuse_reserve(world, _, claim):
    try:
        call_reserve(world, claim)
    except NoCapacityError:
        assert not has_room(world, claim)
        raise
    except LostClaimError:
        assert not world.holds(claim, State.PLANNED)
        raise


def let_go(world, key, intent):
    sending.release(world.ledger, intent)
    world.batches[key].goto(State.SENDING)
    world.batches[key].last.state = Attempt.SENDING
    world.flights.append(intent)


def back(world, intent, state, **values):
    """The model's side of a request that was not accepted."""
    batch, bucket = world.batches[intent.claim.batch_key], world.model.bucket
    batch.goto(State.PLANNED, attempts=batch.attempts - 1, **values)
    batch.last.state, batch.last.finished = state, world.now
    bucket.put(min(bucket.capacity, bucket.level(world.now) + batch.last.credits), world.now)


def not_sent(world, _, intent):
    sending.not_sent(world.ledger, intent, world.limits.bucket, error="no route", retry_at=None)
    back(world, intent, Attempt.NOT_SENT, retry_at=None)


def refused(world, _, intent):
    sending.refused(world.ledger, intent, world.limits.bucket, error="429", request_id="r", retry_at=world.later(5))
    back(world, intent, Attempt.REFUSED, retry_at=world.later(5))
    if intent in world.flights:
        world.flights.remove(intent)


def vendor_id(key, sequence):
    return f"v-{key}-{sequence}"


def answers(world):
    """Requests in flight: the answer may come at any time."""
    return [(i.claim.batch_key, i) for i in world.flights]


def attempt_of(world, intent):
    return world.batches[intent.claim.batch_key].tries[intent.sequence - 1]


def submitted(world, key, intent):
    """In time, late, already known, or for an attempt that was given up."""
    batch, attempt, vendor = world.batches[key], attempt_of(world, intent), vendor_id(key, intent.sequence)
    size = world.limits.bucket
    useful = sending.submitted(world.ledger, intent, size, vendor_batch_id=vendor, request_id="r")
    world.flights.remove(intent)
    if any(t.vendor == vendor for t in batch.tries):
        assert useful
    elif batch.is_at(intent.sequence, State.SENDING, State.UNCONFIRMED):
        assert useful
        accepted(world, batch, vendor)
    else:
        assert useful is take_in(world, batch, attempt)


def accepted(world, batch, vendor):
    """The model's side of an answer that was waited for."""
    model = world.model
    batch.goto(State.SUBMITTED, vendor=vendor)
    batch.last.state, batch.last.vendor = Attempt.SUBMITTED, vendor
    model.close("refusal")
    model.bucket.not_before, model.bucket.throttled = None, 0
    model.bucket.settle(batch.last, world.now)


def take_in(world, batch, attempt):
    """The model's side of one that is at the API after all: adopted while it waits, else charged twice."""
    vendor, counted, latest = vendor_id(batch.key, attempt.sequence), attempt.charged, attempt is batch.last
    waits = batch.state in WAITING and (latest or (attempt.vendor is None and not batch.charges(attempt.sequence)))
    if not waits and attempt.vendor is not None:
        return False
    if waits and not latest:
        attempt.state = Attempt.ABSENT
        attempt = replace(attempt, sequence=len(batch.tries) + 1)
        batch.tries.append(attempt)
    attempt.vendor, attempt.double = vendor, not waits
    attempt.state = Attempt.SUBMITTED if waits else Attempt.COMPLETED
    if waits:
        attempts = batch.attempts + (not counted)
        batch.goto(
            State.SUBMITTED, vendor=vendor, held_from=None, attempts=attempts, fence=batch.fence + 1, retry_at=None
        )
    world.may_overfill = True
    return waits


def throttle(world, seconds):
    until = sending.throttled(world.ledger, seconds=seconds, longest=30)
    world.model.bucket.put_off(seconds, 30, world.now)
    assert until == world.model.bucket.not_before


def refuse_key(world, status):
    with world.ledger.write() as conn:
        real_circuit.open_circuit(conn, status=status, reason=str(status), now=world.now, probe_seconds=PROBE_SECONDS)
    world.model.open("refusal", world.now + timedelta(seconds=PROBE_SECONDS))


def intent_at(state):
    """Allowed with an intent of this state, by the process that owns the batch."""
    return lambda world, key, i: world.holds(i.claim, state) and world.batches[key].is_at(i.sequence, state)


LOST = (LostClaimError,)

SENDS = [
    CLAIM,
    Op("reserve", lambda w: w.my_claims(), lambda w, _, c: w.holds(c, State.PLANNED) and has_room(w, c),
       reserve, refuse_reserve, (LostClaimError, NoCapacityError)),
    Op("let_go", my_intents, intent_at(State.RESERVED), let_go, let_go, LOST),
    Op("not_sent", my_intents, intent_at(State.RESERVED), not_sent, not_sent, LOST),
    Op("refused", my_intents, intent_at(State.SENDING), refused, refused, LOST),
    Op("submitted", answers, always, submitted),
]  # fmt: skip


def without_room(world):
    return [(k, c) for k, c in world.my_claims() if world.holds(c, State.PLANNED) and not has_room(world, c)]


def never(*_):
    return False


WITHOUT_ROOM = [
    Op("reserve_without_room", without_room, never, refuse_reserve, refuse_reserve, (NoCapacityError,)),
]
"""Refused for want of room alone. Among all the lost claims chance hardly meets it: a slot too many went unnoticed."""

TROUBLES = [
    Op("throttled", lambda _: [(5,), (20,)], always, throttle),
    Op("key_refused", lambda _: [(401,), (403,)], always, refuse_key),
]  # fmt: skip
