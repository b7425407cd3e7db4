"""A batch on its way to the API, as transactions of the ledger: reserve, release, and every outcome.

The rules are those of design.md, "Sending, in two steps". Knows no HTTP: the caller says what happened, this module
records it, and decides nothing from an exception's type.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from pipeline.crashpoints import point
from pipeline.errors import EnrichError
from pipeline.ledger import batches, circuit, manifest, schema
from pipeline.ledger import credits as bucket
from pipeline.ledger import lease as leases
from pipeline.ledger.batches import LostClaimError
from pipeline.ledger.claims import Claim
from pipeline.ledger.credits import BucketSize
from pipeline.ledger.db import Ledger
from pipeline.ledger.due import UNBOUNDED, LongestWaits
from pipeline.ledger.lease import Lease
from pipeline.ledger.states import CHARGED_ATTEMPTS, Attempt, State

DOUBLE_CHARGE = "accepted after it had been sent again: charged twice"
"""Error of an attempt that the promise's assumptions did not hold for: `enrich status` names it."""

_a = schema.attempts
_b = schema.batches


class NoCapacityError(EnrichError):
    """The batch cannot be sent now: circuit, slots, credits or a spending cap. Nothing was taken."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a reservation is checked against."""

    bucket: BucketSize
    max_in_flight: int
    probe_seconds: float
    cap_run: int | None = None
    cap_day: int | None = None
    cap_month: int | None = None
    longest: LongestWaits = UNBOUNDED


@dataclass(frozen=True, slots=True)
class Intent:
    """What was recorded before anything was sent."""

    claim: Claim
    sequence: int
    credits: int
    bucket_level: float
    reserved_at: datetime


def reserve(
    ledger: Ledger, claim: Claim, limits: Limits, *, fingerprint: str, server_clock: datetime | None,
    run_id: str | None, lease: Lease | None = None,
) -> Intent:  # fmt: skip
    """planned → reserved: credits, slot and intent in one transaction.

    Raises NoCapacityError with nothing taken, LostClaimError when the batch is no longer ours or sending not our turn.
    """
    now = ledger.now()
    with ledger.write() as conn:
        leases.renew(conn, lease, now=now)
        row = batches.get(conn, claim.batch_key)
        _check_room(conn, limits, row.rows, now=now, run_id=run_id)
        before = bucket.take(conn, limits.bucket, row.rows, now=now)
        if before is None:
            raise NoCapacityError(f"{row.rows} credits are not there yet")
        if (open_ := circuit.opened(conn)) is not None:
            circuit.begin_probe(conn, open_, now=now, probe_seconds=limits.probe_seconds)
        sequence = row.sequence + 1
        batches.move(
            conn, claim.batch_key, State.PLANNED, State.RESERVED, now=now, claim=claim,
            sequence=sequence, attempts=row.attempts + 1, vendor_batch_id=None, progress=None, reason=None,
        )  # fmt: skip
        conn.execute(
            insert(_a).values(
                batch_key=claim.batch_key, sequence=sequence, state=Attempt.RESERVED, reason=row.next_reason,
                credits=row.rows, fingerprint=fingerprint, owner=claim.owner, run_id=run_id,
                server_clock=server_clock, bucket_level=before, reserved_at=now,
            )
        )  # fmt: skip
    return Intent(claim, sequence, row.rows, before, now)


def _check_room(conn: Connection, limits: Limits, rows: int, *, now: datetime, run_id: str | None) -> None:
    if (why := obstacle(conn, limits, rows, now=now, run_id=run_id)) is not None:
        raise NoCapacityError(why)
    if (until := bucket.not_before(conn, now=now, longest=limits.longest.retry)) is not None:
        raise NoCapacityError(f"the API asked for patience until {until:%H:%M:%S} UTC")
    if batches.slots_in_use(conn) >= limits.max_in_flight:
        raise NoCapacityError(f"{limits.max_in_flight} batches are under way")


def obstacle(conn: Connection, limits: Limits, rows: int, *, now: datetime, run_id: str | None) -> str | None:
    """What stands in the way of sending `rows` items and does not pass by mere waiting: circuit, caps, bucket."""
    open_ = circuit.opened(conn)
    if open_ is not None and not circuit.probe_is_due(open_, now, longest=limits.longest.probe):
        return f"the circuit is open: {open_.reason}"
    if rows > limits.bucket.capacity:
        return f"a batch of {rows} items never fits into ENRICH_CREDITS_CAPACITY of {limits.bucket.capacity:.0f}"
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    caps = (
        ("ENRICH_SPEND_CAP_RUN", limits.cap_run, _a.c.run_id == run_id),
        ("ENRICH_SPEND_CAP_DAY", limits.cap_day, _a.c.reserved_at >= day),
        ("ENRICH_SPEND_CAP_MONTH", limits.cap_month, _a.c.reserved_at >= day.replace(day=1)),
    )
    for name, cap, where in caps:
        taken = 0 if cap is None else spent(conn, where)
        if cap is not None and taken + rows > cap:
            return f"{name} of {cap} credits would be exceeded by a batch of {rows}: {taken} are spent"
    return None


def spent(conn: Connection, *where: Any) -> int:
    """Credits of attempts that were charged or may have been."""
    statement = select(func.coalesce(func.sum(_a.c.credits), 0)).where(_a.c.state.in_(CHARGED_ATTEMPTS), *where)
    return int(conn.execute(statement).scalar_one())


def release(ledger: Ledger, intent: Intent, lease: Lease | None = None) -> None:
    """reserved → sending, the moment before the last byte goes out. Raises LostClaimError: then it must not go out."""
    now = ledger.now()
    with ledger.write() as conn:
        leases.renew(conn, lease, now=now)
        batches.move(conn, intent.claim.batch_key, State.RESERVED, State.SENDING, now=now, claim=intent.claim)
        _set_attempt(conn, intent, Attempt.RESERVED, state=Attempt.SENDING, sending_at=now)


def not_sent(
    ledger: Ledger, intent: Intent, size: BucketSize, *, error: str, retry_at: datetime | None, let_go: bool = False
) -> None:
    """reserved → planned: provably not sent. Credits go back and the attempt is not counted.

    `let_go`: sending → planned, for a last byte that was withheld after the ledger had let it go.
    """
    now = ledger.now()
    state, attempt = (State.SENDING, Attempt.SENDING) if let_go else (State.RESERVED, Attempt.RESERVED)
    with ledger.write() as conn:
        _back_to_planned(conn, intent, state, now=now, reason=error, retry_at=retry_at)
        _set_attempt(conn, intent, attempt, state=Attempt.NOT_SENT, finished_at=now, error=error)
        bucket.give_back(conn, size, intent.credits, now=now)


def refused(
    ledger: Ledger, intent: Intent, size: BucketSize, *, error: str, request_id: str | None, retry_at: datetime | None
) -> None:
    """sending → planned: the API answered that it did not take the batch. Credits go back, not counted."""
    now = ledger.now()
    with ledger.write() as conn:
        _back_to_planned(conn, intent, State.SENDING, now=now, reason=error, retry_at=retry_at)
        _set_attempt(
            conn, intent, Attempt.SENDING, state=Attempt.REFUSED, finished_at=now, error=error, request_id=request_id
        )
        bucket.give_back(conn, size, intent.credits, now=now)


def throttled(ledger: Ledger, *, seconds: float, longest: float) -> datetime:
    """429: the whole account waits, ever longer with each in a row. Returns until when (naive UTC)."""
    now = ledger.now()
    with ledger.write() as conn:
        return bucket.put_off(conn, now=now, seconds=seconds, longest=longest)


def _back_to_planned(
    conn: Connection, intent: Intent, frm: State, *, now: datetime, reason: str, retry_at: datetime | None
) -> None:
    batches.move(
        conn, intent.claim.batch_key, frm, State.PLANNED, now=now, claim=intent.claim,
        attempts=_b.c.attempts - 1, reason=reason, next_attempt_at=retry_at,
    )  # fmt: skip


def submitted(
    ledger: Ledger, intent: Intent, size: BucketSize, *, vendor_batch_id: str, request_id: str | None
) -> bool:
    """Record the API's answer to this attempt. Returns False when it came for a superseded attempt: a double charge.

    A late answer is recorded even after the attempt was declared unconfirmed or proved absent, whoever owns the batch.
    """
    now, key = ledger.now(), intent.claim.batch_key
    with ledger.write() as conn:
        row = batches.get(conn, key)
        attempt = conn.execute(select(_a).where(_a.c.batch_key == key, _a.c.sequence == intent.sequence)).one()
        if _is_known(conn, vendor_batch_id):  # it was adopted meanwhile
            return True
        if row.sequence == intent.sequence and row.state in {State.SENDING, State.UNCONFIRMED}:
            batches.move(
                conn, key, {State.SENDING, State.UNCONFIRMED}, State.SUBMITTED, now=now,
                vendor_batch_id=vendor_batch_id, progress=0, reason=None, looked_at=None,
            )  # fmt: skip
            circuit.closed_by_acceptance(conn)
            bucket.relax(conn)
            bucket.settle(
                conn, size, intent.credits, level_before=intent.bucket_level, taken_at=intent.reserved_at, now=now
            )
            _mark(conn, key, intent.sequence, vendor_batch_id, now, request_id=request_id)
            manifest.touch(conn)
            return True
        return _take_in(conn, row, attempt, vendor_batch_id, now=now, request_id=request_id)


def _mark(conn: Connection, batch_key: str, sequence: int, vendor_batch_id: str, now: datetime, **values: Any) -> None:
    """The attempt is at the API under this id."""
    values = {"state": Attempt.SUBMITTED, "submitted_at": now, "error": None, **values}
    where = (_a.c.batch_key == batch_key, _a.c.sequence == sequence)
    conn.execute(update(_a).where(*where).values(vendor_batch_id=vendor_batch_id, **values))


def _take_in(conn: Connection, row: Any, attempt: Any, vendor_batch_id: str, *, now: datetime, **values: Any) -> bool:
    """An attempt that nobody waits for any more is at the API. Returns whether it is of use: else it is charged twice.

    It is as long as the batch waits, planned or held, and the API took no later attempt.
    """
    later = row.sequence != attempt.sequence
    waits = row.state in {State.PLANNED, State.HELD} and not (later and _goes_on_without(conn, attempt))
    if waits:
        counted = attempt.state in CHARGED_ATTEMPTS
        sequence = _carry_over(conn, row, attempt) if later else attempt.sequence
        batches.move(
            conn, row.batch_key, State(row.state), State.SUBMITTED, now=now, vendor_batch_id=vendor_batch_id,
            reason="adopted by its ids", held_from=None, looked_at=None, next_attempt_at=None,
            attempts=row.attempts + (not counted), claim_fence=row.claim_fence + 1, sequence=sequence,
        )  # fmt: skip
        _mark(conn, row.batch_key, sequence, vendor_batch_id, now, **values)
    elif attempt.vendor_batch_id is not None:
        # Written over, the batch went on under an id that no attempt had, and that could be adopted a second time.
        why = f"{DOUBLE_CHARGE}; {row.batch_key} has {attempt.vendor_batch_id} for it"
        f = schema.foreign_batches
        if conn.execute(select(f).where(f.c.vendor_batch_id == vendor_batch_id)).first() is None:
            conn.execute(insert(f).values(vendor_batch_id=vendor_batch_id, reason=why, seen_at=now))
    else:
        values |= {"state": Attempt.COMPLETED, "error": DOUBLE_CHARGE}
        _mark(conn, row.batch_key, attempt.sequence, vendor_batch_id, now, **values)
    manifest.touch(conn)
    return waits


def _is_known(conn: Connection, vendor_batch_id: str) -> bool:
    return conn.execute(select(_a.c.sequence).where(_a.c.vendor_batch_id == vendor_batch_id)).first() is not None


def _goes_on_without(conn: Connection, attempt: Any) -> bool:
    """Whether a later attempt was charged, or may have been; one that has an id of its own is not carried over."""
    later = (_a.c.batch_key == attempt.batch_key, _a.c.sequence > attempt.sequence)
    charged = select(_a.c.sequence).where(*later, _a.c.state.in_(CHARGED_ATTEMPTS))
    return attempt.vendor_batch_id is not None or conn.execute(charged).first() is not None


def _carry_over(conn: Connection, row: Any, attempt: Any) -> int:
    """All that followed was refused or not sent: the charge goes on as the latest attempt. Returns its number."""
    sequence = int(row.sequence) + 1
    conn.execute(insert(_a).values({**attempt._mapping, "sequence": sequence}))  # noqa: SLF001
    where = (_a.c.batch_key == attempt.batch_key, _a.c.sequence == attempt.sequence)
    conn.execute(update(_a).where(*where).values(state=Attempt.ABSENT, error=f"turned up: it is attempt {sequence}"))
    return sequence


def unconfirmed(
    ledger: Ledger, batch_key: str, sequence: int, *, error: str, request_id: str | None = None,
    lease: Lease | None = None, frm: State = State.SENDING,
) -> None:  # fmt: skip
    """sending → unconfirmed: it may have arrived. This commit is the fence from which the grace is counted.

    `frm`: reserved, for a ledger that may be a copy of before it was let go.
    """
    now = ledger.now()
    with ledger.write() as conn:
        leases.renew(conn, lease, now=now)
        _require_attempt(conn, batch_key, sequence)
        # A copy of the ledger has claims of processes that may be alive and know nothing of it.
        freed: dict[str, Any] = (
            {"claim_fence": _b.c.claim_fence + 1, "claim_owner": None} if frm is State.RESERVED else {}
        )
        batches.move(conn, batch_key, frm, State.UNCONFIRMED, now=now, reason=error, **freed)
        conn.execute(
            update(_a)
            .where(_a.c.batch_key == batch_key, _a.c.sequence == sequence)
            .values(state=Attempt.UNCONFIRMED, unconfirmed_at=now, error=error, request_id=request_id)
        )


def adopt(ledger: Ledger, batch_key: str, sequence: int, vendor_batch_id: str) -> None:
    """unconfirmed → submitted: a batch in the API's list was proved by its ids to be this attempt."""
    now = ledger.now()
    with ledger.write() as conn:
        _require_attempt(conn, batch_key, sequence)
        batches.move(
            conn, batch_key, State.UNCONFIRMED, State.SUBMITTED, now=now,
            vendor_batch_id=vendor_batch_id, reason="adopted by its ids", looked_at=None,
        )  # fmt: skip
        conn.execute(
            update(_a)
            .where(_a.c.batch_key == batch_key, _a.c.sequence == sequence)
            .values(state=Attempt.SUBMITTED, submitted_at=now, vendor_batch_id=vendor_batch_id)
        )
        manifest.touch(conn)


def absent(
    ledger: Ledger, batch_key: str, sequence: int, *, evidence: str, hold: bool, errored: bool,
    vendor_batch_id: str | None = None,
) -> None:  # fmt: skip
    """unconfirmed → planned (or held): a full list walk, begun late enough, found no live candidate.

    `errored`: a batch in error that may have been ours was listed, so the next charge has the reason batch_error;
    `vendor_batch_id`: its id, if it can have been no other.
    """
    now = ledger.now()
    with ledger.write() as conn:
        row = _require_attempt(conn, batch_key, sequence)
        to = State.HELD if hold else State.PLANNED
        values: dict[str, Any] = {"reason": evidence, "next_attempt_at": None}
        if hold:
            values["held_from"] = State.PLANNED
        if errored:
            values["next_reason"] = "batch_error"
        else:
            values["attempts"] = row.attempts - 1
        batches.move(conn, batch_key, State.UNCONFIRMED, to, now=now, **values)
        state = Attempt.ERRORED if errored else Attempt.ABSENT
        conn.execute(
            update(_a)
            .where(_a.c.batch_key == batch_key, _a.c.sequence == sequence)
            .values(state=state, finished_at=now, error=evidence, vendor_batch_id=vendor_batch_id)
        )
        manifest.touch(conn)


def undecided(ledger: Ledger, batch_key: str, sequence: int, *, evidence: str) -> None:
    """unconfirmed → held: it may well be at the API, and nothing proves which batch it is. It counts as charged."""
    now = ledger.now()
    with ledger.write() as conn:
        _require_attempt(conn, batch_key, sequence)
        batches.move(
            conn, batch_key, State.UNCONFIRMED, State.HELD, now=now, held_from=State.PLANNED, reason=evidence,
            next_attempt_at=None, next_reason="operator",
        )  # fmt: skip
        conn.execute(
            update(_a)
            .where(_a.c.batch_key == batch_key, _a.c.sequence == sequence)
            .values(finished_at=now, error=evidence)
        )
        manifest.touch(conn)


def late(ledger: Ledger, batch_key: str, sequence: int, vendor_batch_id: str) -> bool:
    """An attempt that was given up is at the API after all. Returns whether its items are charged twice.

    They are when the batch was sent again since. One that still is planned, or held for a person, is adopted instead.
    """
    where = (_a.c.batch_key == batch_key, _a.c.sequence == sequence)
    with ledger.write() as conn:
        attempt = conn.execute(select(_a).where(*where)).one()
        if attempt.vendor_batch_id is not None or _is_known(conn, vendor_batch_id):
            return False
        return not _take_in(conn, batches.get(conn, batch_key), attempt, vendor_batch_id, now=ledger.now())


def came_back(ledger: Ledger, batch_key: str, sequence: int) -> bool:
    """A superseded attempt has completed after all. Returns whether its items are charged twice by that.

    They are once the API took what the person had sent again. One that was not sent again yet goes on as it is.
    """
    now, where = ledger.now(), (_a.c.batch_key == batch_key, _a.c.sequence == sequence)
    with ledger.write() as conn:
        row, attempt = batches.get(conn, batch_key), conn.execute(select(_a).where(*where)).one()
        if attempt.state != Attempt.SUPERSEDED:
            return False
        if row.sequence == sequence and row.state in {State.PLANNED, State.HELD}:
            return not _take_in(conn, row, attempt, attempt.vendor_batch_id, now=now, finished_at=None)
        # A later one that is under way may be refused, or be proved absent: it is asked again.
        took = (_a.c.batch_key == batch_key, _a.c.sequence > sequence, _a.c.vendor_batch_id.is_not(None))
        doubled = conn.execute(select(_a.c.sequence).where(*took)).first() is not None
        if doubled:
            conn.execute(update(_a).where(*where).values(state=Attempt.COMPLETED, error=DOUBLE_CHARGE))
            manifest.touch(conn)
    return doubled


def _require_attempt(conn: Connection, batch_key: str, sequence: int) -> Any:
    """The batch's row, or LostClaimError: a recoverer that was paused decided of an attempt that is superseded by now.

    Guarded by the state alone, its "absent" hit the next attempt, unconfirmed as well: charged twice.
    """
    row = batches.get(conn, batch_key)
    if row.sequence != sequence:
        raise LostClaimError(f"batch {batch_key}: attempt {sequence} is superseded by attempt {row.sequence}")
    return row


def recover_dead_senders(
    ledger: Ledger, size: BucketSize, lease: Lease | None = None, *, let_go: Collection[tuple[str, int]] = ()
) -> tuple[int, int]:
    """In the sender's turn: nobody else can be sending, so what is reserved or sending lost its process.

    reserved → planned, since the last byte was provably never released; sending → unconfirmed. Returns both counts.
    `let_go`: attempts (key, sequence) that are known to have got further than reserved, whatever this ledger says: it
    may be a copy of that moment, and its batch was bought again. They become unconfirmed.
    Raises LostLeaseError when another process has become the sender: what is reserved or sending may be its own.
    """
    reserved = batches.in_states(ledger, State.RESERVED)
    unsent = [row for row in reserved if (row.batch_key, row.sequence) not in let_go]
    unknown = [row for row in reserved if row not in unsent] + batches.in_states(ledger, State.SENDING)
    for row in unsent:
        point("unsent.before_commit")
        _forget_reservation(ledger, row.batch_key, row.sequence, size, lease)
        point("unsent.after_commit")
    for row in unknown:
        point("fence.before_commit")
        unconfirmed(
            ledger, row.batch_key, row.sequence, error="the sending process died before the answer was recorded",
            lease=lease, frm=State(row.state),
        )  # fmt: skip
        point("fence.after_commit")
    return len(unsent), len(unknown)


def _forget_reservation(ledger: Ledger, batch_key: str, sequence: int, size: BucketSize, lease: Lease | None) -> None:
    now = ledger.now()
    with ledger.write() as conn:
        leases.renew(conn, lease, now=now)
        batches.move(
            conn, batch_key, State.RESERVED, State.PLANNED, now=now,
            attempts=_b.c.attempts - 1, claim_fence=_b.c.claim_fence + 1, claim_owner=None,
            kills=_b.c.kills + 1, reason="the sending process died before it sent",
        )  # fmt: skip
        row = conn.execute(select(_a).where(_a.c.batch_key == batch_key, _a.c.sequence == sequence)).one()
        conn.execute(
            update(_a)
            .where(_a.c.batch_key == batch_key, _a.c.sequence == sequence)
            .values(state=Attempt.NOT_SENT, finished_at=now, error="the sending process died before it sent")
        )
        bucket.give_back(conn, size, row.credits, now=now)


def _set_attempt(conn: Connection, intent: Intent, frm: Attempt, **values: Any) -> None:
    result = conn.execute(
        update(_a)
        .where(_a.c.batch_key == intent.claim.batch_key, _a.c.sequence == intent.sequence, _a.c.state == frm)
        .values(**values)
    )
    if result.rowcount != 1:
        raise LostClaimError(f"batch {intent.claim.batch_key}: attempt {intent.sequence} is not {frm} any more")
