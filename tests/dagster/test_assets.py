"""Assets through the real jobs: one run, many batches, and a partition grid that is true."""

from __future__ import annotations

import dagster as dg

from pipeline.definitions import defs
from pipeline.lake.tables import FILE_TABLES
from pipeline.lake.warehouse import query
from pipeline.ledger import batches, manifest
from pipeline.ledger.states import State


def events(project, asset, key=None):
    found = project.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[key] if key else None), limit=50
    )
    return [record.asset_materialization for record in found.records]


def test_ingest_and_plan_report_rows_and_make_partitions(project_for, bank_file):
    project = project_for()
    path = bank_file(25, bad=1)
    result = project.run("ingest", config={"ops": {"raw_transactions": {"config": {"files": [str(path)]}}}})
    assert result.success
    (event,) = events(project, "raw_transactions")
    figures = {name: value.value for name, value in event.metadata.items()}
    assert figures.pop("read_as")["bank.csv"]["format"]
    assert figures == {"files": 1, "records": 26, "accepted": 25, "new": 25, "rejected": 1}
    assert project.run("plan", config={"ops": {"batch_plan": {"config": {"flush": True}}}}).success
    keys = [row.batch_key for row in batches.in_states(project.ws.ledger, State.PLANNED)]
    assert project.instance.get_dynamic_partitions("batches") == keys
    assert len(keys) == 3


def test_a_file_that_cannot_be_read_fails_the_run_and_not_the_others(project_for, bank_file, tmp_path):
    project = project_for()
    bad = tmp_path / "odd.csv"
    bad.write_text("when,what\n1,2\n")
    files = [str(bad), str(bank_file(4))]
    result = project.run("ingest", config={"ops": {"raw_transactions": {"config": {"files": files}}}})
    assert not result.success
    failure = next(e for e in result.all_events if e.is_step_failure).step_failure_data.user_failure_data
    assert "1 file could not be read, 1 file could" in failure.description
    assert "odd.csv" in failure.description
    assert manifest.head(project.ws.ledger).revision == 1


def test_one_run_sends_and_one_run_lands_many_batches(project_for, bank_file):
    project = project_for()
    keys = project.planned(bank_file(30))
    assert project.run("account_holder_sync").success
    assert project.run("submit", keys).success
    assert project.grid("batch_submissions") == dict.fromkeys(keys, "materialized")
    assert project.grid("batch_results") == dict.fromkeys(keys, "missing")
    project.wait()
    assert project.run("collect", keys).success
    for asset in ("batch_results", "transactions", "intermediaries"):
        assert project.grid(asset) == dict.fromkeys(keys, "materialized")
    (event,) = events(project, "transactions", keys[0])
    figures = {name: value.value for name, value in event.metadata.items()}
    assert (figures["rows"], figures["credits"], figures["enriched"], figures["version"]) == (10, 10, 10, 1)
    assert figures["seconds"] > 0
    assert batches.unreported(project.ws.ledger) == []


def test_the_grid_stays_true_when_one_batch_of_a_range_is_held(project_for, bank_file):
    project = project_for(max_attempts=1, probe_budget=0, sandbox={"error_batch_nth": (2,)})
    first, second, third = project.planned(bank_file(30))
    project.run("account_holder_sync")
    project.run("submit", [first, second, third])
    project.wait()
    result = project.run("collect", [first, second, third])
    assert not result.success
    assert project.grid("transactions") == {first: "materialized", second: "failed", third: "materialized"}
    assert project.state(second) == State.HELD
    # A later run over all of them has nothing to do and must not paint anything.
    assert project.run("collect", [first, second, third]).success
    assert project.grid("transactions")[first] == "materialized"


def test_an_error_batch_is_observed_and_its_partition_turns_green_when_it_lands(project_for, bank_file):
    project = project_for(backoff_base=0, sandbox={"error_batch_nth": (1,)})
    (key,) = project.planned(bank_file(10))
    project.run("account_holder_sync")
    project.run("submit", [key])
    project.wait()
    assert project.run("collect", [key]).success
    (seen,) = project.instance.fetch_observations(dg.AssetKey("batch_results"), limit=5).records
    observation = seen.event_log_entry.dagster_event.asset_observation_data.asset_observation
    assert observation.partition == key
    assert "attempt 1 of 3 ended in error" in observation.metadata["sent again"].value
    assert project.grid("transactions") == {key: "missing"}
    project.run("submit", [key])
    project.wait()
    assert project.run("collect", [key]).success
    assert project.grid("transactions") == {key: "materialized"}
    assert [e.metadata["attempt"].value for e in events(project, "batch_submissions", key)] == [2, 1]


def test_publish_yields_the_identity_check_and_the_operators_checks(project_for, bank_file):
    project = project_for()
    project.planned(bank_file(10))
    result = project.run("publish")
    assert result.success
    checks = {c.check_name: c.passed for c in result.get_asset_check_evaluations()}
    assert checks == {
        "identity": True,
        "nothing_overdue": True,
        "nothing_held": True,
        "results_complete": True,
        "fresh": True,
    }
    (event,) = events(project, "warehouse")
    assert event.metadata["in_flight"].value == 10
    assert (project.ws.home / "warehouse.duckdb").exists()


def test_each_call_to_the_api_is_counted_and_the_warehouse_says_how_many_a_batch_takes(project_for, bank_file):
    project = project_for()
    keys = project.planned(bank_file(30))
    project.run("account_holder_sync")
    project.run("submit", keys)
    project.wait()
    project.run("collect", keys)
    assert project.run("publish").success
    rows = query(project.ws.home, "SELECT call, sum(calls) FROM api_calls GROUP BY ALL").rows
    assert dict(rows) == {
        "POST /v3/account_holders": 3,
        "GET /v3/batches": 1,  # the newest of the list, before the first submission
        "POST /v3/batches": 3,
        "GET /v3/batches/{id}/results": 3,
    }
    (event,) = events(project, "warehouse")
    assert event.metadata["api_calls"].value == 10
    assert event.metadata["api_calls_per_landed_batch"].value == 2.33


def test_damage_fails_the_check_and_the_run_and_publishes_nothing(project_for, bank_file):
    project = project_for()
    project.planned(bank_file(10))
    with project.ws.ledger.write() as conn:
        (plan_file,) = manifest.live(conn, "plan")
        manifest.commit(conn, remove=[plan_file.path], now=project.ws.ledger.now())
    result = project.run("publish")
    assert not result.success
    identity = next(c for c in result.get_asset_check_evaluations() if c.check_name == "identity")
    assert not identity.passed
    assert "tx-" in identity.metadata["violations"].value
    assert not (project.ws.home / "warehouse.duckdb").exists()


def test_no_text_of_a_transaction_gets_into_the_event_log(project_for, bank_file):
    project = project_for(sandbox={"item_error_share": 0.3})
    keys = project.planned(bank_file(20, bad=1))
    for job, selected in (("account_holder_sync", None), ("submit", keys), ("collect", keys), ("publish", None)):
        if job == "collect":
            project.wait()
        assert project.run(job, selected).success
    runs = project.instance.get_runs()
    logged = " ".join(str(entry) for run in runs for entry in project.instance.all_logs(run.run_id))
    assert len(runs) == 4
    for secret in ("BLUE BOTTLE", "NETFLIX", "Netflix", "ACME", "TESCO", "sandbox-key"):
        assert secret not in logged


def test_the_ui_knows_each_column_and_what_it_means():
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    for name in ("raw_transactions", "transactions", "intermediaries"):
        shown = specs[name].metadata["dagster/column_schema"].columns
        declared = [(c.name, c.type, c.comment) for c in FILE_TABLES[name].columns]
        assert [(c.name, c.type, c.description) for c in shown] == declared
    described = specs["warehouse"].description
    assert "- `transactions`: Start here." in described
    assert "- `api_calls`:" in described
