"""What the API takes: item, batch, account holder and webhook, as typed structs with the documented limits.

Belongs here: shapes only (fact sheet, sections 2.1, 3.1, 4 and 9). The structs are the fast path of validation; the
list of problems for a 422 is made in `validation`.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pipeline.sandbox.config import MAX_BATCH_ITEMS
from pipeline.sandbox.wordlist import word_set

CURRENCIES = word_set(
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BWP BYR BZD CAD CDF CHF CLP"
    " CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HUF"
    " IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LYD MAD MDL MGA MKD MMK"
    " MNT MOP MRO MUR MVR MWK MXN MYR MZN NGN NIO NOK NPR NZD OMR PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD"
    " SCR SDG SEK SGD SHP SLL SOS SRD SSP STD SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VEF VND"
    " VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWL"
)
"""The 150 codes of the OpenAPI document, withdrawn ones included."""

OPERATION = "POST /v3/transactions"
MAX_ID = 256
MAX_DESCRIPTION = 1024
COUNTRY_PATTERN = r"^[A-Z]{2}(-[A-Z0-9]{1,3})?"
"""The SDK's pattern, open at the end as there: a closed list of codes would refuse what the SDK lets through."""

HolderType = Literal["consumer", "business"]
EntryType = Literal["incoming", "outgoing"]
Event = Literal[
    "reports.resolved",
    "reports.rejected",
    "reports.pending",
    "bank_statements.completed",
    "bank_statements.error",
    "batches.completed",
    "batches.error",
]
MAX_URL = 1024
MAX_TOKEN = 128
HEADER_PATTERN = r"^([^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?)?$"
"""Of a token, which a header has to carry: no control character, no space at either end. No source has a pattern."""


class Location(msgspec.Struct, frozen=True, array_like=True):
    """Where a transaction took place, as the sender knows it."""

    raw_address: str | None = None
    country: str | None = None


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One valid TransactionInput. Array-like: stored as 130 instead of 250 bytes."""

    id: str
    description: str
    date: dt.date
    amount: float
    entry_type: str
    currency: str
    account_holder_id: str | None = None
    location: Location | None = None


class LocationInput(msgspec.Struct):
    """`location` of a request."""

    raw_address: str | None = None
    country: Annotated[str, Meta(pattern=COUNTRY_PATTERN)] | None = None


class ItemInput(msgspec.Struct):
    """TransactionInput of a request.

    The currency is looked up apart: a `Literal` of 150 makes poor messages.
    """

    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)]
    date: dt.date
    amount: Annotated[float, Meta(ge=0)]
    entry_type: EntryType
    currency: Annotated[str, Meta(extra_json_schema={"enum": sorted(CURRENCIES)})]
    account_holder_id: str | None = None
    location: LocationInput | None = None


class BatchInput(msgspec.Struct):
    """Body of POST /v3/batches: flat.

    The `{"body": …}` in the docs' curl is an artefact of their generator.
    """

    operation: Literal["POST /v3/transactions"]
    data: Annotated[list[ItemInput], Meta(min_length=1, max_length=MAX_BATCH_ITEMS)]
    priority: Literal["default", "low"] | None = None


class HolderInput(msgspec.Struct):
    """Body of POST /v3/account_holders."""

    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
    type: HolderType
    name: str | None = None
    category_id: str | None = None


class WebhookInput(msgspec.Struct):
    """Body of POST /v3/webhooks.

    That the address is one is seen in `webhook_input`.
    """

    url: Annotated[str, Meta(min_length=1, max_length=MAX_URL, extra_json_schema={"format": "uri"})]
    events: list[Event]
    token: Annotated[str, Meta(max_length=MAX_TOKEN, pattern=HEADER_PATTERN)] | None = None
    hmac_secret: str | None = None


class WebhookChanges(msgspec.Struct):
    """Body of PATCH /v3/webhooks/{id}: what is absent stays."""

    url: Annotated[str, Meta(min_length=1, max_length=MAX_URL, extra_json_schema={"format": "uri"})] | UnsetType = UNSET
    events: list[Event] | UnsetType = UNSET
    token: Annotated[str, Meta(max_length=MAX_TOKEN, pattern=HEADER_PATTERN)] | UnsetType | None = UNSET
    hmac_secret: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


def to_item(given: ItemInput) -> Item:
    """The stored form of a valid item."""
    place = given.location
    location = None if place is None else Location(place.raw_address, place.country)
    return Item(
        given.id,
        given.description,
        given.date,
        given.amount,
        given.entry_type,
        given.currency,
        given.account_holder_id,
        location,
    )
