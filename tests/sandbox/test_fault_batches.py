"""Fault plans: batches that err, never end, take long, hide or expire, and items that fail or are refused."""

from __future__ import annotations

import time

import pytest

POST = "POST /v3/batches"
FOR_EVER = 10_000_000
"""Documented seconds; five and a half hours on the clock of these tests."""


def _outcomes(client, identity: str) -> list[tuple[str, str | None]]:
    return [(one.outcome, one.error) for one in client.books.items(identity)]


def _errors(client, batch: str) -> dict[str, str | None]:
    results = client.get(f"/v3/batches/{batch}/results").raise_for_status().json()["results"]
    return {one["id"]: one["error"] and one["error"]["code"] for one in results}


def test_poison_item_fails_every_batch_that_holds_it(faulty, items):
    client = faulty({"call": POST, "ids": ["poison-3"], "do": "batch_error"})
    sent = items(8, "poison-")
    for part, status in ((sent, "error"), (sent[:4], "error"), (sent[4:], "completed"), (sent[3:4], "error")):
        batch = client.ended(client.send_batch(part).json()["id"])
        assert batch["status"] == status
        assert (batch["progress"] == batch["total"]) == (status == "completed")
        assert client.get(f"/v3/batches/{batch['id']}/results").status_code == (409 if status == "error" else 200)
    # Charged each time, and the books tell what for.
    assert _outcomes(client, "poison-3") == [("error", None)] * 3
    assert _outcomes(client, "poison-5") == [("error", None), ("completed", None)]
    assert client.get("/v3/transactions/poison-3").status_code == 404


def test_poison_item_that_heals(faulty, items):
    client = faulty({"call": POST, "ids": ["heal-0"], "times": 2, "do": "batch_error"})
    sent = items(3, "heal-")
    assert [client.ended(client.send_batch(sent).json()["id"])["status"] for _ in range(3)] == [
        "error",
        "error",
        "completed",
    ]


def test_error_by_number_counts_accepted_batches_only(faulty, items):
    client = faulty(
        {"call": POST, "nth": [2], "do": "batch_error"}, {"call": POST, "nth": [1], "do": "status", "status": 503}
    )
    assert client.send_batch(items(1, "num-")).status_code == 503
    assert client.send_batch([]).status_code == 422
    assert [client.ended(client.send_batch(items(1, "num-")).json()["id"])["status"] for _ in range(3)] == [
        "completed",
        "error",
        "completed",
    ]


def test_batch_that_never_ends(faulty, items):
    client = faulty({"call": POST, "nth": [1], "do": "batch_never_ends"})
    stuck = client.send_batch(items(4, "stuck-")).json()["id"]
    client.finished(items(4, "after-stuck-"))
    batch = client.get(f"/v3/batches/{stuck}").json()
    assert (batch["status"], batch["progress"]) == ("processing", 0)
    assert client.get(f"/v3/batches/{stuck}/results").status_code == 409
    assert len(client.books.items("stuck-0")) == 1
    listed = client.get("/v3/batches", params={"status": "processing"}).json()["data"]
    assert [one["id"] for one in listed] == [stuck]


def test_batch_that_never_ends_holds_its_slot(start, items):
    client = start(time_scale=500, max_processing=2, post_batches_per_second=1000)
    rule = {"call": POST, "nth": [1, 2], "do": "batch_never_ends"}
    client.put("/sandbox/faults", json={"rules": [rule]}).raise_for_status()
    assert [client.send_batch(items(1, f"s{n}-")).status_code for n in range(3)] == [200, 200, 429]


def test_batch_that_takes_long(start, items):
    client = start(time_scale=100, unthrottled=True, batch_jitter=0)
    rule = {"call": POST, "nth": [1], "do": "batch_slow", "factor": 1000}
    client.put("/sandbox/faults", json={"rules": [rule]}).raise_for_status()
    slow = client.send_batch(items(1000, "slow-")).json()["id"]
    client.finished(items(1000, "fast-"))
    batch = client.get(f"/v3/batches/{slow}").json()
    assert batch["status"] == "processing"
    assert batch["progress"] < 100


def test_list_that_lags(faulty, items):
    client = faulty(
        {"call": POST, "nth": [1], "do": "batch_hidden", "seconds": FOR_EVER},
        {"call": POST, "nth": [2], "do": "batch_hidden", "seconds": 100},
        {"call": POST, "nth": [3], "do": "batch_hidden", "seconds": FOR_EVER, "by_id": True},
    )
    hidden, late, gone = (client.send_batch(items(1, f"lag{n}-")).json()["id"] for n in range(3))
    client.ended(hidden)
    assert client.get(f"/v3/batches/{hidden}/results").status_code == 200
    assert client.get(f"/v3/batches/{gone}").status_code == 404
    assert client.get(f"/v3/batches/{gone}/results").status_code == 404
    while not (listed := client.get("/v3/batches").json()["data"]):
        time.sleep(0.02)
    assert [one["id"] for one in listed] == [late]
    # It lags behind; it does not lie.
    created = {one.id: one.created_at for one in client.books.batches()}
    assert listed[0]["created_at"] == created[late]
    assert {one.times for one in client.books.charges() if one.id.startswith("lag")} == {1}


def test_hidden_batch_appears_by_id_and_in_the_list_at_once(faulty, items):
    client = faulty({"call": POST, "do": "batch_hidden", "seconds": 200, "by_id": True})
    batch = client.send_batch(items(1, "appears-")).json()["id"]
    while client.get(f"/v3/batches/{batch}").status_code == 404:
        time.sleep(0.02)
    assert [one["id"] for one in client.get("/v3/batches").json()["data"]] == [batch]


@pytest.mark.parametrize("what", ["results", "batch"])
def test_results_expire(faulty, items, what):
    client = faulty({"call": POST, "nth": [1], "do": "batch_expires", "seconds": 0, "what": what})
    batch = client.send_batch(items(2, f"expire-{what}-")).json()["id"]
    kept = client.finished(items(2, f"kept-{what}-"))
    while client.get(f"/v3/batches/{batch}/results").status_code == 409:
        time.sleep(0.02)
    assert client.get(f"/v3/batches/{batch}/results").status_code == 404
    assert client.get(f"/v3/batches/{batch}").status_code == (200 if what == "results" else 404)
    listed = [one["id"] for one in client.get("/v3/batches").json()["data"]]
    assert listed == ([kept, batch] if what == "results" else [kept])
    assert client.get(f"/v3/batches/{kept}/results").status_code == 200
    # What was bought is still there, one by one.
    assert client.get(f"/v3/transactions/expire-{what}-0").status_code == 200


def test_results_that_are_kept_for_long_are_there(faulty, items):
    client = faulty({"call": POST, "do": "batch_expires", "seconds": FOR_EVER})
    batch = client.finished(items(2, "long-"))
    assert client.get(f"/v3/batches/{batch}/results").status_code == 200


def test_item_errors_always_or_the_first_times(faulty, items):
    client = faulty(
        {"call": POST, "ids": ["ie-1", "ie-2"], "to": 2, "do": "item_error"},
        {"call": POST, "ids": ["ie-2", "ie-4"], "do": "item_error", "code": "model_overloaded", "message": "busy"},
        {"call": POST, "ids": ["ie-5"], "do": "item_error", "code": "account_holder_not_found"},
    )
    sent = items(6, "ie-")
    # ie-1 is sent once more than the others, alone.
    assert _errors(client, client.finished(sent[1:2])) == {"ie-1": "internal_error"}
    seen = [_errors(client, client.finished(sent)) for _ in range(3)]
    assert [one["ie-1"] for one in seen] == ["internal_error", None, None]
    assert [one["ie-2"] for one in seen] == ["internal_error", "internal_error", "model_overloaded"]
    assert {(one["ie-4"], one["ie-5"], one["ie-0"]) for one in seen} == {
        ("model_overloaded", "account_holder_not_found", None)
    }
    assert _outcomes(client, "ie-1") == [("completed", "internal_error")] * 2 + [("completed", None)] * 2
    view = client.get("/sandbox/faults").json()["rules"]
    assert view[0]["by_id"] == {"ie-1": {"seen": 4, "fired": 2}, "ie-2": {"seen": 3, "fired": 2}}


def test_failed_item_has_nothing_but_its_error(faulty, items):
    rule = {"call": POST, "ids": ["bare-0"], "do": "item_error", "code": "new", "message": "a new kind of trouble"}
    client = faulty(rule)
    batch = client.finished(items(1, "bare-"))
    item = client.get(f"/v3/batches/{batch}/results").json()["results"][0]
    assert item["error"] == {"code": "new", "message": "a new kind of trouble"}
    assert (item["entities"], item["categories"], item["location"]) == (None, None, None)
    assert client.get("/v3/transactions/bare-0").json()["error"]["code"] == "new"


def test_item_error_of_a_single_transaction(faulty, items):
    client = faulty({"call": "POST /v3/transactions", "ids": ["single-0"], "nth": [1], "do": "item_error"})
    item = items(1, "single-")[0]
    assert [client.post("/v3/transactions", json=item).json()["error"] is None for _ in range(2)] == [False, True]
    assert _outcomes(client, "single-0") == [("completed", "internal_error"), ("completed", None)]


def test_invalid_items_refuse_the_whole_batch_free_of_charge(faulty, items):
    client = faulty(
        {"call": POST, "ids": ["inv-2", "inv-4"], "do": "item_invalid"},
        {"call": POST, "ids": ["inv-4"], "do": "item_invalid", "field": "currency"},
    )
    sent = items(6, "inv-")
    refused = client.send_batch(sent)
    assert refused.status_code == 422
    assert [one["loc"] for one in refused.json()["detail"]] == [
        ["body", "data", 2, "description"],
        ["body", "data", 4, "currency"],
    ]
    assert client.books.items("inv-0") == []
    assert client.send_batch([one for one in sent if one["id"] not in ("inv-2", "inv-4")]).status_code == 200
    client.put("/sandbox/faults", json={"rules": []})
    assert client.send_batch(sent).status_code == 200


def test_invalid_single_transaction(faulty, items):
    client = faulty({"call": "POST /v3/transactions", "ids": ["inv1-0"], "times": 1, "do": "item_invalid"})
    item = items(1, "inv1-")[0]
    refused = client.post("/v3/transactions", json=item)
    assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body", "description"])
    assert client.post("/v3/transactions", json=item).status_code == 200


def test_what_a_batch_came_to_outlives_plan_and_process(start, items):
    client = start(time_scale=500, unthrottled=True)
    rules = [
        {"call": POST, "nth": [1], "do": "batch_error"},
        {"call": POST, "nth": [2], "do": "batch_never_ends"},
        {"call": POST, "ids": ["c-0"], "do": "item_error", "code": "odd"},
    ]
    client.put("/sandbox/faults", json={"rules": rules}).raise_for_status()
    made = [client.send_batch(items(2, prefix)).json()["id"] for prefix in ("a-", "b-", "c-")]
    client.delete("/sandbox/faults").raise_for_status()
    other = start(time_scale=500, unthrottled=True)
    assert other.ended(made[0])["status"] == "error"
    assert other.ended(made[2])["status"] == "completed"
    assert other.get(f"/v3/batches/{made[1]}").json()["status"] == "processing"
    assert _errors(other, made[2]) == {"c-0": "odd", "c-1": None}


def test_knobs_and_plan_work_side_by_side(start, items):
    client = start(time_scale=500, unthrottled=True, error_batch_nth=(1,), item_error_share=1, item_error_attempts=1)
    rules = [
        {"call": POST, "nth": [2], "do": "batch_error"},
        {"call": POST, "ids": ["k-0"], "do": "item_error", "code": "odd"},
    ]
    client.put("/sandbox/faults", json={"rules": rules}).raise_for_status()
    batches = [client.ended(client.send_batch(items(2, "k-")).json()["id"]) for _ in range(3)]
    assert [one["status"] for one in batches] == ["error", "error", "completed"]
    assert _errors(client, batches[2]["id"]) == {"k-0": "odd", "k-1": None}
