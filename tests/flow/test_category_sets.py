"""The sets of categories: fetched, kept by day and content, and beside what the rows have."""

from __future__ import annotations

from datetime import date, timedelta

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


def answer_with(monkeypatch, client, **sets):
    """Answers of these sets in place of the API's; an error is raised."""
    real = client.get_categories

    def get(id):
        found = sets.get(id)
        if isinstance(found, Exception):
            raise found
        return real(id) if found is None else msgspec.Raw(msgspec.json.encode(found))

    monkeypatch.setattr(client, "get_categories", get)


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


def test_a_list_is_archived_once_for_all_its_days_and_again_when_it_changes(steps, monkeypatch):
    assert len(fetch_category_sets(steps.ws, steps.client).changed) == 2
    assert fetch_category_sets(steps.ws, steps.client).changed == []
    on_day(steps, 1)
    fetch_category_sets(steps.ws, steps.client)
    assert len(steps.ws.ledger.rows(select(schema.kept_answers))) == 2
    answer_with(monkeypatch, steps.client, consumer={"incoming": ["gifts"], "outgoing": ["rent"]})
    assert fetch_category_sets(steps.ws, steps.client).changed == ["consumer"]
    assert len(steps.ws.ledger.rows(select(schema.kept_answers))) == 3
    found = shown(
        steps, "SELECT day, count(*) FROM category_sets WHERE category_set = 'consumer' GROUP BY 1 ORDER BY 1"
    )
    assert [count > 2 for _, count in found] == [True, False]
    assert not rebuild(steps.ws).differs


def test_own_sets_of_holders_are_fetched_too_and_one_that_fails_stops_no_other(steps, monkeypatch):
    with steps.ws.ledger.write() as conn:
        h = schema.holders
        conn.execute(update(h).where(h.c.account_holder_id == "ann").values(category_id="mine/1"))
        conn.execute(update(h).where(h.c.account_holder_id == "bob").values(category_id="odd"))
    sets = {"mine/1": {"incoming": [], "outgoing": ["coffee"]}, "odd": {"essential": {"food": []}}}
    answer_with(monkeypatch, steps.client, **sets)
    report = fetch_category_sets(steps.ws, steps.client)
    assert sorted(report.fetched) == ["business", "consumer", "mine/1"]
    assert list(report.failed) == ["odd"]
    assert "another shape" in report.failed["odd"]
    assert category_sets.missing_on(steps.ws.ledger, utc_now().date()) == ["odd"]
    # The rows of that holder are judged by its own set, those of a set that is not known by none.
    found = shown(steps, "SELECT category_set, direction, transactions FROM unknown_categories ORDER BY direction")
    assert found == [("mine/1", "incoming", 6), ("mine/1", "outgoing", 6)]


def test_the_holders_own_set_is_learnt_from_the_api(steps_for, monthly_file, monkeypatch):
    """Somebody created it there before, with a set of its own."""
    steps = steps_for(batch_size=50)
    steps.ingest(monthly_file(holders=["ann"]))
    real = steps.client.create_account_holder
    monkeypatch.setattr(
        steps.client,
        "create_account_holder",
        lambda *given: msgspec.structs.replace(real(*given), category_id="mine"),
    )
    steps.plan()
    steps.finish()
    assert category_sets.in_use(steps.ws.ledger) == ["consumer", "business", "mine"]


def test_a_refusal_of_the_key_is_no_matter_of_one_set(steps, monkeypatch):
    answer_with(monkeypatch, steps.client, consumer=Forbidden("GET /v3/categories/{id}", status=403))
    with pytest.raises(Forbidden):
        fetch_category_sets(steps.ws, steps.client)


def test_categories_of_rows_that_no_list_has_are_named(steps, monkeypatch):
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
