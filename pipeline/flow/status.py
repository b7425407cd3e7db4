"""What is where, since when, what it costs, and what happens next: the operator's view of a data folder. Reads."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, func, select

from pipeline.flow.health import health
from pipeline.flow.progress import progress
from pipeline.flow.workspace import Workspace
from pipeline.ledger import api_calls, batches, circuit, holders, manifest, recurrence, schema, sending
from pipeline.ledger import credits as bucket
from pipeline.ledger.due import is_due
from pipeline.ledger.states import IN_FLIGHT, ROW_STATE, Attempt, State

MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class Spending:
    """Credits: one per item. `at_risk` are those of attempts whose fate is unknown; they are part of `spent`."""

    spent: int
    today: int
    this_month: int
    at_risk: int
    for_nothing: int
    """Charged for batches that ended in error."""
    charged_twice: int
    in_bucket: int
    cap_day: int | None
    cap_month: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """Counts by state, credits, and one sentence for each thing that happens next or waits for a person."""

    source: str
    home: str
    revision: int
    published_revision: int
    rows_by_state: dict[str, int]
    rows_rejected: int
    """Rows of the files that were refused; `rejected_rows` says why."""
    batches: dict[str, tuple[int, int]]
    since: dict[str, datetime]
    """State to when the first of its batches entered it (naive UTC)."""
    credits_spent: int
    credits_level: int
    spending: Spending
    api_calls: int
    api_calls_per_landed_batch: float | None
    """Without those that create account holders, which come once for each holder."""
    recurrence: recurrence.Counts
    needs: list[str]
    next_steps: list[str]
    needs_person: bool

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return dataclasses.asdict(self)


def read_status(ws: Workspace) -> Status:
    """Read it all. Costs a few milliseconds: counts come from the manifest and the ledger, not from the rows."""
    by_state = batches.counts_by_state(ws.ledger)
    spending, calls = _spending(ws), _calls(ws)
    head = manifest.head(ws.ledger)
    needs = _needs(ws, spending)
    b = schema.batches
    since = ws.ledger.rows(select(b.c.state, func.min(b.c.state_since)).group_by(b.c.state).order_by(b.c.state))
    return Status(
        source=ws.settings.source,
        home=str(ws.home),
        revision=head.revision,
        published_revision=head.published_revision,
        rows_by_state=rows_by_state(ws),
        rows_rejected=_rejected(ws),
        batches=dict(sorted(by_state.items())),
        since={str(state): moment for state, moment in since},
        credits_spent=spending.spent,
        credits_level=spending.in_bucket,
        spending=spending,
        api_calls=calls.total,
        api_calls_per_landed_batch=calls.per_landed,
        recurrence=recurrence.counts(ws.ledger),
        needs=needs,
        next_steps=_next(ws, blocked=bool(_obstacles(ws))),
        needs_person=bool(needs),
    )


def _spending(ws: Workspace) -> Spending:
    a, now = schema.attempts, ws.ledger.now()
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with ws.ledger.read() as conn:
        return Spending(
            spent=sending.spent(conn),
            today=sending.spent(conn, a.c.reserved_at >= day),
            this_month=sending.spent(conn, a.c.reserved_at >= day.replace(day=1)),
            at_risk=sending.spent(conn, a.c.state.in_([Attempt.SENDING, Attempt.UNCONFIRMED])),
            for_nothing=sending.spent(conn, a.c.state == Attempt.ERRORED),
            charged_twice=sending.spent(conn, a.c.error == sending.DOUBLE_CHARGE),
            in_bucket=int(bucket.level(conn, ws.bucket, now=now)),
            cap_day=ws.settings.spend_cap_day,
            cap_month=ws.settings.spend_cap_month,
        )


def _calls(ws: Workspace) -> api_calls.Calls:
    with ws.ledger.read() as conn:
        return api_calls.counted(conn)


def rows_by_state(ws: Workspace) -> dict[str, int]:
    """Accepted rows by the state that `transactions` shows, from the manifest's counts; item errors count as landed."""
    f, b = schema.manifest_files, schema.batches
    state = case((f.c.kind == "plan", b.c.state), else_=f.c.kind)
    query = (
        select(state, func.sum(f.c.rows))
        .join_from(f, b, f.c.batch_key == b.c.batch_key, isouter=True)
        .where(f.c.removed_revision.is_(None), f.c.kind.in_(["waiting", "plan", "transactions"]))
        .group_by(state)
    )
    names = {"waiting": "waiting", "transactions": "landed"}
    counts: Counter[str] = Counter()
    for what, rows in ws.ledger.rows(query):
        counts[names.get(what) or ROW_STATE.get(State(what), IN_FLIGHT)] += int(rows)
    return dict(counts)


def _rejected(ws: Workspace) -> int:
    return int(ws.ledger.rows(select(func.coalesce(func.sum(schema.source_files.c.rejected), 0)))[0][0])


def _needs(ws: Workspace, spending: Spending) -> list[str]:
    """What waits for a person, each in one sentence with what to type."""
    report = health(ws)
    needs = [
        f"{key} is held: {why} → `enrich retry {key}` or `enrich release {key}`" for key, why in report.held.items()
    ]
    quarantined = batches.in_states(ws.ledger, State.QUARANTINED)
    if quarantined:
        rows = sum(row.rows for row in quarantined)
        needs.append(
            f"quarantined: {rows} of the rows, in batches such as {quarantined[0].batch_key}:"
            f" {quarantined[0].reason} → `enrich retry {quarantined[0].batch_key}` tries again"
        )
    needs += _obstacles(ws)
    needs += [f"{key} is overdue; it is watched, and landed when it ends" for key in report.overdue]
    if spending.charged_twice:
        needs.append(
            f"{spending.charged_twice} credits were charged twice: a batch was listed later than ENRICH_GRACE allows"
        )
    return needs


def _obstacles(ws: Workspace) -> list[str]:
    """What keeps planned batches from being sent and does not pass by itself: the circuit, or a cap."""
    planned = batches.in_states(ws.ledger, State.PLANNED)
    with ws.ledger.read() as conn:
        opened = circuit.opened(conn)
        if opened is not None:
            since = f"{opened.opened_at:%Y-%m-%d %H:%M} UTC"
            if opened.kind == circuit.RESTORED:  # it says itself what to do, and no batch is let through
                return [f"nothing is sent since {since}: {opened.reason}"]
            then = f"a batch tries again after {opened.probe_after:%H:%M:%S} UTC, or after `enrich doctor`"
            return [f"nothing is sent since {since}: {opened.reason}; {then}"]
        if not planned:
            return []
        why = sending.obstacle(conn, ws.limits, planned[0].rows, now=ws.ledger.now(), run_id=None)
    return [f"{planned[0].batch_key} is not sent: {why}"] if why else []


def _next(ws: Workspace, *, blocked: bool) -> list[str]:
    """What happens by itself, oldest first. Planned batches are not sent while something keeps all of them back."""
    planned = () if blocked else (State.PLANNED,)
    rows = batches.in_states(ws.ledger, *planned, State.UNCONFIRMED, State.SUBMITTED, State.COMPLETED)
    lines = [_sentence(ws, row) for row in rows[:MOST_LINES]]
    if len(rows) > MOST_LINES:
        lines.append(f"… and so on for {len(rows) - MOST_LINES} more batches")
    waiting = holders.counts(ws.ledger).get(holders.WANTED, 0)
    if waiting:
        lines.append(f"{waiting} account holders are created")
    with ws.ledger.read() as conn:
        until = bucket.not_before(conn, now=ws.ledger.now(), longest=ws.ledger.longest.retry)
    if until is not None:
        lines.append(f"the API asked for patience (429): nothing is sent before {until:%H:%M:%S} UTC")
    return lines


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _sentence(ws: Workspace, row: Any) -> str:
    key, now = row.batch_key, ws.ledger.now()
    later = not is_due(row.next_attempt_at, now, ws.ledger.longest.retry)
    when = f"not before {row.next_attempt_at:%H:%M:%S} UTC" if later else "next"
    why = f" ({row.reason})" if row.reason else ""
    if row.state == State.PLANNED:
        return f"{key} is sent {when}{why}"
    if row.state == State.SUBMITTED:
        going = progress(row, now)
        left = "" if going.seconds_left is None else f", some {_duration(going.seconds_left)} left"
        return f"{key} is processing: {going.done:,} of {row.rows:,} since {row.state_since:%H:%M:%S} UTC{left}"
    if row.state == State.UNCONFIRMED:
        absent = row.state_since + timedelta(seconds=ws.settings.scaled(ws.settings.grace))
        return (
            f"{key} is looked for in the API's list, and sent again if it is not there after {absent:%H:%M:%S} UTC{why}"
        )
    return f"{key} is fetched and landed {when}{why}"
