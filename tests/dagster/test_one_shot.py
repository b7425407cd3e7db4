"""`enrich run`'s loop: it ends when a person interrupts a step, and when nothing but failures comes."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import select

import assets.plan
from pipeline import one_shot
from pipeline.flow import collecting
from pipeline.flow.status import read_status
from pipeline.lake.durable import storage_errors
from pipeline.ledger import batches, schema
from pipeline.ledger.states import State
from pipeline.one_shot import OneShot
from pipeline.resources import EnrichResource

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@SIGNALS
def test_ctrl_c_inside_a_step_ends_the_run(project_for, bank_file, monkeypatch, number):
    project = project_for()
    shot = OneShot(project.instance, project.resource)
    assert shot.ingest([bank_file(5)], None)
    monkeypatch.setattr(assets.plan, "plan", lambda *_args, **_given: signal.raise_signal(number))
    with pytest.raises(KeyboardInterrupt):
        shot.plan()


@SIGNALS
def test_ctrl_c_that_is_swallowed_inside_a_step_ends_the_run_too(project_for, bank_file, monkeypatch, number):
    """As in a callback of a weak reference, where Python ignores what Dagster's handler raises."""
    project, real = project_for(), assets.plan.plan

    def swallowing(*args, **given):
        with suppress(dg.DagsterExecutionInterruptedError):
            signal.raise_signal(number)
        return real(*args, **given)

    shot = OneShot(project.instance, project.resource)
    assert shot.ingest([bank_file(5)], None)
    monkeypatch.setattr(assets.plan, "plan", swallowing)
    with pytest.raises(KeyboardInterrupt):
        shot.plan()


def test_an_api_that_is_never_there_ends_the_run_with_its_reason_and_publishes(project_for, bank_file, monkeypatch):
    project = project_for()
    dead = project.ws.settings.model_copy(update={"base_url": "http://127.0.0.1:9", "time_scale": 5000.0})
    monkeypatch.setattr(one_shot, "MAX_FAILURES", 3)
    shot = OneShot(project.instance, EnrichResource(dead))
    assert shot.ingest([bank_file(5)], None)
    assert shot.plan()
    outcome = shot.finish(lambda _ws: None)
    assert outcome.stopped_by.startswith("3 runs failed one after the other")
    assert "no connection to the API" in outcome.stopped_by
    assert (dead.home / "warehouse.duckdb").exists()


def test_a_disk_that_takes_nothing_ends_the_run_at_once_and_the_next_one_goes_on(project_for, bank_file, monkeypatch):
    project = project_for(backoff_base=2)
    shot = OneShot(project.instance, project.resource)
    assert shot.ingest([bank_file(5)], None)
    assert shot.plan()
    with monkeypatch.context() as broken:
        broken.setattr(collecting, "fetch", a_full_disk)
        outcome = shot.finish(lambda _ws: None)
    assert len(outcome.troubles) == 1
    assert "No space left" in outcome.stopped_by
    healed = OneShot(project.instance, project.resource).finish(lambda _ws: None)
    assert (healed.stopped_by, healed.troubles) == (None, [])
    assert batches.counts_by_state(project.ws.ledger) == {State.LANDED: (1, 5)}


def a_full_disk(*_args, **_given):
    with storage_errors("write", Path("archive/results.zst")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_batch_that_is_listed_after_it_was_bought_again_is_named_at_the_end(project_for, bank_file, tmp_path):
    """Past the promise: its list lags for longer than the grace, and its first transaction is not shown."""
    plan = tmp_path / "faults.json"
    rules = [
        {"call": "POST /v3/batches", "nth": [1], "do": "drop", "when": "after"},
        {"call": "POST /v3/batches", "nth": [1], "do": "batch_hidden", "seconds": 900},
        {"call": "GET /v3/transactions/{id}", "do": "status", "status": 404},
    ]
    plan.write_text(json.dumps({"rules": rules}))
    project = project_for(sandbox={"fault_plan": plan}, grace=120)
    shot = OneShot(project.instance, project.resource)
    assert shot.ingest([bank_file(5)], None)
    assert shot.plan()
    shot.finish(lambda _ws: None)
    end = time.monotonic() + 30
    while not any("was charged twice" in trouble for trouble in shot.outcome.troubles):
        assert time.monotonic() < end, shot.outcome
        shot.finish(lambda _ws: None)
        time.sleep(0.1)
    assert read_status(project.ws).spending.charged_twice == 5


def test_the_api_is_looked_at_as_often_as_set_and_not_in_each_turn(project_for, bank_file):
    """A batch takes 15 s of the API's time, and so long is the time between two looks: here 3 s each."""
    project = project_for(time_scale=5, sandbox={"time_scale": 5})
    shot = OneShot(project.instance, project.resource)
    assert shot.ingest([bank_file(5)], None)
    shot.plan()
    assert shot.finish(lambda _: None).troubles == []
    calls = schema.api_calls
    ((looks,),) = project.ws.ledger.rows(select(calls.c.calls).where(calls.c.call == "GET /v3/batches"))
    assert 1 <= looks <= 4
