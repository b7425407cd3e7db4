"""What a person does in the UI, and what Dagster is told of what no run has said."""

from __future__ import annotations

import dagster as dg
import httpx

from pipeline.flow import operating as flow_operating
from pipeline.flow.submitting import submit
from pipeline.ledger import batches, schema
from pipeline.ledger.states import State
from pipeline.sensors import completions, submissions

POST = "POST /v3/batches"


def config(op, **given):
    return {"ops": {op: {"config": {"why": "asked", "who": "ana", **given}}}}


def failure_of(result):
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.user_failure_data.description


def actions(project):
    table = schema.operator_actions
    return [(row.who, row.action, row.batch_key, row.why) for row in project.ws.ledger.rows(table.select())]


def test_hold_and_release_from_the_launchpad(project_for, bank_file):
    project = project_for()
    first, second = project.planned(bank_file(20))
    assert project.run("operator_hold", config=config("hold_batches", batches=[first])).success
    assert (project.state(first), project.state(second)) == (State.HELD, State.PLANNED)
    # The ones that can be released are, and the others are named.
    result = project.run("operator_release", config=config("release_batches", batches=[second, first]))
    assert not result.success
    assert failure_of(result).startswith(f"1 of 2 done. {second}: batch {second} is planned, not held")
    assert project.state(first) == State.PLANNED
    assert actions(project) == [("ana", "hold", first, "asked"), ("ana", "release", first, "asked")]


def test_retry_from_the_launchpad(project_for, bank_file):
    project = project_for(max_attempts=1, probe_budget=0, sandbox={"error_batch_nth": (1,)})
    (key,) = project.planned(bank_file(5))
    project.run("account_holder_sync")
    project.run("submit", [key])
    project.wait()
    project.run("collect", [key])
    assert project.state(key) == State.HELD
    assert project.run("operator_retry", config=config("retry_batches", batches=[key])).success
    assert project.state(key) == State.PLANNED
    assert not project.run("operator_retry", config=config("retry_batches", batches=["nonsense"])).success


def lose(project, key):
    """Send a batch whose answer gets lost; returns its id at the API."""
    rules = {"rules": [{"call": POST, "nth": [1], "do": "drop", "when": "after"}]}
    httpx.put(f"{project.ws.settings.url}/sandbox/faults", json=rules).raise_for_status()
    project.run("account_holder_sync")
    submit(project.ws, project.client, [key])
    assert project.state(key) == State.UNCONFIRMED
    return next(iter(project.client.iter_batches())).id


def test_an_adopted_batch_is_a_materialised_submission_though_no_run_sent_it(project_for, bank_file):
    project = project_for(grace=2_592_000)
    (key,) = project.planned(bank_file(5))
    there = lose(project, key)
    given = config("adopt_batch", batch=key, vendor_batch_id=there)
    assert project.run("operator_adopt", config=given).success
    assert project.grid("batch_submissions") == {key: "missing"}
    project.tick(completions)
    assert project.grid("batch_submissions") == {key: "materialized"}
    (event,) = project.instance.fetch_materializations(dg.AssetKey("batch_submissions"), limit=5).records
    assert event.asset_materialization.metadata["vendor_batch_id"].value == there
    project.tick(completions)
    assert len(project.instance.fetch_materializations(dg.AssetKey("batch_submissions"), limit=5).records) == 1


def test_a_split_batch_is_settled_with_the_keys_of_its_halves(project_for, bank_file):
    project = project_for(batch_size=4, max_attempts=1, backoff_base=0)
    rules = {"rules": [{"call": POST, "ids": ["tx-1"], "do": "batch_error"}]}
    httpx.put(f"{project.ws.settings.url}/sandbox/faults", json=rules).raise_for_status()
    bad, good = project.planned(bank_file(8))
    project.run("account_holder_sync")
    project.run("submit", [bad, good])
    project.wait()
    assert project.run("collect", [good]).success
    assert project.run("collect", [bad]).success
    assert project.state(bad) == State.SPLIT
    with project.ws.ledger.read() as conn:
        halves = batches.children(conn, bad)
    (event,) = project.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey("transactions"), asset_partitions=[bad]), limit=5
    ).records
    metadata = event.asset_materialization.metadata
    assert (metadata["rows"].value, metadata["split_into"].value) == (0, ", ".join(halves))
    (seen,) = project.instance.fetch_observations(dg.AssetKey("batch_results"), limit=5).records
    assert "split" in seen.event_log_entry.dagster_event.asset_observation_data.asset_observation.metadata
    # The halves become partitions of their own when they are asked for.
    (request,) = [r for r in project.tick(submissions) if r.job_name == "submit"]
    assert request.tags["dagster/asset_partition_range_start"] == halves[0]
    assert set(halves) <= set(project.instance.get_dynamic_partitions("batches"))


def test_a_rewritten_version_is_reported_by_the_sensor(project_for, bank_file):
    rules = {"rules": [{"call": POST, "ids": ["tx-1"], "to": 1, "do": "item_error"}]}
    project = project_for(item_attempts=1)
    httpx.put(f"{project.ws.settings.url}/sandbox/faults", json=rules).raise_for_status()
    (key,) = project.planned(bank_file(5))
    project.run("account_holder_sync")
    project.run("submit", [key])
    project.wait()
    assert project.run("collect", [key]).success
    flow_operating.retry(project.ws, key, who="ana", why="cured")
    project.tick(completions)
    newest = project.instance.fetch_materializations(dg.AssetKey("transactions"), limit=1).records[0]
    metadata = newest.asset_materialization.metadata
    assert (metadata["rows"].value, metadata["version"].value) == (4, 2)
    assert metadata["items_sent_again_in"].value.startswith("00000002-")


def test_the_doctor_as_a_job_says_what_is_wrong(project_for, bank_file):
    project = project_for(sandbox={"api_key": ("another",)})
    project.planned(bank_file(5))
    result = project.run("doctor", config={"ops": {"see_doctor": {"config": {"who": "ana"}}}})
    assert not result.success
    assert "API: GET /v3/batches: a retry cannot clear this: the API key is wrong" in failure_of(result)
