"""Open batches watched: the events that webhooks brought first, then one list call for all of them.

Single GETs only for those that an event names or that the list does not show any more. Only reports: what follows from
a batch's end is the ledger's decision and another step's work.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pipeline.api.client import ApiClient
from pipeline.api.errors import ApiError, NotFound
from pipeline.api.models import Batch, classify
from pipeline.crashpoints import point
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches, inbox, outcomes
from pipeline.ledger.states import State

EVENTS_AT_ONCE = 500
EVENT_PATIENCE = timedelta(minutes=10)
"""On the API's clock: so long an event of a batch that nobody knows may be that of a submission under way."""

_UNSETTLED = (State.RESERVED, State.SENDING, State.UNCONFIRMED)


@dataclass(slots=True)
class WatchReport:
    """What one look showed: keys that completed and that ended in error, how many are open, and troubles by key."""

    completed: list[str] = field(default_factory=list)
    errored: list[str] = field(default_factory=list)
    open: int = 0
    troubles: dict[str, str] = field(default_factory=dict)
    progressed: list[str] = field(default_factory=list)
    """Open ones that have passed another tenth of their items."""
    lookups: int = 0
    left: int = 0
    """Batches for which no time was left; they come first at the next look."""
    strangers: int = 0
    """Events of batches that nobody knows yet: an unconfirmed submission may be among them."""


def watch(ws: Workspace, client: ApiClient, *, until: float | None = None) -> WatchReport:
    """Look at every submitted batch once, or at as many as there is time for until then (`time.monotonic`).

    One batch that cannot be read does not stop the others. Raises ApiError when the list itself cannot be had, or
    when every single lookup failed.
    """
    report = WatchReport()
    rows = batches.in_states(ws.ledger, State.SUBMITTED)
    if not rows:
        return report
    processing = {batch.id: batch for batch in client.iter_batches(status="processing")}
    seen = {row: processing[row.vendor_batch_id] for row in rows if row.vendor_batch_id in processing}
    report.open = len(seen)
    report.progressed = [row.batch_key for row, batch in seen.items() if _tenth(row, batch.progress) > _tenth(row)]
    outcomes.note_progress(ws.ledger, {batch.id: batch.progress for batch in seen.values()})
    vanished = [row for row in rows if row not in seen]
    _look_at(ws, client, vanished, report, until)
    return report


def take_events(ws: Workspace, client: ApiClient, *, until: float | None = None) -> WatchReport:
    """Look at the batches that webhook events name, whatever the events say of them, and take the events.

    An event is a hint: the batch's state comes from an authenticated GET. One whose batch could not be read stays.
    Raises ApiError when every lookup failed.
    """
    report = WatchReport()
    by_batch = defaultdict(list)
    waiting = inbox.waiting(ws.ledger, EVENTS_AT_ONCE)
    for event in waiting:
        by_batch[event.vendor_batch_id].append(event.event_id)
    if not by_batch:
        return report
    known = batches.by_vendor_ids(ws.ledger, [vendor_id for vendor_id in by_batch if vendor_id])
    _take_strangers(ws, [event for event in waiting if event.vendor_batch_id not in known], report)
    rows = [row for vendor_id, row in known.items() if _is_open(row, vendor_id)]
    settled = [
        event for vendor_id, row in known.items() if not _is_open(row, vendor_id) for event in by_batch[vendor_id]
    ]
    inbox.take(ws.ledger, settled, "known already")
    looked = _look_at(ws, client, rows, report, until)
    for row, what in looked.items():
        inbox.take(ws.ledger, by_batch[row.vendor_batch_id], what)
    return report


def _is_open(row: Any, vendor_id: str) -> bool:
    """Whether this is the attempt that the batch waits for, and not an earlier one."""
    return bool(row.state == State.SUBMITTED and row.vendor_batch_id == vendor_id)


def _take_strangers(ws: Workspace, events: Sequence[Any], report: WatchReport) -> None:
    """Events of batches of other systems on the key; or of ours, whose submission is not recorded yet."""
    horizon = ws.ledger.now() - EVENT_PATIENCE / ws.settings.speed
    may_be_ours = bool(batches.in_states(ws.ledger, *_UNSETTLED))
    kept = {event.event_id for event in events if may_be_ours and event.received_at > horizon}
    report.strangers = len(kept)
    inbox.take(ws.ledger, {event.event_id for event in events} - kept, "unknown batch")


def _look_at(
    ws: Workspace, client: ApiClient, rows: Sequence[Any], report: WatchReport, until: float | None
) -> dict[Any, str]:
    """GET these batches one by one; returns what was found, by row, of those that could be read.

    Those looked at longest ago first, so that none starves where the time is never enough for all.
    """
    found: dict[Any, str] = {}
    failure: ApiError | None = None
    for row in sorted(rows, key=lambda row: (row.looked_at is not None, row.looked_at)):
        if report.lookups and until is not None and time.monotonic() > until:
            report.left += 1
            continue
        report.lookups += 1
        try:
            batch = client.get_batch(row.vendor_batch_id)
        except ApiError as error:
            report.open += 1
            report.troubles[row.batch_key] = str(error)
            outcomes.looked_at(ws.ledger, row.batch_key)
            if isinstance(error, NotFound):
                _hold_if_lost(ws, row)
                found[row] = "not found"
            else:
                failure = error
        else:
            found[row] = batch.status
            _report(ws, row.batch_key, batch, report)
    if failure is not None and not found:
        raise failure
    return found


def _hold_if_lost(ws: Workspace, row: Any) -> None:
    """A batch that answers 404 for longer than the grace will not come back; a list or a create may lag until then."""
    age = (ws.ledger.now() - row.state_since).total_seconds()
    if age > ws.settings.scaled(ws.settings.grace):
        reason = f"the API does not know {row.vendor_batch_id} any more; `enrich retry` looks again"
        outcomes.lost(ws.ledger, row.batch_key, reason=reason)


def _tenth(row: Any, progress: int | None = None) -> int:
    done = row.progress if progress is None else progress
    return int(10 * min(done or 0, row.rows) // row.rows)


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
