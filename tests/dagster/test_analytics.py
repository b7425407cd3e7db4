"""What recurs and the categories, through the real jobs, sensor, schedule and checks."""

from __future__ import annotations

import datetime as dt
import time

import dagster as dg
import httpx
import sqlalchemy as sa

from pipeline.definitions import build_defs
from pipeline.flow.publishing import publish_warehouse
from pipeline.jobs import recurrence_schedule
from pipeline.lake.warehouse import query
from pipeline.ledger import recurrence, schema
from pipeline.one_shot import OneShot
from pipeline.refresh_sensor import refreshes

CALL = "POST /v3/account_holders/{id}/recurring_groups"


def land(project, path):
    keys = project.planned(path)
    project.run("account_holder_sync")
    project.run("submit", keys)
    project.wait()
    project.run("collect", keys)


def misbehave(project, *rules):
    answer = httpx.put(f"{project.ws.settings.url}/sandbox/faults", json={"rules": list(rules)})
    assert answer.status_code == 200, answer.text


def ask(project, cursors):
    """Jobs that a tick of the sensor asks for. Resources given with the call would make Dagster forget the cursor."""
    context = dg.build_sensor_context(
        instance=project.instance, cursor=cursors.get("at"), resources={"enrich": project.resource}
    )
    found = [request.job_name for request in refreshes(context) if isinstance(request, dg.RunRequest)]
    cursors["at"] = context.cursor
    return found


def figures(project, asset):
    (record, *_) = project.instance.fetch_materializations(dg.AssetKey(asset), limit=1).records
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def checks(result):
    return {e.check_name: (e.passed, {k: v.value for k, v in e.metadata.items()})
            for e in result.get_asset_check_evaluations()}  # fmt: skip


def test_the_sensor_asks_once_all_has_landed_and_no_more_when_it_is_known(project_for, bank_file):
    project, cursors = project_for(), {}
    keys = project.planned(bank_file(30))
    assert ask(project, cursors) == []
    project.run("account_holder_sync")
    project.run("submit", keys)
    project.wait()
    project.run("collect", keys[:2])
    assert ask(project, cursors) == []  # one is still to be landed
    assert recurrence.is_wanted(project.ws.ledger)
    project.run("collect", keys[2:])
    assert ask(project, cursors) == ["recurrence", "categories"]
    assert ask(project, cursors) == []  # just asked for
    assert project.run("recurrence").success
    assert project.run("categories").success
    found = figures(project, "recurrence_groups")
    assert found.pop("groups") >= 0
    assert found == {"holders": 3, "failed": 0, "unreadable": 0, "left": 0}
    assert figures(project, "category_sets")["sets"] == 2
    assert ask(project, {}) == []
    assert publish_warehouse(project.ws).violations == []
    sql = "SELECT count(*) FROM account_holders WHERE recurrence_refreshed_at IS NOT NULL"
    assert query(project.ws.home, sql).rows == [(3,)]


def test_what_recurs_is_not_asked_for_where_it_is_switched_off(project_for, bank_file):
    project = project_for(recurrence="never")
    land(project, bank_file(10))
    assert ask(project, {}) == ["categories"]
    assert (
        "no history"
        in recurrence_schedule(
            dg.build_schedule_context(instance=project.instance), enrich=project.resource
        ).skip_message
    )


def test_the_schedule_does_not_wait_for_what_is_under_way(project_for, bank_file):
    project = project_for()

    def asked():
        context = dg.build_schedule_context(instance=project.instance)
        return recurrence_schedule(context, enrich=project.resource)

    assert "no history has grown" in asked().skip_message
    keys = project.planned(bank_file(20))
    project.run("account_holder_sync")
    project.run("submit", keys)
    project.wait()
    project.run("collect", keys[:1])
    assert ask(project, {}) == []
    assert isinstance(asked(), dg.RunRequest)


def test_a_refusal_fails_the_run_with_its_words_and_is_not_asked_for_at_once(project_for, bank_file):
    project = project_for(backoff_base=3_600)
    land(project, bank_file(10))
    misbehave(project, {"call": CALL, "do": "status", "status": 403})
    result = project.run("recurrence")
    assert not result.success
    failure = next(e for e in result.all_events if e.is_step_failure).step_failure_data.user_failure_data
    assert "does not have this feature" in failure.description
    assert ask(project, {}) == ["categories"]


def test_checks_warn_of_holders_that_fail_and_of_categories_nobody_knows(project_for, bank_file):
    project = project_for()
    land(project, bank_file(10))
    misbehave(
        project,
        {"call": CALL, "ids": ["holder-1"], "do": "status", "status": 404},
        {"call": "GET /v3/categories/{id}", "nth": [1], "do": "set", "path": "outgoing", "value": ["nothing"]},
    )
    assert project.run("recurrence").success
    assert figures(project, "recurrence_groups")["failed"] == 1
    assert project.run("categories").success
    publish_warehouse(project.ws)
    found = checks(project.run("health"))
    passed, metadata = found["recurrence_complete"]
    assert (passed, metadata["failing"], metadata["holders"]) == (False, 1, 3)
    passed, metadata = found["categories_known"]
    assert not passed
    assert metadata["transactions"] > 0
    assert "consumer, outgoing: " in metadata["categories"]
    misbehave(project)
    project.run("categories")
    publish_warehouse(project.ws)
    assert checks(project.run("health"))["categories_known"] == (
        True, {"unknown": 0, "transactions": 0, "categories": "none"},
    )  # fmt: skip


def test_a_set_that_grows_during_a_day_is_fetched_again(project_for, bank_file):
    project, cursors = project_for(), {}
    land(project, bank_file(10))
    # As it was this morning: without most of what it will have.
    misbehave(
        project, {"call": "GET /v3/categories/{id}", "nth": [1], "do": "set", "path": "outgoing", "value": ["nothing"]}
    )
    assert project.run("categories").success
    misbehave(project)
    with project.ws.ledger.write() as conn:
        hours_ago = project.ws.ledger.now() - dt.timedelta(hours=2)
        conn.execute(sa.update(schema.category_days).values(fetched_at=hours_ago))
    assert ask(project, cursors) == ["recurrence"]  # nothing of it is published yet
    publish_warehouse(project.ws)
    assert ask(project, cursors) == ["categories"]
    assert ask(project, cursors) == []  # just asked for
    project.run("categories")
    publish_warehouse(project.ws)
    assert query(project.ws.home, "SELECT * FROM unknown_categories").rows == []
    assert ask(project, {}) == ["recurrence"]


def test_a_category_that_its_set_does_not_have_even_then_is_not_asked_for_for_ever(project_for, bank_file):
    project = project_for()
    land(project, bank_file(10))
    misbehave(project, {"call": "GET /v3/categories/{id}", "do": "set", "path": "outgoing", "value": ["nothing"]})
    assert project.run("categories").success
    publish_warehouse(project.ws)
    assert query(project.ws.home, "SELECT count(*) > 0 FROM unknown_categories").rows == [(True,)]
    assert ask(project, {}) == ["recurrence"]


def test_a_set_that_cannot_be_had_fails_the_run_after_the_others(project_for, bank_file):
    project = project_for()
    land(project, bank_file(10))
    misbehave(project, {"call": "GET /v3/categories/{id}", "nth": [1], "do": "status", "status": 404})
    result = project.run("categories")
    assert not result.success
    failure = next(e for e in result.all_events if e.is_step_failure).step_failure_data.user_failure_data
    assert "1 of 2 category sets could not be had" in failure.description
    assert ask(project, {}) == ["recurrence", "categories"]


def test_one_run_of_everything_ends_with_what_recurs_and_the_categories(project_for, bank_file):
    project = project_for()
    one_shot = OneShot(project.instance, project.resource)
    assert one_shot.ingest([bank_file(20)], None)
    one_shot.plan()
    started = time.monotonic()
    outcome = one_shot.finish(lambda _: None)
    assert (outcome.troubles, outcome.stopped_by) == ([], None)
    assert time.monotonic() - started < 60
    sql = "SELECT (SELECT count(DISTINCT category_set) FROM category_sets), (SELECT count(*) FROM account_holders WHERE"
    assert query(project.ws.home, f"{sql} recurrence_refreshed_at IS NOT NULL)").rows == [(2, 3)]


def test_one_run_of_everything_fetches_a_set_again_that_lacks_what_its_results_name(project_for, bank_file):
    project = project_for()
    rule = {"call": "GET /v3/categories/{id}", "nth": [1, 2], "do": "set", "path": "outgoing", "value": ["nothing"]}
    misbehave(project, rule)
    assert project.run("categories").success  # this morning's
    misbehave(project)
    one_shot = OneShot(project.instance, project.resource)
    assert one_shot.ingest([bank_file(20)], None)
    one_shot.plan()
    assert one_shot.finish(lambda _: None).troubles == []
    found = query(project.ws.home, "SELECT count(*) FROM unknown_categories").rows
    kept = query(project.ws.home, "SELECT count(*) FROM category_sets WHERE category = 'nothing'").rows
    assert (found, kept) == ([(0,)], [(0,)])


def test_a_run_of_everything_says_that_what_recurs_could_not_be_had_and_is_none_the_worse(project_for, bank_file):
    project = project_for()
    misbehave(project, {"call": CALL, "do": "status", "status": 403})
    one_shot = OneShot(project.instance, project.resource)
    assert one_shot.ingest([bank_file(20)], None)
    one_shot.plan()
    outcome = one_shot.finish(lambda _: None)
    assert outcome.stopped_by is None
    assert "what recurs is not known yet of 3 account holders" in " ".join(outcome.troubles)
    assert query(project.ws.home, "SELECT enriched FROM publication").rows == [(20,)]


def test_every_asset_says_what_it_is_and_whose():
    for name in ("recurrence_groups", "category_sets"):
        spec = build_defs().resolve_asset_graph().get(dg.AssetKey(name))
        assert spec.description
        assert spec.owners == ["team:analytics"]
        assert "api" in spec.kinds
        assert "dagster/column_schema" in spec.metadata
