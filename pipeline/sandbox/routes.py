"""Which function answers which route, and which call rate it counts against.

Belongs here: the table, and nothing else. A new route of the API is one line here and one function beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.sandbox import (
    admin,
    bank_statements,
    batches,
    categories,
    entities,
    holders,
    openapi,
    recurring,
    reports,
    rules,
    transactions,
    webhooks,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

    from pipeline.sandbox.call import Call


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a route. `rate` names the setting of its call rate, without `_per_second`."""

    handler: Callable[[Call], Response]
    rate: str


# {id:id}: ids are the caller's own text and may hold a slash, see `paths`. So their routes stand after longer ones.
V3: tuple[tuple[str, dict[str, Operation]], ...] = (
    (
        "/v3/batches",
        {"POST": Operation(batches.create, "post_batches"), "GET": Operation(batches.list_, "get_batches")},
    ),
    ("/v3/batches/{id}", {"GET": Operation(batches.read, "get_batches")}),
    ("/v3/batches/{id}/results", {"GET": Operation(batches.results, "results")}),
    (
        "/v3/account_holders",
        {"POST": Operation(holders.create, "post_holders"), "GET": Operation(holders.list_, "holders")},
    ),
    ("/v3/account_holders/{id:id}/recurring_groups", {"POST": Operation(recurring.groups, "holders")}),
    (
        "/v3/account_holders/{id:id}",
        {"GET": Operation(holders.read, "holders"), "DELETE": Operation(holders.delete, "holders")},
    ),
    (
        "/v3/transactions",
        {
            "POST": Operation(transactions.create, "post_transactions"),
            "GET": Operation(transactions.list_, "transactions"),
        },
    ),
    ("/v3/transactions/{id:id}/assign", {"POST": Operation(transactions.assign, "transactions")}),
    (
        "/v3/transactions/{id:id}",
        {
            "GET": Operation(transactions.read, "transactions"),
            "DELETE": Operation(transactions.delete, "transactions"),
        },
    ),
    (
        "/v3/webhooks",
        {"POST": Operation(webhooks.create, "webhooks"), "GET": Operation(webhooks.list_, "webhooks")},
    ),
    (
        "/v3/webhooks/{id}",
        {
            "GET": Operation(webhooks.read, "webhooks"),
            "PATCH": Operation(webhooks.change, "webhooks"),
            "DELETE": Operation(webhooks.delete, "webhooks"),
        },
    ),
    ("/v3/categories/{id:id}/reset", {"POST": Operation(categories.reset, "categories")}),
    (
        "/v3/categories/{id:id}",
        {"GET": Operation(categories.read, "categories"), "POST": Operation(categories.change, "categories")},
    ),
    ("/v3/rules", {"GET": Operation(rules.list_, "rules"), "POST": Operation(rules.append, "rules")}),
    ("/v3/rules/replace", {"POST": Operation(rules.replace, "rules")}),
    ("/v3/rules/{id}", {"PATCH": Operation(rules.change, "rules"), "DELETE": Operation(rules.delete, "rules")}),
    ("/v3/entities/resolve", {"POST": Operation(entities.resolve, "entities")}),
    ("/v3/entities/{id}", {"GET": Operation(entities.read, "entities")}),
    (
        "/v3/reports",
        {"POST": Operation(reports.create, "reports"), "GET": Operation(reports.list_, "reports")},
    ),
    (
        "/v3/reports/{id}",
        {"GET": Operation(reports.read, "reports"), "DELETE": Operation(reports.delete, "reports")},
    ),
    (
        "/v3/bank_statements",
        {
            "POST": Operation(bank_statements.create, "bank_statements"),
            "GET": Operation(bank_statements.list_, "bank_statements"),
        },
    ),
    (
        "/v3/bank_statements/{id}",
        {
            "GET": Operation(bank_statements.read, "bank_statements"),
            "DELETE": Operation(bank_statements.delete, "bank_statements"),
        },
    ),
    ("/v3/bank_statements/{id}/results", {"GET": Operation(bank_statements.results, "bank_statements")}),
    ("/v3/bank_statements/{id}/verify", {"POST": Operation(bank_statements.verify, "bank_statements")}),
)

OPEN: tuple[tuple[str, dict[str, Callable[[Call], Response]]], ...] = (
    ("/health", {"GET": admin.health}),
    ("/openapi.json", {"GET": openapi.read}),
    ("/sandbox/openapi.json", {"GET": openapi.read_own}),
    ("/sandbox/info", {"GET": admin.info}),
    ("/sandbox/books", {"GET": admin.summary}),
    ("/sandbox/books/batches", {"GET": admin.batches}),
    ("/sandbox/books/charges", {"GET": admin.charges}),
    ("/sandbox/books/items", {"GET": admin.items}),
    ("/sandbox/books/faults", {"GET": admin.fired_faults}),
    ("/sandbox/books/deliveries", {"GET": admin.deliveries}),
    ("/sandbox/faults", {"GET": admin.faults, "PUT": admin.put_faults, "DELETE": admin.end_faults}),
)
"""Routes without a key; those under /sandbox/ answer loopback callers only."""
