"""Shapes of what the API answers and of what its lists may be asked, for the OpenAPI document.

Belongs here: typed structs, no behaviour (fact sheet, sections 1.1 to 7). What the API takes is in `pipeline.sandbox.
schema`. Answers are written from plain dicts where speed counts; that they have these shapes and no other field is
what `tests/sandbox/test_openapi.py` holds them to.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from pipeline.sandbox import batches, holders, transactions
from pipeline.sandbox.paging import CURSOR_PATTERN, LONGEST_LIMIT
from pipeline.sandbox.schema import EntryType, Event, HolderType

T = TypeVar("T")
Stamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Moment = Annotated[
    str,
    Meta(
        description="A time with or without offset (then UTC), or a day.",
        extra_json_schema={"anyOf": [{"format": "date-time"}, {"format": "date"}]},
    ),
]
Cursor = Annotated[str, Meta(pattern=CURSOR_PATTERN, description="`next_cursor` of the page before.")]
ReportStatus = Literal["open", "pending", "resolved", "rejected"]
Limit = Annotated[int, Meta(ge=1, le=LONGEST_LIMIT, description="Longest page; a large one is cut down.")]


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """An object with these fields and no other."""


class Refusal(Shape):
    """Any answer of 400 and above but 422."""

    detail: str


class Problem(Shape):
    """One thing that is wrong with a request; `loc` leads to it."""

    loc: list[str | int]
    msg: str
    type: str


class Problems(Shape):
    """An answer of 422."""

    detail: list[Problem]


class Page(Shape, Generic[T]):
    """One page of a list, newest first; `next_cursor` is null on the last one."""

    next_cursor: Cursor | None
    data: list[T]


class Parent(Shape):
    """The organisation that an entity belongs to."""

    id: str
    name: str | None
    website: str | None
    phone_number: str | None
    tax_number: str | None
    naics2017: str | None


class Intermediary(Shape, kw_only=True):
    """Who passed a payment on."""

    id: str
    name: str | None
    website: str | None
    logo: str | None
    phone_number: str | None
    tax_number: str | None
    naics2017: str | None
    mccs: list[int]
    parent: Parent | None


class Counterparty(Intermediary, kw_only=True):
    """Who was paid, or who paid."""

    type: Literal["person", "organization"]


class Entities(Shape):
    """Everybody in a transaction but its holder."""

    counterparty: Counterparty | None
    intermediaries: list[Intermediary]


class Categories(Shape):
    """What a transaction was for; `accounting` for business holders only."""

    general: str | None
    accounting: str | None


class Structured(Shape):
    """A place in parts."""

    street: str | None
    house_number: str | None
    city: str | None
    state: str | None
    postcode: str | None
    country_code: str | None
    country: str | None
    latitude: float | None
    longitude: float | None
    google_maps_url: str | None
    apple_maps_url: str | None
    store_number: str | None


class Location(Shape):
    """Where a transaction took place."""

    raw_address: str | None
    structured: Structured | None


class EnrichmentError(Shape):
    """Why a transaction was not enriched. A fault plan may give codes of its own."""

    code: str
    message: str


class Enriched(Shape, kw_only=True):
    """What was found out about a transaction."""

    id: str
    created_at: Stamp
    entities: Entities | None
    categories: Categories | None
    location: Location | None
    error: EnrichmentError | None


class Transaction(Enriched, kw_only=True):
    """A transaction as it was sent, and what was found out about it."""

    description: str
    date: dt.date
    amount: float
    entry_type: EntryType
    currency: str
    account_holder_id: str | None


class Batch(Shape):
    """A batch and how far it is."""

    id: str
    operation: Literal["POST /v3/transactions"]
    status: Literal["processing", "completed", "error"]
    created_at: Stamp
    updated_at: Stamp
    progress: int
    total: int
    priority: Literal["default", "low"]


class Results(Shape):
    """The results of a completed batch, in the order of its items."""

    id: str
    total: int
    status: Literal["completed"]
    results: list[Enriched]


class AccountHolder(Shape):
    """Whose transactions they are."""

    id: str
    type: HolderType
    name: str | None
    category_id: str | None
    created_at: Stamp


class RecurrenceGroup(Shape):
    """Payments that come back."""

    id: str
    start_date: dt.date
    end_date: dt.date
    total_amount: float
    average_amount: float
    periodicity_in_days: float
    periodicity: str
    counterparty: Counterparty | None
    categories: Categories | None
    transaction_ids: list[str]
    entry_type: EntryType


class Webhook(Shape):
    """Where events are sent to. Its `hmac_secret` is never shown."""

    id: str
    created_at: Stamp
    url: str
    events: list[Event]
    token: str | None
    enabled: bool


class Report(Shape):
    """A complaint about a transaction, and how far it is."""

    id: str
    transaction_id: str
    description: str
    fields: list[str]
    created_at: Stamp
    status: ReportStatus
    rejection_reason: str | None


class StatementFile(Shape):
    """The file of a bank statement; no pages if it is no PDF."""

    no_pages: int
    size: int | None


class StatementError(Shape):
    """Why a bank statement could not be read."""

    code: Literal["invalid_bank_statement", "internal_error"]
    message: str


class BankStatement(Shape):
    """An uploaded statement and how far it is."""

    id: str
    name: str | None
    status: Literal["processing", "completed", "error"]
    created_at: Stamp
    file: StatementFile
    error: StatementError | None


class CategorySet(Shape):
    """Categories by direction."""

    incoming: list[str]
    outgoing: list[str]


class CategorySetInput(msgspec.Struct):
    """Body of POST /v3/categories/{id}."""

    incoming: list[str]
    outgoing: list[str]


class AssignmentInput(msgspec.Struct):
    """Body of POST /v3/transactions/{id}/assign."""

    account_holder_id: str


class Entity(Intermediary, kw_only=True):
    """Somebody who takes part in transactions. The sandbox knows no location."""

    location: None


class EntityInput(msgspec.Struct):
    """Body of POST /v3/entities/resolve: either name or website."""

    name: str | None = None
    website: str | None = None
    location: str | None = None


class Health(Shape):
    """The server answers."""

    status: Literal["ok"]


class Info(Shape):
    """The server's version and settings."""

    version: str
    api: str
    time_scale: float
    settings: dict[str, Any]


class FaultRule(Shape):
    """What one rule of the fault plan has seen and done."""

    rule: int
    call: str
    do: str
    seen: int
    fired: int
    by_id: dict[str, dict[str, int]]


class FaultView(Shape):
    """The fault plan in force."""

    version: int | None
    plan: dict[str, Any] | None
    rules: list[FaultRule]


class Listed(msgspec.Struct, kw_only=True):
    """Query of a list."""

    created_after: Moment | None = None
    created_before: Moment | None = None
    cursor: Cursor | None = None


class BatchQuery(Listed):
    """Query of GET /v3/batches."""

    limit: Limit = batches.DEFAULT_LIMIT
    status: Literal["processing", "completed", "error"] | None = None


class HolderQuery(Listed):
    """Query of GET /v3/account_holders."""

    limit: Limit = holders.DEFAULT_LIMIT


class TransactionQuery(Listed):
    """Query of GET /v3/transactions."""

    limit: Limit = transactions.DEFAULT_LIMIT
    account_holder_id: str | None = None


class ReportQuery(Listed):
    """Query of GET /v3/reports."""

    limit: Limit = 10
    status: ReportStatus | None = None


class BankStatementQuery(Listed):
    """Query of GET /v3/bank_statements."""

    limit: Limit = 10
    status: Literal["processing", "completed", "error", "queued", "processed", "failed"] | None = None


class StatementForm(msgspec.Struct):
    """Form of POST /v3/bank_statements."""

    file: Annotated[str, Meta(description="A PDF with a text layer.", extra_json_schema={"format": "binary"})]


class ChargesQuery(msgspec.Struct):
    """Query of GET /sandbox/books/charges."""

    min: Annotated[int, Meta(ge=1, le=LONGEST_LIMIT, description="Charged at least so often.")] = 1


class ItemsQuery(msgspec.Struct):
    """Query of GET /sandbox/books/items."""

    id: str | None = None
