"""Batches in the ledger: guarded changes of state, claims, and the questions that the steps ask.

Belongs here: what every step needs. Sending has a module of its own (`sending`), and so has the manifest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, insert, or_, select, update

from pipeline.errors import EnrichError
from pipeline.ledger import schema
from pipeline.ledger.db import Ledger
from pipeline.ledger.states import NEXT, SLOT_STATES, State
from pipeline.process import ProcessTag

_b = schema.batches


class IllegalTransitionError(EnrichError):
    """A change of state that the batch's life does not allow: a defect, not a race."""


class LostClaimError(EnrichError):
    """The guarded update matched nothing: another process owns the batch by now, or its state moved on."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One batch owned by one step. Every write of the step checks owner and fence."""

    batch_key: str
    owner: str
    fence: int


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch as planning makes it."""

    batch_key: str
    plan_seq: int
    items_hash: str
    rows: int
    first_id: str
    last_id: str
    attempts_allowed: int
    generation: int = 0
    parent_key: str | None = None


def insert_batches(conn: Connection, new: Iterable[NewBatch], *, now: datetime) -> None:
    """Add planned batches. A sequence number or an items hash that is taken raises IntegrityError of the database."""
    rows = [
        {
            "batch_key": b.batch_key,
            "plan_seq": b.plan_seq,
            "items_hash": b.items_hash,
            "generation": b.generation,
            "parent_key": b.parent_key,
            "state": State.PLANNED,
            "state_since": now,
            "rows": b.rows,
            "first_id": b.first_id,
            "last_id": b.last_id,
            "planned_at": now,
            "attempts_allowed": b.attempts_allowed,
            "next_reason": "first",
        }
        for b in new
    ]
    if rows:
        conn.execute(insert(_b), rows)


def next_plan_seq(conn: Connection) -> int:
    """The first free sequence number."""
    return int(conn.execute(select(func.coalesce(func.max(_b.c.plan_seq), 0))).scalar_one()) + 1


def move(
    conn: Connection,
    batch_key: str,
    frm: State | Collection[State],
    to: State,
    *,
    now: datetime,
    claim: Claim | None = None,
    **values: Any,
) -> None:
    """Change a batch's state, or raise.

    `claim` is None only for decisions that no step owns: recovery under the sender's lock, watching, an operator.
    Raises IllegalTransitionError for a change that no batch may make, LostClaimError when the row is elsewhere.
    """
    sources = {frm} if isinstance(frm, State) else set(frm)
    for source in sources:
        if to not in NEXT[source]:
            raise IllegalTransitionError(f"batch {batch_key}: {source} may not become {to}")
    where = [_b.c.batch_key == batch_key, _b.c.state.in_(sources)]
    if claim is not None:
        where += [_b.c.claim_owner == claim.owner, _b.c.claim_fence == claim.fence]
    result = conn.execute(update(_b).where(*where).values(state=to, state_since=now, dispatched_until=None, **values))
    if result.rowcount != 1:
        raise LostClaimError(
            f"batch {batch_key}: not {'/'.join(sorted(sources))} any more, or claimed by another process"
        )


def claim_batches(
    ledger: Ledger, keys: Sequence[str], states: Collection[State], *, owner: str, seconds: float
) -> dict[str, Claim]:
    """Own those of `keys` that are in one of `states` and that no living step owns.

    A claim of a process that is provably dead on this host is taken over at once, any other after it has expired.
    """
    now = ledger.now()
    claims: dict[str, Claim] = {}
    with ledger.write() as conn:
        for chunk in _chunks(keys):
            rows = conn.execute(
                select(_b.c.batch_key, _b.c.claim_owner, _b.c.claim_fence, _b.c.claim_expires_at)
                .where(_b.c.batch_key.in_(chunk), _b.c.state.in_(set(states)))
                .order_by(_b.c.plan_seq)
            )
            for row in [r for r in rows if _is_free(r, now)]:
                claims[row.batch_key] = Claim(row.batch_key, owner, row.claim_fence + 1)
        expires = now + timedelta(seconds=seconds)
        for claim in claims.values():
            conn.execute(
                update(_b)
                .where(_b.c.batch_key == claim.batch_key)
                .values(claim_owner=owner, claim_fence=claim.fence, claim_expires_at=expires)
            )
    return claims


def _is_free(row: Any, now: datetime) -> bool:
    if row.claim_owner is None or row.claim_expires_at is None or row.claim_expires_at <= now:
        return True
    return owner_is_dead(row.claim_owner)


def owner_is_dead(owner: str) -> bool:
    """Whether a claim's owner (`<process tag>#<nonce>`) is a process of this host that no longer runs."""
    tag = ProcessTag.parse(owner.rpartition("#")[0])
    return tag is not None and tag.is_dead()


def extend_claims(ledger: Ledger, owner: str, *, seconds: float) -> int:
    """Heartbeat: every claim of `owner` lasts `seconds` from now. Returns how many there are."""
    with ledger.write() as conn:
        statement = update(_b).where(_b.c.claim_owner == owner)
        return conn.execute(statement.values(claim_expires_at=ledger.now() + timedelta(seconds=seconds))).rowcount


def release_claims(ledger: Ledger, owner: str) -> None:
    """Give up every claim of `owner`; the fence stays, so a late write of the old owner still fails."""
    with ledger.write() as conn:
        conn.execute(update(_b).where(_b.c.claim_owner == owner).values(claim_owner=None, claim_expires_at=None))


def forget_lost_claims(ledger: Ledger, *states: State) -> int:
    """Take batches in these states from steps that were killed or paused, with the note that a run was asked for.

    That run does nothing more. Without this a second start waited out `dispatch_seconds`, two minutes in which nothing
    happened (seen after kills before a reservation and during a landing, and with a landing that was paused).
    """
    now = ledger.now()
    owned = ledger.rows(select(_b).where(_b.c.state.in_(states), _b.c.claim_owner.is_not(None)))
    lost = [row for row in owned if _is_free(row, now)]
    if lost:
        with ledger.write() as conn:
            for row in lost:
                # Guarded: the owner may have come back and extended its claim, or another step have taken over.
                same = (_b.c.claim_owner == row.claim_owner, _b.c.claim_expires_at == row.claim_expires_at)
                conn.execute(
                    update(_b)
                    .where(_b.c.batch_key == row.batch_key, _b.c.state.in_(states), *same)
                    .values(claim_owner=None, claim_expires_at=None, dispatched_until=None)
                )
    return len(lost)


def get(conn: Connection, batch_key: str) -> Row[Any]:
    """One batch's row. Raises EnrichError when there is none."""
    row = conn.execute(select(_b).where(_b.c.batch_key == batch_key)).first()
    if row is None:
        raise EnrichError(f"no batch {batch_key}", hint="`enrich status` lists the batches.")
    return row


def by_keys(ledger: Ledger, keys: Sequence[str]) -> dict[str, Row[Any]]:
    """Rows of these batches by key."""
    found: dict[str, Row[Any]] = {}
    with ledger.read() as conn:
        for chunk in _chunks(keys):
            found |= {row.batch_key: row for row in conn.execute(select(_b).where(_b.c.batch_key.in_(chunk)))}
    return found


def in_states(ledger: Ledger, *states: State) -> list[Row[Any]]:
    """Every batch in one of these states, oldest first."""
    return ledger.rows(select(_b).where(_b.c.state.in_(states)).order_by(_b.c.plan_seq))


def sendable(ledger: Ledger) -> list[Row[Any]]:
    """Planned batches whose back-off is over and that no step was asked for lately, oldest first."""
    now = ledger.now()
    return ledger.rows(
        select(_b)
        .where(
            _b.c.state == State.PLANNED,
            or_(_b.c.next_attempt_at.is_(None), _b.c.next_attempt_at <= now),
            not_dispatched(now),
        )
        .order_by(_b.c.plan_seq)
    )


def collectable(ledger: Ledger) -> list[Row[Any]]:
    """Batches that completed or ended in error and that no step was asked for lately, oldest first."""
    now = ledger.now()
    due = or_(_b.c.state == State.ERRORED, _b.c.next_attempt_at.is_(None), _b.c.next_attempt_at <= now)
    return ledger.rows(
        select(_b)
        .where(_b.c.state.in_([State.COMPLETED, State.ERRORED]), due, not_dispatched(now))
        .order_by(_b.c.plan_seq)
    )


def is_settled(row: Row[Any], now: datetime) -> bool:
    """Whether no living step works on this batch: its own events would come from that step."""
    return _is_free(row, now)


def not_dispatched(now: datetime) -> Any:
    """Condition: no run was asked for, or it had its time to start."""
    return or_(_b.c.dispatched_until.is_(None), _b.c.dispatched_until <= now)


def dispatch(ledger: Ledger, keys: Sequence[str], *, seconds: float) -> None:
    """Note that a run was asked for, before it is asked for: a sensor without a run key floods the queue otherwise."""
    until = ledger.now() + timedelta(seconds=seconds)
    with ledger.write() as conn:
        for chunk in _chunks(keys):
            conn.execute(update(_b).where(_b.c.batch_key.in_(chunk)).values(dispatched_until=until))


def undispatch(ledger: Ledger, keys: Sequence[str]) -> None:
    """Take the note back: the run came, and left these as they were."""
    with ledger.write() as conn:
        for chunk in _chunks(keys):
            conn.execute(update(_b).where(_b.c.batch_key.in_(chunk)).values(dispatched_until=None))


def slots_in_use(conn: Connection) -> int:
    """Batches that take one of the API's places, counted from their states."""
    return int(conn.execute(select(func.count()).where(_b.c.state.in_(SLOT_STATES))).scalar_one())


def counts_by_state(ledger: Ledger) -> dict[str, tuple[int, int]]:
    """State to (batches, rows)."""
    rows = ledger.rows(select(_b.c.state, func.count(), func.sum(_b.c.rows)).group_by(_b.c.state))
    return {state: (int(n), int(items)) for state, n, items in rows}


def progress(ledger: Ledger) -> tuple[int, int]:
    """Items the API has processed, and items of all batches that are not split."""
    done = case(
        (_b.c.state.in_([State.COMPLETED, State.LANDED]), _b.c.rows),
        (_b.c.state == State.SUBMITTED, func.coalesce(_b.c.progress, 0)),
        else_=0,
    )
    ((processed, total),) = ledger.rows(select(func.sum(done), func.sum(_b.c.rows)).where(_b.c.state != State.SPLIT))
    return int(processed or 0), int(total or 0)


def unreported(ledger: Ledger) -> list[Row[Any]]:
    """The outbox: landed versions of which Dagster has not been told. Ledger commit and event are not atomic."""
    return ledger.rows(
        select(_b).where(and_(_b.c.landed_version.is_not(None), _b.c.landed_version > _b.c.reported_version))
    )


def mark_reported(ledger: Ledger, versions: Mapping[str, int]) -> None:
    """Note that Dagster knows of these versions."""
    with ledger.write() as conn:
        for key, version in versions.items():
            conn.execute(
                update(_b)
                .where(_b.c.batch_key == key, _b.c.reported_version < version)
                .values(reported_version=version)
            )


def _chunks(keys: Sequence[str], size: int = 500) -> Iterable[Sequence[str]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
