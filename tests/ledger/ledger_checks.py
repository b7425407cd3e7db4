"""What holds after every step: rules of the ledger by themselves, and that the model says the same.

The rules read the database alone, but for the items of each file, which the ledger does not know.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from sqlalchemy import select

from pipeline.ledger import batches, circuit, manifest, outcomes, schema
from pipeline.ledger import credits as bucket
from pipeline.ledger.sending import DOUBLE_CHARGE, spent
from pipeline.ledger.states import CHARGED_ATTEMPTS, ROW_STATE, SLOT_STATES, Attempt, State

UNDER_WAY = {Attempt.RESERVED, Attempt.SENDING, Attempt.UNCONFIRMED}
MATCHING = {
    State.RESERVED: {Attempt.RESERVED},
    State.SENDING: {Attempt.SENDING},
    State.UNCONFIRMED: {Attempt.UNCONFIRMED},
    State.SUBMITTED: {Attempt.SUBMITTED},
    State.COMPLETED: {Attempt.COMPLETED},
    State.LANDED: {Attempt.COMPLETED},
    State.ERRORED: {Attempt.ERRORED},
}
"""State of the latest attempt of a batch in each state; of any other batch it is one that is not under way."""


def is_under_way(attempt):
    """One that was given to a person stays unconfirmed, and has an end."""
    return attempt.state in UNDER_WAY and attempt.finished_at is None


class Snapshot:
    """The ledger at one moment."""

    def __init__(self, world):
        b, a = schema.batches, schema.attempts
        with world.ledger.read() as conn:
            self.batches = {row.batch_key: row for row in conn.execute(select(b))}
            self.attempts = defaultdict(list)
            for row in conn.execute(select(a).order_by(a.c.batch_key, a.c.sequence)):
                self.attempts[row.batch_key].append(row)
            self.live = manifest.live(conn)
            self.revision = manifest.revision(conn)
            self.slots = batches.slots_in_use(conn)
            self.circuit = circuit.opened(conn)
            self.level = bucket.level(conn, world.limits.bucket, now=world.now)
            self.spent = spent(conn)
            self.errors_in_a_row = outcomes.errors_in_a_row(conn)

    def shown(self):
        """What a reader of the tables sees: live files, and the state of the rows in plan files."""
        rows = {f.path: ROW_STATE.get(self.batches[f.batch_key].state) for f in self.live if f.kind == "plan"}
        return frozenset(f.path for f in self.live), tuple(sorted((p, s) for p, s in rows.items() if s))


def check_slots(world, now, before):
    assert now.slots == sum(row.state in SLOT_STATES for row in now.batches.values())
    # Only a person, or an answer that nobody waits for any more, may bring in one more: the API has it already.
    assert now.slots <= max(world.limits.max_in_flight, before.slots) or world.may_overfill


def check_files(world, now, _):
    places = Counter(item for file in now.live for item in world.written[file.path])
    assert places == Counter(range(world.items)), "an item is in no live file, or in two"
    own, moved = Counter(), Counter()
    for file in now.live:
        own[file.batch_key] += file.rows
    for row in now.batches.values():
        moved[row.parent_key] += row.rows
    for key, row in now.batches.items():
        assert row.rows == own[key] + row.rows_moved, key
        assert row.rows_moved == moved[key], key


def check_attempts(_, now, __):
    for key, row in now.batches.items():
        tries = now.attempts[key]
        assert [t.sequence for t in tries] == list(range(1, row.sequence + 1))
        assert not any(map(is_under_way, tries[:-1]))
        state = row.held_from if row.state == State.HELD else row.state
        if state in MATCHING:
            assert tries[-1].state in MATCHING[state], (key, state, tries[-1].state)
            assert row.vendor_batch_id == tries[-1].vendor_batch_id
            assert (state in UNDER_WAY) == is_under_way(tries[-1])
        else:
            assert not tries or not is_under_way(tries[-1])
        charged = [t for t in tries if t.state in CHARGED_ATTEMPTS]
        # A double charge counts only where it had been taken for a batch in error before; the model knows which.
        doubles = sum(t.error == DOUBLE_CHARGE for t in charged)
        assert len(charged) - doubles <= row.attempts <= len(charged), key
        assert all(t.credits == row.rows for t in tries)


def check_reasons(world, now, _):
    """Every charge of an item beyond its first says why, or that it should not have been."""
    first = Counter()
    for key, tries in now.attempts.items():
        n = sum(t.state in CHARGED_ATTEMPTS and t.reason == "first" and t.error != DOUBLE_CHARGE for t in tries)
        first.update(dict.fromkeys(world.batches[key].items, n))
    assert all(n <= 1 for n in first.values())


def check_credits(world, now, _):
    capacity = world.limits.bucket.capacity
    assert now.level <= capacity
    # Settling takes off refill that ran over the server's rim: at most a request's items, and each request once.
    assert now.level >= -sum(i.credits for i in world.intents)
    assert now.level == world.model.bucket.level(world.now)
    assert now.spent == world.model.spent()


def check_revision(_, now, before):
    assert now.revision >= before.revision
    if now.shown() != before.shown():
        assert now.revision > before.revision, "readers see something new under an old revision"


def check_fences(_, now, before):
    for key, row in now.batches.items():
        assert key not in before.batches or row.claim_fence >= before.batches[key].claim_fence


def check_circuit(world, now, _):
    want = world.model.circuit
    have = now.circuit
    assert (have is None) == (want is None)
    if have is not None:
        assert (have.kind, have.probe_after, have.probes) == (want.kind, want.probe_after, want.probes)
    assert now.errors_in_a_row == world.model.errors_in_a_row()


def check_batches(world, now, _):
    """Nothing but what the model did."""
    assert now.batches.keys() == world.batches.keys()
    assert {f.path for f in now.live} == world.model.live.keys()
    for key, row in now.batches.items():
        b = world.batches[key]
        assert (
            row.state, row.attempts, row.attempts_allowed, row.sequence, row.next_reason, row.held_from,
            row.vendor_batch_id, row.kills, row.rows_moved, row.landed_version, row.collect_tries, row.next_attempt_at,
        ) == (
            b.state, b.attempts, b.allowed, len(b.tries), b.next_reason, b.held_from,
            b.vendor, b.kills, b.moved, b.version, b.collect_tries, b.retry_at,
        ), key  # fmt: skip
        assert (row.claim_owner, row.claim_fence) == (b.owner, b.fence), key
        assert row.claim_owner is None or row.claim_expires_at == b.expires, key
        have = [(t.state, t.reason, t.credits, t.vendor_batch_id, t.error == DOUBLE_CHARGE) for t in now.attempts[key]]
        assert have == [(t.state, t.reason, t.credits, t.vendor, t.double) for t in b.tries], key


CHECKS = (
    check_slots, check_files, check_attempts, check_reasons, check_credits, check_revision, check_fences,
    check_circuit, check_batches,
)  # fmt: skip
