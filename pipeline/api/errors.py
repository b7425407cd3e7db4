"""What can go wrong with a call, and whether a retry can clear it.

Belongs here: one class per row of the API's error table, with its verdict; nothing else decides what is permanent.
Reading an answer's bytes is in `answers`, deciding what became of a batch POST is in `submit`.
"""

# ruff: noqa: N818 - the names are those of the error table; "NotFoundError" says no more than "NotFound"
from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from pipeline.errors import EnrichError

Fate = Literal["permanent", "transient", "unknown"]

_VERDICT: dict[Fate, str] = {
    "permanent": "a retry cannot clear this",
    "transient": "a retry may clear this",
    "unknown": "whether it took effect is unknown",
}


class ApiError(EnrichError):
    """A call that did not give what was asked for.

    `str(error)` says which call, the verdict and the request id; it never holds the key or a transaction's text.
    `detail` is the API's own account of it, which for a refused batch may quote what was sent: it belongs in the
    ledger at most, not in a log. `retry_after` is in the API's seconds, not divided by any time scale.
    """

    fate: Fate = "permanent"
    why: str = "the answer is not one that the API documents"

    def __init__(
        self,
        call: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        detail: Any = None,
        note: str = "",
        hint: str = "",
    ) -> None:
        self.call = call
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.detail = detail
        facts = [f"status {status}" if status else "", f"request id {request_id}" if request_id else ""]
        tail = ", ".join(fact for fact in facts if fact)
        message = f"{call}: {_VERDICT[self.fate]}: {self.why}"
        super().__init__(message + (f": {note}" if note else "") + (f" ({tail})" if tail else ""), hint=hint)


class BadValue(ApiError):
    """400: a value is not acceptable here."""

    why = "a value in the request is not accepted"

    @property
    def already_exists(self) -> bool:
        """True for an account holder whose id is taken; a 400 that says so in its text (seen in public code)."""
        return "already exists" in str(self.detail).lower()


class NotAuthorized(ApiError):
    """401: a wrong key."""

    why = "the API key is wrong"
    hint = "Check ENRICH_API_KEY."


class Forbidden(ApiError):
    """403: a feature that the key does not have, or no key at all (seen in a live probe)."""

    why = "the key is missing or does not have this feature"
    hint = "Check ENRICH_API_KEY and what the account may do."


class NotFound(ApiError):
    """404."""

    why = "there is no such thing at the API"


class MethodNotAllowed(ApiError):
    """405."""

    why = "the API does not take this method here"


class NotReady(ApiError):
    """409 or 425, or results whose status is not `completed`: ask again later, in minutes rather than seconds."""

    fate = "transient"
    why = "it is busy or not ready yet"


class TooLarge(ApiError):
    """413."""

    why = "the request is too large"


class UnsupportedType(ApiError):
    """415."""

    why = "the API does not take this content type"


class Invalid(ApiError):
    """422: the request does not match the schema.

    `locations` holds `(loc, message)` pairs; `loc` is like `("body", "data", 3, "amount")`.
    """

    why = "the request does not match the API's schema"

    def __init__(self, call: str, *, locations: list[tuple[tuple[str | int, ...], str]], **facts: Any) -> None:
        self.locations = locations
        if locations:
            first = ".".join(str(part) for part in locations[0][0])
            facts["note"] = f"{len(locations)} places, the first at {first}"
        super().__init__(call, **facts)


class OutOfCredits(ApiError):
    """423: the prepaid credits are used up. Not the rate bucket, which answers 429."""

    why = "the account is out of credits"
    hint = "Buy credits, then close the circuit."


class RateLimited(ApiError):
    """429."""

    fate = "transient"
    why = "too many calls or too many credits a second"


class UnexpectedStatus(ApiError):
    """A redirect (never followed: it would take the key along), or a 4xx that the API does not document."""

    why = "the API does not document this status; is the base URL right?"


class ServerError(ApiError):
    """500, and any other 5xx that has no class of its own."""

    fate = "transient"
    why = "the API failed"


class Unavailable(ApiError):
    """502, 503 or 504."""

    fate = "transient"
    why = "the API cannot be reached behind its gateway"


class ConnectionFailed(ApiError):
    """No connection came about: refused, no such host, TLS, or no answer to connecting. Nothing was sent."""

    fate = "transient"
    why = "no connection to the API"


class ConnectionLost(ApiError):
    """The connection broke after it was open."""

    fate = "transient"
    why = "the connection broke"


class TimedOut(ApiError):
    """No answer, or not all of it, in time (also 408)."""

    fate = "transient"
    why = "no complete answer in time"


class BadAnswer(ApiError):
    """An answer that cannot be read: cut short, or a proxy's page instead of JSON."""

    fate: Fate = "transient"
    why = "the answer cannot be read"


class WrongShape(BadAnswer):
    """JSON, but not as documented: a field that was renamed or has another type."""

    fate = "permanent"
    why = "the answer has another shape than this version knows"


class AnswerTooLong(BadAnswer):
    """An answer over the bound on its size."""

    fate = "permanent"
    why = "the answer is longer than it may be"


class UnknownPaging(BadAnswer):
    """Paging that this version does not know or that goes in circles; taking a part for the whole would lose rows."""

    fate = "permanent"
    why = "the answer is paged in a way that is not understood"


class NotSent(ApiError):
    """A batch POST that provably did not happen: its last byte was never released. `__cause__` says what went wrong."""

    fate = "transient"
    why = "the batch was not sent"


class FateUnknown(ApiError):
    """A batch POST that may or may not have created a batch. Never repeat it; look for the batch instead.

    `batch_id` is set when an answer was cut or malformed but still showed one: evidence for a person, no proof.
    """

    fate = "unknown"
    why = "the batch may or may not have been accepted"

    def __init__(self, call: str, *, batch_id: str | None = None, **facts: Any) -> None:
        self.batch_id = batch_id
        super().__init__(call, **facts)


BY_STATUS: dict[int, type[ApiError]] = {
    400: BadValue,
    401: NotAuthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    408: TimedOut,
    409: NotReady,
    413: TooLarge,
    415: UnsupportedType,
    422: Invalid,
    423: OutOfCredits,
    425: NotReady,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def class_for(status: int) -> type[ApiError]:
    """The class of an answer with this status, for any status that is not a success."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerError
    return BadAnswer if status < HTTPStatus.MULTIPLE_CHOICES else UnexpectedStatus
