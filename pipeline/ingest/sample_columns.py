"""The first values of every column of an unknown file, to guess from.

Belongs here: looking at a file without a mapping. Nothing that is read here becomes a row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from pipeline.ingest.amounts import Amount, Marks, parse_amount
from pipeline.ingest.dates import FORMATS, parse_date
from pipeline.ingest.layout import LINE, likeliest, names_of, one_record
from pipeline.ingest.records import Problem
from pipeline.ingest.text import decode
from pipeline.ingest.typed_records import json_sample, parquet_sample

if TYPE_CHECKING:
    from collections.abc import Callable

_LINES = 400
_POINT, _COMMA = Marks(".", ",' "), Marks(",", ".' ")
_MOST = 0.8

_DATE_LIKE = re.compile(r"(?=.*\d.*\d.*\d)[\w ./,:+-]{6,32}")
"""Looked at before 150 formats are tried: a suggestion for all exports took 60 s without it."""


@dataclass(frozen=True)
class Sample:
    """Columns of a file with their first non-empty values; `header` False: columns are called by position."""

    columns: dict[str, list[str]]
    form: str
    delimiter: str = ""
    header: bool = True
    skipped: int = 0

    @cached_property
    def dates(self) -> list[str]:
        """Columns that look like dates."""
        return [name for name, values in self.columns.items() if _mostly(values, is_date)]

    @cached_property
    def amounts(self) -> list[str]:
        """Columns that look like amounts, dates excepted."""
        others = [name for name in self.columns if name not in self.dates]
        return [name for name in others if _mostly(self.columns[name], is_amount)]


def take_sample(data: bytes, form: str, name: str) -> Sample:
    """A sample of a file in the given format."""
    if form == "jsonl":
        return Sample(json_sample(data, _LINES), form)
    if form == "parquet":
        return Sample(parquet_sample(data, name, _LINES), form)
    text, _ = decode(data, None)
    lines = [match[0] for match in islice(LINE.finditer(text), _LINES)]
    delimiter, width = likeliest(lines, None, '"')
    rows = [one_record(line, delimiter, '"') for line in lines]
    first = next((at for at, row in enumerate(rows) if len(row) >= max(2, width) or len(row) == width), 0)
    header = bool(rows) and _is_header(rows[first])
    names = names_of(rows[first]) if header else [str(position) for position in range(1, width + 1)]
    body = [row for row in rows[first + header :] if row]
    columns = {
        column: [row[at].strip() for row in body if at < len(row) and row[at].strip()]
        for at, column in enumerate(names)
    }
    return Sample(columns, form, delimiter, header, first)


def is_date(value: str) -> bool:
    """True for a date in any known format."""
    if not _DATE_LIKE.fullmatch(value):
        return False
    return any(not isinstance(parse_date(value, form), Problem) for form in FORMATS)


def is_amount(value: str) -> bool:
    """True for a number of a plausible length: account numbers have no decimal mark and more digits."""
    if value.isdigit() and len(value) > 9:  # noqa: PLR2004
        return False
    return any(isinstance(parse_amount(value, marks), Amount) for marks in (_POINT, _COMMA))


def _is_header(row: list[str]) -> bool:
    cells = [cell.strip() for cell in row if cell.strip()]
    return bool(cells) and not any(is_date(cell) or is_amount(cell) for cell in cells)


def _mostly(values: list[str], test: Callable[[str], bool]) -> bool:
    """Whether the values are of a kind; one that is not may be wrong, in a file of few rows as well."""
    distinct = list(dict.fromkeys(values))[:50]
    good = sum(1 for value in distinct if test(value))
    return good > _MOST * len(distinct) or (good > 1 and good == len(distinct) - 1)
