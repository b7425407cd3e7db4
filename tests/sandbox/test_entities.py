"""Entities by id, name and website; transactions that get another holder."""

from __future__ import annotations

import time
import uuid

STARBUCKS = "d4bc3c80-ec1a-3da2-836e-2a4ca4758be5"
"""As in Ntropy's documentation."""
FIELDS = {
    "id", "name", "website", "logo", "phone_number", "tax_number", "naics2017", "mccs", "parent", "location",
}  # fmt: skip


def resolve(caller, **body):
    return caller.post("/v3/entities/resolve", json=body)


def test_an_entity_by_website_and_by_name_is_the_same(caller):
    by_site = resolve(caller, website="https://www.Starbucks.com/menu").json()
    assert by_site.keys() == FIELDS
    assert (by_site["id"], by_site["name"], by_site["website"]) == (STARBUCKS, "Starbucks", "starbucks.com")
    assert 5814 in by_site["mccs"]
    assert resolve(caller, name="Starbucks", website=None, location="Seattle, US").json() == by_site
    assert caller.get(f"/v3/entities/{STARBUCKS}").json() == by_site


def test_an_unknown_name_keeps_its_id(caller):
    made = resolve(caller, name="Zweigstelle Qwertz").json()
    assert made["website"] is None
    assert resolve(caller, name="zweigstelle qwertz").json()["id"] == made["id"]
    assert caller.get(f"/v3/entities/{made['id']}").json() == made
    assert caller.get(f"/v3/entities/{made['id']}", headers={"X-API-Key": "somebody else"}).status_code == 404


def test_a_known_company_is_found_before_anybody_has_asked_for_it(caller):
    found = caller.get(f"/v3/entities/{STARBUCKS}").raise_for_status().json()
    assert (found["id"], found["name"], found["website"]) == (STARBUCKS, "Starbucks", "starbucks.com")
    block = uuid.uuid3(uuid.NAMESPACE_DNS, "block.xyz")
    assert caller.get(f"/v3/entities/{block}").json()["name"] == "Block, Inc."


def test_what_a_result_has_named_is_found(caller, items):
    named = str(uuid.uuid3(uuid.NAMESPACE_DNS, "zweigstelle qwertz"))
    assert caller.get(f"/v3/entities/{named}").status_code == 404
    first = caller.finished([{**items(1)[0], "description": "ZWEIGSTELLE QWERTZ"}])
    caller.get(f"/v3/batches/{first}/results").raise_for_status()
    assert caller.get(f"/v3/entities/{named}").json()["name"] == "Zweigstelle Qwertz"
    batch = caller.finished(items(3))
    first = caller.get(f"/v3/batches/{batch}/results").json()["results"][0]["entities"]
    for named in (first["counterparty"], *first["intermediaries"]):
        found = caller.get(f"/v3/entities/{named['id']}").raise_for_status().json()
        assert found == {**{name: part for name, part in named.items() if name != "type"}, "location": None}
    (parent,) = [one["parent"] for one in first["intermediaries"] if one["parent"]]
    found = caller.get(f"/v3/entities/{parent['id']}").raise_for_status().json()
    assert (found["name"], found["mccs"], found["parent"]) == (parent["name"], [], None)


def found(caller, identity):
    answered = caller.get(f"/v3/entities/{identity}")
    return answered.json()["name"] if answered.status_code == 200 else answered.status_code


def test_every_way_of_showing_an_entity_makes_it_known(caller, items):
    def named(name):
        return str(uuid.uuid3(uuid.NAMESPACE_DNS, name.lower()))

    caller.holder("h")
    one, listed, *payments = items(6, account_holder_id="h")
    caller.post("/v3/transactions", json={**one, "description": "ZWEIGSTELLE EINS"}).raise_for_status()
    assert found(caller, named("Zweigstelle Eins")) == "Zweigstelle Eins"
    caller.finished([{**listed, "description": "ZWEIGSTELLE ZWEI"}])
    caller.get("/v3/transactions").raise_for_status()
    assert found(caller, named("Zweigstelle Zwei")) == "Zweigstelle Zwei"
    for month, item in enumerate(payments, 1):
        item |= {"description": "ZWEIGSTELLE DREI", "date": f"2024-0{month}-05"}
    caller.finished(payments)
    (group,) = caller.post("/v3/account_holders/h/recurring_groups").json()
    assert found(caller, group["counterparty"]["id"].upper()) == group["counterparty"]["name"] == "Zweigstelle Drei"


def test_an_entity_that_a_rule_has_made_is_found(caller, items):
    named = {"if": {"==": [{"get": "merchant"}, None]}, "then": [{"set": "merchant", "to": "My Bank"}]}
    marked = {"if": {"is_substring": ["QWERTZ", {"get": "description"}]}, "then": [{"set": "merchant_id", "to": "q 1"}]}
    caller.post("/v3/rules/replace", json=[named, marked]).raise_for_status()
    fee, other = items(2)
    sent = [{**fee, "description": "MONTHLY MAINTENANCE FEE"}, {**other, "description": "ZWEIGSTELLE QWERTZ"}]
    batch = caller.finished(sent)
    results = caller.get(f"/v3/batches/{batch}/results").json()["results"]
    made = [one["entities"]["counterparty"] for one in results]
    assert [one["id"] for one in made] == [str(uuid.uuid3(uuid.NAMESPACE_DNS, "my bank")), "q 1"]
    assert [found(caller, one["id"]) for one in made] == ["My Bank", "Zweigstelle Qwertz"]


def test_an_old_entity_is_found_and_a_miss_costs_nothing(caller, items):
    old = caller.finished([{**items(1, "old")[0], "description": "ZWEIGSTELLE QWERTZ"}])
    caller.get(f"/v3/batches/{old}/results").raise_for_status()
    caller.finished([{**one, "description": f"FILIALE {at:05}"} for at, one in enumerate(items(20_001))])
    began = time.monotonic()
    assert found(caller, uuid.uuid3(uuid.NAMESPACE_DNS, "zweigstelle qwertz")) == "Zweigstelle Qwertz"
    assert [found(caller, uuid.uuid4()) for _ in range(10)] == [404] * 10
    assert time.monotonic() - began < 2


def test_refusals(caller):
    assert caller.get("/v3/entities/starbucks").status_code == 400
    assert caller.get(f"/v3/entities/{uuid.uuid4()}").status_code == 404
    for body in ({}, {"name": "a", "website": "a.com"}, {"name": None}, {"name": ""}, {"website": "no domain"}):
        assert resolve(caller, **body).status_code == 400
    for body in ({"name": 1}, {"website": []}, {"name": "a", "location": 5}):
        assert resolve(caller, **body).status_code == 422
    assert caller.post("/v3/entities/resolve", json=[]).status_code == 422


def test_a_name_costs_a_credit_and_a_website_none(start):
    client = start(balance=1)
    assert resolve(client, website="netflix.com").status_code == 200
    assert resolve(client, name="Netflix").status_code == 200
    assert resolve(client, website="netflix.com").status_code == 200
    assert resolve(client, name="Netflix").status_code == 423
    assert client.post("/v3/transactions", json={**ITEM}).status_code == 423


ITEM = {
    "id": "t",
    "description": "SQ *STARBUCKS 00001",
    "date": "2024-05-01",
    "amount": 12.5,
    "entry_type": "outgoing",
    "currency": "USD",
}


def assign(caller, identity, holder):
    return caller.post(f"/v3/transactions/{identity}/assign", json={"account_holder_id": holder})


def test_a_transaction_gets_another_holder(caller):
    for holder in ("a", "b"):
        caller.holder(holder)
    caller.holder("company", "business")
    caller.post("/v3/transactions", json={**ITEM, "account_holder_id": "a"}).raise_for_status()
    before = caller.get("/v3/transactions/t").json()
    moved = assign(caller, "t", "b")
    assert moved.status_code == 200
    assert moved.json() == {**before, "account_holder_id": "b"}
    assert caller.get("/v3/transactions/t").json() == moved.json()
    assert caller.get("/v3/transactions", params={"account_holder_id": "a"}).json()["data"] == []
    assert len(caller.get("/v3/transactions", params={"account_holder_id": "b"}).json()["data"]) == 1
    refused = assign(caller, "t", "company")
    assert refused.status_code == 400
    caller.delete("/v3/account_holders/a").raise_for_status()
    assert caller.get("/v3/transactions/t").json() == moved.json(), "it belongs to b"
    caller.delete("/v3/account_holders/b").raise_for_status()
    assert caller.get("/v3/transactions/t").status_code == 404


def test_a_transaction_of_a_batch_without_a_holder_gets_one(caller):
    caller.holder("h")
    batch = caller.finished([{**ITEM, "id": "a/b"}, {**ITEM, "id": "ghostly", "account_holder_id": "ghost"}])
    assert assign(caller, "a%2Fb", "h").json()["categories"]["general"] == "coffee shop"
    assert assign(caller, "ghostly", "h").json()["error"] is None
    charged = caller.get("/sandbox/books/items", params={"id": "ghostly"}).json()
    assert [one["submission"] for one in charged] == [batch]


def test_what_a_batch_answered_stays_when_a_transaction_gets_another_holder(caller, items):
    own = {"incoming": [], "outgoing": ["Treats and coffee"]}
    caller.post("/v3/categories/mine", json=own).raise_for_status()
    for holder, named in (("a", "mine"), ("b", None)):
        made = {"id": holder, "type": "consumer", "category_id": named}
        caller.post("/v3/account_holders", json=made).raise_for_status()
    sent = [*items(1, "none-"), *items(1, "ghost-", account_holder_id="ghost"), *items(1, "a-", account_holder_id="a")]
    batch = caller.finished(sent)
    before = caller.get(f"/v3/batches/{batch}/results").content
    errors = [one["error"] for one in caller.get("/sandbox/books/items").json() if one["submission"] == batch]
    assert errors == [None, "account_holder_not_found", None]
    for holder in ("b", "a", "b"):
        for item in sent:
            assert assign(caller, item["id"], holder).json()["account_holder_id"] == holder
    assert caller.get(f"/v3/batches/{batch}/results").content == before
    assert [one["error"] for one in caller.get("/sandbox/books/items").json() if one["submission"] == batch] == errors
    listed = caller.get("/v3/transactions", params={"account_holder_id": "b"}).json()["data"]
    assert [one["categories"]["general"] for one in listed] == ["coffee shop"] * 3


def test_the_category_set_of_the_new_holder_counts(caller):
    own = {"incoming": [], "outgoing": ["Treats and coffee"]}
    caller.post("/v3/categories/mine", json=own).raise_for_status()
    caller.holder("a")
    caller.post("/v3/account_holders", json={"id": "b", "type": "consumer", "category_id": "mine"}).raise_for_status()
    caller.post("/v3/transactions", json={**ITEM, "account_holder_id": "a"}).raise_for_status()
    assert assign(caller, "t", "b").json()["categories"]["general"] == "Treats and coffee"
    assert assign(caller, "t", "a").json()["categories"]["general"] == "coffee shop"


def test_refused_assignments(caller):
    caller.holder("h")
    caller.post("/v3/transactions", json=ITEM).raise_for_status()
    assert assign(caller, "none", "h").status_code == 404
    assert assign(caller, "t", "none").status_code == 404
    for body in ({}, {"account_holder_id": None}, {"account_holder_id": 5}, []):
        assert caller.post("/v3/transactions/t/assign", json=body).status_code == 422
    assert caller.get("/v3/transactions/t/assign").status_code == 405
    other = {"X-API-Key": "somebody else"}
    body = {"account_holder_id": "h"}
    assert caller.post("/v3/transactions/t/assign", json=body, headers=other).status_code == 404
