"""Results landed, errors counted, and what does not fit."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import msgspec
import polars as pl
import pytest

from pipeline.api.results import decode_item
from pipeline.flow import collecting, operating
from pipeline.flow.landing import Stamp, build
from pipeline.flow.publishing import check_now, publish_warehouse
from pipeline.flow.watching import watch
from pipeline.lake import files, tables
from pipeline.lake.warehouse import query
from pipeline.ledger import manifest, outcomes
from pipeline.ledger import operating as ledger_operating
from pipeline.ledger.db import utc_now
from pipeline.ledger.states import State


def landed(ws):
    with ws.ledger.read() as conn:
        paths = [row.path for row in manifest.live(conn, "transactions")]
    return files.read_table(ws.lake, paths, table=tables.TRANSACTIONS)


def test_results_are_landed_and_every_row_is_in_one_state(steps_for, bank_file, books_of):
    steps = steps_for(batch_size=10)
    steps.ingest(bank_file(25, bad=1))
    steps.plan()
    steps.finish()
    rows = landed(steps.ws)
    assert rows["transaction_id"].n_unique() == rows.height == 25
    assert rows["state"].unique().to_list() == ["enriched"]
    assert "Netflix" in rows["counterparty_name"].to_list()
    assert rows["source"].unique().to_list() == ["sandbox"]
    report = publish_warehouse(steps.ws)
    assert report.published
    assert query(steps.ws.home, "SELECT count(*) FROM transactions").rows == [(25,)]
    assert query(steps.ws.home, "SELECT sum(credits) FROM batch_attempts").rows == [(25,)]
    assert books_of().summary().items_charged == 25


def test_an_error_batch_is_sent_again_after_its_back_off_and_lands(steps_for, bank_file, books_of):
    steps = steps_for(batch_size=10, backoff_base=86_400, backoff_max=86_400, sandbox={"error_batch_nth": (1,)})
    steps.ingest(bank_file(10))
    (key,) = steps.plan()
    steps.submit()
    steps.wait()
    report = steps.collect()
    assert report.retried == {key: "attempt 1 of 3 ended in error"}
    assert "its back-off lasts" in steps.submit().skipped[key]
    steps.ws.ledger.clock = lambda: utc_now() + timedelta(seconds=86_400)
    steps.finish()
    assert [(a.state, a.reason) for a in steps.attempts(key)] == [("errored", "first"), ("completed", "batch_error")]
    assert books_of().summary().items_charged == 20
    assert all(charge.times == 2 for charge in books_of().charges())


def test_after_its_last_attempt_a_batch_is_held_and_a_person_grants_another(steps_for, bank_file):
    steps = steps_for(max_attempts=2, backoff_base=0, probe_budget=0, sandbox={"error_batch_nth": (1, 2)})
    steps.ingest(bank_file(5))
    (key,) = steps.plan()
    steps.finish()
    row = steps.row(key)
    assert (row.state, row.attempts) == (State.HELD, 2)
    assert row.reason.startswith("2 attempts ended in error")
    assert "ENRICH_PROBE_BUDGET" in row.reason
    publish_warehouse(steps.ws)
    assert query(steps.ws.home, "SELECT state, count(*) FROM transactions GROUP BY 1").rows == [("held", 5)]
    ledger_operating.retry(steps.ws.ledger, key, who="ana", why="told by support")
    steps.finish()
    assert steps.row(key).state == State.LANDED
    assert [a.reason for a in steps.attempts(key)] == ["first", "batch_error", "operator"]


def test_an_item_error_stays_local_to_its_row(steps_for, bank_file):
    steps = steps_for(sandbox={"item_error_share": 0.3})
    steps.ingest(bank_file(40))
    steps.plan()
    steps.finish()
    counts = dict(landed(steps.ws)["state"].value_counts().iter_rows())
    assert counts["item_error"] > 0
    assert counts["enriched"] > 0
    errors = landed(steps.ws).filter(pl.col("state") == "item_error")
    assert errors["error_code"].unique().to_list() == ["internal_error"]
    assert check_now(steps.ws).ok


def test_landing_twice_is_the_same_as_once(steps_for, bank_file):
    steps = steps_for()
    steps.ingest(bank_file(5))
    (key,) = steps.plan()
    steps.submit()
    steps.wait()
    assert list(steps.collect().landed) == [key]
    before = manifest.head(steps.ws.ledger).revision
    again = collecting.collect(steps.ws, steps.client, [key])
    assert again.landed == {}
    assert list(again.skipped) == [key]
    assert manifest.head(steps.ws.ledger).revision == before


def test_a_landing_that_fails_half_way_leaves_no_trace(steps_for, bank_file, monkeypatch):
    steps = steps_for()
    steps.ingest(bank_file(5))
    (key,) = steps.plan()
    steps.submit()
    steps.wait()
    before = manifest.head(steps.ws.ledger).revision

    def fail(*_args, **_given):
        raise OSError("disk gone")

    with monkeypatch.context() as patch:
        patch.setattr(outcomes, "land", fail)
        assert steps.collect().failed == {key: "its results cannot be landed: OSError"}
    assert manifest.head(steps.ws.ledger).revision == before
    assert check_now(steps.ws).counts["transactions"] == 5
    assert steps.row(key).state == State.COMPLETED
    assert list(steps.collect().landed) == [key]
    assert landed(steps.ws).height == 5


def test_results_that_cannot_be_had_are_tried_again_and_then_held(steps_for, bank_file, sandbox_for, client_for):
    steps = steps_for(backoff_base=0)
    steps.ingest(bank_file(5))
    (key,) = steps.plan()
    steps.submit()
    steps.wait()
    elsewhere = client_for(sandbox_for(name="another").url)
    for number in range(1, collecting.COLLECT_TRIES + 1):
        report = collecting.collect(steps.ws, elsewhere, [key])
        assert key in (report.held if number == collecting.COLLECT_TRIES else report.failed)
    assert steps.row(key).state == State.HELD
    assert ledger_operating.retry(steps.ws.ledger, key, who="ana", why="address was wrong") == State.COMPLETED
    assert list(steps.collect().landed) == [key]
    assert len(steps.attempts(key)) == 1


def test_a_batch_that_cannot_be_landed_does_not_stop_the_next(steps_for, bank_file, monkeypatch):
    steps = steps_for(batch_size=5, backoff_base=0)
    steps.ingest(bank_file(10))
    poison, good = steps.plan()
    steps.submit()
    steps.wait()
    real = collecting.build

    def build_or_fail(plan, answers, stamp, **given):
        if stamp.batch_key == poison:
            raise TypeError("SECRET VALUE")
        return real(plan, answers, stamp, **given)

    with monkeypatch.context() as patch:
        patch.setattr(collecting, "build", build_or_fail)
        report = steps.collect()
        assert list(report.landed) == [good]
        assert report.failed == {poison: "its results cannot be landed: TypeError"}
        for _ in range(collecting.COLLECT_TRIES - 1):
            report = steps.collect()
        assert list(report.held) == [poison]
    ledger_operating.retry(steps.ws.ledger, poison, who="ana", why="new version")
    assert list(steps.collect().landed) == [poison]


def test_a_batch_that_the_api_forgot_is_held_and_never_sent_again(steps_for, bank_file, sandbox_for, client_for):
    steps = steps_for(grace=0)
    steps.ingest(bank_file(5))
    (key,) = steps.plan()
    steps.submit()
    watch(steps.ws, client_for(sandbox_for(name="another").url))
    assert steps.row(key).state == State.HELD
    assert "does not know" in steps.row(key).reason
    assert operating.retry(steps.ws, key, who="ana", why="wrong address") == f"{key} is submitted again"
    steps.finish()
    assert len(steps.attempts(key)) == 1


def test_release_grants_no_attempt(steps_for, bank_file):
    steps = steps_for(max_attempts=1, backoff_base=0, probe_budget=0, sandbox={"error_batch_nth": (1,)})
    steps.ingest(bank_file(5))
    (key,) = steps.plan()
    steps.finish()
    assert ledger_operating.release(steps.ws.ledger, key, who="ana", why="try") == State.ERRORED
    steps.finish()
    assert steps.row(key).state == State.HELD
    assert len(steps.attempts(key)) == 1


def test_a_code_that_fits_no_column_costs_nothing_else(plan_of):
    party = {"id": "1", "name": "X", "type": "organization", "mccs": [5411, 99999999999]}
    wide = item("a", entities={"counterparty": party, "intermediaries": []})
    assert build(plan_of("a"), items(wide), STAMP).transactions["counterparty_mccs"].to_list() == [[5411]]


STAMP = Stamp("00000001-aaaaaaaa", 1, "sandbox", datetime(2026, 1, 1))


@pytest.fixture
def plan_of():
    def make(*ids):
        row = {
            "description": "X", "date": datetime(2026, 1, 1).date(), "amount": "1.00", "entry_type": "outgoing",
            "currency": "USD", "content_hash": "h", "source_file": "f", "file_id": "f", "record_number": 1,
            "ingested_at": datetime(2026, 1, 1), "batch_key": STAMP.batch_key,
        }  # fmt: skip
        rows = [{**row, "transaction_id": i, "position": n} for n, i in enumerate(ids)]
        return pl.DataFrame(rows, schema_overrides={"amount": pl.String}).select(
            (pl.col(n) if n in {*row, "transaction_id", "position"} else pl.lit(None).alias(n)).cast(t)
            for n, t in tables.PLAN.schema.items()
        )

    return make


def items(*objects):
    return [[decode_item(msgspec.Raw(json.dumps(o).encode())) for o in objects]]


def item(i, **more):
    return {"id": i, "created_at": "2026-01-01T00:00:00Z", **more}


def test_missing_extra_and_doubled_items_stay_local(plan_of):
    landing = build(plan_of("a", "b", "c"), items(item("b"), item("x"), item("a"), item("b")), STAMP)
    states = dict(landing.transactions.select("transaction_id", "error_code").iter_rows())
    assert states == {"a": None, "b": None, "c": "result_missing"}
    assert landing.problems == [
        "results[1]: an id that was not sent",
        "results[3]: an id that was there before",
        "results: 1 of 3 items are missing",
    ]
    assert landing.counts == {"enriched": 2, "item_error": 1}


def test_a_section_of_a_wrong_type_is_lost_alone(plan_of):
    broken = item("a", entities=17, categories={"general": "groceries", "accounting": None})
    landing = build(plan_of("a"), items(broken), STAMP)
    (row,) = landing.transactions.to_dicts()
    assert (row["category"], row["counterparty_name"], row["state"]) == ("groceries", None, "enriched")
    assert any("entities" in problem for problem in landing.problems)


def test_unknown_fields_are_kept_and_unknown_values_pass(plan_of):
    new = item("a", categories={"general": "space travel", "accounting": "moon"}, mood="good")
    (row,) = build(plan_of("a"), items(new), STAMP).transactions.to_dicts()
    assert (row["category"], row["accounting_category"]) == ("space travel", "moon")
    assert "good" in row["extra"]


def test_intermediaries_keep_their_order_and_parents(plan_of):
    party = {
        "id": "1",
        "name": "Square",
        "website": "squareup.com",
        "logo": None,
        "mccs": [],
        "parent": {"id": "2", "name": "Block, Inc.", "website": None},
    }
    entities = {"counterparty": None, "intermediaries": [party, {**party, "name": "PayPal", "parent": None}]}
    landing = build(plan_of("a", "b"), items(item("b"), item("a", entities=entities)), STAMP)
    rows = landing.intermediaries.select("transaction_id", "position", "name", "parent_name").rows()
    assert rows == [("a", 0, "Square", "Block, Inc."), ("a", 1, "PayPal", None)]
