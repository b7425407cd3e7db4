"""Items with an error of their own: sent again alone, counted, capped, with their whole history."""

from __future__ import annotations

import json

import httpx
import pytest

from pipeline.flow import operating
from pipeline.flow.holder_sync import sync_holders
from pipeline.lake.warehouse import query
from pipeline.ledger import batches, holders, schema
from pipeline.ledger.states import State
from pipeline.sandbox.books import Books

POST = "POST /v3/batches"
GET = "GET /v3/batches/{id}/results"


def item_error(*ids, **more):
    return {"call": POST, "ids": list(ids), "do": "item_error", **more}


def test_only_the_failed_items_are_sent_again_and_land(steps_for, bank_file):
    steps = steps_for(batch_size=10, backoff_base=1, faults=[item_error("tx-3", "tx-7", to=1)])
    steps.ingest(bank_file(10))
    (key,) = steps.plan()
    steps.finish()
    assert [batch.total for batch in Books(steps.api).batches()] == [10, 2]
    assert steps.reasons()["tx-3"] == ["first", "item_error"]
    assert steps.reasons()["tx-0"] == ["first"]
    assert steps.check()["enriched"] == 10
    with steps.ws.ledger.read() as conn:
        (child,) = batches.children(conn, key)
    assert steps.row(child).parent_key == key
    history = steps.rows("failed_tries", "error_history")
    assert history["tx-0"] == (None, None)
    tries, errors = history["tx-7"]
    assert (tries, [(e["batch_key"], e["code"]) for e in json.loads(errors)]) == (1, [(key, "internal_error")])
    rows = query(steps.ws.home, "SELECT rows, rows_moved FROM batches ORDER BY batch_key").rows
    assert rows == [(10, 2), (2, 0)]


def test_in_between_the_row_is_in_flight_and_its_batch_has_landed(steps_for, bank_file):
    steps = steps_for(backoff_base=86_400, backoff_max=86_400, faults=[item_error("tx-1")])
    steps.ingest(bank_file(4))
    steps.plan()
    steps.submit()
    steps.wait()
    (landed,) = steps.collect().landed.values()
    assert (landed.rows, sum(landed.again.values())) == (3, 1)
    assert (steps.check()["in_flight"], steps.check()["enriched"]) == (1, 3)
    (child,) = steps.keys(State.PLANNED)
    assert "its back-off lasts" in steps.submit(child).skipped[child]


@pytest.mark.parametrize("code", ["internal_error", "model_overloaded"])
def test_an_item_that_never_succeeds_is_given_up_with_its_history(steps_for, bank_file, code):
    steps = steps_for(backoff_base=0, item_attempts=3, faults=[item_error("tx-2", code=code, message="odd")])
    steps.ingest(bank_file(5))
    steps.plan()
    steps.finish()
    counts = steps.check()
    assert (counts["item_error"], counts["enriched"]) == (1, 4)
    state, tries, errors = steps.rows("state", "failed_tries", "error_history")["tx-2"]
    assert (state, tries) == ("item_error", 3)
    assert [(e["code"], e["message"]) for e in json.loads(errors)] == [(code, "odd")] * 3
    assert len({e["batch_key"] for e in json.loads(errors)}) == 3
    assert steps.reasons()["tx-2"] == ["first", "item_error", "item_error"]


def test_a_holder_that_the_api_lost_is_created_again_and_its_items_are_sent_again(steps_for, bank_file):
    steps = steps_for(backoff_base=1)
    steps.ingest(bank_file(9))
    (key,) = steps.plan()
    sync_holders(steps.ws, steps.client)
    url = f"{steps.ws.settings.url}/v3/account_holders/holder-1"  # it vanishes behind our back, after it was confirmed
    assert httpx.delete(url, headers={"X-API-Key": "sandbox-key"}).status_code == 204
    steps.submit(key)
    steps.finish()
    assert steps.check()["enriched"] == 9
    assert holders.counts(steps.ws.ledger) == {holders.CONFIRMED: 3}
    assert steps.reasons()["tx-1"] == ["first", "item_error"]
    assert json.loads(steps.rows("error_history")["tx-1"])[0]["code"] == "account_holder_not_found"


def test_an_item_without_a_holder_that_is_called_unknown_is_not_sent_again(steps_for, tmp_path):
    steps = steps_for(backoff_base=0, faults=[item_error("a", code="account_holder_not_found")])
    path = tmp_path / "plain.csv"
    path.write_text("id,date,description,amount,currency\na,2026-01-01,NETFLIX,-1,USD\nb,2026-01-02,TESCO,-2,USD\n")
    steps.ingest(path)
    steps.plan()
    steps.finish()
    assert steps.check()["item_error"] == 1
    assert steps.reasons()["a"] == ["first"]


def test_a_person_has_the_failed_items_of_a_landed_batch_sent_again(steps_for, bank_file):
    steps = steps_for(backoff_base=0, item_attempts=1, faults=[item_error("tx-2", "tx-3", to=1)])
    steps.ingest(bank_file(12))
    (key,) = steps.plan()
    steps.finish()
    assert steps.check()["item_error"] == 2
    said = operating.retry(steps.ws, key, who="ana", why="cured, says support")
    assert said.startswith("2 of the items of ")
    assert (steps.row(key).landed_version, steps.row(key).rows_moved) == (2, 2)
    assert (steps.check()["in_flight"], steps.check()["enriched"]) == (2, 10)
    steps.finish()
    assert steps.check()["enriched"] == 12
    assert steps.reasons()["tx-3"] == ["first", "operator"]
    assert set(query(steps.ws.home, f"SELECT DISTINCT version FROM transactions WHERE batch_key = '{key}'").rows) == {
        (2,)
    }
    (action,) = steps.ws.ledger.rows(schema.operator_actions.select())
    assert (action.who, action.action, action.batch_key, action.why) == ("ana", "retry", key, "cured, says support")
