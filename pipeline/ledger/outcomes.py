"""What the API says of a submitted batch, and what follows: progress, completed, errored, landed, split, held.

Webhook and poller only report; the ledger decides here. What a person may do is in `operating`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import Connection, func, select, update

from pipeline.ledger import batches, circuit, documents, holders, manifest, schema
from pipeline.ledger.batches import NewBatch
from pipeline.ledger.claims import Claim
from pipeline.ledger.db import Ledger
from pipeline.ledger.documents import Document
from pipeline.ledger.manifest import NewFile
from pipeline.ledger.states import CHARGED_ATTEMPTS, Attempt, State

_a = schema.attempts
_b = schema.batches


def report(
    ledger: Ledger,
    vendor_batch_id: str,
    verdict: str,
    *,
    progress: int | None,
    outage_after: int = 3,
    probe_seconds: float = 60,
) -> State | None:
    """Record a look at an open batch; `verdict` is `done`, `failed` or `waiting`.

    Returns the state it moved to, or None where nothing changed: a second report of the same end has no effect.
    `outage_after` batches that end in error in a row, with none that completes, open the circuit.
    """
    to = {"done": State.COMPLETED, "failed": State.ERRORED}.get(verdict)
    now = ledger.now()
    with ledger.write() as conn:
        row = conn.execute(select(_b).where(_b.c.vendor_batch_id == vendor_batch_id)).first()
        if row is None or row.state != State.SUBMITTED:
            return None
        if to is None:
            conn.execute(update(_b).where(_b.c.batch_key == row.batch_key).values(progress=progress, looked_at=now))
            return None
        seen = row.rows if to is State.COMPLETED else progress
        batches.move(conn, row.batch_key, State.SUBMITTED, to, now=now, progress=seen, looked_at=now)
        attempt_state = Attempt.COMPLETED if to is State.COMPLETED else Attempt.ERRORED
        conn.execute(
            update(_a)
            .where(_a.c.vendor_batch_id == vendor_batch_id)
            .values(state=attempt_state, finished_at=now, error=None if to is State.COMPLETED else "ended in error")
        )
        if to is State.COMPLETED:
            circuit.closed_by_completion(conn)
        elif (streak := errors_in_a_row(conn)) >= outage_after:
            why = f"the last {streak} batches to end all ended in error; the API may be failing"
            circuit.open_for_outage(conn, reason=why, now=now, probe_seconds=probe_seconds)
        return to


def note_progress(ledger: Ledger, progress: Mapping[str, int | None]) -> None:
    """Record how far open batches are, by the API's id: all in one transaction, since there may be hundreds."""
    if not progress:
        return
    now = ledger.now()
    with ledger.write() as conn:
        for vendor_batch_id, done in progress.items():
            where = (_b.c.vendor_batch_id == vendor_batch_id, _b.c.state == State.SUBMITTED)
            conn.execute(update(_b).where(*where).values(progress=done, looked_at=now))


def looked_at(ledger: Ledger, batch_key: str) -> None:
    """Record that somebody looked and learned nothing, so that others come first the next time."""
    with ledger.write() as conn:
        conn.execute(update(_b).where(_b.c.batch_key == batch_key).values(looked_at=ledger.now()))


def errors_in_a_row(conn: Connection) -> int:
    """Batches that ended in error since the last one that completed, and whose errors are not explained otherwise.

    Those of batches that were split or quarantined are: items in them are at fault, or are being looked for.
    """
    latest = select(func.max(_a.c.finished_at)).where(_a.c.state == Attempt.COMPLETED)
    completed = conn.execute(latest).scalar_one()
    where = [_a.c.state == Attempt.ERRORED, _b.c.state.not_in([State.SPLIT, State.QUARANTINED])]
    if completed is not None:
        where.append(_a.c.finished_at > completed)
    joined = select(func.count(_a.c.batch_key.distinct())).select_from(_a.join(_b, _b.c.batch_key == _a.c.batch_key))
    return int(conn.execute(joined.where(*where)).scalar_one())


def is_healthy(conn: Connection, batch_key: str, *, outage_after: int) -> bool:
    """Whether the API works for others: then a batch's errors are its own.

    That is, some batch completed since this one was first sent, or since the one that it is a half of was; and errors
    are not the rule since then.
    """
    row = batches.get(conn, batch_key)
    since = batch_key
    if row.parent_key is not None and batches.get(conn, row.parent_key).state == State.SPLIT:
        since = row.parent_key
    begun = select(func.min(_a.c.reserved_at)).where(_a.c.batch_key == since).scalar_subquery()
    other = select(_a.c.batch_key).where(_a.c.state == Attempt.COMPLETED, _a.c.finished_at > begun)
    return conn.execute(other.limit(1)).first() is not None and errors_in_a_row(conn) < outage_after


def spent_looking(conn: Connection, root_key: str) -> int:
    """Credits charged so far for finding out which items of a batch make it fail."""
    statement = (
        select(func.coalesce(func.sum(_a.c.credits), 0))
        .join(_b, _b.c.batch_key == _a.c.batch_key)
        .where(_b.c.root_key == root_key, _a.c.state.in_(CHARGED_ATTEMPTS), _a.c.reason == "split")
    )
    return int(conn.execute(statement).scalar_one())


def submitted_at(ledger: Ledger, batch_key: str, sequence: int) -> datetime:
    """When the answer to this attempt was recorded (naive UTC)."""
    where = (_a.c.batch_key == batch_key, _a.c.sequence == sequence)
    ((moment,),) = ledger.rows(select(_a.c.submitted_at).where(*where))
    return cast("datetime", moment)


def plan_again(ledger: Ledger, claim: Claim, *, retry_at: datetime, reason: str, grant: int = 0) -> None:
    """errored → planned with back-off. `grant`: attempts allowed beyond those that it had."""
    now = ledger.now()
    with ledger.write() as conn:
        batches.move(
            conn, claim.batch_key, State.ERRORED, State.PLANNED, now=now, claim=claim, next_reason="batch_error",
            next_attempt_at=retry_at, reason=reason, attempts_allowed=_b.c.attempts_allowed + grant,
        )  # fmt: skip
        manifest.touch(conn)


def quarantine(ledger: Ledger, claim: Claim, *, reason: str) -> None:
    """errored → quarantined: its one item makes a batch fail. What looked like an outage is explained by that."""
    now = ledger.now()
    with ledger.write() as conn:
        batches.move(
            conn, claim.batch_key, State.ERRORED, State.QUARANTINED, now=now, claim=claim, reason=reason,
            next_reason="batch_error",
        )  # fmt: skip
        circuit.closed_by_completion(conn)
        manifest.touch(conn)


def hold_errored(ledger: Ledger, claim: Claim, *, reason: str) -> None:
    """errored → held; `release` has the same question asked again, `retry` grants an attempt."""
    now = ledger.now()
    with ledger.write() as conn:
        batches.move(
            conn, claim.batch_key, State.ERRORED, State.HELD, now=now, claim=claim, held_from=State.ERRORED,
            next_reason="batch_error", reason=reason,
        )  # fmt: skip
        manifest.touch(conn)


def split(
    ledger: Ledger,
    claim: Claim,
    frm: State,
    children: Sequence[NewBatch],
    *,
    add: Sequence[NewFile],
    remove: Sequence[str],
    reason: str,
    outage: str | None = None,
    probe_seconds: float = 60,
) -> None:
    """Errored or planned → split: its rows go on in `children`, in one commit of the manifest.

    `outage` opens the circuit with this reason: nobody knows yet whether the items or the API are at fault.
    """
    now = ledger.now()
    with ledger.write() as conn:
        manifest.commit(conn, add=add, remove=remove, now=now)
        batches.insert_batches(conn, children, now=now)
        batches.move(
            conn, claim.batch_key, frm, State.SPLIT, now=now, claim=claim, reason=reason,
            rows_moved=sum(child.rows for child in children), next_attempt_at=None,
        )  # fmt: skip
        if outage is not None:
            circuit.open_for_outage(conn, reason=outage, now=now, probe_seconds=probe_seconds)


def land(
    ledger: Ledger,
    claim: Claim,
    *,
    add: Sequence[NewFile],
    remove: Sequence[str],
    version: int,
    at: datetime,
    children: Sequence[NewBatch] = (),
    lost_holders: Collection[str] = (),
    document: Document | None = None,
) -> int:
    """completed → landed in one transaction with the manifest. Before it the files are orphans, after it the truth.

    `children`: batches of the items that are sent again. `lost_holders`: those that the API does not have any more.
    `document`: the archived answer that no earlier step has noted.
    """
    now = ledger.now()
    with ledger.write() as conn:
        revision = manifest.commit(conn, add=add, remove=remove, now=now)
        batches.insert_batches(conn, children, now=now)
        holders.want_again(conn, lost_holders)
        if document is not None:
            sequence = batches.get(conn, claim.batch_key).sequence
            documents.add(conn, claim.batch_key, sequence, document, now=now)
        batches.move(
            conn, claim.batch_key, State.COMPLETED, State.LANDED, now=now, claim=claim, landed_version=version,
            landed_at=at, reason=None, rows_moved=sum(child.rows for child in children), next_attempt_at=None,
        )  # fmt: skip
    return revision


def archived(ledger: Ledger, claim: Claim, sequence: int, document: Document) -> None:
    """Note an answer that was archived for a batch that is being landed. Raises LostClaimError when it is not ours."""
    now = ledger.now()
    with ledger.write() as conn:
        batches.check_claim(conn, claim, State.COMPLETED)
        documents.add(conn, claim.batch_key, sequence, document, now=now)


def collect_later(ledger: Ledger, claim: Claim, *, error: str, retry_at: datetime, counts: bool = True) -> int:
    """A completed batch whose results could not be had or read as a whole: tried again later. Returns the tries."""
    with ledger.write() as conn:
        batches.check_claim(conn, claim, State.COMPLETED)
        tries = int(batches.get(conn, claim.batch_key).collect_tries) + counts
        conn.execute(
            update(_b)
            .where(_b.c.batch_key == claim.batch_key)
            .values(collect_tries=tries, reason=error, next_attempt_at=retry_at)
        )
    return tries


def hold_completed(ledger: Ledger, claim: Claim, *, reason: str) -> None:
    """completed → held: its results cannot be had; they are never bought again without a person."""
    now = ledger.now()
    with ledger.write() as conn:
        batches.move(
            conn, claim.batch_key, State.COMPLETED, State.HELD, now=now, claim=claim, held_from=State.COMPLETED,
            collect_tries=_b.c.collect_tries + 1, reason=reason,
        )  # fmt: skip
        manifest.touch(conn)


def lost(ledger: Ledger, batch_key: str, *, reason: str) -> None:
    """submitted → held: the API does not know the batch any more. Never sent again without a person."""
    now = ledger.now()
    with ledger.write() as conn:
        batches.move(conn, batch_key, State.SUBMITTED, State.HELD, now=now, held_from=State.SUBMITTED, reason=reason)
        manifest.touch(conn)


def hold_claimed(ledger: Ledger, claim: Claim, *, reason: str) -> None:
    """planned → held by the step that owns it, for a reason that no retry cures."""
    now = ledger.now()
    with ledger.write() as conn:
        batches.move(
            conn, claim.batch_key, State.PLANNED, State.HELD, now=now, claim=claim, held_from=State.PLANNED,
            reason=reason,
        )  # fmt: skip
        manifest.touch(conn)


def hold_deadly(ledger: Ledger, *, kills: int) -> list[str]:
    """planned, completed, errored → held, for batches at which so many processes have died. Returns their keys."""
    states = (State.PLANNED, State.COMPLETED, State.ERRORED)
    now = ledger.now()
    with ledger.write() as conn:
        rows = list(conn.execute(select(_b).where(_b.c.kills >= kills, _b.c.state.in_(states))))
        for row in rows:
            reason = f"{row.kills} processes died while they worked on it; is there enough memory?"
            batches.move(
                conn, row.batch_key, State(row.state), State.HELD, now=now, held_from=row.state, reason=reason, kills=0
            )
        if rows:
            manifest.touch(conn)
    return [row.batch_key for row in rows]
