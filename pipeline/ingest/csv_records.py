"""Delimited text to records: every one is read or rejected with its raw text, none is lost.

Python's csv reader and not DuckDB's: on one stray quote in 1,010 records DuckDB 1.5.6 chose to give quotes no meaning,
with the dialect stated it refused the file, and `null_padding` dropped records without an entry in its rejects. Here a
malformed record costs its own line only: when a quote stays open, or a record over several lines does not fit the
header, its first line is rejected and reading goes on with the second.
"""

from __future__ import annotations

import csv
from array import array
from collections import deque
from itertools import accumulate, islice
from typing import TYPE_CHECKING

import polars as pl

from pipeline.ingest.count import MAX_SPAN, count_records
from pipeline.ingest.layout import LINE, Layout, find_layout, resolve
from pipeline.ingest.records import Broken, Records
from pipeline.ingest.text import UNDECODABLE, decode, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.ingest.mapping import FileSection

_BLOCK, _CHUNK = 1_000, 50_000


def read_csv(data: bytes, section: FileSection, wanted: Sequence[str], name: str) -> Records:
    """The records of a delimited text; `wanted` are columns of the mapping. Raises `ColumnsMissing`."""
    text, encoding = decode(data, section.encoding)
    layout = find_layout(text, section, wanted, name)
    parser = _Parser(text, layout, [resolve(wanted, layout.names)[column] for column in wanted])
    texts = parser.read(wanted)
    warnings = []
    if layout.skipped and section.skip_lines is None:
        warnings.append(f"{layout.skipped} lines before the header were skipped.")
    if encoding == "cp1252" and section.encoding is None:
        warnings.append("The file is not UTF-8 and was read as cp1252; if letters look wrong, state [file] encoding.")
    facts = {"format": "csv", "encoding": f"{encoding} ({'stated' if section.encoding else 'found'})", **layout.facts}
    count = count_records(text, layout)
    return Records(texts, parser.numbers, parser.broken, parser.raw, count, facts, warnings)


class _Parser:
    """One pass over the text. Rows are kept column-wise in polars, raw text as offsets into the text.

    Blocks of lines in which every line is one good record are taken whole; the others record by
    record, which is three times slower.
    """

    def __init__(self, text: str, layout: Layout, positions: list[int]) -> None:
        self.text, self.layout, self.positions = text, layout, positions
        self.need = max(positions) + 1
        self.damaged = UNDECODABLE.search(text) is not None
        self.numbers, self.starts, self.ends = array("q"), array("q"), array("q")
        self.broken: list[Broken] = []
        self.count = 0
        self.offset = layout.start
        self._lines: Iterator[str] = (match[0] for match in LINE.finditer(text, layout.start))
        self._pushed: deque[str] = deque()
        self._taken: list[str] = []

    def read(self, names: Sequence[str]) -> pl.DataFrame:
        """Every record: the good ones as columns of text, the others go to `broken`.

        Rows become columns block by block: with 50,000 row lists alive the garbage collector took a fifth of the time.
        """
        schema = dict.fromkeys(names, pl.String)
        frames, columns = [pl.DataFrame(schema=schema)], {name: list[str]() for name in names}
        while block := list(islice(self._lines, _BLOCK)):
            rows = None if self.damaged else self._whole(block)
            if rows is None:
                self._pushed.extend(block)
                rows = list(self._one_by_one())
            for column, at in zip(columns.values(), self.positions, strict=True):
                column += [row[at] for row in rows]
            if len(columns[names[0]]) >= _CHUNK:
                frames.append(pl.DataFrame(columns, schema=schema))
                columns = {name: [] for name in names}
        frames.append(pl.DataFrame(columns, schema=schema))
        return pl.concat(frames)

    def raw(self, index: int) -> str:
        """Record `index` of the good ones as it stands in the file."""
        return self.text[self.starts[index] : self.ends[index]]

    def _whole(self, block: list[str]) -> list[list[str]] | None:
        """The rows of a block in which every line is one good record, otherwise None."""
        try:
            rows = list(self.layout.reader(iter(block)))
        except csv.Error:
            return None
        if len(rows) != len(block) or set(map(len, rows)) != {self.layout.width}:
            return None
        ends = array("q", accumulate(map(len, block), initial=self.offset))
        self.starts += ends[:-1]
        self.ends += ends[1:]
        self.numbers.extend(range(self.count + 1, self.count + 1 + len(rows)))
        self.count += len(rows)
        self.offset = ends[-1]
        return rows

    def _feed(self) -> Iterator[str]:
        while True:
            line = self._pushed.popleft() if self._pushed else next(self._lines, None)
            if line is None:
                return
            self._taken.append(line)
            yield line

    def _one_by_one(self) -> Iterator[list[str]]:
        """Good records until nothing that was pushed back is left."""
        taken = self._taken
        while self._pushed:
            try:
                row = next(self.layout.reader(self._feed()))
            except csv.Error as error:
                self._reject(f"record: malformed ({error})", lines=1)
                continue
            if not row:
                self._advance(1)
            elif reason := self._misfit(row):
                self._reject(reason, lines=1)
            elif self.damaged and UNDECODABLE.search("".join(taken)):
                self._reject("record: bytes that are not in the encoding of the file", lines=len(taken))
            else:
                yield self._accept(row)

    def _misfit(self, row: list[str]) -> str:
        width, lines = self.layout.width, len(self._taken)
        if width is not None and len(row) != width:
            return f"record: {'a quote stays open; ' if lines > 1 else ''}{len(row)} fields where {width} are expected"
        if lines > 1 and sum(map(len, self._taken)) > MAX_SPAN:
            return f"record: a quote stays open for more than {MAX_SPAN} characters"
        # Two stray quotes in one column, lines apart, fit together and would swallow the good records between them.
        if width is not None and any(line.count(self.layout.delimiter) >= width - 1 > 1 for line in self._taken[1:-1]):
            return "record: a quote stays open over lines that look like records"
        return ""

    def _accept(self, row: list[str]) -> list[str]:
        self.count += 1
        self.numbers.append(self.count)
        self.starts.append(self.offset)
        self._advance(len(self._taken))
        self.ends.append(self.offset)
        return row + [""] * (self.need - len(row))

    def _reject(self, reason: str, *, lines: int) -> None:
        """Reject the first lines of what was taken and give the others back."""
        self.count += 1
        self.broken.append(Broken(self.count, reason, shown("".join(self._taken[:lines]))))
        self._advance(lines)

    def _advance(self, lines: int) -> None:
        self.offset += sum(map(len, self._taken[:lines]))
        self._pushed.extendleft(reversed(self._taken[lines:]))
        self._taken.clear()
