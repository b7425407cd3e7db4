"""The state file and the books: several servers, killed servers, and what is left when none runs."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from pipeline.sandbox.books import Books
from pipeline.sandbox.config import SandboxConfig, from_args
from pipeline.sandbox.errors import SandboxError
from pipeline.sandbox.process import SandboxProcess

FAST = SandboxConfig(time_scale=500, unthrottled=True)


def test_two_servers_share_one_state(start, items):
    one, two = (start(time_scale=500, unthrottled=True) for _ in range(2))
    one.holder("h")
    assert two.holder("h").status_code == 400
    batch = one.send_batch(items(40, account_holder_id="h")).json()["id"]
    two.ended(batch)
    url = f"/v3/batches/{batch}/results"
    assert two.get(url).content == one.get(url).content
    assert two.get("/v3/batches").json() == one.get("/v3/batches").json()
    assert one.get("/sandbox/books").json()["requests"]["GET /v3/batches"] == 2


def test_two_servers_count_open_batches_and_credits_together(start, items):
    one, two = (start(time_scale=0.001, max_processing=3, credits_capacity=100) for _ in range(2))
    answered = [client.send_batch(items(10)).status_code for client in (one, two, one, two, one)]
    assert answered == [200, 200, 200, 429, 429]
    spent = [
        client.post("/v3/transactions", json=item).status_code
        for client, item in zip((one, two), items(2), strict=True)
    ]
    assert spent == [200, 200]
    assert one.get("/sandbox/books").json()["items_charged"] == 32


def test_two_servers_may_be_started_at_once_on_a_fresh_folder(tmp_path):
    servers = [SandboxProcess(tmp_path, FAST) for _ in range(4)]
    threads = [threading.Thread(target=server.start) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert {httpx.get(f"{server.url}/health").status_code for server in servers} == {200}
    finally:
        for server in servers:
            server.stop()


def test_many_writers_lose_and_double_nothing(start, items):
    clients = [start(time_scale=500, unthrottled=True) for _ in range(2)]

    def send(worker: int) -> None:
        for number in range(5):
            clients[worker % 2].send_batch(items(20, f"w{worker}-{number}-")).raise_for_status()

    threads = [threading.Thread(target=send, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    books = clients[0].get("/sandbox/books").json()
    assert (books["batches_accepted"], books["items_charged"], books["items_charged_more_than_once"]) == (30, 600, 0)
    assert books["posts"] == {"POST /v3/batches": 30}
    assert sorted(one["nth"] for one in clients[1].get("/sandbox/books/batches").json()) == list(range(1, 31))


def test_what_was_answered_outlives_sigkill(tmp_path, items):
    key = {"X-API-Key": "k"}
    made = []
    for number in range(3):
        server = SandboxProcess(tmp_path, FAST).start()
        body = {"operation": "POST /v3/transactions", "data": items(300, f"{number}-")}
        answered = httpx.post(f"{server.url}/v3/batches", json=body, headers=key)
        server.kill()
        made.append(answered.json())
    summary = Books(tmp_path).summary()
    assert summary.posts == {"POST /v3/batches": 3}
    assert (summary.batches_accepted, summary.items_charged) == (3, 900)
    time.sleep(0.1)
    with SandboxProcess(tmp_path, FAST) as server:
        listed = httpx.get(f"{server.url}/v3/batches", headers=key).json()["data"]
        assert [one["id"] for one in listed] == [one["id"] for one in reversed(made)]
        results = httpx.get(f"{server.url}/v3/batches/{made[0]['id']}/results", headers=key).json()["results"]
        assert [one["id"] for one in results] == [f"0-{at}" for at in range(300)]


def test_a_request_that_never_arrives_whole_is_none(tmp_path, items):
    body = msgspec.json.encode({"operation": "POST /v3/transactions", "data": items(1)})
    command = [sys.executable, "-m", "pipeline.sandbox", "serve", "--state", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        place = urlsplit(server.stdout.readline().split()[-1])
        with socket.create_connection((place.hostname, place.port)) as connection:
            head = f"POST /v3/batches HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body[:-1])
            time.sleep(0.2)
        assert httpx.get(f"{place.geturl()}/v3/batches", headers={"X-API-Key": "k"}).json()["data"] == []
        server.terminate()
        assert server.communicate(timeout=20) == ("", "")
    summary = Books(tmp_path).summary()
    assert (summary.posts, summary.items_charged) == ({}, 0)


def test_books_add_up_and_need_no_server(start, items, tmp_path):
    client = start(time_scale=500, unthrottled=True, error_batch_nth=(2,))
    first = client.send_batch(items(5)).json()["id"]
    failed = client.send_batch([*items(2), *items(1, "u")]).json()["id"]
    single = client.post("/v3/transactions", json=items(1)[0])
    assert single.status_code == 200
    client.post("/v3/batches", content=b"no")
    for batch in (first, failed):
        client.ended(batch)
    client.get("/v3/batches/none")
    told = client.get("/sandbox/books").json()
    assert told["batches_accepted"] == 2
    assert told["batches_by_status"] == {"completed": 1, "error": 1}
    assert told["items_charged"] == 5 + 3 + 1
    assert told["distinct_items_charged"] == 6
    assert told["items_charged_more_than_once"] == 2
    assert told["posts"] == {"POST /v3/batches": 3, "POST /v3/transactions": 1}
    assert told["refused"] == {"422": 1, "404": 1}
    assert told["answers"]["POST /v3/batches"] == {"200": 2, "422": 1}
    batches = client.get("/sandbox/books/batches").json()
    assert [(one["id"], one["nth"], one["total"], one["charged"], one["outcome"]) for one in batches] == [
        (first, 1, 5, 5, "completed"),
        (failed, 2, 3, 3, "error"),
    ]
    often = client.get("/sandbox/books/charges", params={"min": 2}).json()
    assert {one["id"]: one["times"] for one in often} == {"t0": 3, "t1": 2}
    assert often[1]["submissions"] == [first, failed]
    assert len(client.get("/sandbox/books/charges").json()) == 6
    assert client.get("/sandbox/books/charges", params={"min": "x"}).status_code == 422
    before = Books(tmp_path / "state").charges()
    client.delete("/v3/transactions/t0")
    assert Books(tmp_path / "state").charges() == before


def test_books_of_nothing(tmp_path):
    with pytest.raises(SandboxError, match="no books"):
        Books(tmp_path / "nowhere")
    told = subprocess.run(
        [sys.executable, "-m", "pipeline.sandbox", "books", "--state", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert "no books" in told.stderr


def test_info_tells_settings_but_no_keys(start):
    client = start(time_scale=3, api_key=("secret-key",), key="secret-key")
    told = client.get("/sandbox/info")
    assert told.json()["time_scale"] == 3
    assert told.json()["settings"]["max_processing"] == 10
    assert "secret-key" not in told.text


def test_no_key_is_stored(start, items, tmp_path):
    client = start(time_scale=500, key="a-key-that-must-not-leak")
    client.send_batch(items(1))
    stored = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert b"a-key-that-must-not-leak" not in stored


def test_a_state_of_another_version_is_refused(tmp_path):
    con = sqlite3.connect(tmp_path / "sandbox.sqlite")
    con.execute("PRAGMA user_version = 99")
    con.close()
    with pytest.raises(SandboxError, match="version 99"):
        SandboxProcess(tmp_path, FAST).start()


def test_a_taken_port_is_told(tmp_path):
    with SandboxProcess(tmp_path, FAST) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(SandboxError, match="cannot listen"):
            SandboxProcess(tmp_path, SandboxConfig(port=port)).start()


def test_it_stops_with_whoever_started_it(tmp_path):
    # The middle process dies by SIGKILL and cannot tidy up; its server must go all the same.
    code = (
        "import sys, time; from pathlib import Path; from pipeline.sandbox.process import SandboxProcess\n"
        f"server = SandboxProcess(Path({str(tmp_path)!r})).start()\n"
        "print(server.pid, server.url, flush=True); time.sleep(60)"
    )
    middle = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid, url = middle.stdout.readline().split()
    middle.stdout.close()
    assert httpx.get(f"{url}/health").status_code == 200
    middle.kill()
    middle.wait()
    assert gone(int(pid))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_gracefully_and_writes_a_ready_file(tmp_path, number):
    ready = tmp_path / "run" / "url"
    command = [sys.executable, "-m", "pipeline.sandbox", "serve", "--state", str(tmp_path), "--ready-file", str(ready)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = server.stdout.readline().strip()
    url = ready.read_text()
    assert line == f"sandbox ready on {url}"
    assert httpx.get(f"{url}/health").status_code == 200
    server.send_signal(number)
    out, err = server.communicate(timeout=20)
    assert (server.returncode, out, err) == (0, "", "")


def test_it_stops_when_the_parent_changes(tmp_path):
    config = SandboxConfig(state=tmp_path, exit_with_parent=1)  # not the process that starts it
    command = [sys.executable, "-m", "pipeline.sandbox", "serve", *config.to_args()]
    assert subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def test_config_and_command_line_are_one():
    config = SandboxConfig(
        time_scale=60.5,
        seed=7,
        unthrottled=True,
        error_batch_nth=(3, 5),
        api_key=("a", "b"),
        balance=10,
        item_error_attempts=2,
        exit_with_parent=os.getpid(),
    )
    assert from_args(config.to_args()) == config
    assert SandboxConfig().to_args() == []
    assert from_args([]) == SandboxConfig()


def gone(pid: int) -> bool:
    """Whether the process ends; a zombie that nobody has waited for counts as ended."""
    for _ in range(400):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False
