"""From a delivery's bytes to an event, or to a sentence about what is wrong with them.

Shape: `{"event_id", "event_type", "data"}`; for batch events `data` is the batch, not its results
(docs.ntropy.com/webhooks).
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from pipeline.errors import EnrichError
from pipeline.ledger.inbox import BATCH_EVENTS, Event

# Bounded and without control characters: PostgreSQL takes no NUL in a text, and one row it refuses would hold up the
# others that are stored with it.
_Short = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]


class MalformedError(EnrichError):
    """A delivery that is none of the documented kind. The message names the place and the type, never a value."""


class _Delivery(msgspec.Struct):
    event_id: _Short
    event_type: _Short
    data: dict[str, Any]


class _BatchData(msgspec.Struct):
    id: _Short
    status: _Short | None = None


def read_event(body: bytes) -> Event:
    """The event of a delivery. An unknown type is an event too; of a known batch event the batch's id is needed.

    Raises MalformedError.
    """
    try:
        delivery = msgspec.json.decode(body, type=_Delivery)
    except UnicodeDecodeError as error:  # its text would quote what was sent
        raise MalformedError("not UTF-8") from error
    except RecursionError as error:
        raise MalformedError("JSON nested too deeply") from error
    except msgspec.DecodeError as error:
        raise MalformedError(str(error)) from error
    if delivery.event_type not in BATCH_EVENTS:
        return Event(delivery.event_id, delivery.event_type)
    try:
        batch = msgspec.convert(delivery.data, _BatchData)
    except msgspec.ValidationError as error:
        raise MalformedError(f"{error}, in `$.data` of {delivery.event_type}") from error
    return Event(delivery.event_id, delivery.event_type, batch.id, batch.status)
