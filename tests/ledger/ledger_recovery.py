"""Operations of recovery: attempts without an answer, adopted, proved absent, given to a person or found later."""

from __future__ import annotations

from ledger_processes import always
from ledger_sends import LOST, back, never, take_in, vendor_id
from ledger_world import Op

from pipeline.ledger import sending
from pipeline.ledger.states import Attempt, State

BOOLS = (True, False)


def attempts(world):
    """Every attempt by key and number: a recoverer that was paused may still speak of an old one."""
    return [(batch.key, attempt.sequence) for batch, attempt in world.model.tries()]


def unconfirmed(world, key, sequence):
    sending.unconfirmed(world.ledger, key, sequence, error="timed out")
    world.batches[key].goto(State.UNCONFIRMED)
    world.batches[key].last.state = Attempt.UNCONFIRMED


def adopt(world, key, sequence):
    sending.adopt(world.ledger, key, sequence, vendor_id(key, sequence))
    batch = world.batches[key]
    batch.goto(State.SUBMITTED, vendor=vendor_id(key, sequence))
    batch.last.state, batch.last.vendor = Attempt.SUBMITTED, batch.vendor


def absent(world, key, sequence, hold, errored, known):
    """`known`: the batch in error that was listed can have been no other."""
    vendor = vendor_id(key, sequence) if known else None
    sending.absent(
        world.ledger, key, sequence, evidence="walked", hold=hold, errored=errored, vendor_batch_id=vendor
    )  # fmt: skip
    batch = world.batches[key]
    batch.goto(State.HELD if hold else State.PLANNED, retry_at=None)
    batch.last.state, batch.last.finished = Attempt.ERRORED if errored else Attempt.ABSENT, world.now
    batch.last.vendor = vendor
    if hold:
        batch.held_from = State.PLANNED
    if errored:
        batch.next_reason = "batch_error"
    else:
        batch.attempts -= 1


def proofs(world):
    """Every attempt with what the list may have shown: no batch, one in error, one that can have been no other."""
    shown = ((False, False), (True, False), (True, True))
    return [(*a, hold, *seen) for a in attempts(world) for hold in BOOLS for seen in shown]


def undecided(world, key, sequence):
    """Given to a person: it stays unconfirmed, and counts as charged."""
    sending.undecided(world.ledger, key, sequence, evidence="not ended")
    batch = world.batches[key]
    batch.goto(State.HELD, held_from=State.PLANNED, retry_at=None, next_reason="operator")
    batch.last.finished = world.now


def to_find(world):
    """Attempts that were given up, and those whose id became known since they were."""
    return [(b.key, t.sequence) for b, t in world.model.tries() if t.given_up or t.vendor is not None]


def call_late(world, key, sequence):
    return sending.late(world.ledger, key, sequence, vendor_id(key, sequence))


def late(world, key, sequence):
    doubled = call_late(world, key, sequence)
    assert doubled is not take_in(world, world.batches[key], world.batches[key].tries[sequence - 1])


def has_no_id(world, key, sequence):
    batch = world.batches[key]
    known = {t.vendor for t in batch.tries}
    return batch.tries[sequence - 1].vendor is None and vendor_id(key, sequence) not in known


def recover_dead(world):
    """What is reserved or sending lost its process; here, also its lock: one that only slept may still answer."""
    unsent = [b for b in world.batches.values() if b.state is State.RESERVED]
    unknown = [b for b in world.batches.values() if b.state is State.SENDING]
    assert sending.recover_dead_senders(world.ledger, world.limits.bucket) == (len(unsent), len(unknown))
    for batch in unsent:
        intent = next(i for i in world.intents if i.claim.batch_key == batch.key and i.sequence == len(batch.tries))
        back(world, intent, Attempt.NOT_SENT)
        batch.fence, batch.owner, batch.kills = batch.fence + 1, None, batch.kills + 1
    for batch in unknown:
        batch.goto(State.UNCONFIRMED)
        batch.last.state = Attempt.UNCONFIRMED


def at(*states):
    """Allowed where this attempt is the latest, and its batch in one of these states."""
    return lambda world, key, sequence, *_: world.batches[key].is_at(sequence, *states)


SENDERS = {State.RESERVED, State.SENDING}

RECOVERY = [
    Op("unconfirmed", attempts, at(State.SENDING), unconfirmed, unconfirmed, LOST),
    Op("adopt_by_ids", attempts, at(State.UNCONFIRMED), adopt, adopt, LOST),
    Op("absent", proofs, at(State.UNCONFIRMED), absent, absent, LOST),
    Op("undecided", attempts, at(State.UNCONFIRMED), undecided, undecided, LOST),
    Op("late", to_find, has_no_id, late, call_late, ()),
    Op("recover_dead_senders", lambda w: [()] if any(b.state in SENDERS for b in w.batches.values()) else [], always,
       recover_dead),
]  # fmt: skip


def superseded(state):
    """Attempts that are not the latest, of batches of which a later one is in this state."""
    return lambda world: [(b.key, t.sequence) for b, t in world.model.tries() if b.state is state and t is not b.last]


SUPERSEDED = [
    Op("unconfirmed_superseded", superseded(State.SENDING), never, unconfirmed, unconfirmed, LOST),
    Op("adopt_superseded", superseded(State.UNCONFIRMED), never, adopt, adopt, LOST),
    Op("absent_superseded", lambda w: [(*a, False, False, False) for a in superseded(State.UNCONFIRMED)(w)], never,
       absent, absent, LOST),
    Op("undecided_superseded", superseded(State.UNCONFIRMED), never, undecided, undecided, LOST),
]  # fmt: skip
"""Refused for one reason that chance hardly meets: an "absent" for a superseded attempt went unnoticed."""
