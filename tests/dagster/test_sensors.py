"""Sensors called as functions: what they ask for, that they do not flood, and what they heal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat

from pipeline import dispatch
from pipeline.flow.collecting import collect
from pipeline.flow.health import health
from pipeline.ledger import api_calls, batches, circuit
from pipeline.ledger.states import State
from pipeline.process import this_process
from pipeline.runs import PROCESS_TAG, reap_dead_runs
from pipeline.sensors import RANGE_END, RANGE_START, completions, inbox, publications, submissions

ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("pipeline"), "repository"), "any")
"""A run in the queue must have one."""


def asked(requests):
    return [
        (r.job_name, [r.partition_key] if r.partition_key else [r.tags[RANGE_START], r.tags[RANGE_END]])
        for r in requests
        if r.partition_key or RANGE_START in r.tags
    ]


def test_the_inbox_asks_once_for_what_lies_still(project_for, bank_file):
    project = project_for()
    assert project.tick(inbox) == []
    folder = project.ws.settings.inbox_dir
    folder.mkdir()
    bank_file(3).rename(folder / "bank.csv")
    assert project.tick(inbox) == []
    os.utime(folder / "bank.csv", (1, 1))
    assert len(project.tick(inbox)) == 1


def test_submissions_plan_create_holders_and_send_in_that_order(project_for, bank_file):
    project = project_for(batch_max_age=0)
    project.run("ingest", config={"ops": {"raw_transactions": {"config": {"files": [str(bank_file(20))]}}}})
    assert [r.job_name for r in project.tick(submissions)] == ["plan", "account_holder_sync"]
    project.run("plan")
    project.run("account_holder_sync")
    keys = [row.batch_key for row in batches.in_states(project.ws.ledger, State.PLANNED)]
    requests = project.tick(submissions)
    assert asked(requests) == [("submit", keys)]
    assert project.tick(submissions) == []  # asked for already
    assert project.run("submit", keys).success
    assert project.tick(submissions) == []


def test_no_more_is_asked_for_than_there_are_places_and_credits(project_for, bank_file):
    project = project_for(max_in_flight=3, credits_capacity=25)
    keys = project.planned(bank_file(50))
    project.run("account_holder_sync")
    assert asked(project.tick(submissions)) == [("submit", keys[:2])]


def test_nothing_is_asked_for_while_the_circuit_is_open_but_one_probe(project_for, bank_file):
    project = project_for()
    keys = project.planned(bank_file(30))
    project.run("account_holder_sync")
    ledger = project.ws.ledger
    with ledger.write() as conn:
        circuit.open_circuit(conn, status=423, reason="no credits", now=ledger.now(), probe_seconds=600)
    assert project.tick(submissions) == []
    with ledger.write() as conn:
        circuit.open_circuit(conn, status=423, reason="no credits", now=ledger.now(), probe_seconds=-1)
    assert asked(project.tick(submissions)) == [("submit", [keys[0]])]


def test_a_cap_below_the_oldest_batch_asks_for_nothing(project_for, bank_file):
    project = project_for(spend_cap_day=8)
    project.planned(bank_file(16))  # batches of 10 and 6: the small one must not overtake
    project.run("account_holder_sync")
    assert project.tick(submissions) == []


def test_a_key_that_is_refused_for_holders_stops_the_asking(project_for, bank_file):
    project = project_for(sandbox={"api_key": ("right",)})
    project.planned(bank_file(5))
    assert [r.job_name for r in project.tick(submissions)] == ["account_holder_sync"]
    assert not project.run("account_holder_sync").success
    assert project.tick(submissions) == []


def test_completions_look_and_ask_for_ranges(project_for, bank_file):
    project = project_for(max_in_flight=10, poll_interval=0.001)
    keys = project.planned(bank_file(50))
    project.run("account_holder_sync")
    project.run("submit", [keys[0], keys[1]])
    project.run("submit", [keys[3]])
    end = time.monotonic() + 20
    found = []
    while len(found) < 2 and time.monotonic() < end:
        found += asked(project.tick(completions))
        time.sleep(0.05)
    assert sorted(key for _, group in found for key in group) == [keys[0], keys[1], keys[3]]
    assert project.tick(completions) == []


def test_a_run_that_never_started_is_asked_for_again(project_for, bank_file):
    project = project_for(dispatch_seconds=2)
    (key,) = project.planned(bank_file(5))
    project.run("account_holder_sync")
    assert asked(project.tick(submissions)) == [("submit", [key])]
    assert project.tick(submissions) == []
    time.sleep(2.1)
    assert asked(project.tick(submissions)) == [("submit", [key])]


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING])
def test_what_a_run_in_the_queue_is_to_send_is_not_asked_for_again_however_long_it_waits(
    project_for, bank_file, status
):
    project = project_for(dispatch_seconds=0.001, batch_size=5)
    keys = project.planned(bank_file(25))
    project.run("account_holder_sync")
    _beat(project.instance, age=100)
    span = {RANGE_START: keys[0], RANGE_END: keys[2]}
    waiting = [
        create_run_for_test(project.instance, job_name="submit", status=status, tags=tags, remote_job_origin=ORIGIN)
        for tags in (span, {"dagster/partition": keys[3]})
    ]
    other = {"dagster/partition": keys[4]}
    create_run_for_test(project.instance, job_name="collect", status=status, tags=other, remote_job_origin=ORIGIN)
    for _ in range(3):
        assert asked(project.tick(submissions)) == [("submit", [keys[4]])]
    _beat(project.instance, age=200)  # no daemon any more: nobody will start them
    assert asked(project.tick(submissions)) == [("submit", [keys[0], keys[4]])]
    _beat(project.instance, age=0)
    for run in waiting:
        project.instance.delete_run(run.run_id)
    assert asked(project.tick(submissions)) == [("submit", [keys[0], keys[4]])]


def _beat(instance, *, age):
    """Of the daemon that takes runs out of the queue, so many seconds ago."""
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - age, "QUEUED_RUN_COORDINATOR", "one"))


def test_a_landing_of_which_dagster_was_not_told_is_told_by_the_outbox(project_for, bank_file):
    project = project_for()
    (key,) = project.planned(bank_file(5))
    project.run("account_holder_sync")
    project.run("submit", [key])
    project.wait()
    assert list(collect(project.ws, project.client, [key]).landed) == [key]  # the run "died" before its events
    assert project.grid("transactions") == {key: "missing"}
    project.tick(completions)
    for asset in ("batch_results", "transactions", "intermediaries"):
        assert project.grid(asset) == {key: "materialized"}
    project.tick(completions)
    records = project.instance.fetch_materializations(dg.AssetKey("transactions"), limit=10).records
    assert len(records) == 1


def test_publications_ask_once_per_revision(project_for, bank_file):
    project = project_for()
    project.planned(bank_file(5))
    assert len(project.tick(publications)) == 1
    assert project.tick(publications) == []
    assert project.run("publish").success
    assert project.tick(publications) == []


def test_a_lookup_that_fails_altogether_fails_the_tick(project_for, bank_file):
    project = project_for(poll_interval=0.001)
    (key,) = project.planned(bank_file(5))
    project.run("account_holder_sync")
    project.run("submit", [key])
    broken = project.ws.settings.model_copy(update={"base_url": "http://127.0.0.1:9"})
    project.resource._settings = broken
    with pytest.raises(dg.Failure, match="no connection to the API"):
        project.tick(completions)


def dead_process():
    script = "from pipeline.process import this_process; print(this_process())"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_runs_of_dead_processes_are_ended_and_others_are_left_alone(project_for):
    project = project_for()
    started = dg.DagsterRunStatus.STARTED
    dead = create_run_for_test(project.instance, status=started, tags={PROCESS_TAG: dead_process()})
    alive = create_run_for_test(project.instance, status=started, tags={PROCESS_TAG: str(this_process())})
    foreign = create_run_for_test(project.instance, status=started, tags={PROCESS_TAG: "elsewhere/boot/1/1"})
    assert reap_dead_runs(project.instance) == [dead.run_id]
    status = {run.run_id: run.status for run in project.instance.get_runs()}
    assert status[dead.run_id] == dg.DagsterRunStatus.FAILURE
    assert status[alive.run_id] == status[foreign.run_id] == started


def test_a_retry_is_not_ended_for_its_parents_death(project_for):
    project = project_for()
    tag = {PROCESS_TAG: dead_process()}
    parent = create_run_for_test(project.instance, status=dg.DagsterRunStatus.FAILURE, tags=tag)
    status = dg.DagsterRunStatus.STARTING
    create_run_for_test(
        project.instance, status=status, tags=tag, parent_run_id=parent.run_id, root_run_id=parent.run_id
    )
    assert reap_dead_runs(project.instance) == []


def test_overdue_is_a_flag_and_not_a_state(project_for, bank_file):
    project = project_for(sandbox={"time_scale": 1})
    (key,) = project.planned(bank_file(5))
    project.run("account_holder_sync")
    project.run("submit", [key])
    assert health(project.ws).overdue == []
    at_once = project.ws.settings.model_copy(update={"overdue_after": 1e-6})
    assert health(replace(project.ws, settings=at_once)).overdue == [key]
    assert project.state(key) == State.SUBMITTED


@pytest.mark.parametrize("cursor", [str(time.time() + 86_400), "yesterday", "nan"], ids=["ahead", "words", "nan"])
def test_the_poll_goes_on_whatever_its_cursor_says(project_for, bank_file, cursor):
    """A look made while the clock was a day ahead kept the next one away for a day; a person may write anything."""
    project = project_for(poll_interval=3_600)
    (key,) = project.planned(bank_file(5))
    project.run("account_holder_sync")
    assert project.run("submit", [key]).success
    with project.ws.ledger.read() as conn:
        before = api_calls.counted(conn).total
    project.cursors[completions.name] = cursor
    project.tick(completions)
    with project.ws.ledger.read() as conn:
        assert api_calls.counted(conn).total > before


def test_when_it_is_time_to_look():
    assert dispatch.is_time(None, 1_000.0, 15)
    assert dispatch.is_time("985", 1_000.0, 15)
    assert not dispatch.is_time("986", 1_000.0, 15)
    assert not dispatch.is_time("1000", 1_000.0, 15)


def test_a_file_that_stays_in_the_inbox_is_not_tried_every_five_seconds(project_for, bank_file):
    """For want of a right, say: thousands of failed runs a day. A new file is read at once all the same."""
    project = project_for()
    folder = project.ws.settings.inbox_dir
    folder.mkdir()
    path = bank_file(3).rename(folder / "bank.csv")
    os.utime(path, (1, 1))
    (folder / "done").symlink_to(folder / "nowhere")
    assert len(project.tick(inbox)) == 1
    assert not project.run("ingest").success
    assert project.tick(inbox) == []
    os.utime(bank_file(3, name="b.csv", start=10).rename(folder / "b.csv"), (1, 1))
    assert len(project.tick(inbox)) == 1


def test_how_long_the_inbox_rests():
    assert not dispatch.inbox_rests(0, 0, 0, 0, 1_000)
    assert dispatch.inbox_rests(900, 1, 950, 995, 1_000)
    assert not dispatch.inbox_rests(900, 1, 950, 990, 1_000)
    assert dispatch.inbox_rests(900, 4, 910, 930, 1_000)
    assert not dispatch.inbox_rests(951, 1, 950, 995, 1_000)  # came after the run began
    assert not dispatch.inbox_rests(0, 8, 10, 50, 1_000)
    assert not dispatch.inbox_rests(900, 1, 950, 2_000, 1_000)  # a clock that was ahead
