"""The result document as pydantic v2 models, and its rows: the other side of the comparison in landing.py.

Belongs here: what somebody would write with pydantic, written as well as we can. Shapes and enumerations are those of
Ntropy's OpenAPI document (archived 2026-07-31), which the SDK's own models follow. As with those, one value that does
not fit loses the whole document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Strict: a number is no text and a text no number. Unknown fields are ignored, as by the SDK."""

    model_config = ConfigDict(strict=True, frozen=True)


class EntityParent(Model):
    """A parent company."""

    id: str | None = None
    name: str | None = None
    website: str | None = None
    phone_number: str | None = None
    tax_number: str | None = None
    naics2017: str | None = None


class Intermediary(EntityParent):
    """Who stood in between."""

    logo: str | None = None
    mccs: list[int] | None = None
    parent: EntityParent | None = None


class Counterparty(Intermediary):
    """Who paid or was paid."""

    type: Literal["person", "organization"]


class Entities(Model):
    """Everybody in a transaction."""

    counterparty: Counterparty | None = None
    intermediaries: list[Intermediary] | None = None


class Categories(Model):
    """Categories of a transaction."""

    general: str | None
    accounting: str | None = None


class Structured(Model):
    """Parts of a location."""

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


class Location(Model):
    """Where it was."""

    raw_address: str | None = None
    structured: Structured | None = None


class ItemError(Model):
    """Why an item was not enriched."""

    code: Literal["account_holder_not_found", "internal_error"]
    message: str


class EnrichedTransaction(Model):
    """One item."""

    id: str
    created_at: datetime
    entities: Entities | None = None
    categories: Categories | None = None
    location: Location | None = None
    error: ItemError | None = None


class BatchResult(Model):
    """The whole document."""

    id: str
    total: int
    status: Literal["processing", "completed", "error"]
    results: list[EnrichedTransaction]


_NOBODY = Intermediary()
_NOWHERE = Structured()
_PLACE = ("street", "house_number", "city", "state", "postcode", "country_code", "country", "latitude", "longitude",
          "store_number")  # fmt: skip
_IN_PLAN = 15
"""Columns of the plan that come before what the API found; batch key and position come after."""


def rows_of(
    plan: Sequence[tuple[Any, ...]], document: BatchResult, version: int, at: datetime, source: str
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Rows of `transactions` and of `intermediaries`, in the columns' order. `plan`: rows of a plan file."""
    found = {item.id: item for item in document.results}
    rows, between = [], []
    for planned in plan:
        item, key = found[planned[0]], planned[_IN_PLAN]
        state = "enriched" if item.error is None else "item_error"
        tail = (*planned[_IN_PLAN:], version, at, source)
        rows.append((*planned[:_IN_PLAN], state, *_enrichment(item), *tail))
        if item.entities is not None:
            between += [
                (item.id, place, p.id, p.name, p.website, p.logo, p.mccs, *_parent(p), key, version)
                for place, p in enumerate(item.entities.intermediaries or ())
            ]
    return rows, between


def _enrichment(item: EnrichedTransaction) -> tuple[Any, ...]:
    party: Intermediary = (item.entities.counterparty if item.entities else None) or _NOBODY
    who = (party.id, party.name, party.website, party.logo, getattr(party, "type", None), party.mccs, *_parent(party))
    what = (item.categories.general, item.categories.accounting) if item.categories else (None, None)
    place = (item.location.structured if item.location else None) or _NOWHERE
    where = (item.location.raw_address if item.location else None, *(getattr(place, name) for name in _PLACE))
    error = (item.error.code, item.error.message) if item.error else (None, None)
    return (*who, *what, *where, *error, None)


def _parent(party: Intermediary) -> tuple[str | None, str | None, str | None]:
    parent = party.parent
    return (parent.id, parent.name, parent.website) if parent else (None, None, None)


def literal(value: Any) -> str:
    """A value as it stands in an INSERT statement."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list):
        return "[" + ",".join(map(literal, value)) + "]"
    return f"'{value}'"


def columns_of(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Mapping[str, list[Any]]:
    """Rows turned into columns."""
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}
