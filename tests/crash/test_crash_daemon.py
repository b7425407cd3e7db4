"""Runs that Dagster's daemon launched, killed by SIGKILL one after the other: the daemon carries everything through.

One daemon, since each start costs seconds. Where its runs die is read by each of them from a file when it starts, by a
`sitecustomize` of the test: so the code server and the sensors live on, as in life, and the point can be moved.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import dagster as dg
import pytest
from end_state import UNFINISHED, batches_of, check_all, is_published, tables_of
from places import BATCH, TIME_SCALE, Place, wait_until

from pipeline.instance import open_instance
from pipeline.ledger.states import State
from pipeline.process import ProcessTag
from pipeline.runs import PROCESS_TAG
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess

WAIT = 240
"""Most seconds for one step of the daemon, which takes 5 to 15: sensors tick every 5 s, a run takes 2 s to start.

90 were too few beside other loads.
"""

DEATHS = (
    ("submit", "submit.before_release"),  # before the POST is complete
    ("submit", "submit.after_answer"),  # the API has it, the ledger does not know
    ("collect", "collect.after_write"),  # in the middle of landing
    ("publish", "publish.before_swap"),  # in the middle of publishing
)

_ARMED = """
import os, pathlib, sys
if "--multiprocessing-fork" in sys.orig_argv and pathlib.Path("crash_at").exists():
    point = pathlib.Path("crash_at").read_text().strip()
    os.environ["ENRICH_CRASH_AT"] = point
    with open("armed", "a") as log:
        log.write(f"{point} {os.getpid()}\\n")
"""
"""The code server starts each run as a spawned process of `multiprocessing`; nothing else here is one."""


@pytest.fixture
def sandbox(place) -> Iterator[SandboxProcess]:
    """An API that outlives its clients, as the real one does."""
    with SandboxProcess(place.folder / "api", SandboxConfig(time_scale=TIME_SCALE)) as process:
        yield process


class Daemon:
    """`dagster-daemon run` over a place, with the sensors on."""

    def __init__(self, place: Place, instance: dg.DagsterInstance, environment: dict[str, str]) -> None:
        self.place = place
        self.instance = instance
        (place.folder / "hook").mkdir()
        (place.folder / "hook" / "sitecustomize.py").write_text(_ARMED)
        paths = [str(place.folder / "hook"), *filter(None, [os.environ.get("PYTHONPATH")])]
        hooked = {"DAGSTER_HOME": str(place.folder), "PYTHONPATH": os.pathsep.join(paths)}
        self.child = place.start("dagster-daemon", "run", "-m", "pipeline.definitions", **environment, **hooked)

    def wait_until(self, true, what: str) -> None:
        """Wait; fail with the end of the daemon's log."""

        def true_or_gone() -> bool:
            assert self.child.poll() is None, f"the daemon ended:\n{self.place.output(self.child)}"
            return bool(true())

        wait_until(true_or_gone, what, seconds=WAIT, log=lambda: self.place.output(self.child))

    def kill_a_run(self, job: str, point: str) -> None:
        """Let runs that start from now on die at this point, until one of this job has."""
        (self.place.folder / "crash_at").write_text(point)
        self.wait_until(lambda: self._died(job, point), f"a run of {job} died at {point}")

    def _died(self, job: str, point: str) -> bool:
        armed = self.place.folder / "armed"
        lines = armed.read_text().splitlines() if armed.exists() else []
        pids = {int(line.split()[1]) for line in lines if line.split()[0] == point}
        failed = self.instance.get_runs(dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.FAILURE]))
        tags = [ProcessTag.parse(run.tags.get(PROCESS_TAG, "")) for run in failed]
        return any(tag is not None and tag.pid in pids for tag in tags)

    def stop(self) -> None:
        """As a service manager does it."""
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.place.output(self.child)}") from None


@pytest.mark.whole
@pytest.mark.timeout(1_200)
def test_the_daemon_carries_it_through(place, undisturbed, sandbox):
    settings = {"ENRICH_BASE_URL": sandbox.url, "ENRICH_TIME_SCALE": str(TIME_SCALE), "ENRICH_DATA_DIR": "data"}
    # A publication that was killed, and killed again in the daemon's own retry, is asked for anew after this time.
    settings |= {"ENRICH_BATCH_SIZE": str(BATCH), "ENRICH_DISPATCH_SECONDS": "15"}
    file = place.write("bank.csv", 0, 60, bad=2)
    other = place.write("other.csv", 100, 20)
    # Two runs of dead processes, as many as may run at once: one of unknown fate, one that only just began.
    for one, point in ((file, "submit.after_release"), (other, "ingest.before_commit")):
        assert place.run(one, ENRICH_CRASH_AT=point, **settings).code == -signal.SIGKILL
    with open_instance(place.folder) as instance:
        blocking = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        assert sorted(run.job_name for run in blocking) == ["ingest", "submit"]
        (place.folder / "inbox").mkdir()
        other.rename(place.folder / "inbox" / other.name)

        daemon = Daemon(place, instance, settings)
        for job, point in DEATHS:
            daemon.kill_a_run(job, point)
        (place.folder / "crash_at").unlink()

        daemon.wait_until(lambda: _landed(place) == 4, "all four batches landed")
        daemon.wait_until(lambda: is_published(place), "the newest revision is published")
        daemon.wait_until(lambda: not instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)), "no run is left open")
        daemon.stop()
    check_all(place, books=place.folder / "api", absent=1)
    tables = tables_of(place)
    assert set(undisturbed.items_hashes) < set(tables.items_hashes)
    assert [row for row in tables.transactions if row["source_file"] == "bank.csv"] == undisturbed.transactions
    assert len(tables.transactions) == 80
    assert tables.rejected == undisturbed.rejected


def _landed(place: Place) -> int:
    return [row.state for row in batches_of(place)].count(State.LANDED)
