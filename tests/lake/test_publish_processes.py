"""Publishing among other processes: killed half-way, two at once, and with sessions of analysts open."""

from __future__ import annotations

import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb
from lakes import Lake, child, finish, landed_row

from pipeline.lake import tables
from pipeline.lake.publish import publish
from pipeline.lake.warehouse import current, query

if TYPE_CHECKING:
    import subprocess

KEEP = timedelta(days=3)

# Publishes growing revisions, over the landed files that are there, for as long as it lives.
PUBLISHER = """
import sys
from datetime import timedelta
from pathlib import Path
from lakes import Lake
from pipeline.lake.publish import publish
home, first, step, last = Path(sys.argv[1]), *map(int, sys.argv[2:])
lake = Lake(home, {"transactions": sorted((home / "lake" / "transactions").rglob("*.parquet"))})
print("ready", flush=True)
for revision in range(first, last, step):
    print(publish(home, lake.snapshot(revision), keep=timedelta(days=1)).published, flush=True)
"""

# Opens the link, answers a count for every line it is sent, closes at the end of its input.
ANALYST = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
for line in sys.stdin:
    print(connection.execute("SELECT count(*) FROM main.transactions").fetchone()[0], flush=True)
"""


def _ask(analyst: subprocess.Popen[str]) -> int:
    assert analyst.stdin is not None
    assert analyst.stdout is not None
    analyst.stdin.write("?\n")
    analyst.stdin.flush()
    return int(analyst.stdout.readline())


def test_killed_half_way_the_old_revision_stays_and_the_next_publisher_clears_up(lake: Lake) -> None:
    for n in range(40):
        lake.add(tables.TRANSACTIONS, [landed_row(f"k{n}", 0, f"t{n}")], f"k{n}")
    publish(lake.home, lake.snapshot(1), keep=KEEP)
    chance = random.Random(5)
    half_made, revision = 0, 1
    for attempt in range(12):
        publisher = child(PUBLISHER, lake.home, revision + 1, 1, 1_000_000)
        assert publisher.stdout is not None
        publisher.stdout.readline()
        time.sleep(chance.uniform(0.01, 0.25))
        publisher.kill()
        publisher.communicate()
        half_made += bool(list((lake.home / "warehouse").glob(".building-*")))
        now = current(lake.home)
        assert now is not None
        assert now.revision >= revision
        revision = now.revision
        assert query(lake.home, "SELECT revision, transactions FROM main.publication").rows == [(revision, 40)]
        if half_made >= 2 and attempt >= 3:
            break
    assert half_made, "no kill hit a publisher at work"

    assert publish(lake.home, lake.snapshot(revision + 1), keep=KEEP).published
    assert not list((lake.home / "warehouse").glob(".building-*"))
    assert not list(lake.home.glob("*.link"))


def test_of_two_publishers_at_once_the_newest_revision_wins_and_nobody_sees_time_go_backwards(lake: Lake) -> None:
    lake.add(tables.TRANSACTIONS, [landed_row("k", 0, "t")], "k")
    publish(lake.home, lake.snapshot(1), keep=KEEP)
    publishers = [child(PUBLISHER, lake.home, first, 2, 30) for first in (2, 3)]
    seen = [1]
    while any(publisher.poll() is None for publisher in publishers):
        with duckdb.connect(str(lake.home / "warehouse.duckdb"), read_only=True) as connection:
            seen += [row[0] for row in connection.execute("SELECT revision FROM main.publication").fetchall()]

    published = [line == "True" for publisher in publishers for line in finish(publisher).splitlines()[1:]]
    assert len(published) == 28
    assert seen == sorted(seen)
    assert query(lake.home, "SELECT revision FROM main.publication").rows == [(29,)]


def test_an_open_session_keeps_its_revision_blocks_nobody_and_a_new_one_sees_the_new(lake: Lake) -> None:
    lake.add(tables.TRANSACTIONS, [landed_row("k1", 0, "t1")], "k1")
    publish(lake.home, lake.snapshot(1), keep=KEEP)
    link = lake.home / "warehouse.duckdb"
    early = child(ANALYST, link)
    own_process = duckdb.connect(str(current(lake.home).path), read_only=True)  # type: ignore[union-attr]
    assert _ask(early) == 1

    lake.add(tables.TRANSACTIONS, [landed_row("k2", 0, "t2")], "k2")
    for revision in (2, 3):
        assert publish(lake.home, lake.snapshot(revision), keep=timedelta(0)).published
    late = child(ANALYST, link)

    assert (_ask(early), _ask(late)) == (1, 2)
    assert own_process.execute("SELECT count(*) FROM main.transactions").fetchall() == [(1,)]
    assert query(lake.home, "SELECT count(*) FROM main.transactions").rows == [(2,)]
    own_process.close()
    finish(early)
    finish(late)


def test_sessions_that_open_all_the_time_never_stop_a_publisher(lake: Lake) -> None:
    lake.add(tables.TRANSACTIONS, [landed_row("k1", 0, "t1")], "k1")
    publish(lake.home, lake.snapshot(1), keep=KEEP)
    opener = child(
        """
import sys, duckdb
print("ready", flush=True)
opened = 0
while opened < 60:
    with duckdb.connect(sys.argv[1], read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM main.transactions").fetchall() == [(1,)]
    opened += 1
print(opened)
""",
        lake.home / "warehouse.duckdb",
    )
    assert opener.stdout is not None
    opener.stdout.readline()
    revision = 1
    while opener.poll() is None:
        revision += 1
        assert publish(lake.home, lake.snapshot(revision), keep=timedelta(0)).published

    assert finish(opener).strip() == "60"
    assert revision > 2
