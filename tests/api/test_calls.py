"""GETs and holder POSTs: every error and its shape, what is repeated and how often, what a message may hold."""

from __future__ import annotations

import pickle
import time
import traceback
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest
from scripted_server import Reply, Server

from pipeline.api import errors
from pipeline.api.client import ApiClient
from pipeline.errors import ConfigError, EnrichError

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., ApiClient]
    ABatch = Callable[..., dict[str, Any]]

KEY = "k-SECRET-0123456789"
PERMANENT = {
    400: errors.BadValue,
    401: errors.NotAuthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.TooLarge,
    415: errors.UnsupportedType,
    422: errors.Invalid,
    423: errors.OutOfCredits,
    402: errors.UnexpectedStatus,
    302: errors.UnexpectedStatus,
}
TRANSIENT = {
    408: errors.TimedOut,
    429: errors.RateLimited,
    500: errors.ServerError,
    501: errors.ServerError,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
    204: errors.BadAnswer,
}


def fail(call: Callable[[], Any]) -> errors.ApiError:
    """The error of a call that must fail."""
    with pytest.raises(errors.ApiError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(("status", "kind"), PERMANENT.items())
def test_permanent_errors_are_asked_once(
    client: ApiClient, server: Server, status: int, kind: type[errors.ApiError]
) -> None:
    server.script = [Reply(status, {"detail": "why not"}, headers={"Location": "/elsewhere"})]
    error = fail(lambda: client.get_batch("b-1"))
    assert type(error) is kind
    assert isinstance(error, EnrichError)
    assert (error.fate, error.status, error.request_id) == ("permanent", status, "srv-1")
    assert "a retry cannot clear this" in str(error)
    assert "srv-1" in str(error)
    assert len(server.seen) == 1
    assert client.calls == {"GET /v3/batches/{id}": 1}


@pytest.mark.parametrize(("status", "kind"), TRANSIENT.items())
def test_transient_errors_are_asked_again_within_bounds(
    client: ApiClient, server: Server, status: int, kind: type[errors.ApiError]
) -> None:
    server.script = [Reply(status)]
    error = fail(lambda: client.get_batch("b-1"))
    assert type(error) is kind
    assert (error.fate, error.status, error.request_id) == ("transient", status, "srv-1")
    assert len(server.seen) == 3
    assert client.calls == {"GET /v3/batches/{id}": 3}


@pytest.mark.parametrize("status", [409, 425])
def test_not_ready_is_left_to_the_caller(client: ApiClient, server: Server, status: int) -> None:
    server.script = [Reply(status, {"detail": "busy"})]
    error = fail(lambda: client.get_batch("b-1"))
    assert type(error) is errors.NotReady
    assert error.fate == "transient"
    assert len(server.seen) == 1


@pytest.mark.parametrize("fault", [Reply(429), Reply(503), Reply(500), Reply(when="never"), Reply(body=b"<h")])
def test_a_retry_that_works(client: ApiClient, server: Server, a_batch: ABatch, fault: Reply) -> None:
    server.script = [fault, Reply(body=a_batch(status="completed"))]
    assert client.get_batch("b-1").is_done
    ids = [seen.headers["x-request-id"] for seen in server.seen]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("promise", [None, 500], ids=["silence", "cut"])
def test_time_outs_and_cut_answers(make_client: Make, server: Server, a_batch: ABatch, promise: int | None) -> None:
    reply = Reply(body=a_batch(), delay=0.6) if promise is None else Reply(body=b"{", promise=promise)
    server.script = [reply]
    error = fail(lambda: make_client(read_timeout=0.2, retries=1).get_batch("b-1"))
    assert type(error) is (errors.TimedOut if promise is None else errors.ConnectionLost)
    assert error.request_id
    assert error.request_id in str(error)
    assert len(server.seen) == 2


def test_a_slow_body(make_client: Make, server: Server, a_batch: ABatch) -> None:
    server.script = [Reply(body=a_batch(), pieces=2, drip=0.6)]
    error = fail(lambda: make_client(read_timeout=0.2, retries=0).get_batch("b-1"))
    assert type(error) is errors.TimedOut


@pytest.mark.parametrize("part", ["head", "body"])
def test_an_answer_that_drips_has_a_deadline(make_client: Make, server: Server, a_batch: ABatch, part: str) -> None:
    """Each silence is shorter than the read time-out; the whole would take 10 s and more."""
    server.script = [Reply(body=a_batch(), pieces=100, drip=0.1, drip_head=part == "head")]
    begun = time.monotonic()
    error = fail(lambda: make_client(read_timeout=2, answer_timeout=0.5, retries=0).get_batch("b-1"))
    assert type(error) is errors.TimedOut
    assert time.monotonic() - begun < 5


def test_the_deadline_is_one_of_each_answer(make_client: Make, server: Server, a_batch: ABatch) -> None:
    server.script = [Reply(body=a_batch(), pieces=3, drip=0.2)]
    client = make_client(read_timeout=2, answer_timeout=1.5, retries=0)
    for _ in range(4):
        assert client.get_batch("b-1").id
    assert server.connections == 1


def test_refused(make_client: Make) -> None:
    with Server() as gone:
        url = gone.url
    client = make_client(base_url=url, retries=2)
    assert type(fail(lambda: client.get_batch("b-1"))) is errors.ConnectionFailed
    assert client.calls == {"GET /v3/batches/{id}": 3}


DETAILS = {
    "detail": (b'{"detail": "a  reason"}', "a  reason"),
    "details": (b'{"details": "old style"}', "old style"),
    "both": (b'{"details": "old", "detail": "new"}', "new"),
    "object": (b'{"detail": {"a": 1}}', {"a": 1}),
    "neither": (b'{"missingIds": ["x"]}', {"missingIds": ["x"]}),
    "list": (b'["x"]', ["x"]),
    "text": (b"<h1>Bad\xff</h1>", "<h1>Bad�</h1>"),
    "nothing": (b"", ""),
    "null": (b"null", None),
    "detail null": (b'{"detail": null}', {"detail": None}),
    "deep": (b"[" * 100_000, "[" * 2_000),
}


@pytest.mark.parametrize(("body", "detail"), DETAILS.values(), ids=DETAILS)
def test_shapes_of_a_detail(client: ApiClient, server: Server, body: bytes, detail: Any) -> None:
    server.script = [Reply(400, body)]
    error = fail(lambda: client.get_batch("b-1"))
    assert error.detail == detail
    assert len(str(error)) < 600


def test_places_of_a_schema_error(client: ApiClient, server: Server) -> None:
    entry = {"loc": ["body", "data", 3, "amount"], "msg": "not a number", "type": "x", "input": "SQ *SECRETSHOP"}
    server.script = [Reply(422, {"detail": [entry, {"loc": ["query"], "msg": "no"}, "odd"]})]
    error = fail(lambda: client.get_batch("b-1"))
    assert isinstance(error, errors.Invalid)
    assert error.locations == [(("body", "data", 3, "amount"), "not a number"), (("query",), "no")]
    assert "2 places, the first at body.data.3.amount" in str(error)
    assert "SECRETSHOP" not in str(error) + repr(error.detail)


@pytest.mark.parametrize("body", [{"detail": "text"}, {"detail": [{"loc": "x"}]}, {"detail": {}}, b"text"])
def test_a_schema_error_of_another_shape(client: ApiClient, server: Server, body: Any) -> None:
    server.script = [Reply(422, body)]
    error = fail(lambda: client.get_batch("b-1"))
    assert isinstance(error, errors.Invalid)
    assert error.locations == []


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "17"}, 17),
        ({"Retry-After": " 0 "}, 0),
        ({"Retry-After": "Mon, 01 Jan 2024 00:01:30 GMT"}, 90),
        ({"Retry-After": "Sun, 31 Dec 2023 23:00:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({}, None),
    ],
)
def test_retry_after(make_client: Make, server: Server, headers: dict[str, str], expected: float | None) -> None:
    server.script = [Reply(429, headers=headers)]
    error = fail(lambda: make_client(retries=0).get_batch("b-1"))
    assert error.retry_after == expected


@pytest.mark.parametrize("value", ["60", "Mon, 01 Jan 2024 00:01:00 GMT"], ids=["seconds", "date"])
def test_retry_after_is_waited_for(
    make_client: Make, server: Server, a_batch: ABatch, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waits are noted, not slept: their length is what is asserted, and a shared machine sleeps as it likes."""
    slept: list[float] = []
    monkeypatch.setattr("pipeline.api.limits.Backoff.sleep", lambda _, seconds: slept.append(seconds))
    server.script = [Reply(429, headers={"Retry-After": value}), Reply(body=a_batch())]
    assert make_client().get_batch("b-1").id == "b-1"
    assert len(slept) == 1
    assert 60 <= slept[0] <= 61


def test_a_retry_after_beyond_the_budget_is_raised_at_once(make_client: Make, server: Server) -> None:
    server.script = [Reply(429, headers={"Retry-After": "3600"})]
    error = fail(lambda: make_client(time_scale=1, retry_seconds=120).get_batch("b-1"))
    assert error.retry_after == 3600
    assert len(server.seen) == 1


class TestKeyAndTexts:
    """What may not leak."""

    @pytest.mark.parametrize("status", [400, 401, 422, 500])
    def test_a_key_that_the_server_quotes(self, client: ApiClient, server: Server, status: int) -> None:
        server.script = [Reply(status, {"detail": f"bad key {KEY}"})]
        for call in (
            lambda: client.get_batch("b-1"),
            lambda: client.submit_batch(b"{}", release=lambda: None),
        ):
            error = fail(call)
            shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + error.hint
            assert KEY not in shown

    def test_a_failed_connection(self, make_client: Make) -> None:
        with Server() as gone:
            url = gone.url
        error = fail(lambda: make_client(base_url=url, retries=0).get_batch("b-1"))
        assert KEY not in "".join(traceback.format_exception(error)) + repr(vars(error))

    @pytest.mark.parametrize("key", ["", "a b", "a\nb", "schlüssel", "a\x00b"])
    def test_a_key_that_is_no_header(self, make_client: Make, key: str) -> None:
        with pytest.raises(ConfigError) as caught:
            make_client(api_key=key)
        assert not key or key not in str(caught.value)

    def test_the_client_does_not_show_it(self, client: ApiClient) -> None:
        assert KEY not in repr(client) + repr(vars(client))
        with pytest.raises(TypeError):
            pickle.dumps(client)


@pytest.mark.parametrize("url", ["ftp://x", "x", "http://", "https://user:pw@host", "http://h?x=1"])
def test_base_urls_that_are_refused(make_client: Make, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_client(base_url=url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(("id_", "path"), [("a/b?c#d", "a%2Fb%3Fc%23d"), ("ä %2e", "%C3%A4%20%252e"), ("...", "...")])
def test_ids_are_one_path_segment(client: ApiClient, server: Server, a_batch: ABatch, id_: str, path: str) -> None:
    server.script = [Reply(body=a_batch())]
    client.get_batch(id_)
    assert server.seen[0].target == f"/v3/batches/{path}"


@pytest.mark.parametrize("id_", ["", ".", ".."])
def test_ids_that_would_change_the_path(client: ApiClient, server: Server, id_: str) -> None:
    with pytest.raises(ValueError, match="not usable"):
        client.get_batch(id_)
    assert not server.seen


class TestHolders:
    """Creating may be repeated only where nothing was done."""

    HOLDER: ClassVar = {"id": "h", "type": "business", "created_at": "2024-04-11T08:15:00", "name": None, "new": 1}

    def test_created(self, client: ApiClient, server: Server) -> None:
        server.script = [Reply(body=self.HOLDER)]
        holder = client.create_account_holder("h", "business")
        assert holder.created_at.isoformat() == "2024-04-11T08:15:00+00:00"
        client.create_account_holder("h", "business", "A Ltd")
        assert [seen.body for seen in server.seen] == [
            b'{"id":"h","type":"business"}',
            b'{"id":"h","type":"business","name":"A Ltd"}',
        ]
        assert server.seen[0].headers["content-type"] == "application/json"

    def test_taken(self, client: ApiClient, server: Server) -> None:
        server.script = [Reply(400, {"detail": "Account holder h already exists"}), Reply(body=self.HOLDER)]
        error = fail(lambda: client.create_account_holder("h", "consumer"))
        assert isinstance(error, errors.BadValue)
        assert error.already_exists
        assert client.get_account_holder("h").type == "business"

    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    def test_repeated(self, client: ApiClient, server: Server, status: int) -> None:
        server.script = [Reply(status), Reply(body=self.HOLDER)]
        assert client.create_account_holder("h", "business").id == "h"
        assert len(server.seen) == 2

    @pytest.mark.parametrize("reply", [Reply(500), Reply(when="never"), Reply(body=b"{", promise=9), Reply(409)])
    def test_not_repeated(self, client: ApiClient, server: Server, reply: Reply) -> None:
        server.script = [reply]
        fail(lambda: client.create_account_holder("h", "business"))
        assert len(server.seen) == 1


def test_a_transaction_is_an_item_of_results(client: ApiClient, server: Server) -> None:
    sent = {"description": "SECRET", "date": "2024-01-01", "amount": 1.5, "entry_type": "incoming", "currency": "EUR"}
    got = {"id": "t", "account_holder_id": "h", "created_at": "2024-01-01T00:00:00Z", "new": 1.10}
    server.script = [Reply(body=sent | got)]
    raw = client.get_transaction("t")
    assert bytes(raw) == b'{"id":"t","created_at":"2024-01-01T00:00:00Z","new":1.1}'


def test_categories(client: ApiClient, server: Server) -> None:
    server.script = [Reply(body={"incoming": ["paycheck"], "outgoing": ["rent"]})]
    assert msgspec.json.decode(client.get_categories("consumer")) == {"incoming": ["paycheck"], "outgoing": ["rent"]}
    assert server.seen[0].path == "/v3/categories/consumer"


def test_server_time_keeps_the_last_good_date(client: ApiClient, server: Server, a_batch: ABatch) -> None:
    assert client.server_time is None
    server.script = [Reply(404), Reply(body=a_batch(), headers={"Date": "nonsense"})]
    fail(lambda: client.get_batch("b"))
    client.get_batch("b")
    assert client.server_time is not None
    assert client.server_time.isoformat() == "2024-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("change", "named"),
    [({"status": None}, "status"), ({"total": "3"}, "total"), ({"created_at": "yesterday"}, "created_at")],
)
def test_a_batch_of_another_shape_names_the_field(
    client: ApiClient, server: Server, a_batch: ABatch, change: dict[str, Any], named: str
) -> None:
    server.script = [Reply(body=a_batch(**change))]
    error = fail(lambda: client.get_batch("b"))
    assert type(error) is errors.WrongShape
    assert f"$.{named}" in str(error)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-04-11T08:15:00Z", "2024-04-11T08:15:00+00:00"),
        ("2024-04-11T08:15:00.123456", "2024-04-11T08:15:00.123456+00:00"),
        ("2024-04-11 08:15:00+02:00", "2024-04-11T06:15:00+00:00"),
    ],
)
def test_times_are_aware_utc(client: ApiClient, server: Server, a_batch: ABatch, text: str, expected: str) -> None:
    server.script = [Reply(body=a_batch(created_at=text, updated_at=text))]
    batch = client.get_batch("b")
    assert batch.created_at.isoformat() == batch.updated_at.isoformat() == expected
