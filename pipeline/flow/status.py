"""What is where, since when, and what happens next: the operator's view of one data folder. Reads only."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pipeline.flow.health import health
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches, circuit, holders, manifest, sending
from pipeline.ledger import credits as bucket
from pipeline.ledger.states import IN_FLIGHT, ROW_STATE, State

OVERDUE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Status:
    """Counts by state, credits, and one sentence for each thing that happens next or waits for a person."""

    source: str
    home: str
    revision: int
    rows_by_state: dict[str, int]
    batches: dict[str, tuple[int, int]]
    credits_spent: int
    credits_level: int
    next_steps: list[str]
    needs_person: bool

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return dataclasses.asdict(self)


def read_status(ws: Workspace) -> Status:
    """Read it all. Costs a few milliseconds: counts come from the manifest and the ledger, not from the rows."""
    by_state = batches.counts_by_state(ws.ledger)
    report = health(ws, overdue_after=OVERDUE)
    with ws.ledger.read() as conn:
        spent = sending.spent(conn)
        level = bucket.level(conn, ws.bucket, now=ws.ledger.now())
        open_circuit = circuit.opened(conn)
    needs = [
        f"{key} is held: {why} → `enrich retry {key}` or `enrich release {key}`" for key, why in report.held.items()
    ]
    if open_circuit is not None:
        needs.append(f"nothing is sent since {open_circuit.opened_at:%Y-%m-%d %H:%M} UTC: {open_circuit.reason}")
    needs += [f"{key} is overdue" for key in report.overdue]
    return Status(
        source=ws.settings.source,
        home=str(ws.home),
        revision=manifest.head(ws.ledger).revision,
        rows_by_state=rows_by_state(ws),
        batches=dict(sorted(by_state.items())),
        credits_spent=spent,
        credits_level=int(level),
        next_steps=needs + _next(ws),
        needs_person=bool(needs),
    )


def rows_by_state(ws: Workspace) -> dict[str, int]:
    """Accepted rows by the state that `transactions` shows, from the manifest's counts; item errors count as landed."""
    counts: Counter[str] = Counter()
    with ws.ledger.read() as conn:
        live = manifest.live(conn, "waiting", "plan", "transactions")
    states = {row.batch_key: row.state for row in batches.in_states(ws.ledger, *State)}
    for row in live:
        if row.kind == "waiting":
            counts["waiting"] += row.rows
        elif row.kind == "transactions":
            counts["landed"] += row.rows
        else:
            counts[ROW_STATE.get(State(states[row.batch_key]), IN_FLIGHT)] += row.rows
    return dict(counts)


def _next(ws: Workspace) -> list[str]:
    lines = []
    for row in batches.in_states(ws.ledger, State.PLANNED, State.UNCONFIRMED, State.SUBMITTED, State.COMPLETED):
        if row.state == State.PLANNED:
            when = f" not before {row.next_attempt_at:%H:%M:%S} UTC" if row.next_attempt_at else " next"
            why = f" ({row.reason})" if row.reason else ""
            lines.append(f"{row.batch_key} is sent{when}{why}")
        elif row.state == State.SUBMITTED:
            since = f"{row.state_since:%H:%M:%S} UTC"
            lines.append(f"{row.batch_key} is processing: {row.progress or 0:,} of {row.rows:,} since {since}")
        elif row.state == State.UNCONFIRMED:
            lines.append(f"{row.batch_key} is looked for in the API's list: {row.reason}")
        else:
            lines.append(f"{row.batch_key} is fetched and landed")
    waiting = holders.counts(ws.ledger).get(holders.WANTED, 0)
    if waiting:
        lines.append(f"{waiting} account holders are created")
    return lines[:20]
