"""What is deleted for age, and that nobody who may still read it loses it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.flow.publishing import check_now, publish_warehouse
from pipeline.flow.rebuilding import rebuild
from pipeline.flow.retention import remove_replaced, settled_before
from pipeline.flow.sweeping import remove_orphans
from pipeline.lake.warehouse import query
from pipeline.ledger import batches, manifest
from pipeline.ledger.db import utc_now


@pytest.fixture
def landed(steps_for, bank_file):
    """Twenty rows in two landed batches; the waiting and the plan files are replaced, and what is published is new."""
    steps = steps_for(batch_size=10)
    steps.ingest(bank_file(20))
    publish_warehouse(steps.ws)
    steps.plan()
    steps.finish()
    publish_warehouse(steps.ws)
    return steps


def on_disk(ws):
    return {path.relative_to(ws.lake).as_posix() for path in ws.lake.rglob("*.parquet")}


def live(ws):
    with ws.ledger.read() as conn:
        return {row.path for row in manifest.live(conn)}


def later(ws, **delta):
    ws.ledger.clock = lambda: utc_now() + timedelta(**delta)


def retire_old_versions(ws):
    """As after half a day: the versions that were replaced go with the next publication."""
    day_ago = time.time() - 24 * 3600
    for version in (ws.home / "warehouse").glob("rev-*.duckdb"):
        os.utime(version, (day_ago, day_ago))
    with ws.ledger.write() as conn:
        manifest.touch(conn)
    publish_warehouse(ws)  # ages the one before it, too
    with ws.ledger.write() as conn:
        manifest.touch(conn)
    newest = max((ws.home / "warehouse").glob("rev-*.duckdb"))
    os.utime(newest, (day_ago, day_ago))
    publish_warehouse(ws)


def test_replaced_files_go_after_their_days_and_the_tables_stay(landed):
    ws = landed.ws
    replaced = on_disk(ws) - live(ws)
    assert replaced  # the waiting rows and two plans
    retire_old_versions(ws)
    later(ws, days=6.9)
    assert remove_replaced(ws) == 0
    later(ws, days=7.1)
    assert remove_replaced(ws) == len(replaced)
    assert on_disk(ws) == live(ws)
    assert remove_replaced(ws) == 0
    assert query(ws.home, "SELECT state, count(*) FROM transactions GROUP BY 1").rows == [("enriched", 20)]
    assert check_now(ws).violations == []
    report = rebuild(ws)
    assert (report.differs, report.lost, report.rows > 20) == (False, [], True)


@pytest.mark.parametrize(("hours", "versions"), [(0.02, 2), (12, 3)])
def test_a_version_of_the_warehouse_goes_so_many_hours_after_it_was_replaced(landed, hours, versions):
    ws = replace(landed.ws, settings=landed.ws.settings.model_copy(update={"keep_warehouse_hours": hours}))
    lately = time.time() - 100
    for version in (ws.home / "warehouse").glob("rev-*.duckdb"):
        os.utime(version, (lately, lately))
    with ws.ledger.write() as conn:
        manifest.touch(conn)
    publish_warehouse(ws)
    assert len(list((ws.home / "warehouse").glob("rev-*.duckdb"))) == versions


def test_what_a_version_that_is_still_there_reads_is_kept(landed):
    ws = landed.ws
    later(ws, days=30)
    before = on_disk(ws)
    assert remove_replaced(ws) == 0  # the version of before planning is a minute old, and reads the waiting file
    assert on_disk(ws) == before


def test_nothing_goes_before_the_first_publication(steps_for, bank_file):
    steps = steps_for(batch_size=10)
    steps.ingest(bank_file(20))
    steps.plan()
    later(steps.ws, days=30)
    before = on_disk(steps.ws)
    assert remove_replaced(steps.ws) == 0
    assert on_disk(steps.ws) == before


def test_a_process_that_died_between_forgetting_and_deleting_leaves_orphans_that_are_swept(landed):
    ws = landed.ws
    replaced = on_disk(ws) - live(ws)
    forgotten = manifest.forget(ws.ledger, before=utc_now() + timedelta(days=1), revision=10**6, limit=1)
    assert set(forgotten) < replaced
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in ws.lake.rglob("*.parquet"):
        os.utime(path, (two_days_ago, two_days_ago))
    assert remove_orphans(ws) == 1
    assert on_disk(ws) == live(ws) | (replaced - set(forgotten))


def test_a_batch_is_settled_once_it_has_landed_and_was_reported(landed):
    ws = landed.ws
    keys = set(landed.keys("landed"))
    later(ws, days=91)
    assert settled_before(ws, days=90) == set()  # Dagster was not told of them
    batches.mark_reported(ws.ledger, dict.fromkeys(keys, 1))
    assert settled_before(ws, days=90) == keys
    later(ws, days=89)
    assert settled_before(ws, days=90) == set()


def test_a_scratch_folder_that_goes_while_they_are_listed_ends_no_sweep(workspace_for):
    """As that of a step which ends just then: here one that is listed and is not there."""
    ws = workspace_for()
    scratch = ws.home / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "a-gone").symlink_to(scratch / "nowhere")
    old = scratch / "b-old"
    old.mkdir()
    os.utime(old, (1, 1))
    assert remove_orphans(ws) == 0
    assert not old.exists()
