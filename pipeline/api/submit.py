"""The batch POST: sent once, its last byte held back until the caller's ledger agrees.

Belongs here: the request itself and the verdict on it. A batch costs money and the API has no idempotency key, so
every outcome is one of four: accepted, refused, provably not sent, or unknown. Nothing here repeats anything.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import httpx
import msgspec

from pipeline.api.answers import MAX_BODY, TRANSPORT, UNREADABLE, Answer, error_for, error_from, read_body
from pipeline.api.errors import ApiError, BadAnswer, FateUnknown, NotSent
from pipeline.api.models import Batch
from pipeline.api.transport import OneShotTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

T = TypeVar("T")

CALL = "POST /v3/batches"
_CHUNK = 256 * 1024
_BY_A_PROXY = {408, 499}
"""Statuses that something between us and the API gives when it lost patience; the API itself may have the request."""


class _WithheldError(Exception):
    """Ends the body one byte short: `release` raised."""


class _Shape(msgspec.Struct):
    id: str | None = None


@dataclass(slots=True, repr=False)
class _Post:
    """One request under way. `released` turns true just before the last byte is handed over."""

    body: bytes
    release: Callable[[], None]
    released: bool = False
    refused: BaseException | None = None

    async def content(self) -> AsyncIterator[bytes]:
        last = len(self.body) - 1
        for start in range(0, last, _CHUNK):
            yield self.body[start : min(start + _CHUNK, last)]
        try:
            self.release()
        except BaseException as cause:
            # Kept aside and raised again at the end: an httpcore.WriteError from here would be taken for the
            # connection's, and a KeyboardInterrupt would tear the event loop down around the open socket.
            self.refused = cause
            raise _WithheldError from cause
        self.released = True
        yield self.body[last:]


@dataclass(frozen=True, slots=True, repr=False)
class Submitter:
    """What is the same for every batch POST of a client. No repr: it would show the key."""

    url: str
    headers: dict[str, str]
    connect_timeout: float
    post_timeout: float
    ssl_context: ssl.SSLContext | None
    redact: Callable[[bytes], bytes]

    def submit(
        self, body: bytes, *, release: Callable[[], None], request_id: str, seen: Callable[[Mapping[str, str]], None]
    ) -> Batch:
        """Send `body` and judge what came of it; see `ApiClient.submit_batch`. `seen` gets an answer's headers."""
        if not body:
            msg = "a batch body cannot be empty"
            raise ValueError(msg)
        post = _Post(body, release)
        outcome: Answer | Exception
        try:
            outcome = _run(self._exchange(post, request_id))
        except Exception as cause:  # noqa: BLE001 - judged below, never swallowed
            outcome = cause
        if post.refused is not None:
            post.refused.add_note(f"{CALL}: the last byte was withheld, nothing was sent (request id {request_id})")
            raise post.refused
        if isinstance(outcome, Exception):
            raise _without_answer(post, outcome, request_id)
        seen(outcome.headers)
        return _judge(post, outcome)

    async def _exchange(self, post: _Post, request_id: str) -> Answer:
        # httpx has no time-out for a whole request, so a server that sends a byte a minute would hold it for ever.
        timeouts = httpx.Timeout(self.post_timeout, connect=self.connect_timeout)
        headers = self.headers | {
            "X-Request-ID": request_id,
            "Content-Type": "application/json",
            "Content-Length": str(len(post.body)),
            "Connection": "close",
        }
        async with (
            asyncio.timeout(self.post_timeout),
            httpx.AsyncClient(
                transport=OneShotTransport(self.ssl_context), timeout=timeouts, trust_env=False, follow_redirects=False
            ) as client,
            client.stream("POST", self.url, content=post.content(), headers=headers) as response,
        ):
            received = await _read(response)
        return Answer(
            CALL,
            response.status_code,
            response.headers,
            self.redact(received),
            response.headers.get("x-request-id") or request_id,
        )


async def _read(response: httpx.Response) -> bytes:
    parts, size = [], 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MAX_BODY:
            raise BadAnswer(CALL, status=response.status_code, note=f"longer than {MAX_BODY} bytes")
        parts.append(part)
    return b"".join(parts)


def _without_answer(post: _Post, failure: Exception, request_id: str) -> ApiError:
    """No complete answer came: unknown once the last byte was let go, provably not sent before that."""
    cause = error_for(failure, call=CALL, request_id=request_id) if isinstance(failure, TRANSPORT) else failure
    status, note = None, type(cause).__name__
    if isinstance(cause, ApiError):
        status, note = cause.status, f"{note}, {cause.why}"
    error = (FateUnknown if post.released else NotSent)(CALL, status=status, request_id=request_id, note=note)
    error.__cause__ = cause
    return error


def _judge(post: _Post, answer: Answer) -> Batch:
    """A complete answer came. A 4xx is a refusal whenever it came; anything else but a readable 200 proves nothing."""
    status = answer.status
    if httpx.codes.is_client_error(status) and status not in _BY_A_PROXY:
        raise error_from(answer, quote=False)
    if not post.released:
        # Also a 200: no server can have accepted a body that it has not got.
        raise NotSent(
            CALL,
            status=status,
            request_id=answer.request_id,
            retry_after=answer.retry_after,
            note="answered before the whole request was sent",
        ) from error_from(answer, quote=False)
    if status != httpx.codes.OK:
        raise FateUnknown(
            CALL,
            status=status,
            request_id=answer.request_id,
            retry_after=answer.retry_after,
            batch_id=_id_in(answer.body),
        ) from error_from(answer, quote=False)
    try:
        return read_body(answer, Batch)
    except BadAnswer as cause:
        raise FateUnknown(
            CALL, status=status, request_id=answer.request_id, note=cause.why, batch_id=_id_in(answer.body)
        ) from cause


def _id_in(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_Shape).id
    except UNREADABLE:
        return None


def _run(work: Coroutine[object, object, T]) -> T:
    """Run to the end, also where this thread has an event loop already: then in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch-post") as threads:
        return threads.submit(asyncio.run, work).result()
