"""What recurs: asked again when a history has grown, kept per holder, and safe to be ended anywhere."""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import httpx
import pytest
from forked_programs import run_code
from sqlalchemy import select

from pipeline.api.errors import Forbidden, Unavailable
from pipeline.cli import show
from pipeline.crashpoints import REFRESH_POINTS
from pipeline.flow import recurrence as flow
from pipeline.flow.backing_up import backup
from pipeline.flow.category_sets import fetch_category_sets
from pipeline.flow.publishing import publish_warehouse
from pipeline.flow.rebuilding import rebuild
from pipeline.flow.recurrence import note_histories, refresh
from pipeline.flow.restoring import restore
from pipeline.flow.status import read_status
from pipeline.flow.workspace import open_workspace
from pipeline.lake.warehouse import query
from pipeline.ledger import manifest, recurrence, schema
from pipeline.ledger.db import utc_now

CALL = "POST /v3/account_holders/{id}/recurring_groups"


def asked(steps):
    return steps.client.calls[CALL]


def rows(ws):
    t = schema.recurrence
    return {row.account_holder_id: row for row in ws.ledger.rows(select(t))}


def shown(steps, sql):
    assert publish_warehouse(steps.ws).violations == []
    return query(steps.ws.home, sql).rows


def land(steps, path):
    steps.ingest(path)
    steps.plan()
    steps.finish()


def misbehave(steps, *rules):
    """A fault plan for what comes; none ends it."""
    url = f"{steps.ws.settings.url}/sandbox/faults"
    answer = httpx.put(url, json={"rules": [{"call": CALL, **rule} for rule in rules]})
    assert answer.status_code == 200, answer.text


@pytest.fixture
def steps(steps_for, monthly_file):
    """Six months of two holders, landed in two batches."""
    steps = steps_for(batch_size=12)
    land(steps, monthly_file())
    return steps


def test_each_holders_groups_are_in_the_tables_with_exact_money(steps):
    report = refresh(steps.ws, steps.client)
    assert (report.refreshed, report.groups, report.failed, report.left) == (2, 4, 0, 0)
    found = shown(
        steps,
        "SELECT account_holder_id, entry_type, counterparty_website, periodicity, transactions, total_amount,"
        " average_amount, start_date, end_date, len(transaction_ids) FROM recurrence_groups"
        " WHERE entry_type = 'outgoing' ORDER BY 1",
    )
    assert [row[:7] for row in found] == [
        (holder, "outgoing", "netflix.com", "monthly", 6, Decimal("107.94"), Decimal("17.99"))
        for holder in ("ann", "bob")
    ]
    assert [(str(row[7]), str(row[8]), row[9]) for row in found] == [("2026-01-05", "2026-06-05", 6)] * 2
    mapped = (
        "SELECT count(*), count(DISTINCT transaction_id) FROM recurrence_transactions"
        " JOIN transactions USING (transaction_id)"
    )
    assert shown(steps, mapped) == [(24, 24)]
    fresh = (
        "SELECT count(*) FROM account_holders"
        " WHERE recurrence_refreshed_at IS NOT NULL AND recurrence_due_since IS NULL"
    )
    assert shown(steps, fresh) == [(2,)]


def test_subscriptions_say_what_goes_out_when_next_and_for_how_much(steps):
    refresh(steps.ws, steps.client)
    found = shown(
        steps,
        "SELECT account_holder_id, currency, payments, last_amount, monthly_cost, last_date, next_expected, status,"
        " as_of FROM subscriptions",
    )
    assert [(*row[:5], *map(str, row[5:])) for row in found] == [
        (holder, "USD", 6, Decimal("17.99"), Decimal("17.99"), "2026-06-05", "2026-07-05", "active", "2026-06-25")
        for holder in ("ann", "bob")
    ]


def test_only_holders_whose_history_has_grown_are_asked_about_again(steps, monthly_file):
    refresh(steps.ws, steps.client)
    refresh(steps.ws, steps.client)
    assert asked(steps) == 2
    before = rows(steps.ws)
    land(steps, monthly_file("more.csv", months=[7], holders=["bob"]))
    assert recurrence.is_wanted(steps.ws.ledger)
    report = refresh(steps.ws, steps.client)
    assert (report.refreshed, asked(steps)) == (1, 3)
    now = rows(steps.ws)
    assert now["ann"] == before["ann"]
    assert now["bob"].refreshed_at > before["bob"].refreshed_at
    sizes = "SELECT account_holder_id, max(transactions), count(*) FROM recurrence_groups GROUP BY 1 ORDER BY 1"
    assert shown(steps, sizes) == [("ann", 6, 2), ("bob", 7, 2)]
    assert not rebuild(steps.ws).differs
    assert not recurrence.is_wanted(steps.ws.ledger)


def test_a_new_version_of_a_batch_is_no_news_to_those_who_stayed_in_it(steps_for, monthly_file):
    """An item that is sent again makes a new version of its batch; only its own holder's history grows by it."""
    steps = steps_for(
        batch_size=12, item_attempts=2, backoff_base=1_000,
        faults=[{"call": "POST /v3/batches", "ids": ["bob-n3"], "do": "item_error", "to": 1}],
    )  # fmt: skip
    steps.ingest(monthly_file())
    steps.plan()
    steps.submit()
    steps.wait()
    steps.collect()
    refresh(steps.ws, steps.client)
    assert asked(steps) == 2
    steps.finish()
    assert note_histories(steps.ws) == 1
    assert refresh(steps.ws, steps.client).refreshed == 1
    assert rows(steps.ws)["bob"].refreshed_at > rows(steps.ws)["ann"].refreshed_at


def test_one_holder_that_cannot_be_had_does_not_stop_the_others_and_is_tried_later(steps_for, monthly_file):
    steps = steps_for(batch_size=12)
    land(steps, monthly_file(holders=("ann", "bob", "cas")))
    with steps.ws.ledger.write() as conn:  # one that the API does not know
        recurrence.note_histories(conn, {"nobody": utc_now()}, revision=0, now=utc_now())
    report = refresh(steps.ws, steps.client)
    assert (report.refreshed, report.failed, report.left) == (3, 1, 1)
    assert "no such thing" in report.trouble
    row = rows(steps.ws)["nobody"]
    assert (row.failures, row.refreshed_at) == (1, None)
    assert row.not_before > utc_now() - timedelta(seconds=60)
    steps.ws.ledger.clock = lambda: row.not_before - timedelta(milliseconds=10)
    assert not recurrence.is_wanted(steps.ws.ledger)
    assert refresh(steps.ws, steps.client).failed == 0
    steps.ws.ledger.clock = lambda: row.not_before + timedelta(seconds=1)
    assert recurrence.is_wanted(steps.ws.ledger)
    assert refresh(steps.ws, steps.client).failed == 1
    assert rows(steps.ws)["nobody"].failures == 2


def test_a_holder_that_fails_keeps_its_last_groups_and_says_why(steps, monthly_file):
    refresh(steps.ws, steps.client)
    land(steps, monthly_file("more.csv", months=[7]))
    misbehave(steps, {"ids": ["ann"], "do": "status", "status": 404})
    assert refresh(steps.ws, steps.client).failed == 1
    sizes = "SELECT account_holder_id, max(transactions) FROM recurrence_groups GROUP BY 1 ORDER BY 1"
    assert shown(steps, sizes) == [("ann", 6), ("bob", 7)]
    ((error, due),) = shown(
        steps, "SELECT recurrence_error, recurrence_due_since FROM account_holders WHERE account_holder_id = 'ann'"
    )
    assert "no such thing" in error
    assert due is not None


def test_a_refusal_that_all_would_meet_stops_and_is_not_repeated_at_once(steps):
    misbehave(steps, {"do": "status", "status": 403})
    with pytest.raises(Forbidden):
        refresh(steps.ws, steps.client)
    assert not recurrence.is_wanted(steps.ws.ledger)
    assert refresh(steps.ws, steps.client).refreshed == 0
    with steps.ws.ledger.read() as conn:
        assert recurrence.pauses(conn) == 1
    # Nothing else is stopped by it: the feature may be off, and enrichment is another.
    assert steps.ws.ledger.rows(select(schema.circuit)) == []
    assert asked(steps) == 1
    misbehave(steps)
    steps.ws.ledger.clock = lambda: utc_now() + timedelta(minutes=10)
    assert refresh(steps.ws, steps.client).refreshed == 2
    with steps.ws.ledger.read() as conn:
        assert recurrence.pauses(conn) == 0


def test_an_api_that_is_away_is_not_asked_about_every_holder(steps_for, monthly_file):
    steps = steps_for(batch_size=50, client={"retries": 0})
    land(steps, monthly_file(holders=[f"h{n}" for n in range(8)], months=range(1, 4)))
    misbehave(steps, {"do": "status", "status": 503})
    with pytest.raises(Unavailable):
        refresh(steps.ws, steps.client)
    assert asked(steps) == 3
    assert recurrence.counts(steps.ws.ledger) == recurrence.Counts(holders=8, due=8, failing=2, unreadable=0)
    with show.out.capture() as said:
        show.status(read_status(steps.ws))
    line = "what recurs: up to date for 0 of 8 account holders · 2 met an error, asked again later"
    assert line in " ".join(said.get().split())


def test_a_holder_at_which_the_api_fails_is_no_failure_of_the_api(steps_for, monthly_file):
    steps = steps_for(batch_size=50, client={"retries": 0})
    land(steps, monthly_file(holders=[f"h{n}" for n in range(6)], months=range(1, 4)))
    misbehave(steps, {"ids": ["h1", "h3", "h4"], "do": "status", "status": 500})
    report = refresh(steps.ws, steps.client)
    assert (report.refreshed, report.failed) == (3, 3)
    misbehave(steps)
    steps.ws.ledger.clock = lambda: utc_now() + timedelta(minutes=10)
    assert refresh(steps.ws, steps.client).refreshed == 3


def test_a_group_that_cannot_be_read_costs_no_other(steps):
    misbehave(steps, {"do": "set", "path": "0.periodicity", "value": 5})
    report = refresh(steps.ws, steps.client)
    assert (report.refreshed, report.groups, report.unreadable) == (2, 2, 2)
    ((error,),) = shown(steps, "SELECT DISTINCT recurrence_error FROM account_holders")
    assert error == "1 of its 2 groups cannot be read, the first [0]: Expected `str`, got `int` - at `$.periodicity`"
    assert shown(steps, "SELECT min(position), count(*) FROM recurrence_groups") == [(1, 2)]
    assert not rebuild(steps.ws).differs


def test_an_answer_of_another_shape_is_a_failure_of_that_holder(steps):
    misbehave(steps, {"ids": ["bob"], "do": "truncate", "how": "json"})
    report = refresh(steps.ws, steps.client)
    assert (report.refreshed, report.failed) == (1, 1)


def test_time_that_is_up_leaves_the_rest_for_the_next(steps, monkeypatch):
    before = asked(steps)
    a_second_for_each_answer = SimpleNamespace(monotonic=lambda: asked(steps) - before)
    with monkeypatch.context() as patched:
        patched.setattr(flow, "time", a_second_for_each_answer)
        report = refresh(steps.ws, steps.client, seconds=0.5)
    assert (report.refreshed, report.left) == (1, 1)
    revision = manifest.head(steps.ws.ledger).revision
    assert refresh(steps.ws, steps.client, seconds=0).refreshed == 0
    assert manifest.head(steps.ws.ledger).revision == revision
    assert refresh(steps.ws, steps.client).refreshed == 1


def test_a_history_that_grows_while_it_is_asked_about_stays_due(steps):
    note_histories(steps.ws)
    claimed = {row.account_holder_id: row for row in recurrence.claim(steps.ws.ledger, 10)}
    found = flow._ask(steps.client, list(claimed), flow.time.monotonic() + 60, steps.ws.ledger.now)
    with steps.ws.ledger.write() as conn:
        later = claimed["bob"].history_at + timedelta(seconds=1)
        recurrence.note_histories(conn, {"bob": later}, revision=10_000, now=utc_now())
    flow._keep(steps.ws, claimed, found, flow.RefreshReport())
    assert rows(steps.ws)["ann"].due_since is None
    assert rows(steps.ws)["bob"].due_since is not None


def test_two_at_once_ask_about_each_holder_once(steps):
    note_histories(steps.ws)
    first = recurrence.claim(steps.ws.ledger, 1)
    second = recurrence.claim(steps.ws.ledger, 10)
    assert {row.account_holder_id for row in first} | {row.account_holder_id for row in second} == {"ann", "bob"}
    assert len(first) == len(second) == 1
    assert recurrence.claim(steps.ws.ledger, 10) == []
    steps.ws.ledger.clock = lambda: utc_now() + timedelta(seconds=recurrence.CLAIM_SECONDS + 1)
    assert len(recurrence.claim(steps.ws.ledger, 10)) == 2


def test_a_commit_that_meets_another_is_made_anew_on_what_that_left(steps, monkeypatch):
    """Both holders in one bucket, so that both commits rewrite one file."""
    monkeypatch.setattr(recurrence, "bucket_of", lambda _: 7)
    note_histories(steps.ws)
    (first,), (second,) = recurrence.claim(steps.ws.ledger, 1), recurrence.claim(steps.ws.ledger, 1)
    real, met = flow._write, []

    def write(ws, bucket, frame):
        written = real(ws, bucket, frame)
        if not met:
            met.append(second)
            ask_and_keep(steps, second)
        return written

    monkeypatch.setattr(flow, "_write", write)
    ask_and_keep(steps, first)
    assert shown(steps, "SELECT account_holder_id, count(*) FROM recurrence_groups GROUP BY 1 ORDER BY 1") == [
        ("ann", 2),
        ("bob", 2),
    ]
    with steps.ws.ledger.read() as conn:
        assert len(manifest.live(conn, "recurrence_groups")) == 1


def ask_and_keep(steps, row):
    claimed = {row.account_holder_id: row}
    found = flow._ask(steps.client, list(claimed), flow.time.monotonic() + 60, steps.ws.ledger.now)
    flow._keep(steps.ws, claimed, found, flow.RefreshReport())


@pytest.mark.sqlite
@pytest.mark.parametrize("where", REFRESH_POINTS)
def test_a_process_that_is_killed_anywhere_leaves_it_to_the_next(steps, where):
    ws = steps.ws
    code = """
import sys
from pipeline.flow.recurrence import refresh
from pipeline.resources import EnrichResource
from pipeline.settings import Settings
resource = EnrichResource(Settings(data_dir=sys.argv[1], base_url=sys.argv[2], time_scale=200, _env_file=None))
with resource.workspace() as ws, resource.client(ws) as client:
    refresh(ws, client)
"""
    done = run_code(code, str(ws.home), ws.settings.url, env={**os.environ, "ENRICH_CRASH_AT": where})
    assert done.returncode == -9, done.stderr
    ws.ledger.clock = lambda: utc_now() + timedelta(seconds=recurrence.CLAIM_SECONDS + 1)
    again = refresh(ws, steps.client)
    assert again.refreshed == (0 if where == "recurrence.after_commit" else 2)
    assert recurrence.counts(ws.ledger) == recurrence.Counts(holders=2, due=0, failing=0, unreadable=0)
    assert shown(steps, "SELECT count(*), count(DISTINCT group_id) FROM recurrence_groups") == [(4, 4)]
    assert not rebuild(ws).differs


@pytest.mark.sqlite
def test_a_backup_brings_back_what_recurs_and_the_categories(steps, tmp_path, settings_for):
    fetch_category_sets(steps.ws, steps.client)
    refresh(steps.ws, steps.client)
    everything = "SELECT * EXCLUDE extra FROM recurrence_groups ORDER BY ALL"
    before = shown(steps, everything), shown(steps, "FROM category_sets ORDER BY ALL")
    backup(steps.ws, tmp_path / "backup")
    settings = settings_for("other", base_url=steps.ws.settings.url)
    restore(tmp_path / "backup", settings, replace=False)
    ws = open_workspace(settings)
    try:
        assert publish_warehouse(ws).violations == []
        assert (
            query(ws.home, everything).rows,
            query(ws.home, "FROM category_sets ORDER BY ALL").rows,
        ) == before
        assert not rebuild(ws).differs
        assert not recurrence.is_wanted(ws.ledger)
    finally:
        ws.ledger.close()
