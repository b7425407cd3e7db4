"""Every named point, of `enrich run` and of Dagster runs: killed there by SIGKILL, started again, the end is the same.

The plays run in a program of their own, two at a time, from the start of the session on; here their results are read.
"""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest
from cases import ALL, BESIDES, CASES
from places import wait_until

from pipeline.crashpoints import BACKUP_POINTS, POINTS, REFRESH_POINTS

ROOT = Path(__file__).parent.parent.parent
SECONDS = 540


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_end_is_the_same(case, under_way, reliability):
    result = under_way.folder / "results" / f"{case.name}.json"
    wait_until(
        lambda: result.exists() or under_way.has_ended(), f"the end of {case.name}", seconds=SECONDS, log=under_way.log
    )
    assert result.exists(), under_way.log()
    played = json.loads(result.read_text())
    assert played["trouble"] == ""
    if case.deaths:
        reliability(
            "enrich run" if case.way == "run" else "dagster run", f"{case.scene.name}: {' + '.join(case.deaths)}",
            rows=case.scene.rows, enriched=case.scene.rows - sum(case.scene.states.values()),
            other=case.scene.states, extra=played["extra"], double=0,
        )  # fmt: skip


@pytest.mark.parametrize("way", ["run", "daemon"])
def test_every_point_has_a_case(way):
    passed = {death.partition(":")[0] for case in ALL if case.way == way for death in case.deaths}
    only_there = {"inbox.before_move", "inbox.after_move"} if way == "run" else set()
    assert passed | BESIDES | only_there == set(POINTS)


def test_every_point_in_the_code_is_a_named_one():
    source = "\n".join(path.read_text() for folder in ("pipeline", "assets") for path in (ROOT / folder).rglob("*.py"))
    called = re.findall(r"\bpoint\(([^)]*)\)", source)
    named = [name.strip('"') for name in called if name.startswith('"')]
    assert set(named) == {*POINTS, *BACKUP_POINTS, *REFRESH_POINTS}
    assert len(called) == len(named) + 1  # and its own definition


@pytest.mark.timeout(600)
def test_an_undisturbed_daemon_comes_to_what_an_undisturbed_run_comes_to(undisturbed, under_way):
    """Of real processes that were started one by one: the plays above are compared with the former only."""
    known = under_way.folder / "undisturbed-plain.pickle"
    wait_until(known.exists, "the undisturbed play", seconds=SECONDS, log=under_way.log)
    pickle.loads(known.read_bytes()).must_equal(undisturbed)
