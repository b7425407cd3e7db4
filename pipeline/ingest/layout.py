"""Where the header of a delimited text is and what separates its fields.

Belongs here: finding or checking delimiter, preamble and header. Reading the records is `csv_records`.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.ingest.mapping import FileSection

DELIMITERS = (",", ";", "\t", "|")
_HEAD_LINES = 200
_PREAMBLE_LINES = 40

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
"""One physical line with its end. Only CR, LF and CRLF end lines (str.splitlines also splits at U+2028 and \\x1c)."""


class ColumnsMissing(ConfigError):  # noqa: N818 - what is the case, as in MappingNeeded
    """No header has the wanted columns. `found` is the likeliest header, `missing` what it lacks."""

    def __init__(self, name: str, found: Sequence[str], missing: Sequence[str]) -> None:
        self.found, self.missing = list(found), list(missing)
        super().__init__(f"{name}: no column {_quoted(missing)}; the file has {_quoted(found)}")


@dataclass(frozen=True, slots=True)
class Layout:
    """Form of a delimited text. `start`: offset of the first record; `width`: fields per record, None if ragged."""

    delimiter: str
    quote: str
    names: list[str]
    width: int | None
    start: int
    skipped: int
    facts: dict[str, str] = field(default_factory=dict)

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Python's csv reader for this layout; strict, so that text behind a closing quote is an error."""
        return csv_reader(lines, self.delimiter, self.quote)


def csv_reader(lines: Iterator[str], delimiter: str, quote: str) -> Iterator[list[str]]:
    """A strict csv reader; an empty `quote` gives quotes no meaning."""
    if not quote:
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, quotechar=None, strict=True)
    return csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=True)


def names_of(header: Sequence[str]) -> list[str]:
    """Column names of a header: stripped; by position where empty; `Name#2` for a second `Name`."""
    names: list[str] = []
    seen: Counter[str] = Counter()
    for position, cell in enumerate(header, 1):
        name = cell.strip() or str(position)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names


def resolve(wanted: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """Position of each wanted column that is there: by exact name, else by the only one that differs in case."""
    exact = {name: index for index, name in reversed(list(enumerate(names)))}
    folded: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        folded.setdefault(" ".join(name.casefold().split()), []).append(index)
    found = {}
    for name in wanted:
        alike = folded.get(" ".join(name.casefold().split()), [])
        if name in exact:
            found[name] = exact[name]
        elif len(alike) == 1:
            found[name] = alike[0]
    return found


def find_layout(text: str, section: FileSection, wanted: Sequence[str], name: str) -> Layout:
    """The layout of a delimited text. Raises `ColumnsMissing` when no header has every wanted column."""
    lines = [match[0] for match in islice(LINE.finditer(text), _HEAD_LINES)]
    if not section.header:
        return _without_header(lines, section, wanted, name)
    best: tuple[int, list[str]] = (-1, [])
    delimiters = (section.delimiter,) if section.delimiter else DELIMITERS
    skips = [section.skip_lines] if section.skip_lines is not None else range(min(_PREAMBLE_LINES, len(lines)))
    for skip in skips:
        for delimiter in delimiters:
            header, used = _first_record(lines[skip:], delimiter, section.quote)
            names = names_of(header)
            hits = len(resolve(wanted, names)) if len(header) > 1 or len(wanted) == 1 else 0
            if header and hits == len(wanted):
                return _with_header(lines, section, names, delimiter, skip, used)
            best = max(best, (hits * 1000 + len(names), names), key=lambda entry: entry[0])
    found = best[1]
    raise ColumnsMissing(name, found, [column for column in wanted if column not in resolve(wanted, found)])


def _with_header(
    lines: list[str], section: FileSection, names: list[str], delimiter: str, skip: int, used: int
) -> Layout:
    blank = sum(1 for line in lines[:skip] if not line.strip("\r\n"))
    facts = {
        "delimiter": _fact(repr(delimiter), stated=section.delimiter is not None),
        "header": f"line {skip + used}, {len(names)} columns",
    }
    if skip > blank:
        facts["skipped"] = _fact(f"{skip} lines before the header", stated=section.skip_lines is not None)
    start = sum(map(len, lines[: skip + used]))
    return Layout(delimiter, section.quote, names, None if section.ragged else len(names), start, skip - blank, facts)


def _without_header(lines: list[str], section: FileSection, wanted: Sequence[str], name: str) -> Layout:
    skip = section.skip_lines or 0
    delimiter, width = likeliest(lines[skip:], section.delimiter, section.quote)
    if section.ragged:
        width = max([width, *(int(column) for column in wanted if column.isdigit())])
    names = [str(position) for position in range(1, width + 1)]
    missing = [column for column in wanted if column not in names]
    if missing:
        raise ColumnsMissing(name, names, missing)
    facts = {
        "delimiter": _fact(repr(delimiter), stated=section.delimiter is not None),
        "header": f"none, {width} columns",
    }
    start = sum(map(len, lines[:skip]))
    return Layout(delimiter, section.quote, names, None if section.ragged else width, start, skip, facts)


def likeliest(lines: list[str], stated: str | None, quote: str) -> tuple[str, int]:
    """(delimiter, fields per record): the delimiter that cuts most lines into the same number of fields."""
    best = ((0, 0), stated or ",", 1)
    for delimiter in (stated,) if stated else DELIMITERS:
        counts = Counter(len(row) for row in _rows(lines, delimiter, quote) if row)
        width, votes = max(counts.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]), default=(1, 0))
        score = (votes if width > 1 else 0, width)
        if score > best[0]:
            best = (score, delimiter, width)
    return best[1], best[2]


def _rows(lines: list[str], delimiter: str, quote: str) -> Iterator[list[str]]:
    """Each line on its own: enough to find a layout, and one stray quote cannot swallow the rest."""
    for line in lines:
        yield one_record(line, delimiter, quote)


def one_record(line: str, delimiter: str, quote: str) -> list[str]:
    """The fields of one line; none if it is blank or malformed."""
    return _first_record([line], delimiter, quote)[0]


def _first_record(lines: list[str], delimiter: str, quote: str) -> tuple[list[str], int]:
    """(fields, lines used) of the first record that is not blank; no fields if it is malformed."""
    taken = 0

    def counted() -> Iterator[str]:
        nonlocal taken
        for line in lines:
            taken += 1
            yield line

    try:
        for row in csv_reader(counted(), delimiter, quote):
            if row:
                return row, taken
    except csv.Error:
        return [], taken
    return [], taken


def _fact(value: str, *, stated: bool) -> str:
    return f"{value} ({'stated' if stated else 'found'})"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"
