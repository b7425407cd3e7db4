"""Every play: which scene, played how, from where on, and where its processes die."""

from __future__ import annotations

import os
from dataclasses import dataclass

from scenes import ERRORS, GONE, ITEMS, LOST, PLAIN, REFUSED, Scene

WAYS = ("run", "daemon")


@dataclass(frozen=True, slots=True)
class Case:
    """`begin`: a picture of the scene's undisturbed play; None: an empty folder."""

    scene: Scene
    way: str
    deaths: tuple[str, ...]
    begin: str | None = None
    absent: int = 0
    """Attempts more than undisturbed that were let go and never arrived."""

    @property
    def name(self) -> str:
        return f"{self.way}-{self.scene.name}-{'+'.join(self.deaths) or 'undisturbed'}".replace(":", "-")


def _both(scene: Scene, begin: str | None, *deaths: str, absent: int = 0, ways: tuple[str, ...] = WAYS) -> list[Case]:
    return [Case(scene, way, tuple(death.split("+")), begin, absent) for death in deaths for way in ways]


UNDISTURBED = [Case(scene, "daemon", ()) for scene in (PLAIN, LOST, GONE, ERRORS, ITEMS, REFUSED)]
"""These also take the pictures: `planned`, `submitted` and `landed`."""

_RUN, _DAEMON = ("run",), ("daemon",)

ALL = [
    *UNDISTURBED,
    # The first file is the archived source; raw, rejected and waiting rows follow, then plans and archived plans.
    *_both(PLAIN, None, "file.before_rename", "file.after_rename", "ingest.after_archive"),
    *_both(PLAIN, None, "ingest.before_commit", "ingest.after_commit"),
    *_both(PLAIN, None, "inbox.before_move", "inbox.after_move", ways=_DAEMON),  # `enrich run` moves no file
    *_both(PLAIN, None, "plan.before_commit", "plan.after_commit", "holders.after_create", "holders.after_confirm"),
    *_both(PLAIN, None, "file.before_rename:3", "file.after_rename:6", "collect.after_write:2", ways=_RUN),
    *_both(PLAIN, "planned", "dispatch.before_commit", "dispatch.after_commit", "submit.before_reserve"),
    *_both(PLAIN, "planned", "submit.after_reserve", "submit.after_journal", "submit.before_release"),
    # Noted but not released cannot be told from a ledger that was put back: it is looked for.
    *_both(PLAIN, "planned", "submit.after_note", absent=1),
    *_both(PLAIN, "planned", "submit.after_release", absent=1),
    *_both(PLAIN, "planned", "submit.after_answer", "submit.after_record"),
    # A run of three batches: the second pass is in the middle of it.
    *_both(PLAIN, "planned", "submit.after_release:2", absent=1, ways=_RUN),
    *_both(PLAIN, "planned", "submit.after_answer:2", ways=_DAEMON),
    # The recovery itself is killed.
    *_both(PLAIN, "planned", "submit.after_reserve+unsent.before_commit", "submit.after_journal:2+unsent.after_commit"),
    *_both(PLAIN, "planned", "submit.after_answer+fence.before_commit", "submit.after_answer:2+fence.after_commit"),
    *_both(PLAIN, "planned", "submit.after_release+submit.after_release", absent=2, ways=_RUN),
    *_both(PLAIN, "submitted", "watch.before_report", "watch.after_report", "collect.after_download"),
    *_both(PLAIN, "submitted", "collect.after_archive", "collect.after_write"),
    *_both(PLAIN, "submitted", "collect.after_commit", "collect.before_event"),
    *_both(PLAIN, "submitted", "collect.after_write:2", ways=_DAEMON),
    *_both(PLAIN, "submitted", "collect.after_commit+outbox.before_event", "collect.after_commit+outbox.after_event"),
    *_both(PLAIN, "landed", "publish.after_verified", "publish.before_swap", "publish.after_swap"),
    *_both(PLAIN, "landed", "publish.before_mark", "publish.after_mark"),
    *_both(LOST, "planned", "unconfirmed.before_commit", "unconfirmed.after_commit"),
    *_both(LOST, "planned", "recover.before_adopt", "recover.after_adopt"),
    *_both(LOST, "planned", "recover.before_absent", "recover.after_absent"),
    *_both(GONE, "planned", "recover.after_absent"),
    *_both(
        ERRORS, "planned", "again.before_commit", "again.after_commit", "children.after_write", "split.after_commit"
    ),
    *_both(ERRORS, "planned", "quarantine.before_commit", "quarantine.after_commit"),
    *_both(ITEMS, "planned", "children.after_write", "collect.before_record", "collect.after_record"),
    *_both(ITEMS, "planned", "collect.after_later", "singles.after_archive", "singles.after_record"),
    # Refused, but nobody was told: it may as well have arrived, and is looked for.
    *_both(REFUSED, "planned", "refused.before_commit", absent=1),
    *_both(REFUSED, "planned", "refused.after_commit", "split.after_commit"),
]

BESIDES = {"operator.before_commit", "operator.after_commit"}
"""Points of what a person does; `test_crash_operator.py` kills there."""

QUICK = {
    ("run", "file.before_rename"), ("run", "ingest.before_commit"), ("run", "plan.after_commit"),
    ("run", "submit.after_release"), ("run", "submit.after_answer"), ("run", "collect.after_write"),
    ("run", "publish.before_swap"), ("run", "recover.after_absent"), ("run", "split.after_commit"),
    ("run", "singles.after_record"), ("daemon", "submit.after_journal"), ("daemon", "submit.after_answer:2"),
    ("daemon", "collect.after_commit"), ("daemon", "collect.after_commit+outbox.before_event"),
    ("daemon", "quarantine.before_commit"), ("daemon", "recover.before_adopt"), ("daemon", "refused.after_commit"),
    ("daemon", "publish.after_swap"),
}  # fmt: skip
"""Those that differ most: all of them take eight minutes on two cores, these one and a half."""

CASES = [
    case
    for case in ALL
    if os.environ.get("ENRICH_ALL_CRASHES") or case in UNDISTURBED or (case.way, "+".join(case.deaths)) in QUICK
]
"""What is played: all with ENRICH_ALL_CRASHES (`make verify`, `make reliability`), else the quick ones."""
