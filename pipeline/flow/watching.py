"""Open batches watched with one list call; single GETs only for those that the list did not show.

Only reports: what follows from a batch's end is the ledger's decision and another step's work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.api.client import ApiClient
from pipeline.api.errors import ApiError, NotFound
from pipeline.api.models import Batch, classify
from pipeline.crashpoints import point
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches, outcomes
from pipeline.ledger.states import State


@dataclass(slots=True)
class WatchReport:
    """What one look showed: keys that completed and that ended in error, how many are open, and troubles by key."""

    completed: list[str] = field(default_factory=list)
    errored: list[str] = field(default_factory=list)
    open: int = 0
    troubles: dict[str, str] = field(default_factory=dict)


def watch(ws: Workspace, client: ApiClient) -> WatchReport:
    """Look at every submitted batch once.

    One batch that cannot be read does not stop the others. Raises ApiError when the list itself cannot be had.
    """
    report = WatchReport()
    rows = batches.in_states(ws.ledger, State.SUBMITTED)
    if not rows:
        return report
    processing = {batch.id: batch for batch in client.iter_batches(status="processing")}
    for row in rows:
        try:
            batch = processing.get(row.vendor_batch_id) or client.get_batch(row.vendor_batch_id)
        except ApiError as error:
            report.open += 1
            report.troubles[row.batch_key] = str(error)
            _hold_if_lost(ws, row, error)
            continue
        _report(ws, row.batch_key, batch, report)
    return report


def _hold_if_lost(ws: Workspace, row: Any, error: ApiError) -> None:
    """A batch that answers 404 for longer than the grace will not come back; a list or a create may lag until then."""
    age = (ws.ledger.now() - row.state_since).total_seconds()
    if isinstance(error, NotFound) and age > ws.settings.scaled(ws.settings.grace):
        reason = f"the API does not know {row.vendor_batch_id} any more; `enrich retry` looks again"
        outcomes.lost(ws.ledger, row.batch_key, reason=reason)


def _report(ws: Workspace, key: str, batch: Batch, report: WatchReport) -> None:
    s = ws.settings
    point("watch.before_report")
    moved = outcomes.report(
        ws.ledger, batch.id, classify(batch.status), progress=batch.progress, outage_after=s.outage_after,
        probe_seconds=s.scaled(s.backoff_base),
    )  # fmt: skip
    point("watch.after_report")
    if moved is State.COMPLETED:
        report.completed.append(key)
    elif moved is State.ERRORED:
        report.errored.append(key)
    elif moved is None:
        report.open += 1
