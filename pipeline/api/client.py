"""The client of Ntropy's v3 API.

Belongs here: one method per call, those for webhooks aside (`webhooks`). It knows no database and keeps nothing on disk
but the results that it is told to download. How a call is made and repeated is in `calls`, what became of a batch POST
in `submit`.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from pipeline.api.answers import read_body
from pipeline.api.calls import REPEAT_HOLDER, Caller
from pipeline.api.deadline import DeadlineTransport
from pipeline.api.download import MAX_RESULTS, Download, save
from pipeline.api.errors import UnknownPaging
from pipeline.api.limits import Backoff, Throttle
from pipeline.api.models import AccountHolder, Batch
from pipeline.api.submit import CALL as SUBMIT
from pipeline.api.submit import Submitter
from pipeline.api.webhooks import WebhookCalls
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import ssl
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

T = TypeVar("T")

ANSWER_TIMEOUT = 1_800.0
"""Seconds for a whole answer: the results of a full batch over a slow line take minutes."""

USER_AGENT = "enrich/0.1 (python-httpx)"

_INPUT_FIELDS = {"description", "date", "amount", "entry_type", "currency", "account_holder_id"}


class _Page(msgspec.Struct, Generic[T]):
    data: list[T]
    next_cursor: str | None


class ApiClient:
    """Calls to one account. Safe to use from several threads; close it, or use it as a context manager.

    Durations are real seconds, except that waits (back-off, `Retry-After`, throttle) run `time_scale` times faster.
    `read_timeout` is for each silence, `answer_timeout` for a whole answer but a batch's, which has `post_timeout`.
    `retries` and `retry_seconds` bound the repeats of one call, in number and in waiting (the API's seconds).
    Proxy variables and .netrc of the environment are ignored: they would hand loopback traffic or the key to somebody
    else unasked. `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured; `ssl_context` replaces the trust store altogether.
    Every method raises a class of `pipeline.api.errors`.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        connect_timeout: float = 10,
        read_timeout: float = 60,
        answer_timeout: float = ANSWER_TIMEOUT,
        post_timeout: float = 300,
        rate_share: float = 0.5,
        retries: int = 5,
        retry_seconds: float = 120,
        time_scale: float = 1.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        url, key = _checked_url(base_url), _checked_key(api_key)
        if ssl_context is None and url.startswith("https:"):
            ssl_context = httpx.create_ssl_context(trust_env=True)
        headers = {"X-API-Key": api_key, "User-Agent": USER_AGENT, "Accept": "application/json"}
        # Not gzip: the length of a plain body is checked by the HTTP layer, a cut gzip stream is not noticed by httpx.
        headers["Accept-Encoding"] = "identity"
        self._http = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(read_timeout, connect=connect_timeout),
            transport=DeadlineTransport(ssl_context, answer_timeout),
            trust_env=False,
            follow_redirects=False,
        )
        self._caller = Caller(
            self._http,
            url=url,
            key=key,
            throttle=Throttle(share=rate_share, time_scale=time_scale),
            backoff=Backoff(retries=retries, total=retry_seconds, time_scale=time_scale),
        )
        self.webhooks = WebhookCalls(self._caller, self._pages)
        self._submitter = Submitter(
            url=f"{url}/v3/batches",
            headers=headers,
            connect_timeout=connect_timeout,
            post_timeout=post_timeout,
            ssl_context=ssl_context,
            redact=self._caller.redact,
        )

    @property
    def server_time(self) -> datetime | None:
        """The API's clock at its last answer (`Date` header), aware UTC, whole seconds."""
        return self._caller.server_time

    @property
    def silence(self) -> float:
        """Seconds since the last answer by the wall clock, so that a pause of the machine counts; never: infinite.

        A clock that was put back counts as well: the pause before cannot be told from it.
        """
        return abs(time.time() - self._caller.heard_at)

    @property
    def request_id(self) -> str | None:
        """`X-Request-ID` of the last answer, to quote to the API's support."""
        return self._caller.request_id

    @property
    def calls(self) -> Counter[str]:
        """Requests made so far by method and route, repeats included: `{"GET /v3/batches/{id}": 3}`."""
        return self._caller.calls

    # -- batches ------------------------------------------------------------------------------------------------

    def submit_batch(self, body: bytes, *, release: Callable[[], None]) -> Batch:
        """Send a batch (`encode.encode_batch`), once. 20/s; up to 24,960 items (OpenAPI document).

        `release` is called when all but the last byte is under way. If it raises, the last byte stays here, the
        connection is closed, the server never has a request, and the same exception is raised. It runs in the calling
        thread, or in a helper thread where the calling thread has a running event loop.

        Raises: `NotSent` (nothing happened, try again), the typed error of a complete 4xx (refused, nothing was
        charged), `FateUnknown` (look for the batch before anything else). Whichever comes, nothing is repeated here.
        """
        self._caller.begin("submit", SUBMIT)
        return self._submitter.submit(body, release=release, request_id=uuid.uuid4().hex, seen=self._caller.note)

    def get_batch(self, id: str) -> Batch:  # noqa: A002 - the API's word
        """A batch's state. 20/s."""
        return self._caller.get("batches", "/v3/batches/{id}", Batch, id=id)

    def iter_batches(self, *, status: str | None = None, page_size: int = 100) -> Iterator[Batch]:
        """Every batch of the account, newest first, fetched page by page as it is consumed. 20 pages/s."""
        filters = {"status": status} if status else {}
        yield from self._pages("batches", "/v3/batches", Batch, filters, page_size)

    def download_results(self, id: str, to: Path, *, max_bytes: int = MAX_RESULTS) -> Download:  # noqa: A002
        """Write a completed batch's results to `to`, byte for byte. 10/s; one body for all items, 1-2 KB each.

        The file appears under its name only when it is complete and on disk; on any failure nothing is left. Ask only
        for batches that a GET showed as completed: what the API answers before that is documented nowhere (409 in
        the SDK, raised as `NotReady`); a 200 that is not final is found by `results.read_results`.
        """

        def store(response: httpx.Response, call: str, request_id: str) -> Download:
            return save(self._caller.parts(response, call, request_id, max_bytes), to, request_id)

        return self._caller.call("results", "GET", "/v3/batches/{id}/results", id=id, consume=store)

    # -- account holders ----------------------------------------------------------------------------------------

    def create_account_holder(self, id: str, type: str, name: str | None = None) -> AccountHolder:  # noqa: A002
        """Create a holder. 100/s. A taken id raises `BadValue` with `already_exists`: GET it and compare the type.

        Repeated after a refused connection, 429, 502, 503 and 504 only; a holder that was created by an answer that
        got lost is "already exists" for whoever asks again, so nothing can happen twice.
        """
        return self._caller.call(
            "create_holder",
            "POST",
            "/v3/account_holders",
            content=msgspec.json.encode({"id": id, "type": type} | ({"name": name} if name is not None else {})),
            repeat_after=REPEAT_HOLDER,
            consume=self._caller.reader(AccountHolder),
        )

    def get_account_holder(self, id: str) -> AccountHolder:  # noqa: A002
        """A holder; `NotFound` when there is none. 10/s."""
        return self._caller.get("holders", "/v3/account_holders/{id}", AccountHolder, id=id)

    def iter_account_holders(self, *, page_size: int = 100) -> Iterator[AccountHolder]:
        """Every holder of the account. 10 pages/s."""
        yield from self._pages("holders", "/v3/account_holders", AccountHolder, {}, page_size)

    def get_recurring_groups(self, id: str) -> list[msgspec.Raw]:  # noqa: A002
        """What recurs in a holder's history, each group as it came, for `recurrence.decode_groups`. 10/s.

        Computed when asked for; it changes nothing, so it is repeated like a GET. `NotFound` for an unknown holder.
        """
        return self._caller.call(
            "holders",
            "POST",
            "/v3/account_holders/{id}/recurring_groups",
            id=id,
            consume=self._caller.reader(list[msgspec.Raw]),
        )

    # -- the rest -----------------------------------------------------------------------------------------------

    def get_transaction(self, id: str) -> msgspec.Raw:  # noqa: A002
        """One transaction as an item of results, for `results.decode_item`: without the fields that were sent. 10/s."""
        fields = self._caller.get("transactions", "/v3/transactions/{id}", dict[str, msgspec.Raw], id=id)
        return msgspec.Raw(msgspec.json.encode({k: v for k, v in fields.items() if k not in _INPUT_FIELDS}))

    def get_categories(self, id: str) -> msgspec.Raw:  # noqa: A002
        """A category set as it came, `consumer`, `business` or an own one, for `categories.decode_set`.

        `{"incoming": [...], "outgoing": [...]}` as a rule; the OpenAPI document allows any object.
        """
        return self._caller.get("categories", "/v3/categories/{id}", msgspec.Raw, id=id)

    def close(self) -> None:
        """Close the connections that are kept for GETs."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pages(
        self, group: str, route: str, kind: type[T], filters: Mapping[str, Any], size: int | None
    ) -> Iterator[T]:
        cursor: str | None = None
        seen: set[str] = set()

        def read(response: httpx.Response, call: str, request_id: str) -> _Page[T]:
            page = read_body(self._caller.whole(response, call, request_id), _Page[kind])  # type: ignore[valid-type]
            if page.next_cursor in seen:
                raise UnknownPaging(call, status=200, request_id=request_id, note="the same cursor again")
            return page

        while True:
            # Every filter again with each cursor: SDK 5.7.0 drops one, and what a server then does is not stated.
            paging = {"limit": size, "cursor": cursor}
            params = {**filters, **{name: value for name, value in paging.items() if value}}
            page = self._caller.call(group, "GET", route, params=params, consume=read)
            yield from page.data
            cursor = page.next_cursor
            if not cursor:
                return
            seen.add(cursor)


def _checked_url(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise ConfigError("the base URL must be http:// or https:// and a host, with no user name and no query")
    return base_url.rstrip("/")


def _checked_key(api_key: str) -> bytes:
    """The key as bytes. Refused here if it cannot be a header: h11's complaint about it would quote it."""
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise ConfigError("the API key is empty or has characters that a key cannot have", hint="Check ENRICH_API_KEY.")
    return api_key.encode("ascii")
