"""Fault plans: a server whose clock is wrong, and one that is stopped in the middle of a wait."""

from __future__ import annotations

import datetime as dt
import threading
import time
from email.utils import parsedate_to_datetime

import httpx
import pytest

from pipeline.sandbox.books import Books
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess


def _since(moment: str) -> float:
    return dt.datetime.fromisoformat(moment).timestamp()


def test_clock_that_is_wrong(faulty, items):
    client = faulty({"call": "*", "do": "skew", "seconds": -3600})
    now = time.time()
    sent = client.send_batch(items(1, "skew-"))
    assert parsedate_to_datetime(sent.headers["Date"]).timestamp() < now - 3500
    assert len(sent.headers.get_list("Date")) == 1
    created = sent.json()["created_at"]
    assert _since(created) < now - 3500
    listed = client.get("/v3/batches", params={"created_before": created}).json()["data"]
    assert [one["created_at"] for one in listed] == [created]
    batch = sent.json()["id"]
    client.ended(batch)
    results = client.get(f"/v3/batches/{batch}/results").json()["results"]
    assert {one["created_at"] for one in results} == {created}
    holder = client.holder("h").json()["created_at"]
    assert _since(holder) < now - 3500
    # Put right, the clock changes nothing that was stamped.
    client.delete("/sandbox/faults")
    again = client.get(f"/v3/batches/{batch}")
    assert again.json()["created_at"] == created
    assert parsedate_to_datetime(again.headers["Date"]).timestamp() >= now - 2


@pytest.mark.parametrize(("when", "accepted"), [("before", 0), ("after", 1)])
def test_a_stop_ends_waits_like_a_crash(tmp_path, items, when, accepted):
    server = SandboxProcess(tmp_path, SandboxConfig(unthrottled=True)).start()
    rule = {"call": "POST /v3/batches", "do": "delay", "seconds": 600, "when": when}
    httpx.put(f"{server.url}/sandbox/faults", json={"rules": [rule]}).raise_for_status()
    ended: list[type[BaseException] | int] = []

    def send() -> None:
        body = {"operation": "POST /v3/transactions", "data": items(1)}
        try:
            answer = httpx.post(f"{server.url}/v3/batches", json=body, headers={"X-API-Key": "k"}, timeout=60)
            ended.append(answer.status_code)
        except httpx.TransportError as error:
            ended.append(type(error))

    sender = threading.Thread(target=send)
    sender.start()
    books = Books(tmp_path)
    while len(books.faults()) < 1 or len(books.batches()) < accepted:
        time.sleep(0.02)
    server.stop()
    sender.join()
    assert ended == [httpx.RemoteProtocolError]
    assert len(books.batches()) == accepted
