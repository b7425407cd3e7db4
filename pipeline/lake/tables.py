"""The tables, declared once: name, type and meaning of every column.

Parquet files, the warehouse's views, their comments and the checks all derive from these declarations. Nothing here
reads or writes a file.

Types are DuckDB's. Money is `DECIMAL(18,4)`: no currency of the API has more than three decimals, and 18 digits fit an
int64. Times are naive UTC `TIMESTAMP`, since DuckDB's zoned type needs a package that nothing else here needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

MONEY_SCALE = 4
"""Decimals that an amount may have; an amount with more is rejected at ingest, never rounded."""

_POLARS: dict[str, Any] = {
    "VARCHAR": pl.String,
    "VARCHAR[]": pl.List(pl.String),
    "INTEGER[]": pl.List(pl.Int32),
    "BIGINT": pl.Int64,
    "INTEGER": pl.Int32,
    "DOUBLE": pl.Float64,
    "BOOLEAN": pl.Boolean,
    "DATE": pl.Date,
    "TIMESTAMP": pl.Datetime("us"),
    "DECIMAL(18,4)": pl.Decimal(18, MONEY_SCALE),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `type` is a DuckDB type; `comment` is what an analyst reads in the warehouse."""

    name: str
    type: str
    comment: str
    required: bool = False

    @property
    def polars(self) -> Any:
        """The polars data type that is written to Parquet for this column."""
        return _POLARS[self.type]


@dataclass(frozen=True, slots=True)
class Table:
    """One table or one kind of Parquet file."""

    name: str
    comment: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Column names, in order."""
        return [column.name for column in self.columns]

    @property
    def schema(self) -> dict[str, Any]:
        """Column name to polars data type, in order."""
        return {column.name: column.polars for column in self.columns}


def _c(name: str, type_: str, comment: str, *, required: bool = False) -> Column:
    return Column(name, type_, comment, required)


# What ingest makes of a record that it accepts. A plan file has exactly these columns plus `position`.
RAW_COLUMNS = (
    _c(
        "transaction_id",
        "VARCHAR",
        "Id sent to the API: the file's own id, or one made from the content",
        required=True,
    ),
    _c("source_id", "VARCHAR", "The id as the file has it; NULL where the file has none"),
    _c("date", "DATE", "Date of the transaction", required=True),
    _c("description", "VARCHAR", "Text of the transaction as the bank printed it", required=True),
    _c("amount", "DECIMAL(18,4)", "Amount in major units, never negative; see entry_type", required=True),
    _c("entry_type", "VARCHAR", "Direction: incoming or outgoing", required=True),
    _c("currency", "VARCHAR", "ISO 4217 code", required=True),
    _c("country", "VARCHAR", "ISO 3166-1 alpha-2 code given with the transaction"),
    _c("account_holder_id", "VARCHAR", "Whose transaction it is; without one the API gives no category"),
    _c("account_holder_type", "VARCHAR", "consumer or business"),
    _c("content_hash", "VARCHAR", "Hash of everything that is sent; tells a repeat from a conflict", required=True),
    _c("source_file", "VARCHAR", "Name of the file it was first read from", required=True),
    _c("file_id", "VARCHAR", "Id of that file: hash of its bytes and its mapping", required=True),
    _c("record_number", "BIGINT", "Record in the file, from 1, header and skipped lines not counted", required=True),
    _c("ingested_at", "TIMESTAMP", "When it was read (UTC)", required=True),
)

RAW_TRANSACTIONS = Table(
    "raw_transactions",
    "One row per accepted record of every ingested file, repeats included",
    (
        *RAW_COLUMNS,
        _c("repeat", "BOOLEAN", "True when the same id with the same content was known already", required=True),
    ),
)

REJECTED_ROWS = Table(
    "rejected_rows",
    "One row per record that could not be accepted, with every reason; accepted + rejected = records in the file",
    (
        _c("source_file", "VARCHAR", "Name of the file", required=True),
        _c("file_id", "VARCHAR", "Id of the file: hash of its bytes and its mapping", required=True),
        _c("record_number", "BIGINT", "Record in the file, from 1", required=True),
        _c("reasons", "VARCHAR[]", "Every reason, each naming the column: 'amount: not a number'", required=True),
        _c("raw_text", "VARCHAR", "The record as it stands in the file", required=True),
        _c("ingested_at", "TIMESTAMP", "When it was read (UTC)", required=True),
    ),
)

# One live file holds each accepted row: a `waiting` file, a `plan` file, or a `landed` file.
WAITING = Table("waiting", "Accepted rows that are in no batch yet", RAW_COLUMNS)

TRY_COLUMNS = (
    _c("failed_tries", "INTEGER", "Times that the API answered this item with an error of its own; NULL for never"),
    _c("error_history", "VARCHAR", "JSON list of these answers: batch, code, message and time; NULL for none"),
)

PLAN = Table(
    "plan",
    "The exact items of one batch, in the order in which they are sent",
    (
        *RAW_COLUMNS,
        _c("batch_key", "VARCHAR", "The batch", required=True),
        _c("position", "BIGINT", "Index in the request, from 0", required=True),
        *TRY_COLUMNS,
    ),
)

ENRICHMENT_COLUMNS = (
    _c("counterparty_id", "VARCHAR", "The API's id of the counterparty; stable for one entity"),
    _c("counterparty_name", "VARCHAR", "Who was paid or who paid"),
    _c("counterparty_website", "VARCHAR", "Web site of the counterparty"),
    _c("counterparty_logo", "VARCHAR", "Address of its logo"),
    _c("counterparty_type", "VARCHAR", "person or organization"),
    _c("counterparty_mccs", "INTEGER[]", "Merchant category codes (ISO 18245)"),
    _c("counterparty_phone_number", "VARCHAR", "Phone number; a premium field, off by default"),
    _c("counterparty_tax_number", "VARCHAR", "Tax number; a premium field, off by default"),
    _c("counterparty_naics2017", "VARCHAR", "NAICS 2017 code; a premium field, off by default"),
    _c("counterparty_parent_id", "VARCHAR", "Id of its parent company"),
    _c("counterparty_parent_name", "VARCHAR", "Name of its parent company"),
    _c("counterparty_parent_website", "VARCHAR", "Web site of its parent company"),
    _c("category", "VARCHAR", "Category from the holder type's set"),
    _c("accounting_category", "VARCHAR", "Accounting category; business holders only"),
    _c("location_raw_address", "VARCHAR", "Address as found in the text"),
    _c("location_street", "VARCHAR", "Street"),
    _c("location_house_number", "VARCHAR", "House number"),
    _c("location_city", "VARCHAR", "City"),
    _c("location_state", "VARCHAR", "State or province"),
    _c("location_postcode", "VARCHAR", "Postcode"),
    _c("location_country_code", "VARCHAR", "ISO 3166-1 alpha-2 code found by the API"),
    _c("location_country", "VARCHAR", "Country name found by the API"),
    _c("location_latitude", "DOUBLE", "Latitude, degrees"),
    _c("location_longitude", "DOUBLE", "Longitude, degrees"),
    _c("location_google_maps_url", "VARCHAR", "Address of the place in Google's maps"),
    _c("location_apple_maps_url", "VARCHAR", "Address of the place in Apple's maps"),
    _c("location_store_number", "VARCHAR", "Number of the shop"),
    _c("error_code", "VARCHAR", "Why this item was not enriched; NULL when it was"),
    _c("error_message", "VARCHAR", "The API's words about it"),
    _c("extra", "VARCHAR", "JSON of the fields that the API sent and this version does not know"),
)

TRANSACTIONS = Table(
    "transactions",
    "Start here. One row per accepted transaction, always, whatever is still under way: see state",
    (
        *RAW_COLUMNS,
        _c(
            "state",
            "VARCHAR",
            "waiting (in no batch yet), in_flight (in a batch), enriched, item_error (see error_code), held (a person"
            " decides), quarantined",
            required=True,
        ),
        *ENRICHMENT_COLUMNS,
        *TRY_COLUMNS,
        _c("batch_key", "VARCHAR", "The batch it is in; NULL while waiting"),
        _c("position", "BIGINT", "Index in the batch, from 0"),
        _c("version", "INTEGER", "Version of the batch's rows that is shown"),
        _c("enriched_at", "TIMESTAMP", "When its result was landed (UTC)"),
        _c("source", "VARCHAR", "Who enriched it: the API's host, or sandbox for synthetic answers"),
    ),
)
"""A landed file has exactly these columns; `state` in it is `enriched` or `item_error`."""

INTERMEDIARIES = Table(
    "intermediaries",
    "Who stood between the payer and the counterparty: one row per transaction and intermediary",
    (
        _c("transaction_id", "VARCHAR", "The transaction", required=True),
        _c("position", "INTEGER", "Order in the API's answer, from 0", required=True),
        _c("intermediary_id", "VARCHAR", "The API's id of the intermediary"),
        _c("name", "VARCHAR", "Name, such as a payment processor's"),
        _c("website", "VARCHAR", "Web site"),
        _c("logo", "VARCHAR", "Address of its logo"),
        _c("mccs", "INTEGER[]", "Merchant category codes (ISO 18245)"),
        _c("phone_number", "VARCHAR", "Phone number; a premium field, off by default"),
        _c("tax_number", "VARCHAR", "Tax number; a premium field, off by default"),
        _c("naics2017", "VARCHAR", "NAICS 2017 code; a premium field, off by default"),
        _c("parent_id", "VARCHAR", "Id of its parent company"),
        _c("parent_name", "VARCHAR", "Name of its parent company"),
        _c("parent_website", "VARCHAR", "Web site of its parent company"),
        _c("batch_key", "VARCHAR", "The batch", required=True),
        _c("version", "INTEGER", "Version of the batch's rows", required=True),
    ),
)

RECURRENCE_GROUPS = Table(
    "recurrence_groups",
    "What recurs: one row per account holder and group of payments to or from one counterparty, as the API found them",
    (
        _c("account_holder_id", "VARCHAR", "The holder", required=True),
        _c("group_id", "VARCHAR", "The API's id of the group", required=True),
        _c("position", "INTEGER", "Order in the API's answer, from 0", required=True),
        _c("entry_type", "VARCHAR", "Direction: incoming or outgoing"),
        _c("counterparty_id", "VARCHAR", "The API's id of the counterparty; stable for one entity"),
        _c("counterparty_name", "VARCHAR", "Who is paid or who pays"),
        _c("counterparty_website", "VARCHAR", "Web site of the counterparty"),
        _c("counterparty_logo", "VARCHAR", "Address of its logo"),
        _c("counterparty_type", "VARCHAR", "person or organization"),
        _c("counterparty_mccs", "INTEGER[]", "Merchant category codes (ISO 18245)"),
        _c("category", "VARCHAR", "Category of the payments"),
        _c("accounting_category", "VARCHAR", "Accounting category; business holders only"),
        _c(
            "periodicity",
            "VARCHAR",
            "daily, weekly, bi-weekly, semi-monthly, monthly, …, yearly or other",
            required=True,
        ),
        _c("periodicity_in_days", "DOUBLE", "Median number of days between two payments", required=True),
        _c("transactions", "BIGINT", "Payments in the group", required=True),
        _c("total_amount", "DECIMAL(18,4)", "Sum of their amounts, in the currency of the transactions", required=True),
        _c("average_amount", "DECIMAL(18,4)", "Mean of their amounts, rounded to four decimals", required=True),
        _c("start_date", "DATE", "Date of the oldest", required=True),
        _c("end_date", "DATE", "Date of the newest", required=True),
        _c("transaction_ids", "VARCHAR[]", "The payments; recurrence_transactions has a row for each", required=True),
        _c("refreshed_at", "TIMESTAMP", "When the API was asked about this holder (UTC)", required=True),
        _c("extra", "VARCHAR", "JSON of the fields that the API sent and this version does not know"),
    ),
)
"""A file has all holders of one bucket (`pipeline.flow.recurrence`)."""

FILE_TABLES = {
    table.name: table
    for table in (
        *(RAW_TRANSACTIONS, REJECTED_ROWS, WAITING, PLAN, TRANSACTIONS, INTERMEDIARIES),
        RECURRENCE_GROUPS,
    )
}
"""Kinds of Parquet file, by the name that the manifest calls them."""

# Operations: real tables in the warehouse, copied from the ledger at publishing.
BATCHES = Table(
    "batches",
    "One row per batch: which state it is in, since when, and what happens next",
    (
        _c("batch_key", "VARCHAR", "Key of the batch; also its partition in Dagster", required=True),
        _c(
            "state",
            "VARCHAR",
            "planned, reserved, sending, unconfirmed, submitted, completed, errored, landed, held, split, quarantined",
            required=True,
        ),
        _c("state_since", "TIMESTAMP", "When it entered this state (UTC)", required=True),
        _c("rows", "BIGINT", "Items in the batch; one credit each", required=True),
        _c("rows_moved", "BIGINT", "Of these, gone on to another batch: see parent_key there", required=True),
        _c("attempts", "INTEGER", "Times it was sent", required=True),
        _c("attempts_allowed", "INTEGER", "Times it may be sent before it is held", required=True),
        _c("next_attempt_at", "TIMESTAMP", "Not sent before this (UTC)"),
        _c("vendor_batch_id", "VARCHAR", "The API's id of the latest attempt"),
        _c("progress", "BIGINT", "Items the API has processed so far"),
        _c("reason", "VARCHAR", "Why it is held or was sent again"),
        _c("parent_key", "VARCHAR", "The batch that its rows were in before: a half of it, or items sent again"),
        _c("root_key", "VARCHAR", "The batch that its rows were first cut as", required=True),
        _c("generation", "INTEGER", "0 for a first batch; one more for each split or item retry", required=True),
        _c("landed_version", "INTEGER", "Version of its rows in the tables; NULL until landed"),
        _c("planned_at", "TIMESTAMP", "When it was cut (UTC)", required=True),
        _c("landed_at", "TIMESTAMP", "When its results were landed (UTC)"),
    ),
)

BATCH_ATTEMPTS = Table(
    "batch_attempts",
    "One row per time that a batch was sent, with what it cost and why",
    (
        _c("batch_key", "VARCHAR", "The batch", required=True),
        _c("attempt", "INTEGER", "From 1", required=True),
        _c(
            "state",
            "VARCHAR",
            "not_sent, refused, unconfirmed, submitted, completed, errored, absent, superseded…",
            required=True,
        ),
        _c(
            "reason",
            "VARCHAR",
            "Why it was sent: first, batch_error, item_error, split, operator, absent",
            required=True,
        ),
        _c("vendor_batch_id", "VARCHAR", "The API's id"),
        _c("credits", "BIGINT", "Credits taken; one per item", required=True),
        _c("reserved_at", "TIMESTAMP", "When credits and slot were taken (UTC)", required=True),
        _c("submitted_at", "TIMESTAMP", "When the API's answer was recorded (UTC)"),
        _c("finished_at", "TIMESTAMP", "When its end was noticed (UTC)"),
        _c("request_id", "VARCHAR", "The API's request id, for its support"),
        _c("error", "VARCHAR", "What went wrong"),
    ),
)

ACCOUNT_HOLDERS = Table(
    "account_holders",
    "One row per account holder that a transaction names",
    (
        _c("account_holder_id", "VARCHAR", "The holder", required=True),
        _c("type", "VARCHAR", "consumer or business", required=True),
        _c(
            "state",
            "VARCHAR",
            "wanted (not created yet), confirmed, mismatch (the API has another type)",
            required=True,
        ),
        _c("first_seen_at", "TIMESTAMP", "When a file first named it (UTC)", required=True),
        _c("confirmed_at", "TIMESTAMP", "When the API had it (UTC)"),
        _c("detail", "VARCHAR", "What is wrong with it"),
        _c("category_set", "VARCHAR", "Own category set that the API has for it; NULL: the one of its type"),
        _c("recurrence_refreshed_at", "TIMESTAMP", "When the API was last asked what recurs in its history (UTC)"),
        _c("recurrence_due_since", "TIMESTAMP", "Since when its history is newer than that (UTC); NULL: it is not"),
        _c("recurrence_error", "VARCHAR", "Why its recurring groups could not be had or read; the last ones stay"),
    ),
)

API_CALLS = Table(
    "api_calls",
    "One row per day and kind of request: how many were made to the API",
    (
        _c("day", "DATE", "Day (UTC)", required=True),
        _c("call", "VARCHAR", "Method and route, such as GET /v3/batches/{id}", required=True),
        _c("calls", "BIGINT", "Requests, repeats included", required=True),
    ),
)

CATEGORY_DAYS = Table(
    "category_days",
    "One row per category set and day on which it was fetched; category_sets has a row for each of its categories",
    (
        _c("day", "DATE", "Day (UTC)", required=True),
        _c("category_set", "VARCHAR", "consumer, business, or the id of an own set", required=True),
        _c("fetched_at", "TIMESTAMP", "When it was fetched last on that day (UTC)", required=True),
        _c("incoming", "VARCHAR[]", "Categories of incoming transactions, in the API's order", required=True),
        _c("outgoing", "VARCHAR[]", "Categories of outgoing transactions, in the API's order", required=True),
    ),
)

LEDGER_TABLES = {table.name: table for table in (BATCHES, BATCH_ATTEMPTS, ACCOUNT_HOLDERS, API_CALLS, CATEGORY_DAYS)}
