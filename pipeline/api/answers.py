"""Reading an answer: headers that matter, the API's account of an error, and typed bodies.

Belongs here: everything that turns bytes and headers into values or into an `ApiError`. It opens no connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import httpcore
import httpx
import msgspec

from pipeline.api.errors import (
    ApiError,
    BadAnswer,
    ConnectionFailed,
    ConnectionLost,
    Invalid,
    TimedOut,
    WrongShape,
    class_for,
)
from pipeline.api.models import as_utc

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

MAX_BODY = 64 * 1024 * 1024
"""Bytes of an answer other than results: a 422 with a line for each of 24,960 items is about 4 MB."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding JSON from outside may raise; the last for nesting deeper than the stack."""

_QUOTED = 200
_KEPT_TEXT = 2_000
_NEVER_OPEN = (httpx.ConnectError, httpx.ConnectTimeout, httpcore.ConnectError, httpcore.ConnectTimeout)
TRANSPORT = (
    httpx.RequestError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    OSError,
)
"""What a connection may raise; anything else is a defect of ours and keeps its own name."""
_TOO_SLOW = (httpx.TimeoutException, httpcore.TimeoutException, TimeoutError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. `request_id` is the server's, or the one that was sent with the request."""

    call: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    request_id: str

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, from `Retry-After` in either form; None when absent or senseless."""
        return read_retry_after(self.headers)


def read_date(text: str | None) -> datetime | None:
    """An HTTP date as an aware datetime in UTC; None when absent or malformed."""
    if not text:
        return None
    try:
        return as_utc(parsedate_to_datetime(text))
    except (ValueError, OverflowError):
        return None


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds. A date is counted from the server's own `Date`: the local clock may be wrong."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until, now = read_date(text), read_date(headers.get("date"))
    if until is None:
        return None
    now = now or datetime.now(until.tzinfo)
    return max(0.0, (until - now).total_seconds())


def read_detail(body: bytes) -> Any:
    """The API's account of an error: `detail`, else `details`, else the whole; text (cut) when it is not JSON.

    `input` and `ctx` of schema errors are dropped: they repeat what was sent.
    """
    try:
        whole = msgspec.json.decode(body)
    except UNREADABLE:
        return body[:_KEPT_TEXT].decode("utf-8", "replace").strip()
    detail = whole
    if isinstance(whole, dict):
        detail = next((whole[name] for name in ("detail", "details") if whole.get(name) is not None), whole)
    if isinstance(detail, list):
        return [_without_input(entry) for entry in detail]
    return detail


def _without_input(entry: Any) -> Any:
    return {k: v for k, v in entry.items() if k not in {"input", "ctx"}} if isinstance(entry, dict) else entry


def read_locations(detail: Any) -> list[tuple[tuple[str | int, ...], str]]:
    """The `(loc, message)` pairs of a 422; empty when it has another shape."""
    entries = detail if isinstance(detail, list) else []
    found = [(entry.get("loc"), entry.get("msg")) for entry in entries if isinstance(entry, dict)]
    return [(tuple(loc), str(message)) for loc, message in found if isinstance(loc, list)]


def error_from(answer: Answer, *, quote: bool = True) -> ApiError:
    """The typed error of an answer that is no success.

    `quote`: put the API's words into the message. Not for batch POSTs, where they may repeat a transaction's text.
    """
    kind = class_for(answer.status)
    detail = read_detail(answer.body)
    facts: dict[str, Any] = {
        "status": answer.status,
        "request_id": answer.request_id,
        "retry_after": answer.retry_after,
        "detail": detail,
    }
    if issubclass(kind, Invalid):
        return kind(answer.call, locations=read_locations(detail), **facts)
    words = " ".join(detail.split())[:_QUOTED] if quote and isinstance(detail, str) else ""
    return kind(answer.call, note=words, **facts)


def error_for(cause: BaseException, *, call: str, request_id: str) -> ApiError:
    """The typed error of a transport failure. The cause's own text is left out: only its class is safe to show."""
    kind: type[ApiError] = BadAnswer if isinstance(cause, httpx.DecodingError) else ConnectionLost
    if isinstance(cause, _NEVER_OPEN):
        kind = ConnectionFailed
    elif isinstance(cause, _TOO_SLOW):
        kind = TimedOut
    error = kind(call, request_id=request_id, note=type(cause).__name__)
    error.__cause__ = cause
    return error


def read_body(answer: Answer, kind: type[T]) -> T:
    """The body as `kind`. Raises `WrongShape` with the JSON path of what is wrong, never the value, or `BadAnswer`."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except UNREADABLE as cause:
        kind_of_error = class_of(cause)
        raise kind_of_error(
            answer.call, status=answer.status, request_id=answer.request_id, note=complaint(cause)
        ) from cause


def class_of(cause: Exception) -> type[BadAnswer]:
    """Which error it is when decoding failed: the same bytes again will not cure another shape."""
    return WrongShape if isinstance(cause, msgspec.ValidationError) else BadAnswer


def complaint(cause: Exception) -> str:
    """The decoder's message: paths and types. A `UnicodeDecodeError` would quote bytes, so only its place."""
    if isinstance(cause, UnicodeDecodeError):
        return f"not UTF-8 at byte {cause.start}"
    return str(cause)
