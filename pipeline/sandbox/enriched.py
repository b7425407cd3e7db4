"""Stored items out: EnrichedTransaction and Transaction objects (fact sheet, section 2).

Belongs here: putting together what was stored at acceptance and what the engine finds. Computed whenever it is asked
for: the engine is deterministic, so nothing needs to be kept or can get lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.sandbox.engine import enrich
from pipeline.sandbox.item_error import item_error
from pipeline.sandbox.schema import Item
from pipeline.sandbox.submit import NO_HOLDER

if TYPE_CHECKING:
    from pipeline.sandbox.personal.lens import Lens

_ACCOUNTING = {"investing": "financing", "not enough information": None}
"""What stands for the two accounting categories of the OpenAPI document that the docs' prose and the SDK do not have.

The SDK cannot read a result with either of them. A fault plan (`set_items`) can still give them to a client.
"""
MISSING_HOLDER = "missing account holder information"
_DECODER = msgspec.msgpack.Decoder(Item)


PARTS = "body, holder_kind, flawed, fault, category_set"
PARTS_AT_FIRST = (
    "coalesce(first_body, body), coalesce(first_kind, holder_kind), flawed, fault,"
    " CASE WHEN first_kind IS NULL THEN category_set ELSE first_set END"
)
"""The same as they were when the item was accepted, whatever holder the transaction has been assigned to since."""
Stored = tuple[bytes, str, int, bytes | None, int | None]
"""The columns `PARTS` of an item."""


def decoded(body: bytes) -> Item:
    """A stored item."""
    return _DECODER.decode(body)


def enriched(stored: Stored, created_at: str, lens: Lens) -> dict[str, Any]:
    """An EnrichedTransaction. Treat it as read-only: its parts are shared by equal descriptions."""
    item = decoded(stored[0])
    return {"id": item.id, "created_at": created_at, **_found(item, stored, lens)}


def transaction(stored: Stored, created_at: str, lens: Lens) -> dict[str, Any]:
    """A Transaction: what was sent and what was found. Its `location` is the one found."""
    item = decoded(stored[0])
    sent = {
        "id": item.id,
        "description": item.description,
        "date": item.date,
        "amount": item.amount,
        "entry_type": item.entry_type,
        "currency": item.currency,
        "account_holder_id": item.account_holder_id,
    }
    return {**sent, "created_at": created_at, **_found(item, stored, lens)}


def _found(item: Item, stored: Stored, lens: Lens) -> dict[str, Any]:
    _, holder_kind, flawed, fault, category_set = stored
    error = item_error(holder_kind, flawed, fault)
    if error:
        return {**dict.fromkeys(("entities", "categories", "location")), "error": error}
    if holder_kind == NO_HOLDER:
        found = {**enrich(item, "consumer"), "categories": {"general": MISSING_HOLDER, "accounting": None}}
    else:
        found = enrich(item, holder_kind)
        if found["categories"]["accounting"] in _ACCOUNTING:
            accounting = _ACCOUNTING[found["categories"]["accounting"]]
            found = {**found, "categories": {**found["categories"], "accounting": accounting}}
    return {**lens.seen(item, holder_kind, category_set, found), "error": None}
