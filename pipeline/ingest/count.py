"""The second, independent count of records in a delimited text.

Shares with `csv_records` the definition of a record and where the first one begins, and nothing else: one regular
expression over the text instead of a csv reader. A record is a line that is not blank; or several lines, at most
`MAX_SPAN` characters, that are well formed together (line ends inside quotes), have the header's number of fields, and
enclose no line with as many delimiters as a whole record.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.ingest.layout import LINE

if TYPE_CHECKING:
    from pipeline.ingest.layout import Layout

MAX_SPAN = 65_536
"""Most characters in a record that spans lines; beyond it a quote has been left open."""

_LINE_END = re.compile(r"\r\n|\r|\n")
_BLANK = {"\n", "\r", "\r\n"}


def count_records(text: str, layout: Layout) -> int:
    """Records from `layout.start` to the end of the text, blank lines not counted."""
    if not layout.quote or text.find(layout.quote, layout.start) < 0:
        return sum(1 for match in LINE.finditer(text, layout.start) if match[0].strip("\r\n"))
    record, field = _patterns(layout.delimiter, layout.quote)
    count, position = 0, layout.start
    while position < len(text):
        found, position = _count_to_misfit(text, position, record, field, layout)
        count += found
    return count


def _count_to_misfit(
    text: str, position: int, record: re.Pattern[str], field: re.Pattern[str], layout: Layout
) -> tuple[int, int]:
    """(records counted, where to go on): stops behind the first line of lines that do not fit together."""
    count = 0
    for match in record.finditer(text, position):
        span = match[0]
        if span in _BLANK:
            continue
        count += 1
        inner = _LINE_END.search(span)
        if inner is None or inner.end() == len(span):
            continue
        if len(span) > MAX_SPAN or not _fits(span, field, layout):
            return count, match.start() + inner.end()
    return count, len(text)


def _fits(span: str, field: re.Pattern[str], layout: Layout) -> bool:
    """True when well-formed lines are one record of this layout."""
    if layout.width is None:
        return True
    enclosed = _LINE_END.split(span.rstrip("\r\n"))[1:-1]
    delimiters = max((line.count(layout.delimiter) for line in enclosed), default=0)
    return _fields(span, field) == layout.width and not delimiters >= layout.width - 1 > 1


def _fields(record: str, field: re.Pattern[str]) -> int:
    count, position = 0, 0
    while True:
        match = field.match(record, position)
        count += 1
        if match is None or not match["delimiter"]:
            return count
        position = match.end()


def _patterns(delimiter: str, quote: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    q, d = re.escape(quote), re.escape(delimiter)
    quoted = f"{q}[^{q}]*+(?:{q}{q}[^{q}]*+)*+{q}"
    plain = rf"(?:[^{q}{d}\r\n][^{d}\r\n]*+)?"
    value = f"(?:{quoted}|{plain})"
    fitting = rf"{value}(?:{d}{value})*+(?:\r\n|\r|\n|\Z)"
    return re.compile(rf"(?!\Z)(?:{fitting}|{LINE.pattern})"), re.compile(f"{value}(?P<delimiter>{d})?")
