"""Batches in the ledger: guarded changes of state, claims, and the questions that the steps ask.

Belongs here: what every step needs. Sending has a module of its own (`sending`), and so has the manifest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, insert, or_, select, update

from pipeline.errors import EnrichError
from pipeline.ledger import documents, schema
from pipeline.ledger.claims import Claim
from pipeline.ledger.db import Ledger, chunks
from pipeline.ledger.documents import Document
from pipeline.ledger.due import due
from pipeline.ledger.states import NEXT, SLOT_STATES, State

_b = schema.batches
_LIVE_ROWS = _b.c.rows - _b.c.rows_moved


_PROGRESS = frozenset({State.SUBMITTED, State.COMPLETED, State.LANDED})
"""States that a batch is not in because of a process that died."""


class IllegalTransitionError(EnrichError):
    """A change of state that the batch's life does not allow: a defect, not a race."""


class LostClaimError(EnrichError):
    """The guarded update matched nothing: another process owns the batch by now, or its state moved on."""


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
    root_key: str | None = None
    """The batch that it was first cut as; None: itself."""
    state: State = State.PLANNED
    next_reason: str = "first"
    """Why it will be sent: the reason that its first charge is recorded with."""
    reason: str | None = None
    next_attempt_at: datetime | None = None
    document: str | None = None
    """Path of its archived plan."""


def insert_batches(conn: Connection, new: Sequence[NewBatch], *, now: datetime) -> None:
    """Add planned batches. A sequence number or an items hash that is taken raises IntegrityError of the database."""
    rows = [
        {
            "batch_key": b.batch_key,
            "plan_seq": b.plan_seq,
            "items_hash": b.items_hash,
            "generation": b.generation,
            "parent_key": b.parent_key,
            "root_key": b.root_key or b.batch_key,
            "state": b.state,
            "state_since": now,
            "rows": b.rows,
            "first_id": b.first_id,
            "last_id": b.last_id,
            "planned_at": now,
            "attempts_allowed": b.attempts_allowed,
            "next_reason": b.next_reason,
            "reason": b.reason,
            "next_attempt_at": b.next_attempt_at,
        }
        for b in new
    ]
    if rows:
        conn.execute(insert(_b), rows)
    for b in new:
        if b.document is not None:
            documents.add(conn, b.batch_key, 0, Document(documents.PLAN, b.document, b.rows), now=now)


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
    if to in _PROGRESS:
        values["kills"] = 0
    result = conn.execute(update(_b).where(*where).values(state=to, state_since=now, dispatched_until=None, **values))
    if result.rowcount != 1:
        raise LostClaimError(
            f"batch {batch_key}: not {'/'.join(sorted(sources))} any more, or claimed by another process"
        )


def check_claim(conn: Connection, claim: Claim, state: State) -> None:
    """Raise LostClaimError unless the claim holds and the batch is in `state`; inside the caller's transaction."""
    row = get(conn, claim.batch_key)
    if (row.claim_owner, row.claim_fence, row.state) != (claim.owner, claim.fence, state):
        raise LostClaimError(f"batch {claim.batch_key}: not {state} any more, or claimed by another process")


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
        for chunk in chunks(keys):
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
            due(_b.c.next_attempt_at, now, ledger.longest.retry),
            due(_b.c.dispatched_until, now, ledger.longest.dispatch),
        )
        .order_by(_b.c.plan_seq)
    )


def collectable(ledger: Ledger) -> list[Row[Any]]:
    """Batches that completed or ended in error and that no step was asked for lately, oldest first."""
    now = ledger.now()
    may_be = or_(_b.c.state == State.ERRORED, due(_b.c.next_attempt_at, now, ledger.longest.retry))
    idle = due(_b.c.dispatched_until, now, ledger.longest.dispatch)
    return ledger.rows(
        select(_b).where(_b.c.state.in_([State.COMPLETED, State.ERRORED]), may_be, idle).order_by(_b.c.plan_seq)
    )


def dispatch(ledger: Ledger, keys: Sequence[str], *, seconds: float) -> None:
    """Note that a run was asked for, before it is asked for: a sensor without a run key floods the queue otherwise."""
    until = ledger.now() + timedelta(seconds=seconds)
    with ledger.write() as conn:
        for chunk in chunks(keys):
            conn.execute(update(_b).where(_b.c.batch_key.in_(chunk)).values(dispatched_until=until))


def undispatch(ledger: Ledger, keys: Sequence[str]) -> None:
    """Take the note back: the run came, and left these as they were."""
    with ledger.write() as conn:
        for chunk in chunks(keys):
            conn.execute(update(_b).where(_b.c.batch_key.in_(chunk)).values(dispatched_until=None))


def by_vendor_ids(ledger: Ledger, vendor_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """Batches of which one of these was an attempt, the latest or an earlier one, by the API's id of it."""
    a, found = schema.attempts, {}
    for chunk in chunks(vendor_ids):
        joined = select(_b, a.c.vendor_batch_id.label("attempted")).join(a, a.c.batch_key == _b.c.batch_key)
        found.update({row.attempted: row for row in ledger.rows(joined.where(a.c.vendor_batch_id.in_(chunk)))})
    return found


def slots_in_use(conn: Connection) -> int:
    """Batches that take one of the API's places, counted from their states."""
    return int(conn.execute(select(func.count()).where(_b.c.state.in_(SLOT_STATES))).scalar_one())


def counts_by_state(ledger: Ledger) -> dict[str, tuple[int, int]]:
    """State to (batches, rows). Rows that went on to another batch are counted there."""
    rows = ledger.rows(select(_b.c.state, func.count(), func.sum(_LIVE_ROWS)).group_by(_b.c.state))
    return {state: (int(n), int(items)) for state, n, items in rows}


def progress(ledger: Ledger) -> tuple[int, int]:
    """Items the API has processed, and all items."""
    done = case(
        (_b.c.state.in_([State.COMPLETED, State.LANDED]), _LIVE_ROWS),
        (_b.c.state == State.SUBMITTED, func.coalesce(_b.c.progress, 0)),
        else_=0,
    )
    ((processed, total),) = ledger.rows(select(func.sum(done), func.sum(_LIVE_ROWS)))
    return int(processed or 0), int(total or 0)


def unreported(ledger: Ledger) -> list[Row[Any]]:
    """The outbox: landed versions and splits of which Dagster has not been told. Commit and event are not atomic."""
    split = and_(_b.c.state == State.SPLIT, _b.c.reported_version == 0)
    return ledger.rows(select(_b).where(or_(split, _b.c.landed_version > _b.c.reported_version)))


def unreported_submissions(ledger: Ledger) -> list[Row[Any]]:
    """The same for attempts that the API has: adopted ones, and those whose process died right after recording."""
    known = and_(_b.c.vendor_batch_id.is_not(None), _b.c.sequence > _b.c.reported_sequence)
    return ledger.rows(select(_b).where(known))


def mark_submissions_reported(ledger: Ledger, sequences: Mapping[str, int]) -> None:
    """Note that Dagster knows of these attempts."""
    with ledger.write() as conn:
        for key, sequence in sequences.items():
            conn.execute(update(_b).where(_b.c.batch_key == key).values(reported_sequence=sequence))


def children(conn: Connection, batch_key: str) -> list[str]:
    """Keys of the batches that this one's rows went on to."""
    return list(
        conn.execute(select(_b.c.batch_key).where(_b.c.parent_key == batch_key).order_by(_b.c.plan_seq)).scalars()
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
