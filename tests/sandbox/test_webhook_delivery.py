"""Webhook events on their way: to whom, how often, and what a receiver's trouble leads to."""

from __future__ import annotations

import socket
import sqlite3
import time
from itertools import pairwise

import httpx
import pytest

FAST = {"time_scale": 500, "unthrottled": True}
STUBBORN = {**FAST, "webhook_failures": 1_000_000}


def _until(check):
    """Wait until it is true; the suite's own time-out is the limit."""
    while not check():
        time.sleep(0.01)


def _settled(client, webhook: str, count: int = 1, state: str = "delivered") -> list[dict]:
    """The book of a webhook once it has so many deliveries in that state."""
    _until(lambda: sum(one["state"] == state for one in client.deliveries(webhook)) == count)
    return client.deliveries(webhook)


def test_the_end_of_a_batch_is_told_without_anybody_asking(caller, items, receiver):
    webhook = caller.hook(f"{receiver.url}/in?a=1", token="tök-1")
    batch = caller.send_batch(items(3, "told-")).json()
    (told,) = receiver.wait(1)
    assert set(told.event) == {"event_id", "event_type", "data"}
    assert told.event["event_type"] == "batches.completed"
    assert told.event["data"] == caller.get(f"/v3/batches/{batch['id']}").json()
    assert told.path == "/in?a=1"
    assert told.headers["content-type"] == "application/json"
    assert told.headers["x-ntropy-token"].encode("latin-1").decode() == "tök-1"
    (book,) = _settled(caller, webhook)
    assert book["event_id"] == told.event["event_id"]
    assert (book["event_type"], book["batch"]) == ("batches.completed", batch["id"])
    assert (book["attempts"], book["last_status"], book["copy"]) == (1, 200, 1)


def test_an_error_is_told_and_nothing_is_signed(start, items, receiver):
    client = start(**FAST, error_batch_nth=(1,))
    client.hook(receiver.url, hmac_secret="s3cr3t")
    batch = client.finished(items(5))
    (told,) = receiver.wait(1)
    assert told.event["event_type"] == "batches.error"
    assert told.event["data"] == client.get(f"/v3/batches/{batch}").json()
    assert not [name for name in told.headers if "ntropy" in name or "sign" in name or "hmac" in name]


def test_only_those_who_want_it_are_told(start, items, receiver):
    client = start(**FAST, error_batch_nth=(1,))
    client.hook(f"{receiver.url}/completed", "batches.completed")
    client.hook(f"{receiver.url}/error", "batches.error")
    client.hook(f"{receiver.url}/reports", "reports.pending")
    off = client.hook(f"{receiver.url}/off")
    client.patch(f"/v3/webhooks/{off}", json={"enabled": False}).raise_for_status()
    for _ in range(2):
        client.finished(items(1))
    # Made after the end of both: told of neither.
    client.hook(f"{receiver.url}/late")
    last = client.finished(items(1))
    got = receiver.wait(4)
    assert sorted(one.path for one in got) == ["/completed", "/completed", "/error", "/late"]
    assert [one.batch for one in got if one.path == "/late"] == [last]
    assert client.deliveries(off) == []
    assert len(client.get("/sandbox/books/deliveries").json()) == 4


def test_the_first_webhook_is_not_told_of_the_past(start, items, receiver):
    client = start(**FAST)
    for at in range(3):
        client.finished(items(1, f"{at}-"))
    client.hook(receiver.url)
    batch = client.finished(items(1, "now-"))
    assert [one.batch for one in receiver.wait(1)] == [batch]


def test_a_key_is_told_of_its_own_batches(caller, shared_sandbox, items, receiver):
    caller.hook(receiver.url)
    body = {"operation": "POST /v3/transactions", "data": items(1)}
    with httpx.Client(base_url=shared_sandbox.url, headers={"X-API-Key": "another"}, trust_env=False) as other:
        foreign = other.post("/v3/batches", json=body).json()["id"]
        _until(lambda: other.get(f"/v3/batches/{foreign}").json()["status"] == "completed")
    mine = caller.finished(items(1))
    assert [one.batch for one in receiver.wait(1)] == [mine]


def test_tried_again_with_growing_waits_until_it_is_taken(start, items, receiver):
    client = start(**{**FAST, "time_scale": 100})
    webhook = client.hook(receiver.url)
    receiver.say(500, 302, 307, 404, 204)
    client.send_batch(items(2)).raise_for_status()
    got = receiver.wait(5)
    assert len({str(one.event) for one in got}) == 1
    # No redirect was followed.
    assert {one.path for one in got} == {"/"}
    assert receiver.strays == []
    waits = [later.at - earlier.at for earlier, later in pairwise(got)]
    assert all(wait >= least for wait, least in zip(waits, (0.1, 0.2, 0.4, 0.8), strict=True))
    (book,) = _settled(client, webhook)
    assert (book["attempts"], book["last_status"]) == (5, 204)
    assert client.get(f"/v3/webhooks/{webhook}").json()["enabled"] is True


def test_a_receiver_that_hangs_holds_up_nobody(start, items, receiver):
    client = start(**FAST)
    receiver.open.clear()
    stuck = client.hook(f"{receiver.url}/stuck")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        other = client.hook(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        # Everything else goes on while two receivers say nothing, for up to 10 real seconds.
        client.finished(items(1, "a"))
        receiver.wait(1)
        connection, _ = silent.accept()
        with connection:
            assert b"batches.completed" in connection.recv(65536)
            connection.sendall(b"HTTP/1.1 202 Accepted\r\n\r\n")
            _settled(client, other)
        client.finished(items(1, "b"))
        assert [one["attempts"] for one in client.deliveries(stuck)][:1] == [0]


def test_no_answer_in_time_is_a_failure(start, items, receiver):
    client = start(**FAST, webhook_timeout_seconds=0.2)
    receiver.open.clear()
    webhook = client.hook(receiver.url)
    client.send_batch(items(1)).raise_for_status()
    first, second = receiver.wait(2)
    assert first.event == second.event
    assert client.deliveries(webhook)[0]["last_status"] is None
    receiver.open.set()
    (book,) = _settled(client, webhook)
    assert book["attempts"] >= 2


def test_nobody_listens_until_the_address_is_put_right(start, items, receiver):
    client = start(**STUBBORN)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    webhook = client.hook(f"http://127.0.0.1:{port}/")
    client.send_batch(items(1)).raise_for_status()
    _until(lambda: any(one["attempts"] for one in client.deliveries(webhook)))
    (book,) = client.deliveries(webhook)
    assert (book["state"], book["last_status"]) == ("waiting", None)
    client.patch(f"/v3/webhooks/{webhook}", json={"url": receiver.url, "token": "new"}).raise_for_status()
    (told,) = receiver.wait(1)
    assert (told.event["event_id"], told.headers["x-ntropy-token"]) == (book["event_id"], "new")


@pytest.mark.parametrize("token", ["a\r\nX-Smuggled: 1", "a\x00b"])
def test_a_token_that_no_request_can_carry_is_a_failure(start, items, receiver, token, tmp_path):
    """Such tokens are refused; an older state file may have one."""
    client = start(**STUBBORN)
    webhook = client.hook(receiver.url)
    with sqlite3.connect(tmp_path / "state" / "sandbox.sqlite") as con:
        con.execute("UPDATE webhooks SET token = ?", (token,))
    con.close()
    client.send_batch(items(1)).raise_for_status()
    _until(lambda: any(one["attempts"] for one in client.deliveries(webhook)))
    assert receiver.got == []
    client.patch(f"/v3/webhooks/{webhook}", json={"token": None}).raise_for_status()
    (told,) = receiver.wait(1)
    assert not [name for name in told.headers if name.startswith("x-")]


def test_given_up_after_a_day(start, items, receiver):
    # A day takes 0.2 s here.
    client = start(time_scale=432_000, unthrottled=True, webhook_failures=1_000_000)
    webhook = client.hook(receiver.url)
    receiver.say(*[500] * 10_000)
    client.send_batch(items(1, "a")).raise_for_status()
    (book,) = _settled(client, webhook, state="given_up")
    assert book["attempts"] >= 1
    assert book["last_status"] == 500
    tried = len(receiver.got)
    receiver.statuses.clear()
    after = client.finished(items(1, "b"))
    assert receiver.wait(tried + 1)[-1].batch == after


def test_disabled_after_failures_in_a_row_until_it_is_enabled_again(start, items, receiver):
    client = start(**FAST, webhook_failures=3)
    webhook = client.hook(f"{receiver.url}/a")
    path = f"/v3/webhooks/{webhook}"
    receiver.say(500, 500, 500, 500, 500, 200)
    client.send_batch(items(1, "a")).raise_for_status()
    _until(lambda: not client.get(path).json()["enabled"])
    (book,) = client.deliveries(webhook)
    assert (book["state"], book["attempts"], book["last_status"]) == ("waiting", 3, 500)
    # What ends meanwhile it is not told of; the other webhook shows that the time for it has passed.
    other = client.hook(f"{receiver.url}/b")
    receiver.statuses.insert(0, 200)
    missed = client.finished(items(1, "b"))
    _settled(client, other)
    client.patch(path, json={"enabled": True}).raise_for_status()
    # Failures are counted from zero: two more do not disable it.
    (book,) = _settled(client, webhook)
    assert (book["attempts"], client.get(path).json()["enabled"]) == (6, True)
    assert missed not in {one.batch for one in receiver.got if one.path == "/a"}


def test_a_success_ends_a_row_of_failures(start, items, receiver):
    client = start(**FAST, webhook_failures=2)
    webhook = client.hook(receiver.url)
    for name in "abc":
        receiver.say(500, 200)
        client.finished(items(1, name))
        _until(lambda: not receiver.statuses)
    _settled(client, webhook, 3)
    assert client.get(f"/v3/webhooks/{webhook}").json()["enabled"] is True


def test_a_deleted_webhook_is_told_nothing_more(start, items, receiver):
    client = start(**STUBBORN)
    gone = client.hook(f"{receiver.url}/gone")
    receiver.say(500)
    client.finished(items(1, "a"))
    receiver.wait(1)
    _until(lambda: client.deliveries(gone)[0]["attempts"])
    client.delete(f"/v3/webhooks/{gone}").raise_for_status()
    client.hook(f"{receiver.url}/new")
    client.finished(items(1, "b"))
    (book,) = _settled(client, gone, state="dropped")
    assert book["attempts"] == sum(one.path == "/gone" for one in receiver.got)
