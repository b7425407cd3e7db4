"""Who works on which batch: claims with an owner, a fence and an end, and what becomes of those of dead processes.

Belongs here: taking, keeping and losing claims. What an owner may do to its batch is in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, update

from pipeline.ledger import schema
from pipeline.ledger.db import Ledger, chunks
from pipeline.ledger.states import State
from pipeline.process import ProcessTag

_b = schema.batches


@dataclass(frozen=True, slots=True)
class Claim:
    """One batch owned by one step. Every write of the step checks owner and fence."""

    batch_key: str
    owner: str
    fence: int


def claim_batches(
    ledger: Ledger, keys: Sequence[str], states: Collection[State], *, owner: str, seconds: float
) -> dict[str, Claim]:
    """Own those of `keys` that are in one of `states` and that no living step owns.

    A claim of a process that is provably dead on this host is taken over at once, any other after it has expired.
    """
    now = ledger.now()
    claims: dict[str, Claim] = {}
    with ledger.write() as conn:
        for chunk in chunks(keys):
            rows = conn.execute(
                select(_b.c.batch_key, _b.c.claim_owner, _b.c.claim_fence, _b.c.claim_expires_at)
                .where(_b.c.batch_key.in_(chunk), _b.c.state.in_(set(states)))
                .order_by(_b.c.plan_seq)
            )
            for row in [r for r in rows if is_free(r, now, one_host=ledger.one_host)]:
                claims[row.batch_key] = Claim(row.batch_key, owner, row.claim_fence + 1)
        expires = now + timedelta(seconds=seconds)
        for claim in claims.values():
            conn.execute(
                update(_b)
                .where(_b.c.batch_key == claim.batch_key)
                .values(claim_owner=owner, claim_fence=claim.fence, claim_expires_at=expires)
            )
    return claims


def is_free(row: Any, now: datetime, *, one_host: bool) -> bool:
    """Whether no living step works on this batch. `one_host`: as the ledger says of itself."""
    if row.claim_owner is None or row.claim_expires_at is None or row.claim_expires_at <= now:
        return True
    return owner_is_dead(row.claim_owner, one_host=one_host)


def owner_is_dead(owner: str, *, one_host: bool) -> bool:
    """Whether a claim's owner (`<process tag>#<nonce>`) is a process of this host that no longer runs."""
    tag = ProcessTag.parse(owner.rpartition("#")[0])
    return tag is not None and tag.is_dead(one_host=one_host)


def extend_claims(ledger: Ledger, owner: str, *, seconds: float) -> int:
    """Heartbeat: every claim of `owner` lasts `seconds` from now. Returns how many there are."""
    with ledger.write() as conn:
        statement = update(_b).where(_b.c.claim_owner == owner)
        return conn.execute(statement.values(claim_expires_at=ledger.now() + timedelta(seconds=seconds))).rowcount


def release_claims(ledger: Ledger, owner: str) -> None:
    """Give up every claim of `owner`; the fence stays, so a late write of the old owner still fails."""
    with ledger.write() as conn:
        conn.execute(update(_b).where(_b.c.claim_owner == owner).values(claim_owner=None, claim_expires_at=None))


def forget_lost_claims(ledger: Ledger, *states: State) -> list[Row[Any]]:
    """Take batches in these states from steps that were killed or paused, with the note that a run was asked for.

    That run does nothing more. Without this a second start waited out `dispatch_seconds`, two minutes in which nothing
    happened (seen after kills before a reservation and during a landing, and with a landing that was paused).
    Counts the death in `kills`. Returns the batches as they were.
    """
    now = ledger.now()
    owned = ledger.rows(select(_b).where(_b.c.state.in_(states), _b.c.claim_owner.is_not(None)))
    lost = [row for row in owned if is_free(row, now, one_host=ledger.one_host)]
    if lost:
        with ledger.write() as conn:
            for row in lost:
                # Guarded: the owner may have come back and extended its claim, or another step have taken over.
                same = (_b.c.claim_owner == row.claim_owner, _b.c.claim_expires_at == row.claim_expires_at)
                conn.execute(
                    update(_b)
                    .where(_b.c.batch_key == row.batch_key, _b.c.state.in_(states), *same)
                    .values(claim_owner=None, claim_expires_at=None, dispatched_until=None, kills=_b.c.kills + 1)
                )
    return lost
