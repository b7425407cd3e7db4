"""Every route and every error code, over HTTP."""

from __future__ import annotations

import re
import uuid
from typing import Any
from urllib.parse import quote

import httpx
import pytest

BATCH_FIELDS = {"id", "operation", "status", "created_at", "updated_at", "progress", "total", "priority"}
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_a_batch_is_processed_and_answers_in_order(caller, items):
    caller.holder("h")
    sent = items(1200, account_holder_id="h")
    made = caller.send_batch(sent).raise_for_status().json()
    assert made.keys() == BATCH_FIELDS
    assert (made["status"], made["progress"], made["total"], made["priority"]) == ("processing", 0, 1200, "default")
    assert made["operation"] == "POST /v3/transactions"
    assert uuid.UUID(made["id"])
    assert STAMP.fullmatch(made["created_at"])
    ended = caller.ended(made["id"])
    assert (ended["status"], ended["progress"]) == ("completed", 1200)
    results = caller.get(f"/v3/batches/{made['id']}/results").raise_for_status().json()
    assert (results["id"], results["total"], results["status"]) == (made["id"], 1200, "completed")
    assert [one["id"] for one in results["results"]] == [one["id"] for one in sent]
    first = results["results"][0]
    assert first.keys() == {"id", "created_at", "entities", "categories", "location", "error"}
    assert first["entities"]["counterparty"]["name"] == "Starbucks"
    assert first["categories"]["general"] == "coffee shop"
    assert first["error"] is None


def test_results_are_the_same_each_time(caller, items):
    batch = caller.send_batch(items(700)).json()["id"]
    caller.ended(batch)
    url = f"/v3/batches/{batch}/results"
    assert caller.get(url).content == caller.get(url).content


def test_low_priority_is_echoed(caller, items):
    assert caller.send_batch(items(1), priority="low").json()["priority"] == "low"
    assert caller.send_batch(items(1), priority=None).json()["priority"] == "default"
    assert caller.send_batch(items(1), priority="high").status_code == 422


def test_an_item_without_and_with_an_unknown_holder(caller, items):
    caller.holder("known", "business")
    sent = [
        *items(1, "none"),
        *items(1, "unknown", account_holder_id="ghost"),
        *items(1, "known", account_holder_id="known"),
    ]
    batch = caller.send_batch(sent).json()["id"]
    assert caller.ended(batch)["status"] == "completed"
    none, unknown, known = caller.get(f"/v3/batches/{batch}/results").json()["results"]
    assert none["categories"]["general"] == "missing account holder information"
    assert none["entities"]["counterparty"]["name"] == "Starbucks"
    assert unknown["error"]["code"] == "account_holder_not_found"
    assert unknown["entities"] is None
    assert known["error"] is None
    assert known["categories"]["general"] in caller.get("/v3/categories/business").json()["outgoing"]
    assert known["categories"]["accounting"] == "operational expenses"


def test_a_holder_that_goes_later_does_not_change_the_results(caller, items):
    caller.holder("h")
    batch = caller.send_batch(items(3, account_holder_id="h")).json()["id"]
    caller.ended(batch)
    before = caller.get(f"/v3/batches/{batch}/results").json()
    assert caller.delete("/v3/account_holders/h").status_code == 204
    assert caller.get(f"/v3/batches/{batch}/results").json() == before
    assert caller.get("/v3/transactions").json()["data"] == []


def test_a_repeated_id_has_a_result_each_and_the_last_one_stays(caller):
    common = {"id": "same", "date": "2024-05-01", "amount": 1, "entry_type": "outgoing", "currency": "USD"}
    batch = caller.send_batch([{**common, "description": "NETFLIX.COM"}, {**common, "description": "SPOTIFY"}]).json()[
        "id"
    ]
    caller.ended(batch)
    results = caller.get(f"/v3/batches/{batch}/results").json()["results"]
    assert [one["entities"]["counterparty"]["name"] for one in results] == ["Netflix", "Spotify"]
    assert caller.get("/v3/transactions/same").json()["description"] == "SPOTIFY"
    assert len(caller.get("/v3/transactions").json()["data"]) == 1


def test_results_before_the_end_are_refused(start, items):
    client = start(time_scale=1)
    batch = client.send_batch(items(1)).json()["id"]
    refused = client.get(f"/v3/batches/{batch}/results")
    assert refused.status_code == 409
    assert isinstance(refused.json()["detail"], str)


def test_holders(caller):
    made = caller.post("/v3/account_holders", json={"id": "a/b c", "type": "business", "name": "Acme", "extra": 1})
    assert made.status_code == 200
    assert made.json().items() >= {"id": "a/b c", "type": "business", "name": "Acme", "category_id": None}.items()
    again = caller.holder("a/b c", "consumer")
    assert again.status_code == 400
    assert "already exists" in again.json()["detail"]
    assert caller.get("/v3/account_holders/a%2Fb%20c").json() == made.json()
    assert caller.get("/v3/account_holders").json() == {"next_cursor": None, "data": [made.json()]}
    gone = caller.delete("/v3/account_holders/a%2Fb%20c")
    assert (gone.status_code, gone.content) == (204, b"")
    assert caller.get("/v3/account_holders/a%2Fb%20c").status_code == 404
    assert caller.delete("/v3/account_holders/a%2Fb%20c").status_code == 404
    assert caller.patch("/v3/account_holders/a%2Fb%20c", json={}).status_code == 405


def test_single_transactions(caller, items):
    caller.holder("h")
    (item,) = items(1, account_holder_id="h", location={"raw_address": None, "country": "US-CA"})
    made = caller.post("/v3/transactions", json=item)
    assert made.status_code == 200
    assert made.json()["entities"]["counterparty"]["name"] == "Starbucks"
    assert made.json()["location"]["structured"]["country_code"] == "US"
    read = caller.get("/v3/transactions/t0").json()
    expected = {name: item[name] for name in ("id", "description", "date", "amount", "entry_type", "currency")}
    assert read.items() >= expected.items()
    assert read["account_holder_id"] == "h"
    assert {name: read[name] for name in made.json()} == made.json()
    assert caller.delete("/v3/transactions/t0").status_code == 204
    assert caller.get("/v3/transactions/t0").status_code == 404
    assert caller.delete("/v3/transactions/t0").status_code == 404
    assert caller.post("/v3/transactions", json=item).status_code == 200
    assert caller.get("/v3/transactions/t0").status_code == 200


def test_transactions_of_a_batch_show_once_processed(start, items):
    client = start(time_scale=0.01)
    client.send_batch(items(10))
    assert client.get("/v3/transactions/t9").status_code == 404
    client.post("/v3/transactions", json=items(1, "single")[0])
    assert [one["id"] for one in client.get("/v3/transactions").json()["data"]] == ["single0"]


def test_categories(caller):
    for holder_type in ("consumer", "business"):
        found = caller.get(f"/v3/categories/{holder_type}").json()
        assert found.keys() == {"incoming", "outgoing"}
        assert "not enough information" in found["incoming"]
    assert "coffee shop" in caller.get("/v3/categories/consumer").json()["outgoing"]
    assert caller.get("/v3/categories/mine").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v3/status", 404),
        ("GET", "/v3/batches/no-such", 404),
        ("GET", "/v3/batches/no-such/results", 404),
        ("GET", "/v3/transactions/no-such", 404),
        ("DELETE", "/v3/batches", 405),
        ("PUT", "/v3/transactions/t0", 405),
        ("POST", "/v3/batches/no-such", 405),
        ("POST", "/health", 405),
        ("GET", "/health", 200),
    ],
)
def test_unknown_things(caller, method, path, status):
    answered = caller.request(method, path)
    assert answered.status_code == status
    assert answered.json()
    assert answered.headers["X-Request-ID"]


def test_keys(start, shared_sandbox, items):
    for headers in ({}, {"X-API-Key": ""}):
        refused = httpx.get(f"{shared_sandbox.url}/v3/batches", headers=headers)
        assert refused.status_code == 403
        assert refused.headers["X-Request-ID"]
        assert refused.headers["Date"]
    client = start(api_key=("right", "other"), key="right")
    assert client.get("/v3/batches").status_code == 200
    assert client.get("/v3/batches", headers={"X-API-Key": "wrong"}).status_code == 401
    batch = client.send_batch(items(1)).json()["id"]
    assert client.get(f"/v3/batches/{batch}", headers={"X-API-Key": "other"}).status_code == 404
    assert client.get("/v3/batches", headers={"X-API-Key": "other"}).json()["data"] == []


def test_request_ids_are_echoed_or_made(caller):
    assert caller.get("/v3/batches", headers={"X-Request-ID": "mine"}).headers["X-Request-ID"] == "mine"
    assert caller.get("/v3/batches").headers["X-Request-ID"] != caller.get("/v3/batches").headers["X-Request-ID"]


def _all_pages(caller: httpx.Client, path: str, **query: Any) -> tuple[list[dict[str, Any]], int]:
    found: list[dict[str, Any]] = []
    pages = 0
    cursor = None
    while True:
        page = caller.get(path, params={**query, **({"cursor": cursor} if cursor else {})}).raise_for_status().json()
        assert page.keys() == {"next_cursor", "data"}
        found += page["data"]
        pages += 1
        cursor = page["next_cursor"]
        if cursor is None:
            return found, pages


def test_lists_page_to_the_end_newest_first(caller, items):
    made = [caller.send_batch(items(2, f"b{number}-")).json()["id"] for number in range(23)]
    for batch in made:
        caller.ended(batch)
    found, pages = _all_pages(caller, "/v3/batches")
    assert [one["id"] for one in found] == made[::-1]
    assert pages == 3
    found, pages = _all_pages(caller, "/v3/batches", limit=7, status="completed")
    assert [one["id"] for one in found] == made[::-1]
    assert pages == 4
    assert caller.get("/v3/batches", params={"status": "error"}).json() == {"next_cursor": None, "data": []}
    found, pages = _all_pages(caller, "/v3/transactions")
    assert [one["id"] for one in found] == [f"b{number}-{at}" for number in reversed(range(23)) for at in (1, 0)]
    assert pages == 2
    assert len(_all_pages(caller, "/v3/transactions", limit=3)[0]) == 46


def test_a_page_is_at_most_a_hundred_long(caller):
    for number in range(101):
        caller.holder(f"h{number}")
    page = caller.get("/v3/account_holders", params={"limit": 1000}).json()
    assert len(page["data"]) == 100
    rest = caller.get("/v3/account_holders", params={"limit": 1000, "cursor": page["next_cursor"]}).json()
    assert [one["id"] for one in rest["data"]] == ["h0"]


def test_created_filters_take_every_form_of_time(caller, items):
    old = caller.send_batch(items(1)).json()
    new = caller.send_batch(items(1, "new")).json()
    for moment in (new["created_at"], new["created_at"].replace("T", " ").replace("Z", "+00:00")):
        found = caller.get("/v3/batches", params={"created_after": moment}).json()["data"]
        assert [one["id"] for one in found] == [new["id"]]
    before = caller.get("/v3/batches", params={"created_before": old["created_at"]}).json()["data"]
    assert [one["id"] for one in before] == [old["id"]]
    assert caller.get("/v3/transactions", params={"created_after": "2999-01-01"}).json()["data"] == []


def test_created_filters_can_be_turned_round(start, items):
    client = start(reverse_created_filters=True)
    client.send_batch(items(1))
    assert client.get("/v3/batches", params={"created_after": "2000-01-01"}).json()["data"] == []
    assert len(client.get("/v3/batches", params={"created_before": "2000-01-01"}).json()["data"]) == 1


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ({"limit": "many"}, ["query", "limit"]),
        ({"limit": 0}, ["query", "limit"]),
        ({"cursor": "!!"}, ["query", "cursor"]),
        ({"status": "finished"}, ["query", "status"]),
        ({"created_after": "yesterday"}, ["query", "created_after"]),
    ],
)
def test_wrong_queries(caller, query, loc):
    refused = caller.get("/v3/batches", params=query)
    assert refused.status_code == 422
    assert [one["loc"] for one in refused.json()["detail"]] == [loc]


@pytest.mark.parametrize("collection", ["batches", "account_holders", "transactions", "webhooks", "reports"])
def test_a_slash_behind_a_collection_is_led_to_it(caller, collection):
    for method in ("GET", "POST"):
        led = caller.request(method, f"/v3/{collection}/")
        assert (led.status_code, led.headers["Location"]) == (307, f"{caller.base_url}/v3/{collection}")


AWKWARD = ["x/assign", "assign", "a/recurring_groups", "x/", "/", "50%", "a%2Fb", "a?b#c", "é/ü", "a\nb"]


@pytest.mark.parametrize("identity", AWKWARD)
def test_an_id_is_read_as_it_was_written_whatever_it_looks_like(caller, items, identity):
    part = quote(identity, safe="")
    caller.holder(identity).raise_for_status()
    holder = f"/v3/account_holders/{part}"
    assert caller.get(holder).json()["id"] == identity
    assert caller.post(f"{holder}/recurring_groups").json() == []
    sent = {**items(1)[0], "id": identity, "account_holder_id": identity}
    caller.post("/v3/transactions", json=sent).raise_for_status()
    transaction = f"/v3/transactions/{part}"
    assert caller.get(transaction).json()["id"] == identity
    caller.holder("other")
    moved = caller.post(f"{transaction}/assign", json={"account_holder_id": "other"})
    assert moved.json()["account_holder_id"] == "other"
    assert [caller.delete(path).status_code for path in (transaction, holder)] == [204, 204]


def test_a_slash_that_is_not_encoded_belongs_to_the_id_as_well(caller):
    """Ntropy's own client does not encode it."""
    caller.holder("a/b")
    assert caller.get("/v3/account_holders/a/b").json()["id"] == "a/b"


def test_an_empty_holder_is_asked_for_and_not_there(caller, items):
    caller.holder("h")
    caller.finished(items(2, account_holder_id="h") + items(1, "none"))
    assert len(caller.get("/v3/transactions").json()["data"]) == 3
    assert caller.get("/v3/transactions?account_holder_id=").json() == {"next_cursor": None, "data": []}
    assert len(caller.get("/v3/transactions?account_holder_id=h").json()["data"]) == 2
