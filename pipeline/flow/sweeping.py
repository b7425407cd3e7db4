"""Tidying up: dead senders, batches whose fate is unknown, files of no revision, webhooks that were switched off."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from pipeline.api.client import ApiClient
from pipeline.flow.late import find_late
from pipeline.flow.recovering import RecoveryReport, recover
from pipeline.flow.senders import recover_dead_senders
from pipeline.flow.turn import sender
from pipeline.flow.webhooks import Kept, ensure_enabled
from pipeline.flow.workspace import Workspace
from pipeline.lake import files
from pipeline.ledger import schema

ORPHAN_AGE = timedelta(days=1)
"""Files of no revision are removed when older: far longer than any step takes from writing to committing."""


@dataclass(frozen=True, slots=True)
class SweepReport:
    """Counts of what was found."""

    dead_senders: int
    recovery: RecoveryReport
    charged_twice: int
    orphans: int
    webhooks: Kept


def sweep(ws: Workspace, client: ApiClient) -> SweepReport:
    """Do it all once. Raises ApiError when the API's list is needed and cannot be had."""
    dead = recover_senders(ws) or 0
    recovery, late, orphans = recover(ws, client), find_late(ws, client), remove_orphans(ws)
    return SweepReport(dead, recovery, len(late), orphans, ensure_enabled(ws, client))


def recover_senders(ws: Workspace) -> int | None:
    """Find batches whose sending process died; returns how many, or None when somebody is sending right now."""
    with sender(ws) as turn:
        return recover_dead_senders(ws, turn) if turn else None


def remove_orphans(ws: Workspace) -> int:
    """Remove lake files that the manifest never knew, and scratch folders of dead steps."""
    known = {row.path for row in ws.ledger.rows(select(schema.manifest_files.c.path))}
    gone = files.remove(ws.lake, files.orphans(ws.lake, known, ORPHAN_AGE)) if ws.lake.is_dir() else 0
    scratch = ws.home / "tmp"
    horizon = time.time() - ORPHAN_AGE.total_seconds()
    for folder in scratch.iterdir() if scratch.is_dir() else ():
        with suppress(FileNotFoundError):  # a step has ended, and taken its own away, since they were listed
            if folder.stat().st_mtime < horizon:
                shutil.rmtree(folder, ignore_errors=True)
    return gone
