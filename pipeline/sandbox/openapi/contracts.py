"""What each operation takes and answers, by "METHOD /route".

Belongs here: the types of bodies, queries and answers, and the refusals that cannot be told from the route. A route
that is not here is in the document all the same, with any JSON as its answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from pipeline.sandbox import books, report_input, schema
from pipeline.sandbox.faults.plan import Plan
from pipeline.sandbox.openapi import shapes
from pipeline.sandbox.statements.shapes import Overview, StatementResults


@dataclass(frozen=True, slots=True)
class Contract:
    """Types as msgspec knows them."""

    gives: Any = Any
    """Of the JSON of 200; None for a 204."""
    takes: Any = None
    """Of the body; None for none."""
    form: Any = None
    """The same of a multipart form."""
    query: Any = None
    """A struct with one field per parameter."""
    id: Any = Annotated[str, Meta(min_length=1)]
    """Of the `{id}` in the path."""
    refuses: tuple[int, ...] = ()
    """Statuses besides those of every operation of its kind."""


_RULE = dict[str, Any]
_POSITION = Annotated[int, Meta(ge=0, le=999_999_999)]

CONTRACTS: dict[str, Contract] = {
    "POST /v3/batches": Contract(shapes.Batch, schema.BatchInput, refuses=(423,)),
    "GET /v3/batches": Contract(shapes.Page[shapes.Batch], query=shapes.BatchQuery),
    "GET /v3/batches/{id}": Contract(shapes.Batch),
    "GET /v3/batches/{id}/results": Contract(shapes.Results, refuses=(409,)),
    "POST /v3/account_holders": Contract(shapes.AccountHolder, schema.HolderInput, refuses=(400,)),
    "GET /v3/account_holders": Contract(shapes.Page[shapes.AccountHolder], query=shapes.HolderQuery),
    "GET /v3/account_holders/{id}": Contract(shapes.AccountHolder),
    "DELETE /v3/account_holders/{id}": Contract(None),
    "POST /v3/account_holders/{id}/recurring_groups": Contract(list[shapes.RecurrenceGroup]),
    "POST /v3/transactions": Contract(shapes.Enriched, schema.ItemInput, refuses=(423,)),
    "GET /v3/transactions": Contract(shapes.Page[shapes.Transaction], query=shapes.TransactionQuery),
    "GET /v3/transactions/{id}": Contract(shapes.Transaction),
    "DELETE /v3/transactions/{id}": Contract(None),
    "POST /v3/webhooks": Contract(shapes.Webhook, schema.WebhookInput, refuses=(400,)),
    "GET /v3/webhooks": Contract(shapes.Page[shapes.Webhook]),
    "GET /v3/webhooks/{id}": Contract(shapes.Webhook),
    "PATCH /v3/webhooks/{id}": Contract(shapes.Webhook, schema.WebhookChanges),
    "DELETE /v3/webhooks/{id}": Contract(None),
    "GET /v3/categories/{id}": Contract(shapes.CategorySet),
    "POST /v3/categories/{id}": Contract(shapes.CategorySet, shapes.CategorySetInput),
    "POST /v3/categories/{id}/reset": Contract(shapes.CategorySet | None),
    "POST /v3/transactions/{id}/assign": Contract(shapes.Transaction, shapes.AssignmentInput, refuses=(400,)),
    "GET /v3/entities/{id}": Contract(shapes.Entity, refuses=(400,), id=UUID),
    "POST /v3/entities/resolve": Contract(shapes.Entity, shapes.EntityInput, refuses=(400, 423)),
    "GET /v3/rules": Contract(list[_RULE]),
    "POST /v3/rules": Contract(_RULE, _RULE, refuses=(400,)),
    "POST /v3/rules/replace": Contract(list[_RULE], list[_RULE], refuses=(400,)),
    "PATCH /v3/rules/{id}": Contract(_RULE, _RULE, refuses=(400,), id=_POSITION),
    "DELETE /v3/rules/{id}": Contract(type(None), refuses=(400, 422), id=_POSITION),
    "POST /v3/reports": Contract(shapes.Report, report_input.ReportInput, refuses=(404,)),
    "GET /v3/reports": Contract(shapes.Page[shapes.Report], query=shapes.ReportQuery),
    "GET /v3/reports/{id}": Contract(shapes.Report),
    "DELETE /v3/reports/{id}": Contract(None),
    "POST /v3/bank_statements": Contract(shapes.BankStatement, form=shapes.StatementForm, refuses=(400, 415)),
    "GET /v3/bank_statements": Contract(shapes.Page[shapes.BankStatement], query=shapes.BankStatementQuery),
    "GET /v3/bank_statements/{id}": Contract(shapes.BankStatement),
    "GET /v3/bank_statements/{id}/results": Contract(StatementResults, refuses=(409,)),
    "POST /v3/bank_statements/{id}/verify": Contract(Overview, refuses=(409,)),
    "DELETE /v3/bank_statements/{id}": Contract(None),
    "GET /health": Contract(shapes.Health),
    "GET /openapi.json": Contract(dict[str, Any]),
    "GET /sandbox/openapi.json": Contract(dict[str, Any]),
    "GET /sandbox/info": Contract(shapes.Info),
    "GET /sandbox/books": Contract(books.Summary),
    "GET /sandbox/books/batches": Contract(list[books.BatchRecord]),
    "GET /sandbox/books/charges": Contract(list[books.ChargeRecord], query=shapes.ChargesQuery),
    "GET /sandbox/books/items": Contract(list[books.ItemRecord], query=shapes.ItemsQuery),
    "GET /sandbox/books/faults": Contract(list[books.FaultRecord]),
    "GET /sandbox/books/deliveries": Contract(list[books.DeliveryRecord]),
    "GET /sandbox/faults": Contract(shapes.FaultView),
    "PUT /sandbox/faults": Contract(shapes.FaultView, Plan),
    "DELETE /sandbox/faults": Contract(None),
}
