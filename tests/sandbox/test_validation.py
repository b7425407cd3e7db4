"""What a 422 says, for every field."""

from __future__ import annotations

import json

import msgspec
import pytest

from pipeline.sandbox import validation
from pipeline.sandbox.config import MAX_BATCH_ITEMS, SandboxConfig
from pipeline.sandbox.errors import ApiError


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("id", None, "string_type"),
        ("id", "", "string_too_short"),
        ("id", "x" * 257, "string_too_long"),
        ("id", 7, "string_type"),
        ("description", "x" * 1025, "string_too_long"),
        ("date", "2024-02-30", "date_from_datetime_parsing"),
        ("date", "20240201", "date_from_datetime_parsing"),
        ("date", "2024-02-01T10:00:00", "date_from_datetime_parsing"),
        ("date", None, "date_type"),
        ("amount", -0.01, "greater_than_equal"),
        ("amount", "ten", "float_parsing"),
        ("amount", True, "float_type"),
        ("amount", None, "float_type"),
        ("entry_type", "debit", "enum"),
        ("currency", "BTN", "enum"),
        ("currency", "usd", "enum"),
        ("account_holder_id", 5, "string_type"),
        ("location", "here", "model_attributes_type"),
    ],
)
def test_one_wrong_field_is_named_with_its_place(caller, items, field, value, kind):
    sent = items(3)
    sent[1][field] = value
    refused = caller.send_batch(sent)
    assert refused.status_code == 422
    (told,) = refused.json()["detail"]
    assert (told["loc"], told["type"]) == (["body", "data", 1, field], kind)
    assert told["msg"]
    assert caller.get("/v3/batches").json()["data"] == []


@pytest.mark.parametrize("field", ["id", "description", "date", "amount", "entry_type", "currency"])
def test_a_missing_field(caller, items, field):
    (item,) = items(1)
    del item[field]
    assert [one["loc"] for one in caller.post("/v3/transactions", json=item).json()["detail"]] == [["body", field]]
    (told,) = caller.send_batch([item]).json()["detail"]
    assert (told["loc"], told["type"]) == (["body", "data", 0, field], "missing")


def test_every_problem_is_told(caller, items):
    sent = items(4)
    sent[0]["amount"] = -1
    sent[2] = {"id": "t2"}
    sent[3]["location"] = {"country": "us"}
    told = caller.post("/v3/batches", json={"operation": "x", "data": sent}).json()["detail"]
    assert [one["loc"] for one in told] == [
        ["body", "operation"],
        ["body", "data", 0, "amount"],
        *(["body", "data", 2, name] for name in ("description", "date", "amount", "entry_type", "currency")),
        ["body", "data", 3, "location", "country"],
    ]


@pytest.mark.parametrize(
    ("data", "kind"), [([], "too_short"), (None, "list_type"), ({}, "list_type"), ([1], "model_attributes_type")]
)
def test_data_that_is_no_list_of_items(caller, data, kind):
    refused = caller.send_batch(data)
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["type"] == kind


def test_size_of_a_batch(caller, items):
    assert caller.send_batch(items(24_960)).status_code == 200
    refused = caller.send_batch(items(24_961))
    assert refused.status_code == 422
    (told,) = refused.json()["detail"]
    assert (told["loc"], told["type"]) == (["body", "data"], "too_long")


def test_bodies_that_are_no_json_and_wrapped_ones(caller, items):
    for path in ("/v3/batches", "/v3/transactions", "/v3/account_holders"):
        refused = caller.post(path, content=b'{"data": ')
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["type"] == "json_invalid"
    wrapped = {"body": {"operation": "POST /v3/transactions", "data": items(1)}}
    missing = [one["loc"][-1] for one in caller.post("/v3/batches", json=wrapped).json()["detail"]]
    assert missing == ["operation", "data"]


def test_holders(caller):
    refused = caller.post("/v3/account_holders", json={"id": "", "type": "freelance", "name": 1})
    assert refused.status_code == 422
    assert [one["loc"] for one in refused.json()["detail"]] == [["body", "id"], ["body", "type"], ["body", "name"]]


def test_what_is_accepted_at_the_edges(caller, items):
    sent = items(6)
    sent[0] |= {"amount": 0, "description": "", "location": None, "account_holder_id": None}
    sent[1] |= {"amount": "12.50", "date": "2024-01-31T00:00:00Z", "unknown": {"ignored": True}}
    sent[2] |= {"location": {"country": "USA"}, "id": "x" * 256}
    sent[3] |= {"description": "x" * 1024, "currency": "VEF"}
    sent[4] |= {"id": "ümläut/ 1", "description": "Zażółć 💳"}
    assert caller.send_batch(sent).status_code == 200
    assert caller.post("/v3/transactions", json=sent[1]).status_code == 200
    read = caller.get("/v3/transactions/t1").json()
    assert (read["amount"], read["date"]) == (12.5, "2024-01-31")


def test_an_item_is_read_alike_on_both_paths(items):
    sent = items(2)
    fast = validation.batch(msgspec.json.encode({"operation": "POST /v3/transactions", "data": sent}))
    sent[1]["amount"] = "12.5"  # only the slow path takes a number in quotes
    slow = validation.batch(msgspec.json.encode({"operation": "POST /v3/transactions", "data": sent}))
    assert fast == slow
    with pytest.raises(ApiError):
        validation.batch(b"[]")


@pytest.mark.parametrize("path", ["/v3/batches", "/v3/transactions", "/v3/account_holders", "/v3/webhooks"])
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"id": "x", "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"id": "\xff"}',
        b'{"id": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"",
    ],
    ids=["unclosed", "deep", "no UTF-8", "half a surrogate", "byte order mark", "nothing"],
)
def test_a_body_that_is_hardly_json(caller, path, body):
    refused = caller.post(path, content=body)
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"][0] == "body"


@pytest.mark.parametrize("amount", ["9" * 400, "9" * 5000, "1e400", '"1e400"', '"nan"', "NaN"])
def test_an_amount_that_is_no_number_of_ours(caller, amount):
    head = b'{"id": "x", "description": "", "date": "2024-01-01", "entry_type": "outgoing", "currency": "USD", '
    assert caller.post("/v3/transactions", content=head + f'"amount": {amount}}}'.encode()).status_code == 422


def test_query_numbers_that_no_database_holds(caller):
    most = "9" * 5000
    for path in (f"/v3/batches?cursor={'f' * 15}-{'f' * 15}", "/v3/transactions/%00", "/v3/transactions/%ff"):
        assert caller.get(path).status_code in {200, 404}
    for path in (f"/v3/batches?limit={most}", f"/v3/batches?cursor={most}-1", f"/sandbox/books/charges?min={most}"):
        assert caller.get(path).status_code == 422


def test_a_full_batch_of_the_longest_items_is_not_too_large(items):
    (item,) = items(1)
    longest = {
        **item,
        "id": "\U0001f375" * 256,
        "account_holder_id": "\U0001f375" * 256,
        "description": "\U0001f375" * 1024,
    }
    longest["location"] = {"raw_address": "1 Main Street, Springfield", "country": "US-CA"}
    validation.transaction(json.dumps(longest).encode())
    assert len(json.dumps(longest, indent=4)) * MAX_BATCH_ITEMS < SandboxConfig().max_body_bytes


def test_a_body_beyond_the_limit_is_refused_and_the_server_goes_on(start, items):
    client = start(unthrottled=True, max_body_bytes=2000)
    assert client.send_batch(items(1)).status_code == 200
    for refused in (client.send_batch(items(50)), client.put("/sandbox/faults", content=b" " * 2001)):
        assert (refused.status_code, refused.json()) == (413, {"detail": "Request body too large"})
    assert client.get("/sandbox/books").json()["answers"]["POST /v3/batches"] == {"200": 1, "413": 1}
