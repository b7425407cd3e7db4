"""One batch's results beside its plan, as the rows that are landed. Pure: frames in, frames out.

Whatever the document lacks or spoils stays local to its item: every row of the plan is a row of the landing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from pipeline.api.models import EnrichedTransaction
from pipeline.api.results import DecodedItem, decode_item
from pipeline.lake import tables

RESULT_MISSING = "result_missing"
RESULT_UNREADABLE = "result_unreadable"

_MAX_CODE = 999_999

_ENRICHED = [column.name for column in tables.ENRICHMENT_COLUMNS]


@dataclass(frozen=True, slots=True)
class Landing:
    """Frames of one batch version, with counts by state and what did not fit (paths and counts, no texts)."""

    transactions: pl.DataFrame
    intermediaries: pl.DataFrame
    counts: dict[str, int]
    problems: list[str]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every landed row of a version carries."""

    batch_key: str
    version: int
    source: str
    enriched_at: datetime


def build(plan: pl.DataFrame, items: list[msgspec.Raw], stamp: Stamp) -> Landing:
    """Join a plan file's rows with the items of a result document, by id.

    Shapes: the plan's columns are `tables.PLAN`; the result's are `tables.TRANSACTIONS` and `tables.INTERMEDIARIES`.
    """
    decoded, problems = _by_id([decode_item(raw) for raw in items], set(plan["transaction_id"]))
    ids = plan["transaction_id"].to_list()
    columns: dict[str, list[Any]] = {name: [] for name in _ENRICHED}
    states, between = [], []
    for transaction_id in ids:
        row, parties = _row(decoded.get(transaction_id), transaction_id, stamp)
        states.append("enriched" if row["error_code"] is None else "item_error")
        for name in _ENRICHED:
            columns[name].append(row[name])
        between += parties
    enrichment = pl.DataFrame(columns, schema={name: tables.TRANSACTIONS.schema[name] for name in _ENRICHED})
    rows = plan.hstack(enrichment).with_columns(
        pl.Series("state", states, dtype=pl.String),
        version=pl.lit(stamp.version, dtype=pl.Int32),
        enriched_at=pl.lit(stamp.enriched_at, dtype=pl.Datetime("us")),
        source=pl.lit(stamp.source),
    )
    intermediaries = pl.DataFrame(between, schema=tables.INTERMEDIARIES.schema, orient="row")
    return Landing(rows.select(tables.TRANSACTIONS.names), intermediaries, dict(Counter(states)), problems)


def _by_id(decoded: list[DecodedItem], planned: set[str]) -> tuple[dict[str, DecodedItem], list[str]]:
    by_id: dict[str, DecodedItem] = {}
    problems = []
    for index, item in enumerate(decoded):
        problems += [f"results[{index}]{problem}" for problem in item.problems]
        if item.id is None or item.id not in planned:
            problems.append(f"results[{index}]: an id that was not sent")
        elif item.id in by_id:
            problems.append(f"results[{index}]: an id that was there before")
        else:
            by_id[item.id] = item
    if missing := len(planned) - len(by_id):
        problems.append(f"results: {missing} of {len(planned)} items are missing")
    return by_id, problems


def _row(
    decoded: DecodedItem | None, transaction_id: str, stamp: Stamp
) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    row: dict[str, Any] = dict.fromkeys(_ENRICHED)
    if decoded is None or decoded.item is None:
        row["error_code"] = RESULT_MISSING if decoded is None else RESULT_UNREADABLE
        row["error_message"] = "the API's results have no readable item for this transaction"
        return row, []
    item = decoded.item
    _fill(row, item)
    row["extra"] = decoded.extra.decode() if decoded.extra else None
    if item.error is not None:
        row["error_code"], row["error_message"] = item.error.code, item.error.message
    return row, _parties(item, transaction_id, stamp)


def _codes(codes: list[int] | None) -> list[int] | None:
    """Merchant category codes have four digits; a number that fits no column must not cost the whole batch."""
    return None if codes is None else [code for code in codes if 0 <= code <= _MAX_CODE]


def _fill(row: dict[str, Any], item: EnrichedTransaction) -> None:
    if item.entities is not None and (party := item.entities.counterparty) is not None:
        row["counterparty_id"], row["counterparty_name"] = party.id, party.name
        row["counterparty_website"], row["counterparty_logo"] = party.website, party.logo
        row["counterparty_type"], row["counterparty_mccs"] = party.type, _codes(party.mccs)
        if (parent := party.parent) is not None:
            row["counterparty_parent_id"], row["counterparty_parent_name"] = parent.id, parent.name
            row["counterparty_parent_website"] = parent.website
    if item.categories is not None:
        row["category"], row["accounting_category"] = item.categories.general, item.categories.accounting
    if item.location is not None:
        row["location_raw_address"] = item.location.raw_address
        if (place := item.location.structured) is not None:
            for name in _PLACE:
                row[f"location_{name}"] = getattr(place, name)


_PLACE = [name.removeprefix("location_") for name in _ENRICHED if name.startswith("location_")]
_PLACE.remove("raw_address")


def _parties(item: EnrichedTransaction, transaction_id: str, stamp: Stamp) -> list[tuple[Any, ...]]:
    if item.entities is None:
        return []
    return [
        (
            transaction_id, position, party.id, party.name, party.website, party.logo, _codes(party.mccs),
            parent.id if (parent := party.parent) else None, parent.name if parent else None,
            parent.website if parent else None, stamp.batch_key, stamp.version,
        )
        for position, party in enumerate(item.entities.intermediaries or ())
    ]  # fmt: skip
