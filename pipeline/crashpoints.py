"""Named places in the code at which a test lets a real process die by SIGKILL.

Off unless ENRICH_CRASH_AT names one, as `name` or `name:3` for the third time that it is passed. A kill at a random
moment seldom hits the gap between two commits; these hit each of them every time.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_passed: Counter[str] = Counter()

POINTS = (
    "file.before_rename",
    "file.after_rename",
    "ingest.after_archive",
    "ingest.before_commit",
    "ingest.after_commit",
    "inbox.before_move",
    "inbox.after_move",
    "plan.before_commit",
    "plan.after_commit",
    "holders.after_create",
    "holders.after_confirm",
    "dispatch.before_commit",
    "dispatch.after_commit",
    "submit.before_reserve",
    "submit.after_reserve",
    "submit.after_journal",
    "submit.before_release",
    "submit.after_note",
    "submit.after_release",
    "submit.after_answer",
    "submit.after_record",
    "refused.before_commit",
    "refused.after_commit",
    "unconfirmed.before_commit",
    "unconfirmed.after_commit",
    "unsent.before_commit",
    "unsent.after_commit",
    "fence.before_commit",
    "fence.after_commit",
    "recover.before_adopt",
    "recover.after_adopt",
    "recover.before_absent",
    "recover.after_absent",
    "watch.before_report",
    "watch.after_report",
    "again.before_commit",
    "again.after_commit",
    "quarantine.before_commit",
    "quarantine.after_commit",
    "children.after_write",
    "split.after_commit",
    "collect.after_download",
    "collect.after_archive",
    "collect.before_record",
    "collect.after_record",
    "collect.after_later",
    "singles.after_archive",
    "singles.after_record",
    "collect.after_write",
    "collect.after_commit",
    "collect.before_event",
    "outbox.before_event",
    "outbox.after_event",
    "publish.after_verified",
    "publish.before_swap",
    "publish.after_swap",
    "publish.before_mark",
    "publish.after_mark",
    "operator.before_commit",
    "operator.after_commit",
)
"""Every point of a batch's life, in its order; tests/crash kills processes at each of them."""

BACKUP_POINTS = (
    "backup.after_ledger",
    "backup.before_note",
    "backup.after_note",
    "backup.after_file",
    "restore.after_file",
    "restore.after_journal",
    "restore.after_aside",
    "restore.after_ledger",
)
"""Those of `enrich backup | restore`; tests/flow/test_backup.py kills processes at them."""

REFRESH_POINTS = ("recurrence.after_claim", "recurrence.after_archive", "recurrence.after_commit")
"""Those of a refresh of recurring groups; tests/flow/test_recurrence.py kills processes at them."""


def point(name: str) -> None:
    """Die here if that was asked for."""
    wanted = os.environ.get("ENRICH_CRASH_AT")
    if not wanted:
        return
    target, _, nth = wanted.partition(":")
    if target != name:
        return
    _passed[name] += 1
    if _passed[name] == int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
