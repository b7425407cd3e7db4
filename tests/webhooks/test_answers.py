"""What each delivery is answered, over real HTTP to a real process."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from urllib.parse import urlsplit

import httpx
import pytest
from receivers import TOKEN, delivery

from pipeline.ledger import schema
from pipeline.ledger.db import Ledger
from pipeline.webhooks.server import HEAD_SECONDS, MOST_CONNECTIONS

LIMIT = 1_048_576


def speak(receiver, *parts):
    """Send bytes as they are; the answer, up to the end of the connection."""
    address = urlsplit(receiver.base)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    return answer.decode()


def head(*fields, token=TOKEN):
    lines = ["POST /webhooks/ntropy HTTP/1.1", "Host: receiver", f"X-Ntropy-Token: {token}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def of(receiver, event_id):
    return [row for row in receiver.stored() if row.event_id == event_id]


def test_a_delivery_is_stored_before_it_is_answered(shared):
    answer = shared.post(delivery("stored-1"))
    assert (answer.status_code, answer.json()) == (202, {"new": True})
    (row,) = of(shared, "stored-1")
    assert (row.event_type, row.vendor_batch_id, row.status) == ("batches.completed", "b-1", "completed")
    assert row.taken_at is None


def test_a_thousand_deliveries_of_one_event_are_one_row(shared):
    body = json.dumps(delivery("thousand"))

    def deliver(_):
        with httpx.Client(headers={"X-Ntropy-Token": TOKEN}, timeout=30) as client:
            return [client.post(shared.url, content=body) for _ in range(125)]

    with ThreadPoolExecutor(8) as pool:
        answers = [answer for some in pool.map(deliver, range(8)) for answer in some]
    assert len(answers) == 1_000
    assert {answer.status_code for answer in answers} == {202}
    assert sum(answer.json()["new"] for answer in answers) == 1
    assert len(of(shared, "thousand")) == 1


@pytest.mark.parametrize("type_", ["bank_statements.completed", "reports.pending", "batches.paused"])
def test_an_event_that_nobody_waits_for_is_stored_as_taken(shared, type_):
    assert shared.post(delivery(f"of-{type_}", event_type=type_, data={})).status_code == 202
    (row,) = of(shared, f"of-{type_}")
    assert (row.event_type, row.outcome) == (type_, "ignored")
    assert row.taken_at is not None


@pytest.mark.parametrize("token", ["", "wrong-token", TOKEN + "x", TOKEN[:-1], TOKEN.lower(), f"{TOKEN},{TOKEN}"])
def test_a_wrong_token_stores_nothing(shared, token):
    answer = shared.post(delivery("by-a-stranger"), token=token)
    assert answer.status_code == 401
    assert TOKEN not in answer.text
    assert of(shared, "by-a-stranger") == []


def test_a_strangers_body_is_not_read(shared):
    """Answered though the announced body never comes; and what it is makes no difference."""
    answer = speak(shared, head("Content-Length: 5000", token="wrong-token"), b"{")
    assert answer.startswith("HTTP/1.1 401 ")
    assert shared.post(b"\xff not json", token="wrong-token").status_code == 401


MALFORMED = {
    "nothing": (b"", "truncated"),
    "half": (b'{"event_id": "m', "truncated"),
    "no UTF-8": (b'{"event_id": "\xff\xfe"}', "UTF-8"),
    "a list": (b"[]", "got `array`"),
    "no id": (b'{"event_type": "batches.completed", "data": {}}', "`event_id`"),
    "id null": (b'{"event_id": null, "event_type": "x", "data": {}}', "`$.event_id`"),
    "id empty": (b'{"event_id": "", "event_type": "x", "data": {}}', "`$.event_id`"),
    "id with NUL": (b'{"event_id": "a\\u0000b", "event_type": "x", "data": {}}', "`$.event_id`"),
    "id too long": (json.dumps({"event_id": "S" * 201, "event_type": "x", "data": {}}).encode(), "`$.event_id`"),
    "lone surrogate": (b'{"event_id": "\\ud800", "event_type": "x", "data": {}}', ""),
    "no type": (b'{"event_id": "m", "data": {}}', "`event_type`"),
    "no data": (b'{"event_id": "m", "event_type": "x"}', "`data`"),
    "data a list": (b'{"event_id": "m", "event_type": "x", "data": []}', "`$.data`"),
    "no batch id": (b'{"event_id": "m", "event_type": "batches.error", "data": {"status": "error"}}', "`id`"),
    "batch id a number": (b'{"event_id": "m", "event_type": "batches.error", "data": {"id": 1}}', "`$.id`"),
    "deep": (b'{"event_id": "m", "event_type": "x", "data": ' + b"[" * 200_000, ""),
}


@pytest.mark.parametrize(("body", "named"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_named(shared, body, named):
    answer = shared.post(body)
    assert answer.status_code == 400
    assert named in answer.json()["detail"]
    assert "SSSS" not in answer.text
    assert of(shared, "m") == []


def test_an_event_changes_nothing_but_the_inbox(shared):
    def rest():
        ledger = Ledger(f"sqlite:///{shared.folder / 'ledger' / 'ledger.sqlite'}")
        try:
            return {t.name: ledger.rows(t.select()) for t in schema.ALL_TABLES if t.name != "webhook_inbox"}
        finally:
            ledger.close()

    before = rest()
    assert before["data_folder"], "something is there that could change"
    for type_ in ("batches.completed", "batches.error"):
        assert shared.post(delivery(f"hint-{type_}", event_type=type_)).status_code == 202
    assert rest() == before


def test_a_status_is_not_needed(shared):
    assert shared.post(delivery("no-status", data={"id": "b-7", "new": [1]})).status_code == 202
    (row,) = of(shared, "no-status")
    assert (row.vendor_batch_id, row.status) == ("b-7", None)


class TestLimit:
    """A mebibyte, and not a byte is read beyond."""

    def test_the_longest_and_one_byte_more(self, shared):
        body = json.dumps(delivery("longest")).encode()
        assert shared.post(body + b" " * (LIMIT - len(body))).status_code == 202
        answer = shared.post(body + b" " * (LIMIT + 1 - len(body)))
        assert answer.status_code == 413
        assert str(LIMIT) in answer.text

    def test_an_announced_length_is_enough(self, shared):
        answer = speak(shared, head(f"Content-Length: {LIMIT + 1}"))
        assert answer.startswith("HTTP/1.1 413 ")
        assert "connection: close" in answer.lower()

    def test_chunks_are_counted_and_the_rest_is_not_waited_for(self, shared):
        """No last chunk ever comes: whoever read to the end would never answer."""
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        answer = speak(shared, head("Transfer-Encoding: chunked"), chunk * 16, b"1\r\n \r\n")
        assert answer.startswith("HTTP/1.1 413 ")

    def test_chunks_within_the_limit(self, shared):
        body = json.dumps(delivery("chunked")).encode()
        assert shared.post(content=iter([body[:20], body[20:]])).status_code == 202

    def test_compressed_or_not_it_is_the_bytes_that_count(self, shared):
        assert shared.post(b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"}).status_code == 400


def test_a_sender_that_leaves_in_the_middle(shared):
    address = urlsplit(shared.base)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head("Content-Length: 5000") + b'{"event_id": ')
    assert shared.get("/healthz").status_code == 200
    assert shared.post(delivery("after-it")).status_code == 202


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/webhooks/ntropy", 405), ("POST", "/", 404), ("POST", "/webhooks/ntropy/", 404), ("GET", "/docs", 404)],
)
def test_nothing_else_is_there(shared, method, path, status):
    assert httpx.request(method, shared.base + path, timeout=30).status_code == status


def test_alive_and_ready(shared):
    assert shared.get("/healthz").json() == {"alive": True}
    assert shared.get("/readyz").json() == {"ready": True}
    assert {row.event_type for row in shared.stored()} <= {
        "batches.error",
        "batches.completed", "bank_statements.completed", "reports.pending", "batches.paused", "x",
    }  # fmt: skip


def test_the_log_has_no_secret_and_no_line_for_each(shared):
    before = shared.log()
    for _ in range(20):
        shared.post(delivery("S-in-a-log"), token="another-wrong-one")
    after = shared.log()
    assert len(after.splitlines()) - len(before.splitlines()) <= 1
    assert "answered 401" in after
    assert "another-wrong-one" not in after
    assert TOKEN not in after


def test_two_tokens_while_they_are_changed(receiver_for):
    old, new = "old-token-0123456789", "new-token-0123456789"
    both = receiver_for(webhook_token=f"{new}, {old}")
    assert both.post(delivery("e-1"), token=old).status_code == 202
    assert both.post(delivery("e-2"), token=new).status_code == 202
    assert both.post(delivery("e-3"), token=f"{new}, {old}").status_code == 401
    assert both.stop() == 0
    after = receiver_for(webhook_token=new)
    assert after.post(delivery("e-4"), token=old).status_code == 401
    assert after.post(delivery("e-5"), token=new).status_code == 202
    assert {row.event_id for row in after.stored()} == {"e-1", "e-2", "e-5"}


def test_without_a_token_only_when_asked_for(receiver_for):
    with pytest.raises(AssertionError, match="no webhook token is set"):
        receiver_for(webhook_token="")
    assert receiver_for("a", "--no-token", webhook_token="").post(token=None).status_code == 202
    assert receiver_for("b", webhook_token="", webhook_insecure="1").post(token=None).status_code == 202


def test_connections_without_a_request_keep_nobody_out_for_long(receiver_for):
    """As many as the receiver takes, each with half a head: uvicorn waits for the rest for ever."""
    receiver = receiver_for()
    address = urlsplit(receiver.base)
    silent = []
    try:
        for _ in range(MOST_CONNECTIONS + 20):
            connection = socket.create_connection((address.hostname, address.port), timeout=30)
            connection.sendall(b"POST /webhooks/ntropy HTTP/1.1\r\nHost: receiver\r\n")
            silent.append(connection)
        assert receiver.post(delivery("shut-out")).status_code == 503
        deadline = time.monotonic() + 3 * HEAD_SECONDS
        while (answer := receiver.post(delivery("let-in"))).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert answer.status_code == 202
        assert silent[0].recv(1) == b""
    finally:
        for connection in silent:
            connection.close()


def test_a_connection_between_two_deliveries_is_kept(receiver_for):
    """A sender may keep it open for uvicorn's 75 s; that it says nothing meanwhile is no trouble."""
    receiver = receiver_for()
    address = urlsplit(receiver.base)
    body = json.dumps(delivery("kept")).encode()
    request = head(f"Content-Length: {len(body)}") + body
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        for pause in (0, HEAD_SECONDS + 3):
            time.sleep(pause)
            connection.sendall(request)
            answer = HTTPResponse(connection)
            answer.begin()
            assert (answer.status, answer.getheader("Connection")) == (202, None)
            assert json.loads(answer.read()).keys() == {"new"}


def test_what_is_no_http_fills_no_log(receiver_for):
    """uvicorn had a line for each, so a stranger could fill the disk after all."""
    receiver = receiver_for()
    for _ in range(50):
        assert speak(receiver, b"\x16\x03\x01 SQ *BLUE BOTTLE\r\n\r\n").startswith("HTTP/1.1 400 ")
        upgrade = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"
        assert speak(receiver, upgrade).startswith("HTTP/1.1 200 ")
    assert receiver.stop() == 0
    lines = receiver.log().splitlines()
    assert len(lines) == 2, lines
    assert "answered 400: Invalid HTTP request received (49 since the last such line)" in lines[1]
    assert "BLUE BOTTLE" not in receiver.log()
