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
    "ingest.before_commit",
    "ingest.after_commit",
    "plan.before_commit",
    "plan.after_commit",
    "holders.after_create",
    "submit.before_reserve",
    "submit.after_reserve",
    "submit.before_release",
    "submit.after_release",
    "submit.after_answer",
    "submit.after_record",
    "watch.after_report",
    "collect.after_download",
    "collect.after_archive",
    "collect.after_write",
    "collect.after_commit",
    "collect.before_event",
    "publish.before_swap",
    "publish.after_swap",
)
"""Every point, in the order of a batch's life."""


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
