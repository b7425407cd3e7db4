"""Two witnesses contradict each other, list and GET or ledger and journal: nothing is bought again by that."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from pipeline.flow import journal
from pipeline.flow.backing_up import backup
from pipeline.flow.holder_sync import sync_holders
from pipeline.flow.reconciling import reconcile
from pipeline.flow.recovering import recover
from pipeline.flow.restoring import restore
from pipeline.flow.submitting import submit
from pipeline.flow.sweeping import recover_senders
from pipeline.flow.workspace import open_workspace
from pipeline.ledger import batches
from pipeline.ledger.db import utc_now
from pipeline.ledger.states import State

POST = "POST /v3/batches"
LOST = {"call": POST, "nth": [1], "do": "drop", "when": "after"}
LISTED_AS_ERROR = {"call": "GET /v3/batches", "do": "set_items", "path": "status", "value": "error", "at": "all"}
NO_GET = {"call": "GET /v3/batches/{id}", "do": "status", "status": 500}


def put_faults(steps, *rules):
    httpx.put(f"{steps.ws.settings.url}/sandbox/faults", json={"rules": list(rules)}).raise_for_status()


@pytest.fixture
def lost(steps_for, bank_file, books_of):
    """A batch of ten that completes at the API, and whose answer was lost."""

    def make(**given):
        steps = steps_for(batch_size=10, grace=0, backoff_base=0, faults=[LOST], **given)
        steps.ingest(bank_file(10))
        steps.plan()
        steps.submit()
        until_completed(books_of)
        return steps, *steps.keys(State.UNCONFIRMED)

    return make


def until_completed(books_of):
    end = time.monotonic() + 20
    while {batch.status for batch in books_of().batches()} != {"completed"}:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_completed_batch_that_is_listed_in_error_is_adopted(lost, books_of):
    steps, key = lost()
    put_faults(steps, LISTED_AS_ERROR)
    assert list(recover(steps.ws, steps.client).adopted) == [key]
    steps.finish()
    assert books_of().summary().items_charged == 10


def test_one_that_no_get_shows_is_not_decided(lost, books_of):
    steps, key = lost(client={"retries": 0})
    put_faults(steps, LISTED_AS_ERROR, NO_GET)
    assert list(recover(steps.ws, steps.client).waiting) == [key]
    put_faults(steps, LISTED_AS_ERROR)
    assert list(recover(steps.ws, steps.client).adopted) == [key]
    steps.finish()
    assert books_of().summary().items_charged == 10


@pytest.mark.sqlite
def test_reconciling_asks_as_well(steps_for, sandbox_for, bank_file, books_of, tmp_path):
    server = sandbox_for(name="data-api")
    knobs = {"batch_size": 10, "grace": 0, "backoff_base": 0}
    steps = steps_for(server=server, **knobs)
    steps.ingest(bank_file(10))
    (key,) = steps.plan()
    backup(steps.ws, tmp_path / "backup")
    steps.submit()
    until_completed(books_of)
    steps.ws.ledger.close()
    restore(tmp_path / "backup", steps.ws.settings, replace=True)
    steps = steps_for(server=server, **knobs)
    put_faults(steps, LISTED_AS_ERROR)
    report = reconcile(steps.ws, steps.client, who="ana")
    assert (list(report.adopted), report.foreign) == ([key], {})
    steps.finish()
    assert books_of().summary().items_charged == 10


@pytest.mark.sqlite
def test_a_copy_of_the_ledger_of_the_moment_of_a_reservation(steps_for, bank_file, books_of, tmp_path):
    """It knows of the intent in the journal, and looked like a process that had died with nothing sent."""
    steps = steps_for(batch_size=10, grace=0)
    steps.ingest(bank_file(10))
    (key,) = steps.plan()
    ledger, path, copy = steps.ws.ledger, steps.ws.home / "ledger" / "ledger.sqlite", tmp_path / "copy.sqlite"

    def copying():
        if not copy.exists() and batches.in_states(ledger, State.RESERVED):
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
        return utc_now()

    ledger.clock = copying
    assert list(steps.submit().submitted) == [key]
    ledger.close()
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    shutil.copy(copy, path)
    steps.ws = open_workspace(steps.ws.settings)
    assert steps.row(key).state == State.RESERVED
    assert recover_senders(steps.ws) == 1
    assert steps.row(key).state == State.UNCONFIRMED
    until_completed(books_of)
    steps.finish()
    assert books_of().summary().items_charged == 10
    steps.ws.ledger.close()


@pytest.mark.sqlite
def test_a_ledger_that_cannot_let_go_costs_no_attempt_and_no_grace_however_often(steps_for, bank_file):
    """A full disk took the journal's line and not the ledger's commit: after three of them the batch was held."""
    steps = steps_for(batch_size=10, max_attempts=3)
    steps.ingest(bank_file(10))
    (key,) = steps.plan()
    sync_holders(steps.ws, steps.client)
    with steps.ws.ledger.write() as conn:
        conn.exec_driver_sql(
            "CREATE TRIGGER full BEFORE UPDATE ON batches WHEN NEW.state = 'sending'"
            " BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
        )
    for _ in range(5):
        with pytest.raises(Exception, match="full"):
            submit(steps.ws, steps.client, [key])
        assert submit(steps.ws, steps.client, []).recovered == 1
        assert (steps.row(key).state, steps.row(key).attempts) == (State.PLANNED, 0)
    assert not any(line.let_go for _, line in journal.read(steps.ws.archive)[0])
    with steps.ws.ledger.write() as conn:
        conn.exec_driver_sql("DROP TRIGGER full")
    assert list(submit(steps.ws, steps.client, [key]).submitted) == [key]
    assert [line.let_go for _, line in journal.read(steps.ws.archive)[0]][-1]
    steps.finish()
    assert steps.check()["enriched"] == 10
    assert set(map(tuple, steps.reasons().values())) == {("first",)}


def test_taking_a_line_back_leaves_the_others_and_every_offset_as_they_were(tmp_path):
    for n in (1, 2, 3):
        offset = journal.note_let_go(tmp_path, f"0000000{n}-00000000", 1, at=utc_now())
        if n == 2:
            second = offset
    before, end = journal.read(tmp_path)
    journal.take_back(tmp_path, second)
    after, same_end = journal.read(tmp_path)
    assert end == same_end
    assert [offset for offset, _ in after] == [offset for offset, _ in before]
    assert [line.let_go for _, line in after] == [True, False, True]
    journal.take_back(tmp_path, second)
    assert journal.read(tmp_path)[0] == after
