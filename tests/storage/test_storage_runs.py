"""`enrich run` on a disk that fills up, a folder that is read-only, a ledger that somebody else has locked.

It says so in a sentence, and ends; nothing is lost or charged twice, and the next run heals it.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from end_state import check_all

from pipeline.lake.warehouse import query
from pipeline.ledger.db import BUSY_TIMEOUT_MS

POINTS = {
    "archiving": "collect.after_download",
    "landing": "collect.after_archive",
    "publishing": "publish.after_verified",
}
KILLED = -signal.SIGKILL
LOCKED = BUSY_TIMEOUT_MS / 1000 + 5
"""Real seconds."""


def says_clearly(done, *words):
    """Some trouble, in words and not as a traceback."""
    assert done.code not in {0, KILLED}, done.output
    assert "Traceback" not in done.output
    assert any(word in done.output for word in words), done.output


def is_healed(stopped):
    done = stopped.run()
    assert done.code == 0, done.output
    check_all(stopped.place, books=stopped.place.folder / "api")
    assert query(stopped.place.settings.home, "SELECT state, count(*) FROM transactions GROUP BY 1").rows == [
        ("enriched", 60)
    ]


def all_at_once(act, items):
    """These wait far more than they work."""
    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(act, items))


@pytest.mark.whole
def test_the_disk_is_full(disks, stopped_for):
    runs = {}
    for name in POINTS:
        disk = disks(name)
        runs[name] = (disk, stopped_for(name, disk.folder / "data"))

    def fill_up(name):
        disk, stopped = runs[name]
        child = stopped.start_stopping_at(POINTS[name])
        disk.fill()
        child.send_signal(signal.SIGCONT)
        return stopped.place.wait(child, 200)

    for done in all_at_once(fill_up, list(POINTS)):
        says_clearly(done, "No space left", "disk is full")
    for disk, stopped in runs.values():
        disk.free()
        is_healed(stopped)


def test_the_data_folder_is_read_only(disks, stopped_for):
    disk = disks("data")
    stopped = stopped_for("read-only", disk.folder / "data")
    assert stopped.run(ENRICH_CRASH_AT="collect.after_archive").code == KILLED
    disk.remount("ro")
    says_clearly(stopped.run(), "read-only", "readonly", "Read-only")
    disk.remount("rw")
    is_healed(stopped)


@pytest.mark.whole
def test_the_ledger_is_locked_by_another_program_for_longer_than_it_is_waited_for(stopped_for, tmp_path):
    """It says so, and goes on when the lock is gone, or ends: that depends on what it was about to write."""
    runs = {name: stopped_for(name, tmp_path / f"{name}-data") for name in POINTS}

    def lock(name):
        stopped = runs[name]
        child = stopped.start_stopping_at(POINTS[name])
        other = sqlite3.connect(stopped.data / "ledger" / "ledger.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        child.send_signal(signal.SIGCONT)
        try:
            time.sleep(LOCKED)
            assert child.poll() is None, stopped.place.output(child)  # it waits before it gives up
        finally:
            other.close()
        return stopped.place.wait(child, 200)

    for done in all_at_once(lock, list(POINTS)):
        assert done.code in {0, 1, 3}, done.output
        assert "Traceback" not in done.output
        assert "locked by another program for 30 s" in done.output
    for stopped in runs.values():
        is_healed(stopped)


def test_a_short_lock_is_waited_for(stopped_for, tmp_path):
    stopped = stopped_for("short", tmp_path / "data")
    child = stopped.start_stopping_at("collect.after_write")
    other = sqlite3.connect(stopped.data / "ledger" / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    child.send_signal(signal.SIGCONT)
    time.sleep(1)
    other.close()
    done = stopped.place.wait(child)
    assert done.code == 0, done.output
    is_healed(stopped)
