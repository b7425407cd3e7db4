"""Batches that turn up after they were proved absent or superseded, and sent again: charged twice, and named.

That can only happen past the assumptions of the promise: a request that arrived, or a list that lagged, for longer than
the grace. Nothing can be undone then; but a charge that nobody knows of would be worse.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from pipeline.api.client import ApiClient
from pipeline.api.errors import ApiError
from pipeline.api.models import classify
from pipeline.flow.plan_files import planned_ids
from pipeline.flow.recovering import WINDOW_MARGIN, claimed_ids, disown, ids_of, on_its_way, walk
from pipeline.flow.workspace import Workspace
from pipeline.ledger import schema, sending
from pipeline.ledger.states import Attempt

LOOK_BACK = timedelta(days=7)
"""How long after an attempt was proved absent its batch is looked for."""


def find_late(ws: Workspace, client: ApiClient) -> dict[str, str]:
    """Look for completed batches with the items of attempts that were proved absent, or superseded by a person's.

    Returns those that are charged twice by that, key to the API's batch id; one that was not sent again yet is adopted.

    Raises ApiError when the list cannot be walked.
    """
    found = _came_back(ws, client)
    absent = _absent(ws)
    if not absent:
        return found
    by_size: dict[int, list[Any]] = defaultdict(list)
    for attempt in absent:
        by_size[attempt.credits].append(attempt)
    since = min((attempt.server_clock or attempt.reserved_at) for attempt in absent) - WINDOW_MARGIN
    known = claimed_ids(ws)
    for batch in walk(client, since):
        if batch.id in known or batch.total not in by_size or classify(batch.status) != "done":
            continue
        ids = ids_of(ws, client, batch.id)
        if not ids or on_its_way(ws, batch, ids):
            continue
        for attempt in by_size[batch.total]:
            if ids <= planned_ids(ws, attempt.batch_key):
                if sending.late(ws.ledger, attempt.batch_key, attempt.sequence, batch.id):
                    found[attempt.batch_key] = batch.id
                by_size[batch.total].remove(attempt)
                break
        else:
            disown(ws, batch.id, "completed with other ids")
    return found


def _came_back(ws: Workspace, client: ApiClient) -> dict[str, str]:
    """Attempts that the API knew no more, a person had sent again, and that have completed after all."""
    a, found = schema.attempts, {}
    horizon = ws.ledger.now() - LOOK_BACK
    for attempt in ws.ledger.rows(select(a).where(a.c.state == Attempt.SUPERSEDED, a.c.finished_at > horizon)):
        try:
            there = client.get_batch(attempt.vendor_batch_id)
        except ApiError:  # it is looked for again with the next sweep
            continue
        if classify(there.status) == "done" and sending.came_back(ws.ledger, attempt.batch_key, attempt.sequence):
            found[attempt.batch_key] = attempt.vendor_batch_id
    return found


def _absent(ws: Workspace) -> list[Any]:
    a = schema.attempts
    horizon = ws.ledger.now() - LOOK_BACK
    # Proved absent, or given to a person without a proof: then it still counts as unconfirmed, and has an end.
    given_up = a.c.state.in_([Attempt.ABSENT, Attempt.UNCONFIRMED])
    return ws.ledger.rows(select(a).where(given_up, a.c.finished_at > horizon))
