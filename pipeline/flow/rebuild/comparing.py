"""Rebuilt rows beside the rows of a live file: pure, frames in and counts out. Never a value of a row but its id."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from pipeline.errors import IntegrityError
from pipeline.lake import files, tables

KEYS = {
    tables.RAW_TRANSACTIONS.name: ["record_number"],
    tables.REJECTED_ROWS.name: ["record_number"],
    tables.WAITING.name: ["transaction_id"],
    tables.PLAN.name: ["transaction_id"],
    tables.TRANSACTIONS.name: ["transaction_id"],
    tables.INTERMEDIARIES.name: ["transaction_id", "position"],
    tables.RECURRENCE_GROUPS.name: ["account_holder_id", "position"],
}
"""By what the rows of one file are told apart."""

ROW_ORDER, COLUMN_ORDER = "order of the rows", "order of the columns"
"""Stand for a column where only the order differs. A plan's rows are sent in the order of its file."""

EXAMPLES = 5

_LIVE, _NTH = "_live", "_nth"


@dataclass(frozen=True, slots=True)
class Difference:
    """Rows that are the same, that differ (by column as well), and that only one side has; a few of their ids."""

    same: int = 0
    differing: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    only_rebuilt: int = 0
    only_live: int = 0
    examples: list[str] = field(default_factory=list)


def read_live(root: Path, table: tables.Table, path: str) -> tuple[pl.DataFrame, set[str]] | None:
    """A live file in its table's columns, and the columns that it lacks, has besides, or has with another type.

    These are NULL in the frame. None: the file is missing or unreadable.
    """
    try:
        frame = files.read_table(root, [path])
    except (IntegrityError, pl.exceptions.PanicException):  # polars panics at some damage
        return None
    misfits = {name for name, kind in table.schema.items() if frame.schema.get(name) != kind}
    misfits |= {name for name in frame.columns if name not in table.schema}
    if not misfits and frame.columns != table.names:
        misfits = {COLUMN_ORDER}
    nulls = [pl.lit(None, kind).alias(name) for name, kind in table.schema.items() if name in misfits]
    return frame.with_columns(nulls).select(table.names), misfits


def compare(
    table: tables.Table, rebuilt: pl.DataFrame, live: pl.DataFrame, misfits: Collection[str] = ()
) -> Difference:
    """Compare two frames in the columns of `table`. Each row of a file with `misfits` differs in these."""
    if not misfits and rebuilt.equals(live):
        return Difference(same=rebuilt.height)
    key = KEYS[table.name]
    joined = _numbered(rebuilt, key).join(
        _numbered(live, key), on=[*key, _NTH], how="full", coalesce=True, nulls_equal=True, suffix=_LIVE
    )
    in_both = pl.col("there") & pl.col(f"there{_LIVE}")
    unequal = [pl.col(name).ne_missing(pl.col(name + _LIVE)).alias(name) for name in table.names if name not in key]
    unequal = [e for e in unequal if e.meta.output_name() not in misfits] + [
        pl.repeat(value=True, n=pl.len()).alias(name) for name in sorted(misfits)
    ]
    pairs = joined.filter(in_both)
    flags = pairs.select(unequal)
    columns = {name: count for name, count in flags.sum().row(0, named=True).items() if count}
    differs = flags.select(pl.any_horizontal(pl.all())).to_series()
    alone = joined.filter(~in_both.fill_null(value=False))
    if not columns and alone.is_empty():
        columns, differs = {ROW_ORDER: pairs.height}, pl.repeat(value=True, n=pairs.height, eager=True)
    only_rebuilt = alone["there"].count()
    odd = pl.concat([alone.head(EXAMPLES), pairs.filter(differs).head(EXAMPLES)])
    return Difference(
        int((~differs).sum()), int(differs.sum()), columns, only_rebuilt, alone.height - only_rebuilt,
        _names(table, odd.head(EXAMPLES)),
    )  # fmt: skip


def _numbered(frame: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Marked as present; rows of one key, which a damaged file may have, are told apart by a number."""
    return frame.with_columns(pl.int_range(pl.len()).over(key).alias(_NTH), there=pl.lit(value=True))


def _names(table: tables.Table, odd: pl.DataFrame) -> list[str]:
    """Transaction ids, or the record numbers of rows that have none; of groups the holder and the position."""
    if table is tables.RECURRENCE_GROUPS:
        return [f"{holder} group {position}" for holder, position in odd.select(KEYS[table.name]).iter_rows()]
    if "transaction_id" not in table.names:
        return [f"record {number}" for number in odd["record_number"]]
    if "transaction_id" not in KEYS[table.name]:
        odd = odd.with_columns(pl.coalesce("transaction_id", f"transaction_id{_LIVE}"))
    return [str(name) for name in odd["transaction_id"].unique(maintain_order=True)]
