"""Two `enrich run` at the same moment over one data folder: both end well, and the effect is that of one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from end_state import check_all, tables_of
from places import BATCH, TIME_SCALE, Place, removed_if_good, wait_until

from pipeline.flow import ingesting
from pipeline.flow.workspace import open_workspace
from pipeline.lake.warehouse import query

_LINED_UP = """
import pathlib, sys, time
import pipeline.cli.running
from pipeline.cli import app
pathlib.Path(sys.argv.pop(1)).touch()
while not pathlib.Path("go").exists():
    time.sleep(0.0005)
app()
"""
"""`enrich` that waits after its imports: these take 2 s, give or take more than the races to be met are wide."""


AGAIN = [0, *(pytest.param(n, marks=pytest.mark.whole) for n in (1, 2))]
"""A race is not met each time."""


def at_once(place: Place, *groups: tuple[Path, ...]) -> None:
    """A process for each group of files, let go together in a folder in which there is nothing yet."""
    options = ("--batch-size", str(BATCH), "--time-scale", str(TIME_SCALE), "--data-dir", "data")
    children = [
        place.start("python", "-c", _LINED_UP, f"ready-{n}", "run", *(file.name for file in files), *options)
        for n, files in enumerate(groups)
    ]
    ready = [place.folder / f"ready-{n}" for n in range(len(groups))]
    wait_until(lambda: all(path.exists() for path in ready), "both processes have done their imports")
    assert not (place.folder / "data").exists()
    (place.folder / "go").touch()
    for finished in [place.wait(child) for child in children]:
        assert finished.code == 0, finished.output
        assert "Traceback" not in finished.output


@pytest.fixture(scope="module")
def both_files(base):
    """The tables after one process has read both files."""
    with removed_if_good(Place(base / "both-files")) as made:
        done = made.run(made.write("a.csv", 0, 60, bad=2), made.write("b.csv", 40, 60, bad=1))
        assert done.code == 0, done.output
        check_all(made)
        return tables_of(made, plan=False)


@pytest.mark.parametrize("_again", AGAIN)
def test_the_same_file(place, undisturbed, _again):
    file = place.write("bank.csv", 0, 60, bad=2)
    at_once(place, (file,), (file,))
    check_all(place)
    assert tables_of(place) == undisturbed
    assert query(place.settings.home, "SELECT count(*), count(DISTINCT file_id) FROM raw_transactions").rows == [
        (60, 1)
    ]


@pytest.mark.parametrize("_again", AGAIN)
def test_files_that_overlap(place, both_files, _again):
    """Twenty transactions are in both files; whichever is read first brings them, and the other one's are repeats."""
    at_once(place, (place.write("a.csv", 0, 60, bad=2),), (place.write("b.csv", 40, 60, bad=1),))
    check_all(place)
    assert tables_of(place, plan=False) == both_files
    found = query(place.settings.home, "SELECT count(*), count(*) FILTER (repeat) FROM raw_transactions").rows
    assert found == [(120, 20)]


@pytest.mark.parametrize("rows", [60, 0], ids=["accepted", "only_refused"])
def test_the_same_file_past_the_look_at_what_is_known(place, monkeypatch, rows):
    """Both have found the file unknown and are about to commit: the gap of a few ms that processes seldom meet in."""
    both_there, first = threading.Barrier(2, timeout=60), threading.local()

    def meet(name):
        if name == "ingest.before_commit" and not hasattr(first, "met"):
            first.met = True
            both_there.wait()

    monkeypatch.setattr(ingesting, "point", meet)
    file = place.write("bank.csv", 0, rows, bad=2)
    open_workspace(place.settings).ledger.close()

    def ingest(_):
        ws = open_workspace(place.settings)
        try:
            return ingesting.ingest_file(ws, file, None)
        finally:
            ws.ledger.close()

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(ingest, range(2)))
    assert sorted(report.known_before for report in reports) == [False, True]
    assert [(report.accepted, report.repeats, report.rejected) for report in reports] == [(rows, 0, 2)] * 2
