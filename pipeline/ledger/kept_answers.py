"""Archived answers that are of no batch. Paths only, as in `documents`; rows that are read from them name them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert

from pipeline.ledger import schema

CATEGORIES = "categories"
"""An answer of `GET /v3/categories/{id}`, as it came."""
RECURRING = "recurring"
"""Answers of `POST /v3/account_holders/{id}/recurring_groups` of several holders, each as it came, in one document."""


def add(conn: Connection, kind: str, path: str, items: int, *, now: datetime) -> None:
    """Note an archived document, inside the caller's write transaction. `path` is relative to the archive's root."""
    conn.execute(insert(schema.kept_answers).values(path=path, kind=kind, items=items, archived_at=now))
