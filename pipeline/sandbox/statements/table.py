"""The rows of a statement's table.

Belongs here: finding the line with the columns' names, and sorting what stands below into them by place. What the rows
mean for an account is in `accounts`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pipeline.sandbox.statements.dates import Written, leading
from pipeline.sandbox.statements.figures import Figure, figure, last_figure

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = {
    "date": "date|transaction date|trans date|trans. date|posting date|posted|date posted|booking date|value date|"
    "posted date|effective date|datum|buchungstag|buchungsdatum|valuta|wertstellung",
    "text": "description|details|transaction|transactions|transaction details|transaction description|particulars|"
    "narrative|narration|payee|memo|payment type and details|reference|text|verwendungszweck|beschreibung|"
    "buchungstext|merchant|name",
    "way": "type|transaction type|entry type|dr/cr|cr/dr|debit/credit|credit/debit|d/c|c/d|direction",
    "amount": "amount|transaction amount|sum|value|betrag|umsatz",
    "out": "debit|debits|paid out|money out|withdrawal|withdrawals|payments|payments out|out|outgoing|withdrawn|"
    "charges|soll|debit amount|withdrawals/debits",
    "in": "credit|credits|paid in|money in|deposit|deposits|receipts|in|incoming|deposited|haben|credit amount|"
    "deposits/credits|payments in",
    "balance": "balance|running balance|account balance|ending daily balance|saldo|kontostand|balance after",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split("|")}
_WAYS = {
    **dict.fromkeys(("debit", "dr", "d", "out", "outgoing", "withdrawal", "soll", "s"), "outgoing"),
    **dict.fromkeys(("credit", "cr", "c", "in", "incoming", "deposit", "haben", "h"), "incoming"),
}
_FIGURES = ("amount", "out", "in", "balance")
_CELLS = re.compile(r"\S+(?: \S+)*")
MOST_CONTINUED = 4
"""Lines that one description may go on for."""


class Cell(NamedTuple):
    """Text and its place in the line."""

    text: str
    start: int
    end: int


class Column(NamedTuple):
    """A name in the head of the table, and its place."""

    kind: str
    start: int
    end: int
    unit: str | None
    """A currency in brackets behind the name."""


@dataclass(slots=True)
class Row:
    """A line of the table."""

    page: int
    date: Written | None
    text: str
    figures: dict[str, Figure] = field(default_factory=dict)
    direction: str | None = None
    """What a column of its own says, or the section it stands in."""
    continued: int = 0


def cells(line: str) -> list[Cell]:
    """Parts of a line that two blanks or more keep apart."""
    return [Cell(found[0], *found.span()) for found in _CELLS.finditer(line)]


def head(line: str) -> list[Column] | None:
    """The columns, if the line names a date and where the money is. A name that is not known is taken for text."""
    found = cells(line)
    columns = [_column(cell) or Column("text", cell.start, cell.end, None) for cell in found]
    kinds = {column.kind for column in columns}
    known = sum(_column(cell) is not None for cell in found)
    return columns if known > len(found) / 2 and "date" in kinds and kinds & {"amount", "out", "in"} else None


def _column(cell: Cell) -> Column | None:
    unit = re.search(r"[(\[]?([A-Z]{3}|[£€$])[)\]]?$", cell.text)
    name = cell.text[: unit.start()] if unit else cell.text
    kind = _KINDS.get(name.strip(" .:").lower()) or _KINDS.get(cell.text.strip(" .:").lower())
    return Column(kind, cell.start, cell.end, unit[1] if unit else None) if kind else None


def read_row(line: str, columns: list[Column], page: int) -> Row | None:
    """A row with a date, figures, or both; None for any other line.

    Without a date of its own (many print it once a day) it has to begin where descriptions do: what begins at the
    margin is no row.
    """
    date, found = _date(cells(line), columns)
    if date is None and not (found and _in_text(found[0], columns)):
        return None
    row = Row(page, date, "")
    words = [_figures_of(cell, columns, row) for cell in found]
    row.text = " ".join(word for word in words if word)
    return row if row.figures or date else None


def _in_text(cell: Cell, columns: list[Column]) -> bool:
    texts = [column for column in columns if column.kind == "text"]
    return bool(texts) and texts[0].start - 3 <= cell.start <= texts[-1].end


def _date(found: list[Cell], columns: list[Column]) -> tuple[Written | None, list[Cell]]:
    """The first date of a row, and the cells without the dates."""
    first: Written | None = None
    for _ in range(sum(column.kind == "date" for column in columns)):
        cell = found[0] if found else None
        one = leading(cell.text) if cell else None
        if cell is None or one is None:
            break
        first = first or one[0]
        # A description may follow the date with a single blank between them.
        rest = cell.text[one[1] :].lstrip()
        found = ([Cell(rest, cell.end - len(rest), cell.end)] if rest else []) + found[1:]
    return first, found


def _figures_of(cell: Cell, columns: list[Column], row: Row) -> str:
    """Put the figures of a cell into the row, or its direction; returns what is left of its text."""
    if _take(cell, columns, row):
        return ""
    if _nearest(cell, columns).kind == "way" and cell.text.lower() in _WAYS:
        row.direction = _WAYS[cell.text.lower()]
        return ""
    parts = [Cell(found[0], cell.start + found.start(), cell.start + found.end()) for found in
             re.finditer(r"\S+", cell.text)]  # fmt: skip
    if len(parts) > 1 and all(figure(part.text) for part in parts) and all(_take(part, columns, row) for part in parts):
        return ""
    ends = last_figure(cell.text)
    if ends and _take(Cell(ends[1], cell.end - len(ends[1]), cell.end), columns, row):
        return ends[0]
    return cell.text


def _take(cell: Cell, columns: list[Column], row: Row) -> bool:
    """Whether the cell is a figure in a column for figures that is not taken yet."""
    value = figure(cell.text)
    if value is None:
        return False
    kind = _nearest(cell, columns).kind
    if kind not in _FIGURES or kind in row.figures:
        return False
    row.figures[kind] = value
    return True


def _nearest(cell: Cell, columns: list[Column]) -> Column:
    return min(columns, key=lambda column: _distance(cell, column))


def _distance(cell: Cell, column: Column) -> tuple[int, int]:
    """How far apart they are, and how badly their edges fit: columns of figures are flush on one side."""
    apart = max(0, column.start - cell.end, cell.start - column.end)
    return apart, min(abs(cell.end - column.end), abs(cell.start - column.start))


def continues(line: str, columns: list[Column], row: Row) -> bool:
    """Add a line to the description of the row above it, if it stands where descriptions do.

    Tables that print the date beside the last line of a description are read wrongly: their text goes to the row above.
    """
    found = cells(line)
    if len(found) != 1 or row.continued >= MOST_CONTINUED or not _in_text(found[0], columns):
        return False
    row.text, row.continued = f"{row.text} {found[0].text}".strip(), row.continued + 1
    return True


def rows(pages: list[list[str]]) -> Iterator[tuple[str, list[Column] | None, Row | None]]:
    """Every line with the columns, if they change with it, and the row that it is, if it is one.

    A row is handed out with its first figure; lines that it goes on for are added to it afterwards. One that begins
    with a date and has its figures on a later line is put together.
    """
    columns: list[Column] = []
    for page, lines in enumerate(pages, 1):
        last: Row | None = None
        for line in lines:
            named = head(line)
            if named:
                columns, last = named, None
                yield line, named, None
                continue
            row = read_row(line, columns, page)
            if row is None and last is not None and continues(line, columns, last):
                continue
            if row is not None and row.date is None and last is not None and not last.figures:
                row.date, row.text = last.date, f"{last.text} {row.text}".strip()
            last = row
            yield line, None, row if row is not None and row.figures else None
