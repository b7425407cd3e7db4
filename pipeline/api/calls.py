"""One call made well: throttled, timed out, repeated only where that is safe, its answer read within bounds.

Belongs here: everything about GETs and holder POSTs that does not depend on which one it is. Batch POSTs do not pass
through here: they are never repeated and need a connection of their own, see `submit`.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import Counter
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx

from pipeline.api.answers import MAX_BODY, Answer, error_for, error_from, read_body, read_date
from pipeline.api.errors import (
    AnswerTooLong,
    ApiError,
    BadAnswer,
    ConnectionFailed,
    ConnectionLost,
    RateLimited,
    ServerError,
    TimedOut,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from pipeline.api.limits import Backoff, Throttle

T = TypeVar("T")

REPEAT_GET = (ConnectionFailed, ConnectionLost, TimedOut, RateLimited, ServerError, Unavailable, BadAnswer)
"""A GET is repeated after these. `NotReady` is transient too, but it clears in minutes: the caller asks again."""

REPEAT_HOLDER = (ConnectionFailed, RateLimited, Unavailable)
"""Creating a holder is repeated after these: nothing was done, and if it was, the repeat says "already exists"."""


class Caller:
    """Makes calls with one set of connections. `server_time` and `calls` are as in `ApiClient`."""

    def __init__(self, http: httpx.Client, *, url: str, key: bytes, throttle: Throttle, backoff: Backoff) -> None:
        self.server_time: datetime | None = None
        self.request_id: str | None = None
        self.heard_at = -math.inf
        self.calls: Counter[str] = Counter()
        self._http = http
        self._url = url
        self._key = key
        self._throttle = throttle
        self._backoff = backoff
        self._lock = Lock()

    def get(self, group: str, route: str, kind: type[T], *, id: str) -> T:  # noqa: A002 - the API's word
        """GET and decode. `route` is the documented one; `id` fills its `{id}`."""
        return self.call(group, "GET", route, id=id, consume=self.reader(kind))

    def reader(self, kind: type[T]) -> Callable[[httpx.Response, str, str], T]:
        """A `consume` for `call`: decoding happens inside the retries, since a cut answer is worth another try."""
        return lambda response, name, request_id: read_body(self.whole(response, name, request_id), kind)

    def call(
        self,
        group: str,
        method: str,
        route: str,
        *,
        consume: Callable[[httpx.Response, str, str], T],
        id: str | None = None,  # noqa: A002
        params: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        repeat_after: tuple[type[ApiError], ...] = REPEAT_GET,
        success: int = httpx.codes.OK,
        secret: str | None = None,
    ) -> T:
        """Make the call, again after `repeat_after`, within the back-off's bounds; `consume` reads a `success`.

        `secret` is something in `content` that an error must not quote.
        """
        path = route if id is None else route.replace("{id}", segment(id))
        attempt, waited = 0, 0.0
        while True:
            self.begin(group, f"{method} {route}")
            try:
                return self._once(method, path, params, content, consume, success, secret)
            except repeat_after as error:
                delay = self._backoff.delay(attempt, error.retry_after)
                waited += delay
                if error.fate != "transient" or attempt >= self._backoff.retries or waited > self._backoff.total:
                    raise
            self._backoff.sleep(delay)
            attempt += 1

    def begin(self, group: str, name: str) -> None:
        """Wait for a slot of the route group and count the call."""
        self._throttle.wait(group)
        with self._lock:
            self.calls[name] += 1

    def _once(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        content: bytes | None,
        consume: Callable[[httpx.Response, str, str], T],
        success: int,
        secret: str | None,
    ) -> T:
        name, request_id = f"{method} {path}", uuid.uuid4().hex
        url, headers = f"{self._url}{path}", {"X-Request-ID": request_id}
        if content:
            headers["Content-Type"] = "application/json"
        try:
            with self._http.stream(method, url, params=params, content=content, headers=headers) as response:
                self.note(response.headers)
                request_id = response.headers.get("x-request-id") or request_id
                if response.status_code != success:
                    raise error_from(_without(self.whole(response, name, request_id), secret))
                return consume(response, name, request_id)
        except httpx.RequestError as cause:
            raise error_for(cause, call=name, request_id=request_id) from cause

    def whole(self, response: httpx.Response, name: str, request_id: str) -> Answer:
        """Read an answer into memory."""
        body = self.redact(b"".join(self.parts(response, name, request_id, MAX_BODY)))
        return Answer(name, response.status_code, response.headers, body, request_id)

    def parts(self, response: httpx.Response, name: str, request_id: str, limit: int) -> Iterator[bytes]:
        """The body piece by piece; raises when it is over `limit` bytes."""
        size = 0
        for part in response.iter_bytes():
            size += len(part)
            if size > limit:
                raise AnswerTooLong(
                    name, status=response.status_code, request_id=request_id, note=f"over {limit} bytes"
                )
            yield part

    def note(self, headers: Mapping[str, str]) -> None:
        """Remember the server's clock and the request's id."""
        self.request_id = headers.get("x-request-id")
        self.heard_at = time.time()
        if (moment := read_date(headers.get("date"))) is not None:
            self.server_time = moment

    def redact(self, body: bytes) -> bytes:
        """A body without the key: an API that quotes it in an error must not bring it into our logs."""
        return body.replace(self._key, b"***")


def _without(answer: Answer, secret: str | None) -> Answer:
    return replace(answer, body=answer.body.replace(secret.encode(), b"***")) if secret else answer


def segment(id: str) -> str:  # noqa: A002
    """An id as one path segment. `.` and `..` would be resolved away, an empty one would turn a GET into a list."""
    if id in {"", ".", ".."}:
        msg = f"not usable as an id: {id!r}"
        raise ValueError(msg)
    return quote(id, safe="")
