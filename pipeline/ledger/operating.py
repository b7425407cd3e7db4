"""What a person may do to a batch: hold, release, retry, adopt. Each is recorded with who, when and why.

Belongs here: the ledger's side. What also touches files or the API is in `pipeline.flow.operating`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from pipeline.crashpoints import point
from pipeline.errors import EnrichError
from pipeline.ledger import batches, manifest, schema
from pipeline.ledger.batches import NewBatch
from pipeline.ledger.db import Ledger
from pipeline.ledger.manifest import NewFile
from pipeline.ledger.states import CHARGED_ATTEMPTS, Attempt, State

_a = schema.attempts
_b = schema.batches


def hold(ledger: Ledger, batch_key: str, *, who: str, why: str) -> None:
    """planned → held by a person. Raises EnrichError for any other state: what is under way cannot be called back."""
    now = ledger.now()
    with ledger.write() as conn:
        row = batches.get(conn, batch_key)
        if row.state == State.HELD:
            raise EnrichError(f"batch {batch_key} is held already: {row.reason}")
        if row.state != State.PLANNED:
            raise EnrichError(
                f"batch {batch_key} is {row.state}, and only a planned batch can be held",
                hint="What was sent cannot be called back; its result is landed when it comes.",
            )
        reason = f"{who}: {why}" if why else f"held by {who}"
        batches.move(conn, batch_key, State.PLANNED, State.HELD, now=now, held_from=State.PLANNED, reason=reason)
        record(conn, now, who, "hold", batch_key, why)
        manifest.touch(conn)
    point("operator.after_commit")


def release(ledger: Ledger, batch_key: str, *, who: str, why: str) -> State:
    """Undo `hold`: back to where it was held from, with no further attempt granted.

    Raises EnrichError when it is not held, or has no attempt left.
    """
    now = ledger.now()
    with ledger.write() as conn:
        row = batches.get(conn, batch_key)
        require(row, State.HELD)
        to = State(row.held_from or State.PLANNED)
        if to is State.PLANNED and row.attempts >= row.attempts_allowed:
            raise EnrichError(
                f"batch {batch_key} has used up its {row.attempts} attempts",
                hint=f"`enrich retry {batch_key}` grants another, and charges its {row.rows} items again.",
            )
        batches.move(conn, batch_key, State.HELD, to, now=now, held_from=None, reason=None, collect_tries=0)
        record(conn, now, who, "release", batch_key, why)
        manifest.touch(conn)
    point("operator.after_commit")
    return to


def retry(ledger: Ledger, batch_key: str, *, who: str, why: str, send: bool = False) -> State:
    """Grant a held or quarantined batch another attempt: fetched again when the API has results for it, else sent.

    `send`: sent again, and charged again, even where it could be looked at once more.

    Raises EnrichError for any other state.
    """
    now = ledger.now()
    with ledger.write() as conn:
        row = batches.get(conn, batch_key)
        require(row, State.HELD, State.QUARANTINED)
        to = State(row.held_from or State.PLANNED)
        to = State.PLANNED if send or to is State.ERRORED else to
        values: dict[str, Any] = {"held_from": None, "reason": None, "collect_tries": 0, "next_attempt_at": None}
        if to is State.PLANNED:
            values["attempts_allowed"] = max(row.attempts_allowed, row.attempts) + 1
            values["next_reason"] = "operator" if row.attempts else row.next_reason
            _supersede(conn, row, now)
        batches.move(conn, batch_key, State(row.state), to, now=now, **values)
        record(conn, now, who, "retry", batch_key, why)
        manifest.touch(conn)
    point("operator.after_commit")
    return to


def _supersede(conn: Connection, row: Any, now: datetime) -> None:
    """End the latest attempt if the API has it still to end: it said `submitted` for ever."""
    latest = (_a.c.batch_key == row.batch_key, _a.c.sequence == row.sequence, _a.c.state == Attempt.SUBMITTED)
    values = {"state": Attempt.SUPERSEDED, "finished_at": now, "error": "a person had it sent again"}
    conn.execute(update(_a).where(*latest).values(**values))


def send_rows_again(
    ledger: Ledger, batch_key: str, child: NewBatch, *, add: Sequence[NewFile], remove: Sequence[str], version: int,
    who: str, why: str,
) -> None:  # fmt: skip
    """Move rows of a landed batch into `child`, and the batch to `version`, in one commit. Raises ConflictError."""
    now = ledger.now()
    with ledger.write() as conn:
        manifest.commit(conn, add=add, remove=remove, now=now)
        batches.insert_batches(conn, [child], now=now)
        conn.execute(
            update(_b)
            .where(_b.c.batch_key == batch_key)
            .values(landed_version=version, rows_moved=_b.c.rows_moved + child.rows)
        )
        record(conn, now, who, "retry", batch_key, why)
    point("operator.after_commit")


ADOPTABLE = (State.PLANNED, State.UNCONFIRMED, State.HELD)


def adopt(ledger: Ledger, batch_key: str, vendor_batch_id: str, *, who: str, why: str) -> None:
    """Say which of the API's batches this one is: planned, unconfirmed or held → submitted.

    Nothing is sent. Raises EnrichError for another state, for one that a step is working on, or when the id is known.
    """
    now = ledger.now()
    with ledger.write() as conn:
        row = batches.get(conn, batch_key)
        require(row, *ADOPTABLE)
        taken = conn.execute(select(_a.c.batch_key).where(_a.c.vendor_batch_id == vendor_batch_id)).scalar()
        if taken is not None:
            raise EnrichError(f"{vendor_batch_id} is known already: it is an attempt of batch {taken}")
        sequence = _attempt_to_adopt(conn, row, now)
        conn.execute(
            update(_a)
            .where(_a.c.batch_key == batch_key, _a.c.sequence == sequence)
            .values(state=Attempt.SUBMITTED, submitted_at=now, vendor_batch_id=vendor_batch_id, error=None)
        )
        batches.move(
            conn, batch_key, State(row.state), State.SUBMITTED, now=now, vendor_batch_id=vendor_batch_id,
            reason=f"adopted by {who}", held_from=None, looked_at=None, progress=None, sequence=sequence,
            next_attempt_at=None, claim_fence=row.claim_fence + 1, attempts=_charged(conn, batch_key),
        )  # fmt: skip
        record(conn, now, who, "adopt", batch_key, why)
        manifest.touch(conn)
    point("operator.after_commit")


def _attempt_to_adopt(conn: Connection, row: Any, now: datetime) -> int:
    """The attempt whose fate this is: the latest one, if it has no id of its own, or a new one."""
    where = (_a.c.batch_key == row.batch_key, _a.c.sequence == row.sequence, _a.c.vendor_batch_id.is_(None))
    latest = conn.execute(select(_a).where(*where)).first()
    if latest is not None and latest.state not in {Attempt.NOT_SENT, Attempt.REFUSED}:
        return int(row.sequence)
    sequence = int(row.sequence) + 1
    conn.execute(
        insert(_a).values(
            batch_key=row.batch_key, sequence=sequence, state=Attempt.SUBMITTED,
            # Lost at the API and found under another id, it was charged before.
            reason="operator" if row.attempts and row.next_reason == "first" else row.next_reason,
            credits=row.rows, fingerprint="", owner="operator", bucket_level=0, reserved_at=now,
        )
    )  # fmt: skip
    return sequence


def _charged(conn: Connection, batch_key: str) -> int:
    """Attempts of a batch that were charged or may have been."""
    where = (_a.c.batch_key == batch_key, _a.c.state.in_(CHARGED_ATTEMPTS))
    return int(conn.execute(select(func.count()).select_from(_a).where(*where)).scalar_one())


def require(row: Any, *states: State) -> None:
    """Raise EnrichError, in words for a person, unless the batch is in one of these states."""
    if row.state not in states:
        raise EnrichError(
            f"batch {row.batch_key} is {row.state}, not {' or '.join(states)}",
            hint="`enrich status` shows what waits for a person, and what happens next to the others.",
        )


def record(conn: Connection, now: datetime, who: str, action: str, batch_key: str | None, why: str) -> None:
    """Write down what a person did, inside the caller's transaction."""
    conn.execute(insert(schema.operator_actions).values(at=now, who=who, action=action, batch_key=batch_key, why=why))
    point("operator.before_commit")
