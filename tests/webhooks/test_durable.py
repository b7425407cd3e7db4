"""What was answered 202 is in the ledger: after a kill, beside a lock, and at an orderly end."""

from __future__ import annotations

import json
import socket
import threading
from urllib.parse import urlsplit

import httpx
import pytest
from receivers import TOKEN, Locked, delivery, stored_in

HEADERS = {"X-Ntropy-Token": TOKEN}


class Senders:
    """Threads that deliver events of their own until their receiver is gone; `taken` is what was answered 202."""

    def __init__(self, receiver, count=6):
        self.taken: list[str] = []
        self.enough = threading.Event()
        self._url = receiver.url
        self._threads = [threading.Thread(target=self._deliver, args=(n,)) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _deliver(self, n):
        with httpx.Client(headers=HEADERS, timeout=30) as client:
            for i in range(5_000):
                event_id = f"e-{n}-{i}"
                try:
                    answer = client.post(self._url, json=delivery(event_id))
                except httpx.TransportError:
                    return
                if answer.status_code == 202:
                    self.taken.append(event_id)
                if len(self.taken) >= 150:
                    self.enough.set()

    def join(self):
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_every_202_is_in_the_ledger_when_the_process_is_gone(receiver_for, tmp_path, how):
    receiver = receiver_for()
    senders = Senders(receiver)
    assert senders.enough.wait(60)
    code = getattr(receiver, how)()
    senders.join()
    assert len(senders.taken) >= 150
    assert set(senders.taken) <= {row.event_id for row in stored_in(tmp_path / "data")}
    assert code in {None, 0}


def test_a_kill_and_another_start_and_the_sender_again(receiver_for, tmp_path):
    """The sender tries again whatever was not answered; all are there in the end, each once."""
    wanted = [f"e-{n}" for n in range(60)]
    for kill_after in (20, 45, None):
        receiver = receiver_for()
        for n, event_id in enumerate(wanted):
            if n == kill_after:
                receiver.kill()
                break
            assert receiver.post(delivery(event_id)).status_code == 202
        else:
            assert receiver.stop() == 0
    rows = stored_in(tmp_path / "data")
    assert sorted(row.event_id for row in rows) == sorted(wanted)


def test_a_lock_of_another_process_is_answered_503_in_time(receiver_for):
    receiver = receiver_for(webhook_answer_seconds="0.5")
    with Locked(receiver.folder):
        answers = [receiver.post(delivery("locked"))]
        assert receiver.get("/healthz").status_code == 200
        assert receiver.get("/readyz").status_code == 503
        assert receiver.post(token="wrong-token").status_code == 401, "the event loop is not what waits"
    (answer,) = answers
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "deliver it again" in answer.json()["detail"]
    assert receiver.post(delivery("locked")).status_code == 202
    assert [row.event_id for row in receiver.stored()] == ["locked"]


def test_a_lock_that_ends_in_time_is_only_a_wait(receiver_for):
    receiver = receiver_for(webhook_answer_seconds="9")
    answers = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(receiver.post(delivery(f"w-{n}")).status_code))
        for n in range(20)
    ]
    with Locked(receiver.folder):
        for thread in threads:
            thread.start()
        assert receiver.get("/healthz").status_code == 200
        assert answers == []
    for thread in threads:
        thread.join(60)
    assert answers == [202] * 20
    assert len(receiver.stored()) == 20


def test_a_body_that_does_not_come(receiver_for):
    receiver = receiver_for(webhook_answer_seconds="0.3")
    address = urlsplit(receiver.base)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(request_head(5_000))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")


def request_head(length, *more):
    lines = [
        "POST /webhooks/ntropy HTTP/1.1",
        "Host: x",
        f"X-Ntropy-Token: {TOKEN}",
        f"Content-Length: {length}",
        *more,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_a_request_under_way_is_answered_after_sigterm(receiver_for, tmp_path):
    """100 Continue is sent when the handler reads: from then on the request is under way."""
    receiver = receiver_for(webhook_answer_seconds="9")
    body = json.dumps(delivery("under-way")).encode()
    address = urlsplit(receiver.base)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(request_head(len(body), "Expect: 100-continue"))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 100 ")
        receiver.child.terminate()
        while True:  # it takes no new connection any more: the stop has begun
            try:
                socket.create_connection((address.hostname, address.port), timeout=30).close()
            except ConnectionError:  # refused, or reset where it had come into the queue just before
                break
        connection.sendall(body)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 202 ")
    assert receiver.stop() == 0
    assert [row.event_id for row in stored_in(tmp_path / "data")] == ["under-way"]


def test_the_port_is_taken(receiver_for):
    receiver = receiver_for()
    port = str(urlsplit(receiver.base).port)
    with pytest.raises(AssertionError, match="cannot listen on"):
        receiver_for("other", "--port", port)
