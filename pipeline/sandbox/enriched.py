"""Stored items out: EnrichedTransaction and Transaction objects (fact sheet, section 2).

Belongs here: putting together what was stored at acceptance and what the engine finds. Computed whenever it is asked
for: the engine is deterministic, so nothing needs to be kept or can get lost.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.sandbox.engine import enrich
from pipeline.sandbox.item_error import item_error
from pipeline.sandbox.schema import Item
from pipeline.sandbox.submit import NO_HOLDER

MISSING_HOLDER = "missing account holder information"
_DECODER = msgspec.msgpack.Decoder(Item)


Stored = tuple[bytes, str, int, bytes | None]
"""Columns `body`, `holder_kind`, `flawed` and `fault` of an item."""


def enriched(stored: Stored, created_at: str) -> dict[str, Any]:
    """An EnrichedTransaction. Treat it as read-only: its parts are shared by equal descriptions."""
    body, holder_kind, flawed, fault = stored
    item = _DECODER.decode(body)
    return {"id": item.id, "created_at": created_at, **_found(item, holder_kind, flawed, fault)}


def transaction(stored: Stored, created_at: str) -> dict[str, Any]:
    """A Transaction: what was sent and what was found. Its `location` is the one found."""
    body, holder_kind, flawed, fault = stored
    item = _DECODER.decode(body)
    sent = {
        "id": item.id,
        "description": item.description,
        "date": item.date,
        "amount": item.amount,
        "entry_type": item.entry_type,
        "currency": item.currency,
        "account_holder_id": item.account_holder_id,
    }
    return {**sent, "created_at": created_at, **_found(item, holder_kind, flawed, fault)}


def _found(item: Item, holder_kind: str, flawed: int, fault: bytes | None) -> dict[str, Any]:
    error = item_error(holder_kind, flawed, fault)
    if error:
        return {**dict.fromkeys(("entities", "categories", "location")), "error": error}
    if holder_kind == NO_HOLDER:
        found = {**enrich(item, "consumer"), "categories": {"general": MISSING_HOLDER, "accounting": None}}
    else:
        found = enrich(item, holder_kind)
    return {**found, "error": None}
