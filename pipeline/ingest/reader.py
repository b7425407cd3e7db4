"""One file to canonical rows and rejected rows.

Belongs here: the order of things (bytes, format, records, values, ids) and the proof that no record was lost. It knows
no ledger and writes no file.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline.errors import IntegrityError
from pipeline.ingest import rules
from pipeline.ingest.csv_records import read_csv
from pipeline.ingest.interpret import Chunk, Interpreter, find_habits
from pipeline.ingest.layout import ColumnsMissing, find_layout
from pipeline.ingest.mapping import CANONICAL_REQUIRED, Mapping
from pipeline.ingest.suggest import MappingNeeded, suggestion
from pipeline.ingest.text import decode, detect_format, read_bytes, shown, unpack
from pipeline.ingest.typed_records import json_columns, parquet_columns, read_jsonl, read_parquet
from pipeline.lake.tables import RAW_COLUMNS, REJECTED_ROWS

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.ingest.records import Records
    from pipeline.lake.tables import Column

RAW_SCHEMA: dict[str, Any] = {column.name: column.polars for column in RAW_COLUMNS}
"""Columns and polars types of `Ingested.accepted`."""

_CHUNK = 100_000
_SENT = (
    "date",
    "description",
    "amount",
    "entry_type",
    "currency",
    "country",
    "account_holder_id",
    "account_holder_type",
)


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of one file. `records` was counted independently and equals accepted + rejected.

    `mapping` and `ingested_at` (naive UTC) are what it takes, beside the bytes, to get these very frames again; None is
    the canonical mapping.
    """

    file_id: str
    source_file: str
    sha256: str
    size: int
    records: int
    accepted: pl.DataFrame
    rejected: pl.DataFrame
    facts: dict[str, str]
    warnings: list[str]
    mapping: Mapping | None
    ingested_at: datetime


def read_file(path: Path, mapping: Mapping | None = None, *, now: datetime, source_file: str | None = None) -> Ingested:
    """Read a CSV, JSONL or Parquet file (the first two also as .gz).

    `mapping` None: the file has the canonical columns. `source_file`: the name to show, by default that of the path.
    `now`: time of ingestion; a naive one is UTC. Malformed records are rejected, never raised.
    Raises `MappingNeeded` when the columns are not canonical, `ConfigError` for a file or mapping that cannot be used,
    `IntegrityError` if the two counts of records differ.
    """
    name = source_file or path.name
    packed = read_bytes(path, name)
    data = unpack(packed, name)
    given = mapping or Mapping.canonical()
    used, records = _records(data, given.file.format or detect_format(data, name), given, path, name)
    sha256 = hashlib.sha256(packed).hexdigest()
    file_id = hashlib.sha256(f"{sha256} {given.digest()}".encode()).hexdigest()[:32]
    file = _File(name, file_id, now.astimezone(UTC).replace(tzinfo=None) if now.tzinfo else now)
    habits = find_habits(records, used, name)
    accepted, rejected = _rows(file, used, records, Interpreter(used, habits))
    warnings = [*records.warnings, *_warnings(accepted)]
    facts = {**records.facts, **habits.facts}
    recorded = None if given == Mapping.canonical() else given
    return Ingested(
        file_id, name, sha256, len(packed), records.records, accepted, rejected, facts, warnings, recorded, file.now
    )


def _rows(
    file: _File, mapping: Mapping, records: Records, interpreter: Interpreter
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Accepted and rejected rows, reconciled with the independent count."""
    rows = _Rows(file, mapping, records)
    for start in range(0, records.texts.height, _CHUNK):
        texts = records.texts.slice(start, _CHUNK)
        rows.add(start, interpreter.interpret({column: texts[column].to_list() for column in texts.columns}))
    accepted, rejected = rows.accepted(), rows.rejected()
    if accepted.height + rejected.height != records.records:
        found = f"{accepted.height} were accepted and {rejected.height} rejected"
        raise IntegrityError(f"{file.name}: {records.records} records were counted, but {found}")
    return accepted, rejected


def _records(data: bytes, form: str, given: Mapping, path: Path, name: str) -> tuple[Mapping, Records]:
    """The records and the mapping that was used: the canonical one loses the columns that the file does not have."""
    if given != Mapping.canonical():
        return given, _read(data, form, given, path, name)
    try:
        names = _columns(data, form, given, name)
        known = set(names) if form == "jsonl" else {column.casefold() for column in names}
        used = given.without(set(given.columns) - known)
        return used, _read(data, form, used, path, name)
    except ColumnsMissing as error:
        raise MappingNeeded(name, error.found, error.missing, suggestion(data, form, name)) from error


def _columns(data: bytes, form: str, given: Mapping, name: str) -> list[str]:
    """Column names of a file that should be canonical."""
    if form == "jsonl":
        return json_columns(data, given.file)
    if form == "parquet":
        return parquet_columns(data, name)
    text, _ = decode(data, given.file.encoding)
    return find_layout(text, given.file, CANONICAL_REQUIRED, name).names


def _read(data: bytes, form: str, mapping: Mapping, path: Path, name: str) -> Records:
    wanted, amount = mapping.columns, mapping.amount
    amounts = {column for column in (amount.column, amount.debit, amount.credit) if column}
    if form == "csv":
        return read_csv(data, mapping.file, wanted, name)
    if form == "jsonl":
        return read_jsonl(data, mapping.file, wanted, amounts, name)
    return read_parquet(data, path, wanted, amounts, name)


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    file_id: str
    now: datetime


class _Rows:
    """Collects rows, gives ids, and rejects an id that comes again with other content."""

    def __init__(self, file: _File, mapping: Mapping, records: Records) -> None:
        self.file, self.records = file, records
        self.prefix = mapping.id.prefix if mapping.id else ""
        self.frames = [pl.DataFrame(schema=RAW_SCHEMA)]
        self.refused = [(broken.number, [broken.reason], broken.raw) for broken in records.broken]
        self.seen: dict[str, tuple[str, int]] = {}
        self.occurrences: Counter[str] = Counter()

    def add(self, start: int, chunk: Chunk) -> None:
        """Add a chunk whose first record has the index `start`."""
        values = chunk.values
        for index, reasons in chunk.reasons.items():
            self._refuse(start + index, reasons)
        kept = [index for index in range(len(values["date"])) if index not in chunk.reasons]
        if chunk.reasons:
            values = {name: [column[index] for index in kept] for name, column in values.items()}
        sent = zip(*(values[name] for name in _SENT), strict=True)
        hashes = [rules.content_hash(rules.SEPARATOR.join(parts)) for parts in sent]
        ids = [self._identifier(*pair) for pair in zip(values["source_id"], hashes, strict=True)]
        numbers = [self.records.numbers[start + index] for index in kept]
        conflicts = self._conflicts(ids, hashes, numbers)
        for position, reason in conflicts.items():
            self._refuse(start + kept[position], [reason])
        frame = self._frame({**values, "transaction_id": ids, "content_hash": hashes, "record_number": numbers})
        if conflicts:
            frame = frame[[position for position in range(frame.height) if position not in conflicts]]
        self.frames.append(frame)

    def _conflicts(self, ids: list[str], hashes: list[str], numbers: list[int]) -> dict[int, str]:
        """Reasons by position: an id that came before with other content."""
        found = {}
        for position, (identifier, content) in enumerate(zip(ids, hashes, strict=True)):
            first = self.seen.get(identifier)
            if first is None:
                self.seen[identifier] = (content, numbers[position])
            elif first[0] != content:
                found[position] = f"id: conflict, record {first[1]} has the same id and other content"
        return found

    def _identifier(self, source_id: str, content: str) -> str:
        if source_id:
            return rules.transaction_id(self.prefix + source_id)
        self.occurrences[content] += 1
        return f"t-{content[:24]}-{self.occurrences[content]}"

    def _refuse(self, index: int, reasons: list[str]) -> None:
        self.refused.append((self.records.numbers[index], reasons, shown(self.records.raw(index))))

    def _frame(self, columns: dict[str, list[Any]]) -> pl.DataFrame:
        """Texts as the declared columns and types; "" of an optional column is NULL."""
        numbers = pl.Series("record_number", columns.pop("record_number"), pl.Int64)
        texts = pl.DataFrame([pl.Series(name, values, pl.String) for name, values in columns.items()])
        return texts.with_columns(numbers).select(*(self._column(column) for column in RAW_COLUMNS))

    def _column(self, column: Column) -> pl.Expr:
        constants = {"source_file": self.file.name, "file_id": self.file.file_id, "ingested_at": self.file.now}
        if column.name in constants:
            return pl.lit(constants[column.name], dtype=column.polars).alias(column.name)
        if column.name == "date":
            return pl.col(column.name).str.to_date("%Y-%m-%d")
        if not column.required:
            return pl.col(column.name).replace("", None)
        return pl.col(column.name).cast(column.polars)

    def accepted(self) -> pl.DataFrame:
        """Accepted rows in file order."""
        return pl.concat(self.frames)

    def rejected(self) -> pl.DataFrame:
        """Rejected rows in file order."""
        refused = sorted(self.refused, key=lambda row: row[0])
        return pl.DataFrame(
            {
                "source_file": [self.file.name] * len(refused),
                "file_id": [self.file.file_id] * len(refused),
                "record_number": [number for number, _, _ in refused],
                "reasons": [reasons for _, reasons, _ in refused],
                "raw_text": [raw for _, _, raw in refused],
                "ingested_at": [self.file.now] * len(refused),
            },
            schema=REJECTED_ROWS.schema,
        )


def _warnings(accepted: pl.DataFrame) -> list[str]:
    found = []
    without = accepted["account_holder_id"].null_count()
    if without:
        found.append(
            f"{without:,} rows have no account holder, so the API gives them no category. For a file of one holder put"
            ' into the mapping: [account_holder_id] constant = "…" and [account_holder_type] constant = "consumer".'
        )
    silent = int((accepted["description"] == "").sum())
    if silent:
        found.append(f"{silent:,} rows have an empty description; little can be found out about them.")
    return found
