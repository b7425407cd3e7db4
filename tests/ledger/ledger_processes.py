"""Operations of processes as such: begin, claim, heartbeat, give up, die, and what is taken from the dead."""

from __future__ import annotations

from ledger_model import IDLE
from ledger_world import CLAIM_SECONDS, Op

from pipeline.ledger import claims


def take_claims(world, key, owner):
    found = claims.claim_batches(world.ledger, [key], IDLE, owner=owner.tag, seconds=CLAIM_SECONDS)
    if key in found:
        claim = found[key]
        taken = {(c.batch_key, c.fence) for c in world.claims}
        assert (key, claim.fence) not in taken, "two claims with one fence"
        world.claims.append(claim)
        batch = world.batches[key]
        batch.owner, batch.fence, batch.expires = owner.tag, batch.fence + 1, world.later(CLAIM_SECONDS)
    return found


def extend(world, owner):
    n = claims.extend_claims(world.ledger, owner.tag, seconds=CLAIM_SECONDS)
    mine = [batch for batch in world.batches.values() if batch.owner == owner.tag]
    for batch in mine:
        batch.expires = world.later(CLAIM_SECONDS)
    assert n == len(mine)


def give_up(world, owner):
    claims.release_claims(world.ledger, owner.tag)
    for batch in world.batches.values():
        if batch.owner == owner.tag:
            batch.owner = batch.expires = None


def crash(world, owner):
    owner.die()
    world.flights = [i for i in world.flights if i.claim.owner != owner.tag]


def is_lost(world, batch):
    return batch.state in IDLE and batch.owner is not None and world.is_free(batch)


def forget(world):
    claims.forget_lost_claims(world.ledger, *IDLE)
    for batch in world.batches.values():
        if is_lost(world, batch):
            batch.owner = batch.expires = None
            batch.kills += 1


def owners(world):
    return [(owner,) for owner in world.living()]


def owners_with_claims(world):
    return [(owner,) for owner in world.living() if any(b.owner == owner.tag for b in world.batches.values())]


def always(*_):
    return True


CLAIM = Op(
    "claim",
    lambda w: [(k, o) for o in w.living() for k in w.batches],
    lambda w, k, _: w.batches[k].state in IDLE and w.is_free(w.batches[k]),
    take_claims,
    take_claims,
    (),
)

PROCESSES = [
    Op("start_process", lambda w: [()] if len(w.living()) < 3 else [], always, lambda w: w.start_owner()),
    Op("heartbeat", owners_with_claims, always, extend),
    Op("give_up_claims", owners_with_claims, always, give_up),
    Op("crash", owners, always, crash),
    Op("forget_lost_claims", lambda w: [()] if any(is_lost(w, b) for b in w.batches.values()) else [], always, forget),
]  # fmt: skip
