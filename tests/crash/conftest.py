"""Fixtures: places to run in, the undisturbed run that others are compared with, and the cases that run meanwhile."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

# Under importmode=importlib a folder of tests is no package, and its helper modules are not found by themselves.
sys.path.insert(0, str(Path(__file__).parent))

from end_state import check_all, tables_of
from places import Place, removed_if_good

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
    """The cases of test_crash_run last: they run behind the other tests here, which wait more than they work."""
    here = [index for index, item in enumerate(items) if item.path.parent == Path(__file__).parent]
    ordered = sorted((items[index] for index in here), key=lambda item: "case" in _params(item))
    for index, item in zip(here, ordered, strict=True):
        items[index] = item


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.crash_report = outcome.get_result()


@pytest.fixture(scope="session", autouse=True)
def under_way(base, request) -> Iterator[dict]:
    """Futures of the cases of test_crash_run that were collected, by name, two at a time from the start on.

    One after the other they would take twice as long on two cores.
    """
    cases = [_params(item)["case"] for item in request.session.items if "case" in _params(item)]
    pool = ThreadPoolExecutor(max_workers=2)
    places = {case.name: Place(base / case.folder) for case in cases}
    try:
        yield {case.name: (places[case.name], pool.submit(case.play, places[case.name])) for case in cases}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for made in places.values():
            made.close()


def _params(item) -> dict:
    """Parameters of a test of this folder; others have a `case` as well."""
    here = item.path.parent == Path(__file__).parent
    return item.callspec.params if here and hasattr(item, "callspec") else {}


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
