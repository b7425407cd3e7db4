"""What the API says of a submitted batch, and what follows: progress, completed, errored, landed, held.

Webhook and poller only report; the ledger decides here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import insert, select, update

from pipeline.errors import EnrichError
from pipeline.ledger import batches, manifest, schema
from pipeline.ledger.batches import Claim
from pipeline.ledger.db import Ledger
from pipeline.ledger.manifest import NewFile
from pipeline.ledger.states import Attempt, State

_a = schema.attempts
_b = schema.batches


def report(ledger: Ledger, vendor_batch_id: str, verdict: str, *, progress: int | None) -> State | None:
    """Record a look at an open batch; `verdict` is `done`, `failed` or `waiting`.

    Returns the state it moved to, or None where nothing changed: a second report of the same end has no effect.
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
        return to


def submitted_at(ledger: Ledger, batch_key: str, sequence: int) -> datetime:
    """When the answer to this attempt was recorded (naive UTC)."""
    where = (_a.c.batch_key == batch_key, _a.c.sequence == sequence)
    ((moment,),) = ledger.rows(select(_a.c.submitted_at).where(*where))
    return cast("datetime", moment)


def after_error(ledger: Ledger, claim: Claim, *, retry_at: datetime) -> State:
    """errored → planned with back-off, or → held when its attempts are used up. Returns which."""
    now = ledger.now()
    with ledger.write() as conn:
        row = batches.get(conn, claim.batch_key)
        if row.attempts < row.attempts_allowed:
            batches.move(
                conn, claim.batch_key, State.ERRORED, State.PLANNED, now=now, claim=claim, next_reason="batch_error",
                next_attempt_at=retry_at, reason=f"attempt {row.attempts} of {row.attempts_allowed} ended in error",
            )  # fmt: skip
            to = State.PLANNED
        else:
            batches.move(
                conn, claim.batch_key, State.ERRORED, State.HELD, now=now, claim=claim, held_from=State.PLANNED,
                next_reason="batch_error",
                reason=f"{row.attempts} attempts ended in error; `enrich retry {claim.batch_key}` grants another",
            )  # fmt: skip
            to = State.HELD
        manifest.touch(conn)
    return to


def land(
    ledger: Ledger, claim: Claim, *, add: Sequence[NewFile], remove: Sequence[str], version: int, archive_path: str
) -> int:
    """completed → landed in one transaction with the manifest. Before it the files are orphans, after it the truth."""
    now = ledger.now()
    with ledger.write() as conn:
        revision = manifest.commit(conn, add=add, remove=remove, now=now)
        batches.move(
            conn, claim.batch_key, State.COMPLETED, State.LANDED, now=now, claim=claim, landed_version=version,
            landed_at=now, archive_path=archive_path, reason=None,
        )  # fmt: skip
    return revision


def collect_failed(ledger: Ledger, claim: Claim, *, error: str, tries_allowed: int, retry_at: datetime) -> State:
    """A completed batch whose results could not be had or read: try again later, or hold it with the reason."""
    now = ledger.now()
    with ledger.write() as conn:
        row = batches.get(conn, claim.batch_key)
        tries = row.collect_tries + 1
        if tries >= tries_allowed:
            batches.move(
                conn, claim.batch_key, State.COMPLETED, State.HELD, now=now, claim=claim, held_from=State.COMPLETED,
                collect_tries=tries, reason=error,
            )  # fmt: skip
            manifest.touch(conn)
            return State.HELD
        conn.execute(
            update(_b)
            .where(_b.c.batch_key == claim.batch_key, _b.c.claim_fence == claim.fence)
            .values(collect_tries=tries, reason=error, next_attempt_at=retry_at)
        )
    return State.COMPLETED


def lost(ledger: Ledger, batch_key: str, *, reason: str) -> None:
    """submitted → held: the API does not know the batch any more. Never sent again without a person."""
    now = ledger.now()
    with ledger.write() as conn:
        batches.move(conn, batch_key, State.SUBMITTED, State.HELD, now=now, held_from=State.SUBMITTED, reason=reason)
        manifest.touch(conn)


def hold(ledger: Ledger, batch_key: str, *, who: str, why: str) -> None:
    """planned → held by a person; what is under way cannot be called back."""
    now = ledger.now()
    with ledger.write() as conn:
        batches.move(
            conn, batch_key, State.PLANNED, State.HELD, now=now, held_from=State.PLANNED, reason=f"{who}: {why}"
        )
        _act(conn, now, who, "hold", batch_key, why)
        manifest.touch(conn)


def hold_claimed(ledger: Ledger, claim: Claim, *, reason: str) -> None:
    """planned → held by the step that owns it, for a reason that no retry cures."""
    now = ledger.now()
    with ledger.write() as conn:
        batches.move(
            conn,
            claim.batch_key,
            State.PLANNED,
            State.HELD,
            now=now,
            claim=claim,
            held_from=State.PLANNED,
            reason=reason,
        )
        manifest.touch(conn)


def release_hold(ledger: Ledger, batch_key: str, *, who: str, why: str) -> State:
    """Undo `hold`: back to where it was held from, with no further attempt granted."""
    now = ledger.now()
    with ledger.write() as conn:
        row = batches.get(conn, batch_key)
        _require_held(row)
        to = State(row.held_from or State.PLANNED)
        if to is State.PLANNED and row.attempts >= row.attempts_allowed:
            raise EnrichError(
                f"batch {batch_key} has used up its {row.attempts} attempts",
                hint=f"`enrich retry {batch_key}` grants another, and charges its {row.rows} items again.",
            )
        batches.move(conn, batch_key, State.HELD, to, now=now, held_from=None, reason=None, collect_tries=0)
        _act(conn, now, who, "release", batch_key, why)
        manifest.touch(conn)
    return to


def retry(ledger: Ledger, batch_key: str, *, who: str, why: str) -> State:
    """Grant a held batch another attempt: sent again when it never had results, fetched again when it has."""
    now = ledger.now()
    with ledger.write() as conn:
        row = batches.get(conn, batch_key)
        _require_held(row)
        to = State(row.held_from or State.PLANNED)
        values: dict[str, Any] = {"held_from": None, "reason": None, "collect_tries": 0, "next_attempt_at": None}
        if to is State.PLANNED:
            values["attempts_allowed"] = max(row.attempts_allowed, row.attempts) + 1
            values["next_reason"] = "operator" if row.attempts else row.next_reason
        batches.move(conn, batch_key, State.HELD, to, now=now, **values)
        _act(conn, now, who, "retry", batch_key, why)
        manifest.touch(conn)
    return to


def _require_held(row: Any) -> None:
    if row.state != State.HELD:
        raise EnrichError(
            f"batch {row.batch_key} is {row.state}, not held",
            hint="Only a held batch waits for a person; `enrich status` shows what happens next.",
        )


def _act(conn: Any, now: datetime, who: str, action: str, batch_key: str, why: str) -> None:
    conn.execute(insert(schema.operator_actions).values(at=now, who=who, action=action, batch_key=batch_key, why=why))
