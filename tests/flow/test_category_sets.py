"""The sets of categories: fetched, kept by day and content, and beside what the rows have."""

from __future__ import annotations

from datetime import date, timedelta

import httpx
import msgspec
import pytest
from sqlalchemy import select, update

from pipeline.api.errors import Forbidden
from pipeline.flow.backup_files import read_references
from pipeline.flow.category_sets import fetch_category_sets
from pipeline.flow.health import unknown_categories
from pipeline.flow.publishing import publish_warehouse
from pipeline.flow.rebuilding import rebuild
from pipeline.lake.warehouse import query
from pipeline.ledger import category_sets, copying, schema
from pipeline.ledger.db import utc_now

CALL = "GET /v3/categories/{id}"


@pytest.fixture
def steps(steps_for, monthly_file):
    steps = steps_for(batch_size=50)
    steps.ingest(monthly_file())
    steps.plan()
    steps.finish()
    return steps


def shown(steps, sql):
    assert publish_warehouse(steps.ws).violations == []
    return query(steps.ws.home, sql).rows


def post(steps, path, body):
    """What somebody else does at the API."""
    headers = {"X-API-Key": steps.ws.settings.key}
    answer = httpx.post(f"{steps.ws.settings.url}/v3/{path}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text


def misbehave(steps, *rules):
    answer = httpx.put(f"{steps.ws.settings.url}/sandbox/faults", json={"rules": [{"call": CALL, **r} for r in rules]})
    assert answer.status_code == 200, answer.text


def on_day(steps, days):
    steps.ws.ledger.clock = lambda: utc_now() + timedelta(days=days)


def test_both_default_sets_are_in_the_tables_with_every_name_of_the_api(steps):
    report = fetch_category_sets(steps.ws, steps.client)
    assert (sorted(report.fetched), report.failed) == (["business", "consumer"], {})
    for name in ("consumer", "business"):
        wanted = msgspec.json.decode(steps.client.get_categories(name))
        for direction in ("incoming", "outgoing"):
            sql = (
                f"SELECT category FROM category_sets WHERE category_set = '{name}' AND direction = '{direction}'"
                " ORDER BY position"
            )
            assert [category for (category,) in shown(steps, sql)] == wanted[direction]
    assert shown(steps, "SELECT DISTINCT day FROM category_sets") == [(utc_now().date(),)]
    assert category_sets.missing_on(steps.ws.ledger, utc_now().date()) == []
    assert category_sets.missing_on(steps.ws.ledger, date(2000, 1, 1)) == ["consumer", "business"]


def test_a_list_is_archived_once_for_all_its_days_and_again_when_it_changes(steps):
    assert len(fetch_category_sets(steps.ws, steps.client).changed) == 2
    assert fetch_category_sets(steps.ws, steps.client).changed == []
    on_day(steps, 1)
    fetch_category_sets(steps.ws, steps.client)
    assert len(steps.ws.ledger.rows(select(schema.kept_answers))) == 2
    post(steps, "categories/consumer", {"incoming": ["gifts"], "outgoing": ["rent"]})
    assert fetch_category_sets(steps.ws, steps.client).changed == ["consumer"]
    assert len(steps.ws.ledger.rows(select(schema.kept_answers))) == 3
    found = shown(
        steps, "SELECT day, count(*) FROM category_sets WHERE category_set = 'consumer' GROUP BY 1 ORDER BY 1"
    )
    assert [count > 2 for _, count in found] == [True, False]
    assert not rebuild(steps.ws).differs


def test_own_sets_of_holders_are_fetched_too_and_one_that_fails_stops_no_other(steps_for, monthly_file):
    """Somebody created the holders at the API before, with sets of their own; one of these is not there."""
    steps = steps_for(batch_size=50)
    post(steps, "categories/my_own", {"incoming": ["pay"], "outgoing": ["fun"]})
    post(steps, "account_holders", {"id": "ann", "type": "consumer", "category_id": "my_own"})
    post(steps, "account_holders", {"id": "bob", "type": "consumer", "category_id": "gone"})
    steps.ingest(monthly_file())
    steps.plan()
    steps.finish()
    assert category_sets.in_use(steps.ws.ledger) == ["consumer", "business", "gone", "my_own"]
    report = fetch_category_sets(steps.ws, steps.client)
    assert sorted(report.fetched) == ["business", "consumer", "my_own"]
    assert list(report.failed) == ["gone"]
    assert category_sets.missing_on(steps.ws.ledger, utc_now().date()) == ["gone"]
    own = "SELECT direction, category FROM category_sets WHERE category_set = 'my_own' ORDER BY 1"
    assert shown(steps, own) == [("incoming", "pay"), ("outgoing", "fun")]
    assert shown(steps, "SELECT category_set FROM account_holders ORDER BY 1") == [("gone",), ("my_own",)]


def test_a_set_of_another_shape_is_a_failure_of_that_set(steps):
    misbehave(steps, {"nth": [1], "do": "set", "path": "incoming", "value": {"essential": ["rent"]}})
    report = fetch_category_sets(steps.ws, steps.client)
    assert (list(report.fetched), list(report.failed)) == (["business"], ["consumer"])
    assert "another shape" in report.failed["consumer"]


def test_a_refusal_of_the_key_is_no_matter_of_one_set(steps):
    misbehave(steps, {"do": "status", "status": 403})
    with pytest.raises(Forbidden):
        fetch_category_sets(steps.ws, steps.client)


def test_categories_of_rows_that_no_list_has_are_named(steps):
    fetch_category_sets(steps.ws, steps.client)
    assert shown(steps, "FROM unknown_categories") == []
    assert unknown_categories(steps.ws.home) == []
    ((salary,),) = shown(steps, "SELECT DISTINCT category FROM transactions WHERE entry_type = 'incoming'")
    t = schema.category_lists
    with steps.ws.ledger.write() as conn:
        conn.execute(update(t).where(t.c.category_set == "consumer").values(incoming=["SOMETHING ELSE"]))
    publish_warehouse(steps.ws)
    (found,) = unknown_categories(steps.ws.home)
    assert (found.category_set, found.direction, found.category, found.transactions) == (
        *("consumer", "incoming", salary),
        12,
    )
    # A rebuild finds that the ledger is not what was answered, and puts it right when told to.
    report = rebuild(steps.ws)
    assert (report.categories, report.differs, report.committed) == (["consumer"], True, None)
    assert rebuild(steps.ws, accept=True).committed is not None
    assert shown(steps, "FROM unknown_categories") == []
    assert not rebuild(steps.ws).differs
    # Capitals do not matter, and another day's list does as well.
    with steps.ws.ledger.write() as conn:
        conn.execute(update(t).where(t.c.category_set == "consumer").values(incoming=[salary.upper()]))
    assert shown(steps, "FROM unknown_categories") == []


@pytest.mark.sqlite
def test_a_backup_refers_to_the_answers(steps, tmp_path):
    fetch_category_sets(steps.ws, steps.client)
    copy = tmp_path / "copy.sqlite"
    with steps.ws.ledger.read() as conn:
        copying.to_file(conn, copy)
    paths = {file.path for file in read_references(copy)[1] if file.folder == "archive"}
    assert {row.path for row in steps.ws.ledger.rows(select(schema.kept_answers))} < paths
