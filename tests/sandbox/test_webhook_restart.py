"""Webhook events over killed, restarted and several servers."""

from __future__ import annotations

import time

import httpx
import pytest

from pipeline.sandbox.books import Books
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess

FAST = SandboxConfig(time_scale=500, unthrottled=True)
KEY = {"X-API-Key": "k"}
BOTH = ["batches.completed", "batches.error"]


def _post(server, path, body):
    return httpx.post(server.url + path, json=body, headers=KEY).raise_for_status().json()


def _hook(server, url):
    return _post(server, "/v3/webhooks", {"url": url, "events": BOTH})["id"]


def _send(server, items):
    return _post(server, "/v3/batches", {"operation": "POST /v3/transactions", "data": items})["id"]


def _until(check):
    while not check():
        time.sleep(0.01)


def test_a_batch_that_ended_while_no_server_ran_is_told_of(tmp_path, items, receiver):
    with SandboxProcess(tmp_path, SandboxConfig(time_scale=20, unthrottled=True)) as server:
        _hook(server, receiver.url)
        batch = _send(server, items(1))
        server.kill()
    _until(lambda: Books(tmp_path).batches()[0].status == "completed")
    assert receiver.got == []
    with SandboxProcess(tmp_path, FAST):
        (told,) = receiver.wait(1)
    assert (told.batch, told.event["data"]["status"]) == (batch, "completed")


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_delivery_under_way_is_made_again_under_its_id(tmp_path, items, receiver, how):
    receiver.open.clear()
    with SandboxProcess(tmp_path, FAST) as server:
        _hook(server, receiver.url)
        _send(server, items(1))
        receiver.wait(1)
        getattr(server, how)()
    assert [one.attempts for one in Books(tmp_path).deliveries()] == [0]
    receiver.open.set()
    with SandboxProcess(tmp_path, FAST):
        first, second = receiver.wait(2)
        _until(lambda: Books(tmp_path).deliveries()[0].state == "delivered")
    assert first.event == second.event


def test_a_delivery_that_failed_is_made_again_by_the_next_server(tmp_path, items, receiver):
    receiver.say(500)
    # The next attempt is due after 1.2 s: time enough to kill the server before it.
    slow = SandboxConfig(time_scale=500, unthrottled=True, webhook_retry_seconds=600)
    with SandboxProcess(tmp_path, slow) as server:
        _hook(server, receiver.url)
        _send(server, items(1))
        _until(lambda: [one.attempts for one in Books(tmp_path).deliveries()] == [1])
        server.kill()
    with SandboxProcess(tmp_path, FAST):
        first, second = receiver.wait(2)
        _until(lambda: Books(tmp_path).deliveries()[0].state == "delivered")
    assert first.event == second.event
    assert Books(tmp_path).deliveries()[0].attempts == 2


def test_of_several_servers_one_delivers_and_another_takes_over(tmp_path, items, receiver):
    with SandboxProcess(tmp_path, FAST) as one, SandboxProcess(tmp_path, FAST) as two, SandboxProcess(tmp_path, FAST):
        _hook(one, receiver.url)
        batches = [_send((one, two)[at % 2], items(1, f"{at}-")) for at in range(10)]
        receiver.wait(10)
        one.kill()
        batches += [_send(two, items(1, f"{at}-")) for at in range(10, 20)]
        receiver.wait(20)
        last = _send(two, items(1, "last-"))
        _until(lambda: receiver.got[-1].batch == last)
    times = {batch: sum(got.batch == batch for got in receiver.got) for batch in batches}
    # The kill may have doubled the one that it met, and no other.
    assert all(times.values())
    assert sum(times.values()) <= 21
