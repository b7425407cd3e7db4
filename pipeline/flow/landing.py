"""One batch's results beside its plan, as the rows that are landed. Pure: frames in, frames out.

Whatever the document lacks or spoils stays local to its item: every row of the plan is a row of the landing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from pipeline.api.models import EnrichedTransaction
from pipeline.api.results import DecodedItem
from pipeline.lake import tables

RESULT_MISSING = "result_missing"
RESULT_UNREADABLE = "result_unreadable"
NO_HOLDER = "account_holder_not_found"
"""The API's code for an item whose holder it does not have (OpenAPI document)."""

_OURS = (RESULT_MISSING, RESULT_UNREADABLE)

_MAX_CODE = 999_999

_ENRICHED = [column.name for column in tables.ENRICHMENT_COLUMNS]
_TRIED = [column.name for column in tables.TRY_COLUMNS]


@dataclass(frozen=True, slots=True)
class Landing:
    """Frames of one batch version, with counts by state and what did not fit (paths and counts, no texts).

    `again`: rows in the columns of a plan whose error of their own may pass; they are in no other frame.
    `lost_holders`: account holders that the API said it does not have. `unknown_fields`: paths of fields that this
    version does not know.
    """

    transactions: pl.DataFrame
    intermediaries: pl.DataFrame
    again: pl.DataFrame
    counts: dict[str, int]
    problems: list[str]
    lost_holders: set[str]
    unknown_fields: set[str]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every landed row of a version carries."""

    batch_key: str
    version: int
    source: str
    enriched_at: datetime


def build(
    plan: pl.DataFrame, answers: Sequence[Sequence[DecodedItem]], stamp: Stamp, *, item_attempts: int = 1
) -> Landing:
    """Join a plan file's rows with the items of the answers, by id; an item of an earlier answer wins.

    Shapes: the plan's columns are `tables.PLAN`; the result's are `tables.TRANSACTIONS` and `tables.INTERMEDIARIES`.
    An item with an error of its own goes on to `Landing.again` until it was sent `item_attempts` times.
    """
    found = _by_id(answers, set(plan["transaction_id"]))
    columns: dict[str, list[Any]] = {name: [] for name in (*_ENRICHED, *_TRIED)}
    states, between = [], []
    for transaction_id, tries, history in plan.select("transaction_id", *_TRIED).iter_rows():
        row, parties = _row(found.items.get(transaction_id), transaction_id, stamp)
        row["failed_tries"], row["error_history"] = tries, history
        if row["error_code"] is not None and row["error_code"] not in _OURS:
            row["failed_tries"], row["error_history"] = (tries or 0) + 1, _longer(history, row, stamp)
        states.append("enriched" if row["error_code"] is None else "item_error")
        for name, values in columns.items():
            values.append(row[name])
        between.append(parties)
    enrichment = pl.DataFrame(columns, schema={name: tables.TRANSACTIONS.schema[name] for name in columns})
    rows = (
        plan.drop(_TRIED)
        .hstack(enrichment)
        .with_columns(
            pl.Series("state", states, dtype=pl.String),
            version=pl.lit(stamp.version, dtype=pl.Int32),
            enriched_at=pl.lit(stamp.enriched_at, dtype=pl.Datetime("us")),
            source=pl.lit(stamp.source),
        )
    )
    may_pass = rows.select(_may_pass(item_attempts)).to_series()
    kept = rows.filter(~may_pass)
    parties_kept = [party for parties, moves in zip(between, may_pass, strict=True) if not moves for party in parties]
    return Landing(
        kept.select(tables.TRANSACTIONS.names),
        pl.DataFrame(parties_kept, schema=tables.INTERMEDIARIES.schema, orient="row"),
        rows.filter(may_pass).select(tables.PLAN.names),
        dict(kept["state"].value_counts().iter_rows()),
        found.problems,
        set(rows.filter(pl.col("error_code") == NO_HOLDER)["account_holder_id"].drop_nulls()),
        found.unknown_fields,
    )


def _may_pass(item_attempts: int) -> pl.Expr:
    """Rows whose error another try may cure: any code of the API's, but for a holder that was never named."""
    curable = ~pl.col("error_code").is_in(_OURS) & ~(
        (pl.col("error_code") == NO_HOLDER) & pl.col("account_holder_id").is_null()
    )
    return (pl.col("error_code").is_not_null() & curable & (pl.col("failed_tries") < item_attempts)).alias("may_pass")


def _longer(history: str | None, row: dict[str, Any], stamp: Stamp) -> str:
    """The history of an item's errors with this one behind it."""
    entry = {
        "batch_key": stamp.batch_key,
        "code": row["error_code"],
        "message": row["error_message"],
        "at": stamp.enriched_at.isoformat(),
    }
    return msgspec.json.encode([*(msgspec.json.decode(history) if history else []), entry]).decode()


@dataclass(slots=True)
class _Found:
    items: dict[str, DecodedItem] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unknown_fields: set[str] = field(default_factory=set)


def _by_id(answers: Sequence[Sequence[DecodedItem]], planned: set[str]) -> _Found:
    found = _Found()
    for number, items in enumerate(answers):
        where = "results" if number == 0 else f"answer {number + 1}: results"
        seen: set[str] = set()
        for index, item in enumerate(items):
            found.problems += [f"{where}[{index}]{problem}" for problem in item.problems]
            if item.id is None or item.id not in planned:
                found.problems.append(f"{where}[{index}]: an id that was not sent")
            elif item.id in seen:
                found.problems.append(f"{where}[{index}]: an id that was there before")
            else:
                seen.add(item.id)
                _take(found, item.id, item)
        if number == 0 and (missing := len(planned) - len(seen)):
            found.problems.append(f"results: {missing} of {len(planned)} items are missing")
    return found


def _take(found: _Found, transaction_id: str, item: DecodedItem) -> None:
    """The first readable item counts. A later one may cure what an earlier answer lacked, and changes nothing else."""
    known = found.items.get(transaction_id)
    if known is None or (known.item is None and item.item is not None):
        found.items[transaction_id] = item
        if item.extra:
            found.unknown_fields |= {_INDEX.sub("[]", path) for path in msgspec.json.decode(item.extra)}


_INDEX = re.compile(r"\[\d+\]")


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
        row["counterparty_phone_number"], row["counterparty_tax_number"] = party.phone_number, party.tax_number
        row["counterparty_naics2017"] = party.naics2017
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
            party.phone_number, party.tax_number, party.naics2017, parent.id if (parent := party.parent) else None,
            parent.name if parent else None, parent.website if parent else None, stamp.batch_key, stamp.version,
        )
        for position, party in enumerate(item.entities.intermediaries or ())
    ]  # fmt: skip
