"""Fault plans: which calls, how they are counted, and the ways to give and change a plan."""

from __future__ import annotations

import json
import threading

import httpx
import pytest

from pipeline.sandbox.books import Books
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.faults.engine import Faults
from pipeline.sandbox.faults.rules import Status
from pipeline.sandbox.process import SandboxProcess
from pipeline.sandbox.store import Store

LIST = {"call": "GET /v3/batches", "do": "status", "status": 503}
FAST = {"time_scale": 500, "unthrottled": True}


def _answers(client, count, path="/v3/batches"):
    return "".join("." if client.get(path).status_code == 200 else "x" for _ in range(count))


@pytest.mark.parametrize(
    ("choice", "seen"),
    [
        ({}, "xxxxxxxxxx"),
        ({"nth": [1, 4]}, "x..x......"),
        ({"from": 3}, "..xxxxxxxx"),
        ({"to": 3}, "xxx......."),
        ({"from": 3, "to": 5}, "..xxx....."),
        ({"every": 3}, "..x..x..x."),
        ({"every": 2, "from": 5}, ".....x.x.x"),
        ({"every": 2, "times": 2}, ".x.x......"),
        ({"times": 0}, ".........."),
        ({"share": 0}, ".........."),
        ({"share": 1, "times": 4}, "xxxx......"),
    ],
)
def test_which_calls(faulty, choice, seen):
    client = faulty({**LIST, **choice})
    assert _answers(client, 10) == seen
    shown = client.get("/sandbox/faults").json()["rules"]
    expected = {"call": "GET /v3/batches", "do": "status", "seen": 10, "fired": seen.count("x"), "by_id": {}}
    assert shown == [{"rule": 1, **expected}]


def test_share_is_drawn_the_same_again(faulty):
    client = faulty({**LIST, "share": 0.3})
    first = _answers(client, 60)
    assert 5 < first.count("x") < 35
    faulty({**LIST, "share": 0.3})
    assert _answers(client, 60) == first
    # Another rule, other numbers.
    faulty({**LIST, "times": 0}, {**LIST, "share": 0.3})
    assert _answers(client, 60) != first


def test_each_id_by_itself(faulty):
    client = faulty(
        {"call": "GET /v3/account_holders/{id}", "each": True, "nth": [2], "do": "status", "status": 500},
        {"call": "POST /v3/account_holders", "ids": ["b"], "to": 1, "do": "status", "status": 500},
    )
    assert [client.holder(one).status_code for one in ("a", "b", "b")] == [200, 500, 200]
    seen = [client.get(f"/v3/account_holders/{one}").status_code for one in ("a", "b", "a", "b", "a", "c/d", "c/d")]
    assert seen == [200, 200, 500, 500, 200, 404, 500]
    assert client.get("/sandbox/faults").json()["rules"][0]["by_id"]["a"] == {"seen": 3, "fired": 1}


def test_ids_of_a_post_each(faulty, items):
    client = faulty(
        {
            "call": "POST /v3/batches",
            "ids": ["each-0", "each-1"],
            "each": True,
            "nth": [1],
            "do": "status",
            "status": 500,
        }
    )
    sent = items(3, "each-")
    parts = (sent[:1], sent[:1], sent[1:], sent, sent[2:])
    assert [client.send_batch(part).status_code for part in parts] == [500, 200, 500, 200, 200]


def test_get_put_delete(faulty):
    client = faulty()
    client.delete("/sandbox/faults")
    assert client.get("/sandbox/faults").json() == {"version": None, "plan": None, "rules": []}
    rule = {**LIST, "from": 2}
    put = client.put("/sandbox/faults", json={"rules": [rule]})
    assert put.json()["plan"] == {"rules": [rule]}
    assert put.json() == client.get("/sandbox/faults").json()
    assert _answers(client, 3) == ".xx"
    # Again, and it counts from the start.
    again = client.put("/sandbox/faults", json={"rules": [rule]}).json()
    assert again["version"] == put.json()["version"] + 1
    assert _answers(client, 3) == ".xx"
    assert client.delete("/sandbox/faults").status_code == 204
    assert _answers(client, 3) == "..."
    assert client.post("/sandbox/faults", json={}).status_code == 405


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_callers_elsewhere_have_no_say(faulty, method):
    client = faulty(LIST)
    # uvicorn believes a proxy on this machine, which is what stands between here and elsewhere.
    headers = {"X-Forwarded-For": "203.0.113.9"}
    assert client.request(method, "/sandbox/faults", headers=headers, content=b'{"rules": []}').status_code == 403
    assert _answers(client, 1) == "x"


def test_two_servers_count_together_and_a_restart_goes_on(start):
    one = start(**FAST)
    two = start(**FAST)
    one.put("/sandbox/faults", json={"rules": [{**LIST, "every": 4}]}).raise_for_status()
    assert "".join(_answers(client, 1) for client in (two, one, two, two, one, one, one)) == "...x..."
    three = start(**FAST)
    assert _answers(three, 1) == "x"
    assert three.get("/sandbox/faults").json()["rules"][0]["fired"] == 2
    three.delete("/sandbox/faults")
    assert _answers(one, 8) + _answers(two, 8) == "." * 16


def test_two_servers_under_load_never_fire_twice(start, items, tmp_path):
    clients = [start(**FAST) for _ in range(2)]
    rules = [
        {"call": "POST /v3/batches", "nth": [7, 13], "do": "status", "status": 503},
        {"call": "POST /v3/batches", "every": 5, "times": 3, "do": "batch_error"},
    ]
    clients[0].put("/sandbox/faults", json={"rules": rules}).raise_for_status()
    seen: list[int] = []

    def send(worker: int) -> None:
        sent = [clients[worker % 2].send_batch(items(2, f"w{worker}-{at}-")).status_code for at in range(5)]
        seen.extend(sent)

    threads = [threading.Thread(target=send, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [200] * 28 + [503] * 2
    books = Books(tmp_path / "state")
    assert [one.outcome for one in books.batches()].count("error") == 3
    assert sorted((one.rule, one.nth) for one in books.faults()) == [(1, 7), (1, 13), (2, 5), (2, 10), (2, 15)]
    assert [one["seen"] for one in clients[1].get("/sandbox/faults").json()["rules"]] == [30, 28]


def test_every_number_is_given_once(tmp_path):
    call = "GET /v3/batches"
    plans = [Faults(Store(tmp_path), seed=0) for _ in range(2)]
    plans[0].put(json.dumps({"rules": [LIST]}).encode())

    def ask(plan: Faults) -> None:
        for _ in range(150):
            plan.visit(call, "", b"").ask(Status)

    threads = [threading.Thread(target=ask, args=(plans[at % 2],)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.nth for one in Books(tmp_path).faults()) == list(range(1, 601))


def test_plan_from_a_file(start, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"rules": [{**LIST, "nth": [2]}]}))
    one = start(fault_plan=path, **FAST)
    assert _answers(one, 1) == "."
    # The same file again, by another process: one plan, one count.
    two = start(fault_plan=path, **FAST)
    assert _answers(two, 2) == "x."
    # What was put since then stays when a server starts with the same file.
    two.put("/sandbox/faults", json={"rules": [LIST]}).raise_for_status()
    assert _answers(start(fault_plan=path, **FAST), 1) == "x"
    path.write_text(json.dumps({"rules": []}))
    assert _answers(start(fault_plan=path, **FAST), 1) == "."


def test_books_tell_what_the_plan_did(faulty, items):
    client = faulty({**LIST, "nth": [2], "times": 5}, {"call": "POST /v3/batches", "ids": ["bk-1"], "do": "item_error"})
    before = client.get("/sandbox/books").json()["faults"]
    _answers(client, 3)
    batch = client.finished(items(3, "bk-"))
    client.delete("/sandbox/faults")
    after = client.get("/sandbox/books").json()["faults"]
    assert {name: after[name] - before.get(name, 0) for name in ("status", "item_error")} == {
        "status": 1,
        "item_error": 1,
    }
    fired = client.get("/sandbox/books/faults").json()[-2:]
    assert [(one["rule"], one["do"], one["about"], one["nth"]) for one in fired] == [
        (1, "status", "", 2),
        (2, "item_error", "bk-1", 1),
    ]
    number = next(one.nth for one in client.books.batches() if one.id == batch)
    assert client.get("/sandbox/books/items", params={"id": "bk-1"}).json() == [
        {
            "id": "bk-1",
            "submission": batch,
            "nth": number,
            "position": 1,
            "outcome": "completed",
            "error": "internal_error",
        }
    ]
    assert {one.submission for one in client.books.items() if one.id.startswith("bk-")} == {batch}


def test_without_a_plan_nothing_is_counted(start):
    client = start(**FAST)
    assert _answers(client, 5) == "....."
    assert client.get("/sandbox/faults").json() == {"version": None, "plan": None, "rules": []}
    assert client.get("/sandbox/books/faults").json() == []


def test_a_plan_survives_sigkill(tmp_path):
    config = SandboxConfig(**FAST)
    key = {"X-API-Key": "k"}
    server = SandboxProcess(tmp_path, config).start()
    httpx.put(f"{server.url}/sandbox/faults", json={"rules": [{**LIST, "nth": [3]}]}).raise_for_status()
    seen = [httpx.get(f"{server.url}/v3/batches", headers=key).status_code]
    server.kill()
    with SandboxProcess(tmp_path, config) as server:
        seen += [httpx.get(f"{server.url}/v3/batches", headers=key).status_code for _ in range(3)]
    assert seen == [200, 200, 503, 200]
