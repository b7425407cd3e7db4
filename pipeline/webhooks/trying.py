"""Deliver a test event to a receiver, as the API would: to see that address, proxy and token work.

The event's type is none that anybody waits for, so it is stored and ignored.
"""

from __future__ import annotations

import http.client
import uuid
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from pipeline.errors import ConfigError, EnrichError
from pipeline.webhooks.guard import TOKEN_HEADER

TEST_EVENT = "enrich.test"
SENDER_TIMEOUT = 10
"""Seconds that the API waits for an answer (docs.ntropy.com/webhooks)."""
_SHOWN = 500


class NotDeliveredError(EnrichError):
    """Nothing answered."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back: the status and the beginning of the body."""

    event_id: str
    status: int
    body: str

    @property
    def ok(self) -> bool:
        """Whether the API would take it for delivered: any 2xx."""
        return self.status // 100 == 2  # noqa: PLR2004 - as it says


def deliver_test(url: str, token: str | None) -> Answered:
    """POST one test event to `url`. Raises NotDeliveredError when there is no answer within the API's 10 s."""
    try:
        parts, port = urlsplit(url), urlsplit(url).port
    except ValueError as error:
        raise ConfigError(f"that is no URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"the receiver's URL must start with http:// or https://, not {url!r}")
    event_id = f"test-{uuid.uuid4()}"
    body = msgspec.json.encode({"event_id": event_id, "event_type": TEST_EVENT, "data": {}})
    headers = {"Content-Type": "application/json"} | ({TOKEN_HEADER: token} if token else {})
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, port, timeout=SENDER_TIMEOUT)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        answer = connection.getresponse()
        return Answered(event_id, answer.status, answer.read(_SHOWN).decode("utf-8", "replace"))
    except UnicodeError as error:  # its own text speaks of a codec and a position
        raise ConfigError(
            f"the receiver's URL cannot be sent as it is: {url!r}",
            hint="Write its path in %-encoding, and a host's name in the form that DNS has (xn--…).",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise NotDeliveredError(
            f"no answer from {parts.hostname}: {error}", hint="Is `enrich webhooks serve` running there?"
        ) from error
    finally:
        connection.close()
