"""`make dev` as a person has it: a dropped file becomes tables, its end comes by webhook, Ctrl-C ends every process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from pipeline.lake import warehouse

ROOT = Path(__file__).parent.parent.parent
ENRICH = Path(sys.executable).with_name("enrich")
WAIT = 150
"""Most seconds for a step. Web server, daemon, sandbox and receiver start in 15 s on two cores."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="whose process is whose is in /proc")


class Dev:
    """`enrich dev` in a folder, on a free port."""

    def __init__(self, folder):
        self.data, self.log = folder.path / "data", folder.path / "dev.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        shutil.copy(ROOT / "pyproject.toml", folder.path)
        for package in ("pipeline", "assets"):  # `dg dev` wants them in the project's folder
            (folder.path / package).symlink_to(ROOT / package)
        given = {"ENRICH_DATA_DIR": str(self.data), "ENRICH_BATCH_MAX_AGE": "60"}
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                [ENRICH, "dev", "--port", str(self.port)], cwd=folder.path, env=folder.environment | given, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait_for(self, true, what):
        end = time.monotonic() + WAIT
        while not true():
            if self.child.poll() is not None or time.monotonic() > end:
                pytest.fail(f"{what}: not within {WAIT} s, or it ended\n{self.log.read_text()[-4000:]}")
            time.sleep(0.3)

    def answers(self):
        """Whether the UI is there."""
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port}/server_info", trust_env=False).is_success
        return False

    def processes(self):
        """All that live and were started by it, orphans too."""
        mark, found = f"ENRICH_DATA_DIR={self.data}".encode(), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # gone, or another user's
                if mark in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def states(self):
        if warehouse.current(self.data) is None:
            return {}
        return dict(warehouse.query(self.data, "SELECT state, count(*) FROM transactions GROUP BY 1").rows)

    def events_taken(self):
        path = self.data / "ledger" / "ledger.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as conn:
            return conn.execute("SELECT count(*) FROM webhook_inbox WHERE taken_at IS NOT NULL").fetchone()[0]


@pytest.fixture
def dev(folder):
    running = Dev(folder)
    yield running
    for pid in running.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    running.child.wait()


def test_a_dropped_file_becomes_tables_and_ctrl_c_leaves_nothing_behind(dev, folder, bank_file):
    dev.wait_for(dev.answers, "the UI answers")
    said = dev.log.read_text()
    assert "sandbox on http://127.0.0.1:" in said
    assert "webhook receiver on http://127.0.0.1:" in said
    bank_file(20).rename(folder.path / "inbox" / "bank.csv")
    dev.wait_for(lambda: dev.states() == {"enriched": 20}, "the rows are enriched")
    dev.wait_for(lambda: dev.events_taken() == 1, "the webhook's event is taken")
    assert len(dev.processes()) > 4  # itself, sandbox, receiver, web server, daemon
    dev.child.send_signal(signal.SIGINT)
    dev.child.wait(WAIT)
    end = time.monotonic() + 30
    while left := dev.processes():
        assert time.monotonic() < end, f"left behind: {left}"
        time.sleep(0.2)


def test_killed_it_leaves_nothing_behind(dev):
    """Its receiver was, each time; and Dagster with the port."""
    dev.wait_for(lambda: "Launching Dagster" in dev.log.read_text(), "Dagster is started")
    dev.child.kill()
    end = time.monotonic() + 60
    while left := [pid for pid in dev.processes() if pid != dev.child.pid]:
        assert time.monotonic() < end, f"left behind: {left}"
        time.sleep(0.2)


def refused(folder, port):
    """What `enrich dev` says, which is to end with 1 before it starts anything."""
    done = subprocess.run(
        [ENRICH, "dev", "--port", str(port)], cwd=folder.path, env=folder.environment, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "sandbox on" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_port_that_is_taken_is_said_before_anything_starts(folder):
    """It named the other's address as its own, and ran on without a web server."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}" in refused(folder, port)


def test_a_second_one_in_the_folder_is_refused(folder):
    (folder.path / ".dagster").mkdir(exist_ok=True)
    with FileLock(folder.path / ".dagster" / "dev.lock"):
        assert "another `enrich dev` runs in" in refused(folder, 3999)
