"""What is deleted for age, so that a data folder does not grow with every revision: replaced Parquet files.

Kept for good: the ledger's rows and the archive (sources and raw answers), from which everything can be rebuilt.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import or_, select

from pipeline.flow.workspace import Workspace
from pipeline.lake import files
from pipeline.lake.publish import oldest_revision
from pipeline.ledger import inbox, manifest, schema
from pipeline.ledger.states import State

AT_ONCE = 1_000
"""Files of one commit: a write transaction of milliseconds."""


def remove_replaced(ws: Workspace) -> int:
    """Delete files that no revision of the warehouse refers to any more and that were replaced long enough ago.

    Returns how many. Publishing that has stalled for weeks keeps them: what analysts see still reads them.
    """
    oldest = oldest_revision(ws.home)
    if oldest is None:
        return 0
    before = ws.ledger.now() - timedelta(days=ws.settings.keep_replaced_days)
    removed = 0
    while paths := manifest.forget(ws.ledger, before=before, revision=oldest, limit=AT_ONCE):
        removed += files.remove(ws.lake, paths)
    return removed


def forget_events(ws: Workspace) -> int:
    """Forget webhook events that can be delivered again no more; returns how many."""
    return inbox.forget(ws.ledger, ws.later(-ws.settings.webhook_keep))


def settled_before(ws: Workspace, *, days: float) -> set[str]:
    """Batches that landed, or were split, longer ago than that, and of which Dagster was told."""
    b, horizon = schema.batches, ws.ledger.now() - timedelta(days=days)
    reported = or_(b.c.landed_version.is_(None), b.c.reported_version >= b.c.landed_version)
    query = select(b.c.batch_key).where(
        b.c.state.in_([State.LANDED, State.SPLIT]), b.c.state_since < horizon, reported
    )  # fmt: skip
    return {row.batch_key for row in ws.ledger.rows(query)}
