"""Fault plans: webhook events that are lost, late, repeated, out of order or ahead of the API.

What is never sent is shown by what comes after it: a webhook gets its events one by one, in the order they are due.
"""

from __future__ import annotations

import datetime as dt

import httpx
import pytest

POST = "POST /v3/batches"
FOR_EVER = 10_000_000
"""Documented seconds; five and a half hours on the clock of these tests."""
SECOND = 500
"""Documented seconds in a real one."""


def _end(received) -> float:
    return dt.datetime.fromisoformat(received.event["data"]["updated_at"]).timestamp()


def test_lost(faulty, items, receiver):
    client = faulty({"call": POST, "ids": ["lost-0"], "do": "webhook_lost"})
    webhook = client.hook(receiver.url)
    lost = client.finished(items(2, "lost-"))
    told = client.finished(items(2, "told-"))
    assert [one.batch for one in receiver.wait(1)] == [told]
    assert [one["batch"] for one in client.deliveries(webhook)] == [told]
    # The batch itself is as sound as any.
    assert client.get(f"/v3/batches/{lost}/results").status_code == 200
    assert client.get("/sandbox/faults").json()["rules"][0]["fired"] == 1


@pytest.mark.parametrize("copies", [2, 5])
def test_several_times_although_it_was_taken(faulty, items, receiver, copies):
    given = {} if copies == 2 else {"copies": copies}
    client = faulty({"call": POST, "nth": [1], "do": "webhook_repeated", **given})
    webhook = client.hook(receiver.url)
    client.finished(items(2, f"rep{copies}-"))
    after = client.finished(items(2, f"once{copies}-"))
    *same, last = receiver.wait(copies + 1)
    assert len({str(one.event) for one in same}) == 1
    assert len({one.event["event_id"] for one in (*same, last)}) == 2
    assert last.batch == after
    book = client.deliveries(webhook)
    assert [one["copy"] for one in book] == [*range(1, copies + 1), 1]


def test_again_after_a_while(faulty, items, receiver):
    client = faulty({"call": POST, "do": "webhook_repeated", "seconds": SECOND})
    client.hook(receiver.url)
    client.finished(items(1, "again-"))
    first, second = receiver.wait(2)
    assert first.event == second.event
    assert second.at >= _end(first) + 1


def test_late(faulty, items, receiver):
    client = faulty({"call": POST, "do": "webhook_late", "seconds": SECOND})
    client.hook(receiver.url)
    batch = client.finished(items(1, "late-"))
    ended = client.get(f"/v3/batches/{batch}").json()
    (late,) = receiver.wait(1)
    assert late.event["data"] == ended
    assert late.at >= _end(late) + 1


def test_out_of_order(faulty, items, receiver):
    client = faulty({"call": POST, "nth": [1], "do": "webhook_reordered", "behind": 2, "seconds": FOR_EVER})
    client.hook(receiver.url)
    first, second, third = (client.finished(items(1, f"order{at}-")) for at in range(3))
    assert [one.batch for one in receiver.wait(3)] == [second, third, first]


def test_out_of_order_waits_for_a_try_at_every_webhook(faulty, items, receiver):
    client = faulty({"call": POST, "nth": [1], "do": "webhook_reordered", "seconds": FOR_EVER})
    for path in ("/a", "/b"):
        client.hook(receiver.url + path)
    first, second = (client.finished(items(1, f"both{at}-")) for at in range(2))
    got = receiver.wait(4)
    assert [one.batch for one in got] == [second, second, first, first]
    assert {one.path for one in got[:2]} == {"/a", "/b"}


def test_out_of_order_without_a_later_one_comes_in_the_end(faulty, items, receiver):
    client = faulty({"call": POST, "do": "webhook_reordered", "seconds": SECOND})
    client.hook(receiver.url)
    client.finished(items(1, "alone-"))
    (held,) = receiver.wait(1)
    assert held.at >= _end(held) + 1


def test_before_the_batch_can_be_seen(faulty, items, receiver):
    client = faulty({"call": POST, "do": "webhook_early", "seconds": FOR_EVER})
    client.hook(receiver.url)
    batch = client.send_batch(items(1, "early-")).json()["id"]
    (early,) = receiver.wait(1)
    assert (early.batch, early.event["data"]["status"]) == (batch, "completed")
    assert client.get(f"/v3/batches/{batch}").status_code == 404
    assert client.get(f"/v3/batches/{batch}/results").status_code == 404
    assert client.get("/v3/batches").json()["data"] == []


def test_before_the_batch_can_be_seen_for_a_while(faulty, items, receiver):
    client = faulty({"call": POST, "do": "webhook_early", "seconds": SECOND})
    client.hook(receiver.url)
    batch = client.send_batch(items(1, "soon-")).json()["id"]
    (early,) = receiver.wait(1)
    while client.get(f"/v3/batches/{batch}").status_code == 404:
        pass
    assert client.get(f"/v3/batches/{batch}").json() == early.event["data"]
    assert [one["id"] for one in client.get("/v3/batches").json()["data"]] == [batch]


def test_before_the_api_knows_of_the_end(faulty, items, receiver):
    client = faulty({"call": POST, "do": "webhook_early", "seconds": FOR_EVER, "show": "processing"})
    client.hook(receiver.url)
    batch = client.send_batch(items(3, "ahead-")).json()["id"]
    (ahead,) = receiver.wait(1)
    told = ahead.event["data"]
    assert (told["status"], told["progress"]) == ("completed", 3)
    assert client.get(f"/v3/batches/{batch}").json()["status"] == "processing"
    assert [one["status"] for one in client.get("/v3/batches").json()["data"]] == ["processing"]
    assert client.get(f"/v3/batches/{batch}/results").status_code == 409


def test_faults_of_batches_have_their_say_in_the_event(faulty, items, receiver):
    client = faulty(
        {"call": POST, "ids": ["never-0"], "do": "batch_never_ends"},
        {"call": POST, "ids": ["err-0"], "do": "batch_error"},
    )
    client.hook(receiver.url)
    client.send_batch(items(1, "never-")).raise_for_status()
    batch = client.finished(items(2, "err-"))
    (told,) = receiver.wait(1)
    assert (told.batch, told.event["event_type"], told.event["data"]["status"]) == (batch, "batches.error", "error")


def test_calls_about_webhooks_have_faults_like_any(faulty, receiver):
    client = faulty()
    one, two = (client.hook(receiver.url) for _ in range(2))
    faulty(
        {"call": "GET /v3/webhooks/{id}", "ids": [one], "do": "status", "status": 503},
        {"call": "PATCH /v3/webhooks/{id}", "do": "drop", "when": "after"},
        {"call": "POST /v3/webhooks", "do": "status", "status": 500, "when": "after"},
        {"call": "GET /v3/webhooks", "do": "missing_items"},
    )
    assert [client.get(f"/v3/webhooks/{webhook}").status_code for webhook in (one, two)] == [503, 200]
    with pytest.raises(httpx.RemoteProtocolError):
        client.patch(f"/v3/webhooks/{two}", json={"enabled": False})
    assert client.get(f"/v3/webhooks/{two}").json()["enabled"] is False
    assert client.post("/v3/webhooks", json={"url": receiver.url, "events": []}).status_code == 500
    # Three there are, and the newest is left out.
    assert [webhook["id"] for webhook in client.get("/v3/webhooks").json()["data"]] == [two, one]
