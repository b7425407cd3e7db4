"""The list says `error` of a batch that has completed: the GET's answer counts, and nothing is bought again."""

from __future__ import annotations

import time

import httpx
import pytest

from pipeline.flow.backing_up import backup
from pipeline.flow.reconciling import reconcile
from pipeline.flow.recovering import recover
from pipeline.flow.restoring import restore
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
