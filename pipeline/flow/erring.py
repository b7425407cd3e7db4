"""What a batch in error becomes: sent again, looked into by halves, its one item set aside, or held for a person.

First whole retries, for the API says that they often help. Then bisection, but only when the API works for others: an
outage would otherwise be taken for bad items, and paid for item by item. So without a batch that completed meanwhile
the circuit opens, and a single item goes first as a probe.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from pipeline.crashpoints import point
from pipeline.flow.backoff import backoff
from pipeline.flow.plan_files import Made, Part, plan_file, read_plan, with_children
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches, outcomes
from pipeline.ledger.claims import Claim
from pipeline.ledger.states import State

LONE_TRIES = 4
"""Further tries of a single item while nothing else is sent that would tell an outage from a bad item: an hour."""


def answer_error(ws: Workspace, claim: Claim, row: Any) -> tuple[State, str]:
    """Decide for one batch in error, which the caller has claimed. Returns its new state and the reason.

    Raises LostClaimError when the batch is another step's by now.
    """
    with ws.ledger.read() as conn:
        healthy = outcomes.is_healthy(conn, row.batch_key, outage_after=ws.settings.outage_after)
        spent = outcomes.spent_looking(conn, row.root_key)
        whole = batches.get(conn, row.root_key).rows
    if row.attempts < row.attempts_allowed:
        return _again(ws, claim, row, f"attempt {row.attempts} of {row.attempts_allowed} ended in error")
    if row.rows == 1:
        return _alone(ws, claim, row, healthy=healthy)
    budget = int(ws.settings.probe_budget * whole)
    if spent + row.rows > budget:
        reason = (
            f"{row.attempts} attempts ended in error, and halving it once more would take the cost of finding the items"
            f" at fault to {spent + row.rows} credits, over the {budget} of ENRICH_PROBE_BUDGET"
        )
        outcomes.hold_errored(ws.ledger, claim, reason=reason)
        return State.HELD, reason
    return _halve(ws, claim, row, healthy=healthy)


def _again(ws: Workspace, claim: Claim, row: Any, reason: str, *, grant: int = 0) -> tuple[State, str]:
    s = ws.settings
    wait = s.scaled(backoff(s.backoff_base, row.attempts, s.backoff_max))
    point("again.before_commit")
    outcomes.plan_again(ws.ledger, claim, retry_at=ws.later(wait), reason=reason, grant=grant)
    point("again.after_commit")
    return State.PLANNED, reason


def _alone(ws: Workspace, claim: Claim, row: Any, *, healthy: bool) -> tuple[State, str]:
    """One item. It is at fault only if the API worked for others meanwhile; else nobody knows, and it goes again."""
    if not healthy and row.attempts < ws.settings.max_attempts + LONE_TRIES:
        return _again(ws, claim, row, "it ended in error, and nothing else completed meanwhile", grant=1)
    others = "while others completed" if healthy else "with none to compare with"
    reason = f"{row.attempts} batches of this one item ended in error, {others}; the last was {row.vendor_batch_id}"
    point("quarantine.before_commit")
    outcomes.quarantine(ws.ledger, claim, reason=reason)
    point("quarantine.after_commit")
    return State.QUARANTINED, reason


def _halve(ws: Workspace, claim: Claim, row: Any, *, healthy: bool) -> tuple[State, str]:
    rows = read_plan(ws, row.batch_key)
    parts = halves(rows) if healthy else [rows.head(1), *halves(rows.tail(rows.height - 1))]
    reason = f"{row.attempts} attempts ended in error; its {row.rows} items go on in {len(parts)} batches"
    outage = None if healthy else "a batch failed again and again while none completed; the API may be failing"
    _split(ws, claim, row, State.ERRORED, [_part(ws, part, "split", reason) for part in parts], reason, outage)
    return State.SPLIT, reason


def split_by_size(ws: Workspace, claim: Claim, row: Any, reason: str) -> None:
    """A planned batch that is too large for one request: its halves are sent instead. Nothing was charged for it."""
    parts = [_part(ws, part, row.next_reason, reason) for part in halves(read_plan(ws, row.batch_key))]
    _split(ws, claim, row, State.PLANNED, parts, reason)


def set_aside(ws: Workspace, claim: Claim, row: Any, positions: set[int], reason: str) -> None:
    """A planned batch that was refused for some of its items: these are quarantined, the others are sent.

    `positions` are indexes in the request, as the API names them. Nothing was charged for it.
    """
    rows = read_plan(ws, row.batch_key)
    bad = pl.col("position").is_in(sorted(positions))
    parts = [Part(rows.filter(bad), row.next_reason, ws.settings.max_attempts, State.QUARANTINED, reason)]
    if (good := rows.filter(~bad)).height:
        parts.append(_part(ws, good, row.next_reason, "the rest of a batch that was refused for some of its items"))
    _split(ws, claim, row, State.PLANNED, parts, reason)


def halves(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """The rows in two parts, the first the larger one; one row is one part."""
    middle = (rows.height + 1) // 2
    return [part for part in (rows.head(middle), rows.tail(rows.height - middle)) if part.height]


def _part(ws: Workspace, rows: pl.DataFrame, next_reason: str, reason: str) -> Part:
    # A half is not sent twice, since a quarter of it tells more for less; a single item is, since it is set aside then.
    allowed = 1 if rows.height > 1 and next_reason == "split" else ws.settings.max_attempts
    return Part(rows, next_reason, allowed, reason=reason)


def _split(
    ws: Workspace, claim: Claim, row: Any, frm: State, parts: list[Part], reason: str, outage: str | None = None
) -> None:
    plan = plan_file(ws, row.batch_key)

    def commit(made: Made) -> None:
        outcomes.split(
            ws.ledger, claim, frm, made.batches, add=made.files, remove=[plan.path], reason=reason, outage=outage,
            probe_seconds=ws.settings.scaled(ws.settings.backoff_base),
        )  # fmt: skip

    with_children(ws, row, parts, commit)
    point("split.after_commit")
