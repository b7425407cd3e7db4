"""The warehouse's views that are computed: columns and comments here, SQL in `sql/<name>.sql`, one file per view.

Belongs here: what an analyst gets beyond the base tables of `tables.py`. How a warehouse file is made is in
`publish.py`. A view may use the base tables and views that come before it in `VIEWS`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from pipeline.lake.tables import (
    INTERMEDIARIES,
    LEDGER_TABLES,
    RAW_TRANSACTIONS,
    RECURRENCE_GROUPS,
    REJECTED_ROWS,
    TRANSACTIONS,
    Column,
    Table,
)

ENTITIES = Table(
    "entities",
    "One row per counterparty or intermediary that any transaction names, with the latest known attributes",
    (
        Column("entity_id", "VARCHAR", "The API's id; NULL where it gave only a name"),
        Column("name", "VARCHAR", "Name"),
        Column("website", "VARCHAR", "Web site"),
        Column("logo", "VARCHAR", "Address of its logo"),
        Column("type", "VARCHAR", "person or organization; NULL for one seen only as an intermediary"),
        Column("mccs", "INTEGER[]", "Merchant category codes (ISO 18245)"),
        Column("parent_id", "VARCHAR", "Id of its parent company"),
        Column("parent_name", "VARCHAR", "Name of its parent company"),
        Column("parent_website", "VARCHAR", "Web site of its parent company"),
        Column("roles", "VARCHAR[]", "counterparty, intermediary or both"),
        Column("transactions", "BIGINT", "Transactions that name it, in either role"),
        Column("first_date", "DATE", "Date of the earliest of them"),
        Column("last_date", "DATE", "Date of the latest of them"),
    ),
)

TRANSACTION_STATES = Table(
    "transaction_states",
    "One row per accepted transaction: where it is, and since when",
    (
        Column("transaction_id", "VARCHAR", "The transaction"),
        Column("state", "VARCHAR", "As in transactions.state"),
        Column("batch_key", "VARCHAR", "The batch it is in; NULL while waiting"),
        Column(
            "since",
            "TIMESTAMP",
            "When it was landed, else when its batch entered its state, else when it was read (UTC)",
        ),
    ),
)

SPEND_BY_CATEGORY = Table(
    "spend_by_category",
    "Outgoing money by currency and category; the totals are complete whatever is still under way",
    (
        Column("currency", "VARCHAR", "ISO 4217 code; amounts of two currencies are never added"),
        Column(
            "category",
            "VARCHAR",
            "The API's category; pending: not enriched yet; not enriched: it failed; no category: the API gave none",
        ),
        Column("transactions", "BIGINT", "How many"),
        Column("total", "DECIMAL(38,4)", "Sum of the amounts, major units"),
        Column("share", "DOUBLE", "Part of the currency's outgoing total, 0 to 1"),
    ),
)

TOP_MERCHANTS = Table(
    "top_merchants",
    "Outgoing money by currency and counterparty, largest first",
    (
        Column("currency", "VARCHAR", "ISO 4217 code"),
        Column(
            "kind",
            "VARCHAR",
            "merchant or person; else one row for all that is pending, not identified (enriched, but nobody found) or"
            " not enriched (it failed)",
        ),
        Column("rank", "BIGINT", "1 for the largest total of its currency and kind; NULL when nobody is named"),
        Column("name", "VARCHAR", "Latest known name of the counterparty"),
        Column("website", "VARCHAR", "Its latest known web site"),
        Column("transactions", "BIGINT", "How many"),
        Column("total", "DECIMAL(38,4)", "Sum of the amounts, major units"),
        Column("first_date", "DATE", "Date of the earliest"),
        Column("last_date", "DATE", "Date of the latest"),
    ),
)

MONTHLY_CASH_FLOW = Table(
    "monthly_cash_flow",
    "Money in and out by account holder, month and currency; complete whatever is still under way",
    (
        Column("account_holder_id", "VARCHAR", "The holder; NULL for all rows that name none"),
        Column("month", "DATE", "First day of the month"),
        Column("currency", "VARCHAR", "ISO 4217 code; amounts of two currencies are never added"),
        Column("incoming", "DECIMAL(38,4)", "Sum of what came in, transfers between own accounts included"),
        Column("outgoing", "DECIMAL(38,4)", "Sum of what went out, as above; never negative"),
        Column("net", "DECIMAL(38,4)", "incoming - outgoing"),
        Column("transactions", "BIGINT", "How many, of both directions"),
        Column("pending", "BIGINT", "Of these, not enriched yet; their amounts are in the sums"),
        Column("not_enriched", "BIGINT", "Of these, failed; their amounts are in the sums"),
    ),
)

RECURRENCE_TRANSACTIONS = Table(
    "recurrence_transactions",
    "Which transactions are in which recurring group: one row per group and transaction",
    (
        Column("account_holder_id", "VARCHAR", "The holder"),
        Column("group_id", "VARCHAR", "The group, as in recurrence_groups"),
        Column("transaction_id", "VARCHAR", "The transaction, as in transactions"),
        Column("nth", "BIGINT", "Its place in the group, from 1, in the API's order"),
    ),
)

SUBSCRIPTIONS = Table(
    "subscriptions",
    "What goes out regularly, by account holder: what it costs a month, when the next payment is due, whether it lasts",
    (
        Column("account_holder_id", "VARCHAR", "The holder"),
        Column("group_id", "VARCHAR", "The group, as in recurrence_groups"),
        Column("counterparty_name", "VARCHAR", "Who is paid"),
        Column("counterparty_website", "VARCHAR", "Its web site"),
        Column("category", "VARCHAR", "Category of the payments"),
        Column("currency", "VARCHAR", "ISO 4217 code; NULL where the payments are in several"),
        Column("periodicity", "VARCHAR", "daily, weekly, …, yearly or other, as the API says"),
        Column("payments", "BIGINT", "Payments so far"),
        Column("average_amount", "DECIMAL(18,4)", "Mean of their amounts"),
        Column("last_amount", "DECIMAL(18,4)", "Amount of the newest; differs from the mean after a change of price"),
        Column(
            "monthly_cost",
            "DECIMAL(18,2)",
            "By the month: the last amount if it came twice, else the average; a yearly payment counts a twelfth",
        ),
        Column("first_date", "DATE", "Date of the oldest payment"),
        Column("last_date", "DATE", "Date of the newest payment"),
        Column("next_expected", "DATE", "last_date and one period; NULL when it has lapsed"),
        Column("status", "VARCHAR", "active, or lapsed: half a period (3 days at least) overdue on as_of"),
        Column("as_of", "DATE", "Date of the holder's newest transaction: later than that nothing is known"),
    ),
)

CATEGORY_SETS = Table(
    "category_sets",
    "The categories that the API may give: one row per set, day on which it was fetched, direction and category",
    (
        Column("category_set", "VARCHAR", "consumer, business, or the id of an own set"),
        Column("day", "DATE", "Day (UTC)"),
        Column("direction", "VARCHAR", "incoming or outgoing"),
        Column("category", "VARCHAR", "The category"),
        Column("position", "BIGINT", "Its place in the API's list, from 1"),
    ),
)

UNKNOWN_CATEGORIES = Table(
    "unknown_categories",
    "Categories of enriched transactions that are in no day's list of their set; empty when all is well",
    (
        Column("category_set", "VARCHAR", "The set that the holder's categories come from"),
        Column("direction", "VARCHAR", "incoming or outgoing"),
        Column("category", "VARCHAR", "The category"),
        Column("transactions", "BIGINT", "How many have it"),
        Column("first_date", "DATE", "Date of the earliest"),
        Column("last_date", "DATE", "Date of the latest"),
    ),
)

WHAT_WENT_WRONG = Table(
    "what_went_wrong",
    "Everything that needs a person, grouped by cause, with a place to look at",
    (
        Column("kind", "VARCHAR", "rejected row, item error, held batch or quarantined batch"),
        Column("why", "VARCHAR", "The reason, or the API's error code"),
        Column("rows", "BIGINT", "How many rows; a rejected record with two reasons is counted under both"),
        Column("example", "VARCHAR", "One of them: source file and record number, or batch key"),
    ),
)

PUBLICATION = Table(
    "publication",
    "One row: which revision of the data this file shows, and how much is in it",
    (
        Column("revision", "BIGINT", "Revision of the manifest"),
        Column("published_at", "TIMESTAMP", "When this file was made (UTC)"),
        Column("transactions", "BIGINT", "Accepted transactions"),
        Column("waiting", "BIGINT", "Of these, in no batch yet"),
        Column("in_flight", "BIGINT", "Of these, in a batch that has no result yet"),
        Column("enriched", "BIGINT", "Of these, enriched"),
        Column("item_error", "BIGINT", "Of these, refused by the API one by one"),
        Column("held", "BIGINT", "Of these, in a batch that waits for a person"),
        Column("quarantined", "BIGINT", "Of these, given up"),
        Column("raw_transactions", "BIGINT", "Accepted records of all files, repeats included"),
        Column("rejected_rows", "BIGINT", "Rejected records of all files"),
    ),
)

VIEWS = {
    table.name: table
    for table in (
        *(ENTITIES, TRANSACTION_STATES, SPEND_BY_CATEGORY, TOP_MERCHANTS, MONTHLY_CASH_FLOW),
        *(RECURRENCE_TRANSACTIONS, SUBSCRIPTIONS, CATEGORY_SETS, UNKNOWN_CATEGORIES, WHAT_WENT_WRONG, PUBLICATION),
    )
}
"""Computed views by name, in the order in which they are made."""

PUBLISHED = (
    *(TRANSACTIONS, INTERMEDIARIES, RAW_TRANSACTIONS, REJECTED_ROWS),
    RECURRENCE_GROUPS,
    *VIEWS.values(),
    *LEDGER_TABLES.values(),
)
"""All that an analyst finds in the warehouse, in the order in which a person should look at it."""


@cache
def view_sql(name: str) -> str:
    """The SELECT of a computed view, as it stands in `sql/<name>.sql`."""
    return resources.files("pipeline.lake").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
