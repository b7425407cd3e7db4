"""Fault plans: connections that drop, answers that are late, slow, cut or another status."""

from __future__ import annotations

import datetime as dt
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

POST = "POST /v3/batches"
RESULTS = "GET /v3/batches/{id}/results"
LONG = 600
"""Seconds that no test waits for; a stop of the server does not either."""


def _since(moment: str) -> float:
    """Seconds since 1970 of a stamp of the API."""
    return dt.datetime.fromisoformat(moment).timestamp()


def _charged(client, identity: str) -> int:
    return len(client.books.items(identity))


def _until_charged(client, identity: str) -> dict:
    """Wait until the item's batch is there; the suite's time-out is the limit."""
    while not _charged(client, identity):
        time.sleep(0.02)
    batch = client.books.items(identity)[0].submission
    return client.get(f"/v3/batches/{batch}").json()


@pytest.mark.parametrize(
    ("how", "error"), [("close", httpx.RemoteProtocolError), ("reset", httpx.ReadError)], ids=["close", "reset"]
)
def test_accepted_and_dropped_is_charged(faulty, items, how, error):
    client = faulty({"call": POST, "nth": [1], "do": "drop", "when": "after", "how": how})
    before = client.get("/sandbox/books").json()
    with pytest.raises(error):
        client.send_batch(items(7, f"dropped-after-{how}-"))
    assert _charged(client, f"dropped-after-{how}-6") == 1
    assert [one["total"] for one in client.get("/v3/batches").json()["data"]] == [7]
    books = client.get("/sandbox/books").json()
    assert books["items_charged"] - before["items_charged"] == 7
    assert books["posts"][POST] == before["posts"].get(POST, 0) + 1
    assert books["answers"].get(POST) == before["answers"].get(POST)
    assert client.send_batch(items(1, f"sound-{how}-")).status_code == 200


@pytest.mark.parametrize("how", ["close", "reset"])
def test_dropped_before_it_is_accepted_changes_nothing(faulty, items, how):
    client = faulty({"call": POST, "nth": [1], "do": "drop", "when": "before", "how": how})
    with pytest.raises(httpx.TransportError):
        client.send_batch(items(3, f"dropped-before-{how}-"))
    assert _charged(client, f"dropped-before-{how}-0") == 0
    assert client.get("/v3/batches").json()["data"] == []
    assert client.send_batch(items(3, f"dropped-before-{how}-")).status_code == 200


def test_a_dropped_connection_says_not_a_byte(faulty):
    client = faulty({"call": "GET /v3/batches", "do": "drop", "when": "after"})
    place = urlsplit(str(client.base_url))

    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(b"GET /v3/batches HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\n\r\n")
        assert connection.recv(100) == b""


def test_any_call_can_be_dropped(faulty):
    client = faulty({"call": "*", "every": 2, "do": "drop", "when": "before"})
    seen = []
    for path in ("/v3/batches", "/v3/account_holders", "/v3/transactions", "/v3/transactions/x"):
        try:
            seen.append(client.get(path).status_code)
        except httpx.RemoteProtocolError:
            seen.append("dropped")
    assert seen == [200, "dropped", 200, "dropped"]


def test_late_answer_of_a_batch_that_exists_at_once(faulty, items):
    client = faulty({"call": POST, "do": "delay", "seconds": LONG, "when": "after"})
    begun = time.time()
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v3/batches", json={"operation": "POST /v3/transactions", "data": items(2, "late-")}, timeout=0.3)
    assert _since(_until_charged(client, "late-0")["created_at"]) < begun + LONG


def test_late_arrival_creates_the_batch_when_nobody_waits_for_it(faulty, items):
    client = faulty({"call": POST, "do": "delay", "seconds": 1, "when": "before"})
    begun = time.time()
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v3/batches", json={"operation": "POST /v3/transactions", "data": items(2, "arr-")}, timeout=0.2)
    assert _since(_until_charged(client, "arr-0")["created_at"]) >= begun + 0.9
    assert _charged(client, "arr-0") == 1


def test_a_delay_that_the_client_outwaits_answers_as_ever(faulty):
    client = faulty({"call": "GET /v3/batches", "do": "delay", "seconds": 0.2, "when": "before"})
    begun = time.monotonic()
    assert client.get("/v3/batches").json() == {"next_cursor": None, "data": []}
    assert time.monotonic() - begun >= 0.15


def test_half_of_a_slow_body(faulty, items):
    client = faulty({"call": RESULTS, "nth": [1], "do": "dribble", "seconds": LONG, "pieces": 2})
    batch = client.finished(items(50, "half-"))
    pieces: list[bytes] = []
    with (
        client.stream("GET", f"/v3/batches/{batch}/results", timeout=1) as answer,
        pytest.raises(httpx.ReadTimeout),
    ):
        pieces.extend(answer.iter_raw())
    whole = client.get(f"/v3/batches/{batch}/results").content
    assert b"".join(pieces) == whole[: len(whole) // 2]


def test_slow_body_comes_whole(faulty, items):
    client = faulty({"call": RESULTS, "do": "dribble", "seconds": 0.5, "pieces": 5})
    batch = client.finished(items(50, "slow-"))
    begun = time.monotonic()
    with client.stream("GET", f"/v3/batches/{batch}/results") as answer:
        pieces = list(answer.iter_raw())
    assert time.monotonic() - begun >= 0.4
    assert len(b"".join(pieces)) == int(answer.headers["Content-Length"])
    client.delete("/sandbox/faults")
    assert client.get(f"/v3/batches/{batch}/results").content == b"".join(pieces)


@pytest.mark.parametrize("how", ["length", "chunked"])
def test_body_is_cut_for_real(faulty, items, how):
    client = faulty({"call": RESULTS, "nth": [1], "do": "truncate", "how": how, "keep": 0.25})
    batch = client.finished(items(50, f"cut-{how}-"))
    pieces: list[bytes] = []
    with (
        client.stream("GET", f"/v3/batches/{batch}/results") as answer,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        pieces.extend(answer.iter_raw())
    assert answer.status_code == 200
    whole = client.get(f"/v3/batches/{batch}/results").content
    assert b"".join(pieces) == whole[: len(whole) // 4]
    if how == "length":
        assert int(answer.headers["Content-Length"]) == len(whole)
    else:
        assert answer.headers["Transfer-Encoding"] == "chunked"


def test_cut_json_in_sound_http(faulty, items):
    client = faulty({"call": RESULTS, "nth": [1], "do": "truncate", "how": "json", "keep": 0.5})
    batch = client.finished(items(5, "json-"))
    cut = client.get(f"/v3/batches/{batch}/results")
    whole = client.get(f"/v3/batches/{batch}/results")
    assert cut.status_code == 200
    assert cut.content == whole.content[: len(whole.content) // 2]
    with pytest.raises(ValueError, match=r"delimiter|Unterminated|Expecting"):
        cut.json()


def test_a_short_answer_is_cut_too(faulty, items):
    client = faulty({"call": POST, "do": "truncate", "how": "length"})
    with pytest.raises(httpx.RemoteProtocolError):
        client.send_batch(items(1, "short-"))
    assert _charged(client, "short-0") == 1


@pytest.mark.parametrize("status", [401, 403, 413, 423, 429, 500, 502, 503])
def test_statuses_before_anything_happens(faulty, items, status):
    client = faulty({"call": POST, "times": 1, "do": "status", "status": status, "detail": "no"})
    refused = client.send_batch(items(2, f"st{status}-"))
    assert (refused.status_code, refused.json()) == (status, {"detail": "no"})
    assert "Retry-After" not in refused.headers
    assert "X-Request-ID" in refused.headers
    assert _charged(client, f"st{status}-0") == 0
    assert client.send_batch(items(2, f"st{status}-")).status_code == 200


@pytest.mark.parametrize("wait", [7, "Wed, 21 Oct 2037 07:28:00 GMT"], ids=["seconds", "date"])
def test_too_many_with_retry_after(faulty, wait):
    client = faulty({"call": "GET /v3/batches", "do": "status", "status": 429, "retry_after": wait})
    refused = client.get("/v3/batches")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, str(wait))


@pytest.mark.parametrize("status", [500, 503, 504])
def test_status_after_the_batch_was_accepted(faulty, items, status):
    client = faulty({"call": POST, "nth": [1], "do": "status", "status": status, "when": "after"})
    assert client.send_batch(items(2, f"after{status}-")).status_code == status
    assert _charged(client, f"after{status}-0") == 1
    assert len(client.get("/v3/batches").json()["data"]) == 1


def test_validation_error_names_given_positions(faulty, items):
    client = faulty({"call": POST, "do": "status", "status": 422, "items": [0, 3], "field": "currency"})
    refused = client.send_batch(items(5, "loc-"))
    assert refused.status_code == 422
    assert [one["loc"] for one in refused.json()["detail"]] == [
        ["body", "data", 0, "currency"],
        ["body", "data", 3, "currency"],
    ]


def test_proxy_page(faulty):
    client = faulty({"call": "*", "do": "status", "status": 502, "page": True})
    page = client.get("/v3/batches")
    assert page.status_code == 502
    assert page.headers["Content-Type"].startswith("text/html")
    with pytest.raises(ValueError, match="Expecting value"):
        page.json()


def test_known_batch_is_not_found_and_results_are_not_ready(faulty, items):
    client = faulty(
        {"call": "GET /v3/batches/{id}", "ids": ["lost-1"], "from": 3, "to": 3, "do": "status", "status": 404},
        {"call": RESULTS, "each": True, "nth": [1], "do": "status", "status": 409},
    )
    lost, other = (client.send_batch(items(2, prefix)).json()["id"] for prefix in ("lost-", "other-"))
    assert [client.get(f"/v3/batches/{lost}").status_code for _ in range(4)] == [200, 200, 404, 200]
    assert [client.get(f"/v3/batches/{other}").status_code for _ in range(4)] == [200] * 4
    for batch in (lost, other):
        client.ended(batch)
        assert [client.get(f"/v3/batches/{batch}/results").status_code for _ in range(2)] == [409, 200]


def test_faults_of_one_answer_go_together(faulty, items):
    client = faulty(
        {"call": POST, "do": "delay", "seconds": 0.1, "when": "before"},
        {"call": POST, "do": "status", "status": 503, "when": "after", "retry_after": 2},
        {"call": POST, "do": "drop", "when": "before"},
        {"call": POST, "do": "truncate", "how": "json", "keep": 0},
    )
    begun = time.monotonic()
    answered = client.send_batch(items(1, "both-"))
    assert time.monotonic() - begun >= 0.08
    assert (answered.status_code, answered.content, answered.headers["Retry-After"]) == (503, b"", "2")
    assert _charged(client, "both-0") == 1
