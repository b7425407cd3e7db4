"""Limits, error batches, item errors, and the pace of a batch."""

from __future__ import annotations

import time

import pytest

from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.life import Submission, duration_us


def test_progress_moves_and_never_falls(start, items):
    client = start(time_scale=40, batch_jitter=0)
    batch = client.send_batch(items(1000)).json()["id"]
    seen = []
    while True:
        now = client.get(f"/v3/batches/{batch}").json()
        seen.append(now["progress"])
        assert (now["progress"] == 1000) == (now["status"] == "completed")
        if now["status"] == "completed":
            break
        time.sleep(0.03)
    assert seen == sorted(seen)
    assert len(set(seen)) > 3


def test_duration_follows_size_scale_and_priority():
    exact = SandboxConfig(batch_jitter=0)
    assert 85e6 < duration_us(exact, 1, 5000, "default") < 95e6
    assert duration_us(exact, 1, 5000, "low") == pytest.approx(2 * duration_us(exact, 1, 5000, "default"))
    fast = SandboxConfig(batch_jitter=0, time_scale=100)
    assert duration_us(fast, 1, 5000, "default") * 100 == pytest.approx(duration_us(exact, 1, 5000, "default"))
    varied = {duration_us(SandboxConfig(seed=seed), 1, 5000, "default") for seed in range(20)}
    assert len(varied) == 20


def test_a_batch_is_a_function_of_time():
    batch = Submission(1, "b", 1, "batch", 1, "default", 100, "completed", 1_000, 2_000, 100)
    assert [batch.progress(now) for now in (500, 1_000, 1_500, 1_999, 2_000, 9_000)] == [0, 0, 50, 99, 100, 100]
    assert [batch.status(now) for now in (1_999, 2_000)] == ["processing", "completed"]
    failed = batch._replace(outcome="error", stop_at=40)
    assert [failed.progress(now) for now in (1_500, 2_000, 9_000)] == [20, 40, 40]
    assert failed.visible(9_000) == 0


def test_the_named_batch_ends_in_error_once(start, items):
    client = start(time_scale=500, unthrottled=True, error_batch_nth=(2,))
    outcomes = []
    for _ in range(3):
        batch = client.send_batch(items(50)).json()["id"]
        outcomes.append(client.ended(batch))
    assert [one["status"] for one in outcomes] == ["completed", "error", "completed"]
    assert 0 < outcomes[1]["progress"] < 50
    refused = client.get(f"/v3/batches/{outcomes[1]['id']}/results")
    assert refused.status_code == 409
    assert client.get("/v3/batches", params={"status": "error"}).json()["data"] == [outcomes[1]]


def test_error_batches_by_share_succeed_when_sent_again(start, items):
    client = start(time_scale=500, unthrottled=True, batch_error_share=0.5, seed=3)

    def outcome(prefix: str, count: int = 4) -> str:
        return client.ended(client.send_batch(items(count, prefix)).json()["id"])["status"]

    first = {f"p{number}-": outcome(f"p{number}-") for number in range(20)}
    assert 3 <= list(first.values()).count("error") <= 17
    assert {outcome(prefix) for prefix, status in first.items() if status == "error"} == {"completed"}


def test_halves_of_an_error_batch_succeed(start, items):
    client = start(time_scale=500, unthrottled=True, batch_error_share=1)
    sent = items(10)
    assert client.ended(client.send_batch(sent).json()["id"])["status"] == "error"
    for half in (sent[:5], sent[5:]):
        assert client.ended(client.send_batch(half).json()["id"])["status"] == "completed"


def test_transactions_of_an_error_batch_are_not_there(start, items):
    client = start(time_scale=500, unthrottled=True, error_batch_nth=(1,))
    client.ended(client.send_batch(items(10)).json()["id"])
    assert client.get("/v3/transactions/t0").status_code == 404
    assert client.get("/v3/transactions").json()["data"] == []


def test_item_errors_by_share(start, items, tmp_path):
    client = start(time_scale=500, unthrottled=True, item_error_share=0.2, item_error_attempts=1)

    def failed() -> set[str]:
        batch = client.send_batch(items(500)).json()["id"]
        assert client.ended(batch)["status"] == "completed"
        results = client.get(f"/v3/batches/{batch}/results").json()["results"]
        return {one["id"] for one in results if one["error"]}

    first = failed()
    assert 60 < len(first) < 140
    assert failed() == set()
    always = start(state=tmp_path / "other", time_scale=500, unthrottled=True, item_error_share=0.2)
    batch = always.send_batch(items(500)).json()["id"]
    always.ended(batch)
    results = always.get(f"/v3/batches/{batch}/results").json()["results"]
    assert {one["id"] for one in results if one["error"]} == first
    assert {one["error"]["code"] for one in results if one["error"]} == {"internal_error"}


def test_ten_batches_at_once(start, items):
    client = start(time_scale=1, post_batches_per_second=1000)
    for number in range(10):
        assert client.send_batch(items(1, f"b{number}")).status_code == 200
    refused = client.send_batch(items(1, "one-too-many"))
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    client.headers["X-API-Key"] = "somebody else"
    assert client.send_batch(items(1)).status_code == 200


def test_credit_bucket(start, items):
    client = start(time_scale=1, credits_capacity=10, credits_per_second=0.001)
    assert client.send_batch(items(8)).status_code == 200
    refused = client.send_batch(items(3, "more"))
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    for number in range(2):
        assert client.post("/v3/transactions", json=items(1, f"s{number}")[0]).status_code == 200
    assert client.post("/v3/transactions", json=items(1, "s3")[0]).status_code == 429
    assert client.get("/sandbox/books").json()["items_charged"] == 10


def test_credit_bucket_refills_on_the_scaled_clock(start, items):
    client = start(time_scale=1000, credits_capacity=10, credits_per_second=1)
    assert client.send_batch(items(10)).status_code == 200
    for _ in range(200):
        if client.send_batch(items(10, "again")).status_code == 200:
            return
        time.sleep(0.02)
    pytest.fail("the bucket never refilled")


def test_calls_per_second_by_group(start):
    client = start(time_scale=0.001, get_batches_per_second=3, holders_per_second=2)
    answered = [client.get(path).status_code for path in ("/v3/batches", "/v3/batches/x", "/v3/batches", "/v3/batches")]
    assert answered == [200, 404, 200, 429]
    assert client.get("/v3/account_holders").status_code == 200
    assert client.get("/v3/batches", headers={"X-API-Key": "other"}).status_code == 200
    assert client.get("/health").status_code == 200


def test_prepaid_balance(start, items):
    client = start(time_scale=500, balance=5, unthrottled=True)
    assert client.send_batch(items(4)).status_code == 200
    refused = client.send_batch(items(2))
    assert refused.status_code == 423
    assert client.send_batch(items(1)).status_code == 200
    assert client.get("/sandbox/books").json()["items_charged"] == 5


def test_unthrottled_turns_every_limit_off(start, items):
    client = start(
        time_scale=1,
        unthrottled=True,
        max_processing=1,
        credits_capacity=1,
        get_batches_per_second=1,
        results_per_second=1,
    )
    assert [client.send_batch(items(5)).status_code for _ in range(3)] == [200] * 3
    assert [client.get("/v3/batches").status_code for _ in range(5)] == [200] * 5
