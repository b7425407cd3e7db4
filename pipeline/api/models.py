"""The API's objects as small typed structs.

Belongs here: field names and types of Ntropy's v3 OpenAPI document (archived 2026-07-31), read leniently: values of
enumerations are plain text, and most fields are optional. Items of results are read through `results.decode_item`,
which keeps unknown fields. Nothing here reads files or makes calls.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import msgspec

Progress = Literal["done", "failed", "waiting"]

_PROGRESS: dict[str, Progress] = {"completed": "done", "error": "failed", "processing": "waiting"}


def classify(status: str) -> Progress:
    """What a batch's status means. An unknown one means waiting: "failed" would pay twice, "done" would lose it."""
    return _PROGRESS.get(status, "waiting")


def as_utc(moment: datetime) -> datetime:
    """An aware datetime in UTC. The API's samples have times with and without a zone; those without are UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class _Struct(msgspec.Struct, frozen=True, gc=False):
    """Base of all: immutable, and not tracked by the garbage collector since nothing here can form a cycle."""


class _Known(_Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Base of what results consist of. Refusing unknown fields is how `results.decode_item` notices them."""


class Batch(_Struct, frozen=True, gc=False):
    """A batch. `progress` is for display only; `priority` is returned to SDK 5.7.0 but documented nowhere."""

    id: str
    operation: str
    status: str
    created_at: datetime
    updated_at: datetime
    progress: int
    total: int
    priority: str | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "created_at", as_utc(self.created_at))
        msgspec.structs.force_setattr(self, "updated_at", as_utc(self.updated_at))

    @property
    def is_done(self) -> bool:
        """Its results can be fetched."""
        return classify(self.status) == "done"

    @property
    def is_error(self) -> bool:
        """It failed as a whole and has no results."""
        return classify(self.status) == "failed"


class AccountHolder(_Struct, frozen=True, gc=False):
    """An account holder. `type` is `consumer` or `business`; there is no call that changes it."""

    id: str
    type: str
    created_at: datetime
    name: str | None = None
    category_id: str | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "created_at", as_utc(self.created_at))


class Webhook(_Struct, frozen=True, gc=False):
    """A webhook of the organization. The API shows `token` in clear; `repr` does not."""

    id: str
    created_at: datetime
    url: str
    events: list[str]
    enabled: bool
    token: str | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "created_at", as_utc(self.created_at))

    def __repr__(self) -> str:
        return f"Webhook({self.id!r}, {self.url!r}, {self.events!r}, enabled={self.enabled})"


class EntityParent(_Known, frozen=True, gc=False):
    """The parent company of an entity."""

    id: str | None = None
    name: str | None = None
    website: str | None = None
    phone_number: str | None = None
    tax_number: str | None = None
    naics2017: str | None = None


class Intermediary(_Known, frozen=True, gc=False):
    """Who stood between payer and counterparty. `phone_number`, `tax_number` and `naics2017` are premium fields."""

    id: str | None = None
    name: str | None = None
    website: str | None = None
    logo: str | None = None
    phone_number: str | None = None
    tax_number: str | None = None
    naics2017: str | None = None
    mccs: list[int] | None = None
    parent: EntityParent | None = None


class Counterparty(Intermediary, frozen=True, gc=False):
    """Who was paid or who paid. `type` is `person` or `organization`."""

    type: str | None = None


class Entities(_Known, frozen=True, gc=False):
    """Everybody found in a transaction."""

    counterparty: Counterparty | None = None
    intermediaries: list[Intermediary] | None = None


class Categories(_Known, frozen=True, gc=False):
    """Categories of a transaction: from the holder type's set, and for business holders the accounting one."""

    general: str | None = None
    accounting: str | None = None


class StructuredLocation(_Known, frozen=True, gc=False):
    """Parts of a location; latitude and longitude in degrees."""

    street: str | None = None
    house_number: str | None = None
    city: str | None = None
    state: str | None = None
    postcode: str | None = None
    country_code: str | None = None
    country: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    google_maps_url: str | None = None
    apple_maps_url: str | None = None
    store_number: str | None = None


class Location(_Known, frozen=True, gc=False):
    """Where it was."""

    raw_address: str | None = None
    structured: StructuredLocation | None = None


class ItemError(_Known, frozen=True, gc=False):
    """Why one item was not enriched: `account_holder_not_found`, `internal_error`, or a code that is new."""

    code: str
    message: str | None = None


class EnrichedTransaction(_Known, frozen=True, gc=False):
    """One item of a batch's results. Of what was sent only `id` comes back."""

    id: str
    created_at: datetime | None = None
    entities: Entities | None = None
    categories: Categories | None = None
    location: Location | None = None
    error: ItemError | None = None

    def __post_init__(self) -> None:
        if self.created_at is not None:
            msgspec.structs.force_setattr(self, "created_at", as_utc(self.created_at))


class RecurrenceGroup(_Known, frozen=True, gc=False):
    """Payments of one holder that recur: `periodicity` is a word, `periodicity_in_days` the median gap.

    Dates are text, a day with or without a time. There is no currency in it; the transactions have one.
    """

    id: str
    start_date: str
    end_date: str
    total_amount: Decimal
    average_amount: Decimal
    periodicity_in_days: Decimal
    periodicity: str
    transaction_ids: list[str]
    entry_type: str | None = None
    counterparty: Counterparty | None = None
    categories: Categories | None = None
