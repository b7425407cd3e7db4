"""JSONL and Parquet to records.

Belongs here: formats whose values come typed. Numbers keep their exact digits (a JSON number is never turned into a
float) and carry `PLAIN`, so that a decimal mark stated for text does not touch them.
"""

from __future__ import annotations

import io
import json
import re
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from pipeline.errors import ConfigError
from pipeline.ingest.layout import ColumnsMissing, resolve
from pipeline.ingest.records import PLAIN, Broken, Records
from pipeline.ingest.text import UNDECODABLE, decode, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.ingest.mapping import FileSection

_MOST_DIGITS = 40
_JSON_LINE = re.compile(r"(?:\A|\n)[^\S\n]*\S")


class _Number(str):
    """Digits of a JSON number."""

    __slots__ = ()


# -- JSONL ----------------------------------------------------------------------------------------------------------


def read_jsonl(data: bytes, section: FileSection, wanted: Sequence[str], amounts: set[str], name: str) -> Records:
    """One JSON object per line; nested objects give columns like `merchant.name`. Raises `ColumnsMissing`.

    Lines that are not a JSON object become broken records. `amounts`: columns whose numbers are marked with `PLAIN`.
    """
    text, encoding = decode(data, section.encoding)
    lines = [line for line in text.split("\n") if line.strip()]
    broken: list[Broken] = []
    numbers: list[int] = []
    known: dict[str, None] = {}
    columns: list[list[str]] = [[] for _ in wanted]
    for number, line in enumerate(lines, 1):
        try:
            item = _object(line)
        except ValueError as error:
            broken.append(Broken(number, f"record: {error}", shown(line)))
            continue
        known.update(dict.fromkeys(item))
        numbers.append(number)
        for column, key in zip(columns, wanted, strict=True):
            column.append(_text(item.get(key), plain=key in amounts))
    missing = [key for key in wanted if key not in known]
    if missing and numbers:
        raise ColumnsMissing(name, list(known), missing)
    texts = pl.DataFrame(dict(zip(wanted, columns, strict=True)), schema=dict.fromkeys(wanted, pl.String))
    count = len(_JSON_LINE.findall(text))
    facts = {"format": "jsonl", "encoding": f"{encoding} ({'stated' if section.encoding else 'found'})"}
    return Records(texts, numbers, broken, lambda index: lines[numbers[index] - 1], count, facts)


def json_columns(data: bytes, section: FileSection) -> list[str]:
    """Every column that some object of a JSONL file has, in order of appearance."""
    text, _ = decode(data, section.encoding)
    return list(dict.fromkeys(key for item in _objects(text) for key in item))


def json_sample(data: bytes, lines: int) -> dict[str, list[str]]:
    """Columns of a JSONL file with the non-empty values of its first objects."""
    text, _ = decode(data, None)
    columns: dict[str, list[str]] = {}
    for item in islice(_objects(text), lines):
        for key, value in item.items():
            columns.setdefault(key, []).extend(filter(None, [_text(value).strip()]))
    return columns


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The good objects of a JSONL text; the reading itself rejects the other lines with their reasons."""
    for line in text.split("\n"):
        if line.strip():
            with suppress(ValueError):
                yield _object(line)


def _object(line: str) -> dict[str, Any]:
    """The object in a line, flat. `ValueError` says what is wrong without quoting the line."""
    if UNDECODABLE.search(line):
        raise ValueError("bytes that are not in the encoding of the file")
    try:
        value = json.loads(
            line, parse_float=_Number, parse_int=_Number, parse_constant=_Number, object_pairs_hook=_no_twins
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at character {error.pos + 1})") from error
    except RecursionError as error:
        raise ValueError("not JSON (nested too deeply)") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one error type for all that is wrong with a line
    if "\\u" in line and UNDECODABLE.search(json.dumps(value, ensure_ascii=False)):
        raise ValueError("half of a UTF-16 pair in an escape")
    return _flat(value) if any(isinstance(item, dict) for item in value.values()) else value


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a JSON key occurs twice")
    return value


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            flat.update(_flat(item, f"{prefix}{key}."))
        else:
            flat[prefix + key] = item
    return flat


# -- Parquet --------------------------------------------------------------------------------------------------------


def read_parquet(data: bytes, path: Path, wanted: Sequence[str], amounts: set[str], name: str) -> Records:
    """The rows of a Parquet file; dates give ISO text, numbers their shortest exact digits. Raises `ColumnsMissing`."""
    frame = _frame(data, name)
    found = resolve(wanted, frame.columns)
    missing = [column for column in wanted if column not in found]
    if missing:
        raise ColumnsMissing(name, frame.columns, missing)
    series = {column: frame.to_series(found[column]) for column in wanted}
    texts = pl.DataFrame(
        {column: _texts(values, plain=column in amounts) for column, values in series.items()},
        schema=dict.fromkeys(wanted, pl.String),
    )
    iso = frozenset(column for column, values in series.items() if values.dtype.is_temporal())
    return Records(
        texts,
        range(1, frame.height + 1),
        [],
        lambda index: json.dumps(frame.row(index, named=True), default=str, ensure_ascii=False),
        _parquet_rows(path, name),
        {"format": "parquet", "columns": str(frame.width)},
        iso_dates=iso,
    )


def parquet_columns(data: bytes, name: str) -> list[str]:
    """Column names of a Parquet file."""
    return _frame(data, name).columns


def parquet_sample(data: bytes, name: str, rows: int) -> dict[str, list[str]]:
    """Columns of a Parquet file with the non-empty values of its first rows."""
    frame = _frame(data, name).head(rows)
    return {column: [text for text in _texts(frame[column], plain=False) if text.strip()] for column in frame.columns}


def _frame(data: bytes, name: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise ConfigError(f"{name}: damaged Parquet file ({type(error).__name__})") from error


def _parquet_rows(path: Path, name: str) -> int:
    """Rows by the file's footer, read by DuckDB. Globs are escaped: `a[1].parquet` is a name, no pattern."""
    pattern = re.sub(r"([*?\[])", r"[\1]", str(path))
    try:
        with duckdb.connect() as connection:
            rows = connection.execute("SELECT sum(num_rows) FROM parquet_file_metadata(?)", [pattern]).fetchall()
    except duckdb.Error as error:
        raise ConfigError(f"{name}: damaged Parquet file ({type(error).__name__})") from error
    return int(rows[0][0])


def _texts(values: pl.Series, *, plain: bool) -> list[str]:
    if values.dtype == pl.Float32:  # through float64 0.1 would become 0.10000000149
        values = values.cast(pl.String)
        return [_number(item, plain=plain) if item is not None else "" for item in values]
    return [_text(item, plain=plain) for item in values.to_list()]


def _text(value: Any, *, plain: bool = False) -> str:
    """The text of a typed value; "" for none."""
    if value is None:
        return ""
    if isinstance(value, _Number):
        return _number(value, plain=plain)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _number(str(value), plain=plain)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return json.dumps(value, default=str, ensure_ascii=False)


def _number(digits: str, *, plain: bool) -> str:
    """Digits without an exponent; PLAIN before them in an amount column. Absurd sizes and NaN stay as they are."""
    try:
        value = Decimal(digits)
    except InvalidOperation:
        return str(digits)
    if value.is_finite() and abs(value.adjusted()) < _MOST_DIGITS:
        digits = format(value, "f")
    return PLAIN + digits if plain else str(digits)
