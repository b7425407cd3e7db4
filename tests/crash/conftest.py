"""Fixtures: places to run in, the undisturbed run that others are compared with, and the cases that run meanwhile."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Under importmode=importlib a folder of tests is no package, and its helper modules are not found by themselves.
sys.path.insert(0, str(Path(__file__).parent))

from cases import UNDISTURBED
from end_state import check_all, tables_of
from forked_places import fork_programs
from places import Place, removed_if_good

fork_programs()

_MEMORY = Path("/dev/shm")
_ROOMY = 2_000_000_000


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Iterator[Path]:
    """Where the places are: in memory if there is room, since a kill, unlike a power cut, needs no disk.

    The fsyncs of ledger, lake and Dagster's storage make a run of 6 s one of 12 s on a slow disk (measured).
    """
    if not (_MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOMY):
        yield tmp_path_factory.mktemp("crash")
        return
    folder = Path(tempfile.mkdtemp(prefix="enrich-crash-", dir=_MEMORY))
    yield folder
    if any(folder.iterdir()):  # what failed is kept, where pytest keeps such things
        shutil.copytree(folder, tmp_path_factory.mktemp("crash") / "kept", symlinks=True)
    shutil.rmtree(folder)


@pytest.fixture
def place(base, request) -> Iterator[Place]:
    """An empty place; its processes are killed at the end, its files kept when the test failed."""
    made = Place(Path(tempfile.mkdtemp(prefix=f"{request.node.name.partition('[')[0]}-", dir=base)))
    yield made
    report = getattr(request.node, "crash_report", None)
    made.close()
    if report is not None and report.passed:
        made.remove()


def pytest_collection_modifyitems(items):
    """The plays of test_crash_matrix last: they run behind the other tests here, which wait more than they work."""
    here = [index for index, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    ordered = sorted((items[index] for index in here), key=lambda item: "under_way" in item.fixturenames)
    for index, item in zip(here, ordered, strict=True):
        items[index] = item


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.crash_report = outcome.get_result()


@dataclass(frozen=True, slots=True)
class UnderWay:
    """The program that plays the cases, and the folder in which it says how they ended."""

    program: subprocess.Popen
    folder: Path

    def has_ended(self):
        return self.program.poll() is not None

    def log(self):
        return (self.folder / "log.txt").read_text()[-4000:]


@pytest.fixture(scope="session", autouse=True)
def _begun(base, request) -> Iterator[UnderWay | None]:
    """Starts the plays of the cases that were collected, so that they are under way while other tests wait."""
    items = [item for item in request.session.items if "under_way" in item.fixturenames]
    if not items:
        yield None
        return
    cases = [item.callspec.params.get("case") for item in items if hasattr(item, "callspec")]
    names = [case.name for case in cases if case is not None]
    folder = base / "plays"
    folder.mkdir()
    command = [sys.executable, str(Path(__file__).parent / "players.py"), str(folder), UNDISTURBED[0].name, *names]
    with (folder / "log.txt").open("wb") as log:
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        yield UnderWay(program, folder)
    finally:
        program.stdin.close()  # it ends with that, and everything that it started with it
        program.wait(30)
        if not list(folder.glob("*/output.txt")):  # no case has left its folder, as one that failed does
            shutil.rmtree(folder)


@pytest.fixture
def under_way(_begun) -> UnderWay:
    return _begun


@pytest.fixture(scope="session")
def undisturbed(base):
    """The tables of a run that nobody killed."""
    with removed_if_good(Place(base / "undisturbed")) as made:
        done = made.run(made.write("bank.csv", 0, 60, bad=2))
        assert done.code == 0, done.output
        check_all(made)
        tables = tables_of(made)
    assert (len(tables.transactions), len(tables.rejected), len(tables.items_hashes)) == (60, 2, 3)
    assert len(tables.intermediaries) == 15
    return tables
