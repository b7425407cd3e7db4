"""The format of a fault plan as structs, strictly validated; the package's docstring explains every field.

Belongs here: which fields there are and what may stand in them, by kind; all kinds together are in `kinds`. What a rule
does is in `engine`, `wire`, `documents`, `acceptance` and `pipeline.sandbox.events`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Number = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]
Positions = list[Annotated[int, Meta(ge=0)]] | Literal["all"]
When = Literal["before", "after"]
TEXT_PATH = "entities.counterparty.name"


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", omit_defaults=True):
    """Which calls."""

    call: str
    ids: Annotated[list[str], Meta(min_length=1)] | None = None
    batches: Annotated[list[Number | str], Meta(min_length=1)] | None = None
    nth: Annotated[list[Number], Meta(min_length=1)] | None = None
    from_: Number | None = msgspec.field(default=None, name="from")
    to: Number | None = None
    every: Number | None = None
    share: Share | None = None
    times: Annotated[int, Meta(ge=0)] | None = None
    each: bool = False


class AnswerRule(Rule, frozen=True, kw_only=True):
    """A fault of the connection or of the whole answer."""


class Drop(AnswerRule, frozen=True, kw_only=True, tag="drop"):
    """No answer."""

    when: When
    how: Literal["close", "reset"] = "close"


class Delay(AnswerRule, frozen=True, kw_only=True, tag="delay"):
    """A late answer; before: late processing as well."""

    seconds: Seconds
    when: When


class Status(AnswerRule, frozen=True, kw_only=True, tag="status"):
    """Another answer."""

    status: Annotated[int, Meta(ge=200, le=599)]
    when: When = "before"
    detail: str = "A fault of the plan"
    retry_after: Number | Annotated[str, Meta(pattern="^[ -~]*$")] | None = None
    items: list[Annotated[int, Meta(ge=0)]] | None = None
    field: str = "amount"
    page: bool = False


class Dribble(AnswerRule, frozen=True, kw_only=True, tag="dribble"):
    """A slow body."""

    seconds: Seconds
    pieces: Annotated[int, Meta(ge=2)] = 10


class Truncate(AnswerRule, frozen=True, kw_only=True, tag="truncate"):
    """A body that ends too early."""

    keep: Share = 0.5
    how: Literal["length", "chunked", "json"] = "length"


class Skew(AnswerRule, frozen=True, kw_only=True, tag="skew"):
    """A clock that is wrong."""

    seconds: float


class BatchRule(Rule, frozen=True, kw_only=True):
    """Something that happens to a batch once it is accepted."""


class BatchError(BatchRule, frozen=True, kw_only=True, tag="batch_error"):
    """Status error."""


class BatchNeverEnds(BatchRule, frozen=True, kw_only=True, tag="batch_never_ends"):
    """Status processing for ever."""


class BatchSlow(BatchRule, frozen=True, kw_only=True, tag="batch_slow"):
    """A longer time."""

    factor: Annotated[float, Meta(gt=0)]


class BatchHidden(BatchRule, frozen=True, kw_only=True, tag="batch_hidden"):
    """A list that lags."""

    seconds: Seconds
    by_id: bool = False


class BatchExpires(BatchRule, frozen=True, kw_only=True, tag="batch_expires"):
    """Results, or a batch, that are kept for a while only."""

    seconds: Seconds
    what: Literal["results", "batch"] = "results"


class WebhookRule(BatchRule, frozen=True, kw_only=True):
    """Something that happens to the event which tells of a batch's end."""


class WebhookLost(WebhookRule, frozen=True, kw_only=True, tag="webhook_lost"):
    """No event."""


class WebhookLate(WebhookRule, frozen=True, kw_only=True, tag="webhook_late"):
    """A late event."""

    seconds: Seconds


class WebhookRepeated(WebhookRule, frozen=True, kw_only=True, tag="webhook_repeated"):
    """The same event several times."""

    copies: Annotated[int, Meta(ge=2, le=100)] = 2
    seconds: Seconds = 0.0


class WebhookReordered(WebhookRule, frozen=True, kw_only=True, tag="webhook_reordered"):
    """An event after later ones."""

    behind: Number = 1
    seconds: Seconds = 3600.0


class WebhookEarly(WebhookRule, frozen=True, kw_only=True, tag="webhook_early"):
    """An event before the API shows what it tells."""

    seconds: Seconds
    show: Literal["nothing", "processing"] = "nothing"


class ItemRule(Rule, frozen=True, kw_only=True):
    """Something that happens to an item."""


class ItemError(ItemRule, frozen=True, kw_only=True, tag="item_error"):
    """`error` in an item's result."""

    code: str = "internal_error"
    message: str = "This transaction could not be processed"


class ItemInvalid(ItemRule, frozen=True, kw_only=True, tag="item_invalid"):
    """A 422 for the whole request."""

    field: str = "description"


class DocumentRule(Rule, frozen=True, kw_only=True):
    """A change of an answer's document."""


class Set(DocumentRule, frozen=True, kw_only=True, tag="set"):
    """One value."""

    path: Annotated[str, Meta(min_length=1)]
    value: Any


class WrongTotal(DocumentRule, frozen=True, kw_only=True, tag="wrong_total"):
    """`total` and `results` disagree."""

    by: int = 1


class Padding(DocumentRule, frozen=True, kw_only=True, tag="padding"):
    """A much larger document."""

    factor: Annotated[float, Meta(gt=1)] = 10.0


class ItemsRule(DocumentRule, frozen=True, kw_only=True):
    """A change of items of a document."""


class ReorderedItems(ItemsRule, frozen=True, kw_only=True, tag="reordered_items"):
    """Another order."""


class UnknownFields(ItemsRule, frozen=True, kw_only=True, tag="unknown_fields"):
    """Fields that nobody has heard of."""


class ExtraItems(ItemsRule, frozen=True, kw_only=True, tag="extra_items"):
    """Items that nobody has sent."""

    give: Annotated[list[str], Meta(min_length=1)] = msgspec.field(default_factory=lambda: ["foreign-0"])


class PickedItems(ItemsRule, frozen=True, kw_only=True):
    """A change of some items: those of `ids`, or those at the positions `at`."""

    at: Positions = msgspec.field(default_factory=lambda: [0])


class SetItems(PickedItems, frozen=True, kw_only=True, tag="set_items"):
    """One value in each."""

    path: str
    value: Any


class NullItems(PickedItems, frozen=True, kw_only=True, tag="null_items"):
    """null in place of an object."""


class MissingItems(PickedItems, frozen=True, kw_only=True, tag="missing_items"):
    """Nothing in place of an object."""


class DuplicateItems(PickedItems, frozen=True, kw_only=True, tag="duplicate_items"):
    """Twice the same."""


class LoneSurrogate(PickedItems, frozen=True, kw_only=True, tag="lone_surrogate"):
    """Half a character: legal in JSON, no text in Unicode."""

    path: Annotated[str, Meta(min_length=1)] = TEXT_PATH


class BadUtf8(PickedItems, frozen=True, kw_only=True, tag="bad_utf8"):
    """Bytes that are no text."""

    path: Annotated[str, Meta(min_length=1)] = TEXT_PATH
