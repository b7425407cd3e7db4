"""`enrich run` killed by SIGKILL at every named point, and started again: the end is that of an undisturbed run.

Every point, and the later passes that differ most. ENRICH_ALL_CRASHES=1 adds the other later passes (half a minute).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest
from end_state import check_all, tables_of
from places import Finished, Place, removed_if_good

from pipeline.crashpoints import POINTS

KILLED = -9


@dataclass(frozen=True, slots=True)
class Case:
    """Where the processes die, one after the other, before one is left alone."""

    deaths: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    absent: int = 0
    """Attempts that were let go and never arrived, as the ledger must have found."""

    @property
    def name(self) -> str:
        return "+".join(self.deaths)

    @property
    def folder(self) -> str:
        return "run-" + self.name.replace(":", "-")

    def play(self, place: Place) -> list[Finished]:
        """Every process in turn; the last one is not killed."""
        file = place.write("bank.csv", 0, 60, bad=2)
        ended = []
        for death in self.deaths:
            ended.append(place.run(file, ENRICH_CRASH_AT=death, **self.environment))
            if ended[-1].code != KILLED:
                return ended
        return [*ended, place.run(file, **self.environment)]


# The file makes three batches, sent, watched and landed in one run each: the second pass is in the middle of a run.
_LATER = (
    "submit.after_reserve",
    "submit.after_release",
    "submit.after_answer",
    "collect.after_write",
)
_LATER_TOO = (
    "holders.after_create",
    "submit.before_reserve",
    "submit.before_release",
    "submit.after_record",
    "watch.after_report",
    "collect.after_download",
    "collect.after_archive",
    "collect.after_commit",
)

CASES = [
    *(Case((name,), absent=name == "submit.after_release") for name in POINTS),
    *(Case((f"{name}:2",), absent=name == "submit.after_release") for name in _LATER),
    # Passed once per run: with one batch at a time there is a second run.
    Case(("collect.before_event:2",), {"ENRICH_MAX_IN_FLIGHT": "1"}),
    # The recovery itself is killed.
    Case(("submit.after_release", "submit.after_release"), absent=2),
    Case(("collect.after_commit:2", "publish.after_swap")),
]
if os.environ.get("ENRICH_ALL_CRASHES"):
    CASES += [Case((f"{name}:2",)) for name in _LATER_TOO]
    CASES += [Case(("submit.after_answer", "watch.after_report", "collect.after_commit"))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_end_is_the_same(case, under_way, undisturbed):
    place, future = under_way[case.name]
    with removed_if_good(place):
        *killed, last = future.result(timeout=280)
        for death, process in zip(case.deaths, killed, strict=True):
            assert process.code == KILLED, f"{death} was never passed:\n{process.output}"
        assert last.code == 0, last.output
        check_all(place, absent=case.absent)
        assert tables_of(place) == undisturbed
