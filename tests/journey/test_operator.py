"""The operator's commands as a person types them, against a sandbox of their own that lives on between them."""

from __future__ import annotations

import json
import shutil

import httpx
import pytest

from pipeline.sandbox.books import Books

POST = "POST /v3/batches"


@pytest.fixture
def account(folder, bank_file, sandbox_for):
    """A folder with a bank file, and the settings of an API that outlives each command."""
    shutil.copy(bank_file(12, bad=1), folder.path / "bank.csv")
    server = sandbox_for(name="api", time_scale=500)
    folder.environment |= {
        "ENRICH_BASE_URL": server.url, "ENRICH_TIME_SCALE": "500", "ENRICH_BACKOFF_BASE": "1",
        "ENRICH_BATCH_SIZE": "12",
    }  # fmt: skip
    folder.url = server.url
    return folder


def faults(account, *rules):
    httpx.put(f"{account.url}/sandbox/faults", json={"rules": list(rules)}).raise_for_status()


def books(tmp_path):
    return Books(tmp_path / "api").summary()


def test_plan_shows_what_it_costs_and_sends_nothing(account, tmp_path):
    out = account.enrich("plan", "bank.csv", "--batch-size", 5)
    assert "bank.csv: 13 records, 12 accepted, 1 rejected" in out
    assert "12 credits" in out
    assert "3 account holders are created before" in " ".join(out.split())
    found = json.loads(account.enrich("plan", "--batch-size", 5, "--json"))
    assert (found["cut"], found["credits"], found["obstacle"]) == ([5, 5, 2], 12, None)
    capped = account.enrich("plan", "--batch-size", 5, ENRICH_SPEND_CAP_RUN="7")
    assert "ENRICH_SPEND_CAP_RUN lets one run spend 7 of them" in capped
    assert books(tmp_path).posts == {}
    account.enrich("run", "bank.csv")
    assert books(tmp_path).items_charged == 12
    assert json.loads(account.enrich("plan", "--json"))["credits"] == 0


def test_doctor_says_what_is_wrong_and_closes_what_is_over(account):
    account.enrich("run", "bank.csv")
    assert "no " not in {line[:3] for line in account.enrich("doctor").splitlines()}
    dead = {"ENRICH_BASE_URL": "http://127.0.0.1:9"}
    found = {f["what"]: f for f in json.loads(account.enrich("doctor", "--json", code=3, **dead))}
    assert found["API"]["ok"] is False
    assert "no connection to the API" in found["API"]["says"]
    assert found["ledger"]["ok"] is True


def test_an_item_at_fault_is_quarantined_and_retried_by_a_person(account, tmp_path):
    faults(account, {"call": POST, "ids": ["tx-5"], "do": "batch_error"})
    out = account.enrich("run", "bank.csv", code=3)
    assert "quarantined batch" in out
    status = account.enrich("status", code=3)
    assert "quarantined: 1 of the rows" in status
    (key,) = account.query("SELECT batch_key FROM batches WHERE state = 'quarantined'", "data/sandbox")[0]
    faults(account)
    assert f"{key} is planned again" in account.enrich("retry", key, "--why", "support mended it")
    account.enrich("run", "bank.csv")
    assert account.query("SELECT state, count(*) FROM transactions GROUP BY 1", "data/sandbox") == [("enriched", 12)]
    assert {outcome.times for outcome in Books(tmp_path / "api").charges() if outcome.id != "tx-5"} <= set(range(1, 9))


def test_the_failed_items_of_a_landed_batch_are_sent_once_more(account):
    faults(account, {"call": POST, "ids": ["tx-5"], "to": 1, "do": "item_error"})
    account.enrich("run", "bank.csv", ENRICH_ITEM_ATTEMPTS="1")
    (key,) = account.query("SELECT batch_key FROM transactions WHERE state = 'item_error'", "data/sandbox")[0]
    assert f"1 of the items of {key}, all with an error, are planned again" in account.enrich("retry", key)
    account.enrich("run", "bank.csv")
    assert account.query("SELECT state, count(*) FROM transactions GROUP BY 1", "data/sandbox") == [("enriched", 12)]


def test_adopting_refuses_what_cannot_be_the_batch(account):
    account.enrich("plan", "bank.csv")
    assert "no batch nonsense" in account.enrich("adopt", "nonsense", "some-id", code=1)
