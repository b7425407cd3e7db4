"""Old partitions and runs leave the instance; tables, ledger and what is under way stay."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.test_utils import instance_for_test

from pipeline import retiring
from pipeline.ledger.db import utc_now
from pipeline.retiring import retire


@pytest.fixture
def old(project_for, bank_file):
    """Two landed batches, one that is only planned, and all of it a hundred days ago by the ledger's clock."""
    project = project_for(keep_runs_days=30)
    landed = project.planned(bank_file(20))
    project.run("account_holder_sync")
    project.run("submit", landed)
    project.wait()
    assert project.run("collect", landed).success
    (planned,) = project.planned(bank_file(5, name="more.csv", start=100))
    project.ws.ledger.clock = lambda: utc_now() + timedelta(days=100)
    return project, landed, planned


def test_partitions_of_landed_batches_retire_and_the_others_stay(old):
    project, landed, planned = old
    assert project.instance.get_dynamic_partitions("batches") == [*landed, planned]
    assert retire(project.ws, project.instance).partitions == 2
    assert project.instance.get_dynamic_partitions("batches") == [planned]
    assert project.grid("batch_results") == {planned: "missing"}
    assert {project.state(key) for key in landed} == {"landed"}
    assert retire(project.ws, project.instance).partitions == 0


def test_a_pass_takes_out_so_many_and_the_next_goes_on(old, monkeypatch):
    project, landed, planned = old
    monkeypatch.setattr(retiring, "AT_ONCE", 1)
    assert retire(project.ws, project.instance).partitions == 1
    assert project.instance.get_dynamic_partitions("batches") == [landed[1], planned]
    assert retire(project.ws, project.instance).partitions == 1


def test_runs_go_after_their_days(old):
    project, _, _ = old
    before = project.instance.get_runs_count()
    assert before >= 3
    assert retire(project.ws, project.instance).runs == 0  # a few seconds old
    ws = project.ws.__class__(project.ws.settings.model_copy(update={"keep_runs_days": 1e-7}), project.ws.ledger)
    assert retire(ws, project.instance).runs == before
    assert project.instance.get_runs_count() == 0


@dg.op
def say(context):
    print("said")  # noqa: T201 - goes to the run's captured output
    context.log.info("said")


@dg.job
def speak():
    say()


def test_nothing_of_a_run_stays_on_the_disk(project_for, tmp_path):
    """Dagster leaves the file of its events, emptied, and its captured output."""
    ws = project_for().ws
    ws = ws.__class__(ws.settings.model_copy(update={"keep_runs_days": 1e-7}), ws.ledger)
    (tmp_path / "dagster").mkdir()
    with instance_for_test(temp_dir=str(tmp_path / "dagster")) as instance:
        run_id = speak.execute_in_process(instance=instance).run_id

        def left():
            return [path for path in (tmp_path / "dagster").rglob("*") if run_id in path.name]

        assert {path.suffix for path in left()} == {".db", ""}  # events, and the folder of the output
        assert retire(ws, instance).runs == 1
        assert left() == []


def test_the_job_says_what_it_removed(old):
    project, _, _ = old
    result = project.run("retention")
    assert result.success
    assert any("removed 0 replaced files" in (e.message or "") for e in project.instance.all_logs(result.run_id))
