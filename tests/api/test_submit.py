"""The batch POST: what reached the server, and the verdict, over everything that can happen to it."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpcore
import pytest
from scripted_server import Reply, Server

from pipeline.api import errors
from pipeline.api.client import ApiClient

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., ApiClient]
    ABatch = Callable[..., dict[str, Any]]

SMALL = b'{"data":[1,2,3]}' * 60
BIG = b"x" * 20_000_000
"""More than the sockets of both sides can hold: the server has to read for the client to get on."""

PEM = Path(__file__).parent / "loopback.pem"


class Release:
    """A `release` that counts its calls and may raise."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.calls = 0
        self.error = error

    def __call__(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error


def submit(client: ApiClient, body: bytes = SMALL, release: Release | None = None) -> tuple[Any, Release]:
    """The outcome, an error included, and the release."""
    release = release or Release()
    try:
        return client.submit_batch(body, release=release), release
    except BaseException as error:  # noqa: BLE001
        return error, release


@pytest.mark.parametrize("body", [b"x", b"xy", SMALL, BIG], ids=["1", "2", "small", "20 MB"])
def test_accepted(client: ApiClient, server: Server, a_batch: ABatch, body: bytes) -> None:
    server.script = [Reply(body=a_batch(status="brewing", novelty=1))]
    batch, release = submit(client, body)
    assert (batch.id, batch.status, batch.is_done, batch.is_error) == ("b-1", "brewing", False, False)
    assert release.calls == 1
    (seen,) = server.settled()
    assert seen.complete
    assert seen.body == body
    assert (seen.method, seen.target) == ("POST", "/v3/batches")
    assert seen.headers["content-length"] == str(len(body))
    assert "transfer-encoding" not in seen.headers
    assert seen.headers["x-api-key"] == "k-SECRET-0123456789"
    assert len(seen.headers["x-request-id"]) == 32
    assert client.calls == {"POST /v3/batches": 1}
    assert client.server_time is not None
    assert client.server_time.isoformat() == "2024-01-01T00:00:00+00:00"


def test_every_post_has_its_own_connection(client: ApiClient, server: Server, a_batch: ABatch) -> None:
    server.script = [Reply(body=a_batch())]
    client.get_batch("b-1")
    submit(client)
    submit(client)
    assert server.connections == 3


@pytest.mark.parametrize("body", [b"x", SMALL, BIG], ids=["1", "small", "20 MB"])
@pytest.mark.parametrize(
    "raised",
    [ValueError("the ledger says no"), KeyboardInterrupt(), httpcore.WriteError("lookalike"), TimeoutError()],
    ids=lambda error: type(error).__name__,
)
def test_when_release_raises_the_last_byte_stays_here(
    client: ApiClient, server: Server, body: bytes, raised: BaseException
) -> None:
    server.script = [Reply(body=b"{}")]
    outcome, release = submit(client, body, Release(raised))
    assert outcome is raised
    assert "last byte was withheld" in raised.__notes__[-1]
    assert release.calls == 1
    (seen,) = server.settled()
    assert len(seen.body) == len(body) - 1
    assert not seen.complete


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 418, 422, 423, 425, 429])
@pytest.mark.parametrize("when", ["early", "late"])
def test_a_complete_4xx_is_a_refusal(client: ApiClient, server: Server, status: int, when: str) -> None:
    server.script = [Reply(status, {"detail": "no, PAYPAL *SECRETSHOP"}, when=when, headers={"Retry-After": "7"})]
    outcome, release = submit(client, BIG if when == "early" else SMALL)
    assert type(outcome) is errors.class_for(status)
    assert outcome.fate == ("transient" if status in {409, 425, 429} else "permanent")
    assert (outcome.status, outcome.request_id, outcome.retry_after) == (status, "srv-1", 7)
    assert outcome.detail == "no, PAYPAL *SECRETSHOP"
    assert "SECRETSHOP" not in str(outcome)
    assert release.calls == (0 if when == "early" else 1)
    assert len(server.settled()) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599, 408, 499, 301, 302, 307, 308, 201, 202, 204])
def test_other_answers_after_the_release_prove_nothing(client: ApiClient, server: Server, status: int) -> None:
    server.script = [Reply(status, b"" if status == 204 else b"oops", headers={"Location": f"{server.url}/v3/batches"})]
    outcome, release = submit(client)
    assert type(outcome) is errors.FateUnknown
    assert (outcome.fate, outcome.status, outcome.request_id) == ("unknown", status, "srv-1")
    assert isinstance(outcome.__cause__, errors.ApiError)
    assert release.calls == 1
    assert len(server.settled()) == 1


@pytest.mark.parametrize("status", [200, 302, 408, 499, 500, 503])
def test_other_early_answers_mean_not_sent(client: ApiClient, server: Server, a_batch: ABatch, status: int) -> None:
    server.script = [Reply(status, a_batch(), when="early", headers={"Retry-After": "3"})]
    outcome, release = submit(client, BIG)
    assert type(outcome) is errors.NotSent
    assert (outcome.status, outcome.request_id, outcome.retry_after) == (status, "srv-1", 3)
    assert release.calls == 0


def test_a_server_that_answers_early_and_resets(client: ApiClient, server: Server) -> None:
    """The answer may be lost in the reset; nothing was sent either way."""
    server.script = [Reply(413, {"detail": "too big"}, when="brusque")]
    for _ in range(20):
        outcome, release = submit(client, BIG)
        assert type(outcome) in {errors.TooLarge, errors.NotSent}
        assert release.calls == 0


LOST = {
    "closed": Reply(when="never"),
    "reset": Reply(reset=True),
    "cut 200": Reply(body=b'{"id": "b-9", ', promise=500),
    "cut 4xx": Reply(422, body=b'{"detail": ', promise=500),
    "not JSON": Reply(body=b"<html>"),
    "not a batch": Reply(body=b"[]"),
    "half a batch": Reply(body=b'{"id": "b-9"}'),
    "silence": Reply(body=b"{}", delay=1.5),
    "trickle": Reply(body=b"{}" * 50, pieces=100, drip=0.05),
}


@pytest.mark.parametrize("case", LOST)
def test_lost_after_the_release_is_unknown(make_client: Make, server: Server, case: str) -> None:
    server.script = [LOST[case]]
    outcome, release = submit(make_client(post_timeout=0.5))
    assert type(outcome) is errors.FateUnknown
    assert outcome.request_id
    assert outcome.request_id in str(outcome)
    assert outcome.__cause__ is not None
    assert outcome.batch_id == ("b-9" if case == "half a batch" else None)
    assert release.calls == 1
    assert len(server.settled()) == 1


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (Reply(when="never", read=50_000), errors.ConnectionLost),
        (Reply(reset=True, read=50_000), errors.ConnectionLost),
        (Reply(read=50_000, delay=1.5), errors.TimedOut),
        (Reply(422, b'{"detail": ', promise=500, when="early"), errors.ConnectionLost),
    ],
    ids=["closed", "reset", "stalled", "cut early 4xx"],
)
def test_lost_before_the_release_is_not_sent(make_client: Make, server: Server, reply: Reply, cause: type) -> None:
    server.script = [reply]
    outcome, release = submit(make_client(post_timeout=0.5), BIG)
    assert type(outcome) is errors.NotSent
    assert outcome.fate == "transient"
    assert type(outcome.__cause__) is cause
    assert outcome.request_id
    assert outcome.request_id in str(outcome)
    assert release.calls == 0
    (seen,) = server.settled()
    assert not seen.complete


def test_an_unasked_100_continue_is_no_answer(client: ApiClient, server: Server, a_batch: ABatch) -> None:
    server.script = [Reply(body=a_batch(), prelude=b"HTTP/1.1 100 Continue\r\n\r\n")]
    outcome, _ = submit(client, BIG)
    assert getattr(outcome, "id", outcome) == "b-1"


def test_refused_connection_is_not_sent(make_client: Make, server: Server) -> None:
    with Server() as gone:
        url = gone.url
    outcome, release = submit(make_client(base_url=url))
    assert type(outcome) is errors.NotSent
    assert type(outcome.__cause__) is errors.ConnectionFailed
    assert release.calls == 0
    assert not server.seen


def test_unknown_host_is_not_sent(make_client: Make) -> None:
    outcome, _ = submit(make_client(base_url="http://no-such-host.invalid"))
    assert type(outcome) is errors.NotSent
    assert type(outcome.__cause__) is errors.ConnectionFailed


def test_release_that_outlasts_the_time_out_is_unknown(make_client: Make, server: Server, a_batch: ABatch) -> None:
    server.script = [Reply(body=a_batch())]
    client = make_client(post_timeout=0.2)
    with pytest.raises(errors.FateUnknown) as caught:
        client.submit_batch(SMALL, release=lambda: time.sleep(0.4))
    assert type(caught.value.__cause__) is errors.TimedOut
    assert len(server.settled()) <= 1


def test_works_in_a_thread_and_beside_a_running_loop(client: ApiClient, server: Server, a_batch: ABatch) -> None:
    server.script = [Reply(body=a_batch())]
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(submit(client)[0]))
    thread.start()
    thread.join()

    async def beside() -> None:
        outcomes.append(submit(client)[0])
        refused = ValueError("no")
        outcomes.append(submit(client, release=Release(refused))[0] is refused)

    asyncio.run(beside())
    assert [getattr(each, "id", each) for each in outcomes] == ["b-1", "b-1", True]


def test_proxies_of_the_environment_are_ignored(
    make_client: Make, server: Server, a_batch: ABatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server() as proxy:
        proxy.script = [Reply(502)]
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        server.script = [Reply(body=a_batch())]
        client = make_client()
        assert submit(client)[0].id == "b-1"
        assert client.get_batch("b-1").id == "b-1"
        assert not proxy.seen


@pytest.fixture
def tls_server() -> Any:
    """The same over TLS 1.3, which sends session tickets right after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    with Server(tls=context) as running:
        yield running


def test_over_tls(make_client: Make, tls_server: Server, a_batch: ABatch) -> None:
    client = make_client(base_url=tls_server.url, ssl_context=ssl.create_default_context(cafile=str(PEM)))
    tls_server.script = [Reply(body=a_batch())]
    assert submit(client)[0].id == "b-1"
    assert submit(client, BIG)[0].id == "b-1"
    refused = ValueError("no")
    assert submit(client, SMALL, Release(refused))[0] is refused
    assert [(len(seen.body), seen.complete) for seen in tls_server.settled(3)] == [
        (len(SMALL), True),
        (len(BIG), True),
        (len(SMALL) - 1, False),
    ]
    tls_server.script = [Reply(413, {"detail": "too big"}, when="early")]
    outcome, release = submit(client, BIG)
    assert type(outcome) is errors.TooLarge
    assert release.calls == 0


def test_an_untrusted_certificate_is_not_sent(make_client: Make, tls_server: Server) -> None:
    tls_server.script = [Reply()]
    outcome, release = submit(make_client(base_url=tls_server.url))
    assert type(outcome) is errors.NotSent
    assert type(outcome.__cause__) is errors.ConnectionFailed
    assert release.calls == 0
    assert not tls_server.seen


def test_a_defect_of_ours_keeps_its_name(client: ApiClient, server: Server) -> None:
    server.script = [Reply()]
    outcome, release = submit(client, "not bytes")  # type: ignore[arg-type]
    assert type(outcome) is errors.NotSent
    assert type(outcome.__cause__) is TypeError
    assert release.calls == 0


def test_an_empty_body_is_a_defect(client: ApiClient) -> None:
    with pytest.raises(ValueError, match="empty"):
        client.submit_batch(b"", release=Release())
