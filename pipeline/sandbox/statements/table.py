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
    "posted date|post date|effective date|date of transaction|datum|buchungstag|buchungsdatum|bu-tag|buchung|valuta|"
    "wertstellung|wert",
    "text": "description|details|transaction|transactions|transaction details|transaction description|particulars|"
    "narrative|narration|payee|memo|payment type and details|reference|text|verwendungszweck|beschreibung|"
    "buchungstext|vorgang|merchant|merchant name|merchant name or transaction description|name",
    "way": "type|transaction type|entry type|dr/cr|cr/dr|debit/credit|credit/debit|d/c|c/d|direction",
    "amount": "amount|transaction amount|sum|value|betrag|umsatz",
    "out": "debit|debits|paid out|money out|withdrawal|withdrawals|payments|payments out|out|outgoing|withdrawn|"
    "charges|soll|debit amount|withdrawals/debits|withdrawals/subtractions|subtractions",
    "in": "credit|credits|paid in|money in|deposit|deposits|receipts|in|incoming|deposited|haben|credit amount|"
    "deposits/credits|payments in|deposits/additions|additions",
    "balance": "balance|running balance|account balance|ending daily balance|saldo|kontostand|balance after",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split("|")}
_WAYS = {
    **dict.fromkeys(("debit", "dr", "d", "out", "outgoing", "withdrawal", "soll", "s"), "outgoing"),
    **dict.fromkeys(("credit", "cr", "c", "in", "incoming", "deposit", "haben", "h"), "incoming"),
}
_FIGURES = ("amount", "out", "in", "balance")
_CELLS = re.compile(r"\S+(?: \S+)*")
_CODE = re.compile(r"[A-Z]{2,3}|\){3}")
"""What a British bank puts before a payment: DD, VIS, a sign for contactless."""
_NEAR = 3
"""Characters that the upper line of a name may stand beside the lower one."""
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


def head(line: str, above: str = "") -> list[Column] | None:
    """The columns, if the line names a date and where the money is. A name that is not known is taken for text.

    Names may begin in the line above, if that is no head itself.
    """
    found, over = cells(line), cells(above)
    named = _named(found)
    if named or not over or _named(over) or any(figure(cell.text) for cell in found):
        return named
    return _named(_joined(over, found))


def _joined(above: list[Cell], below: list[Cell]) -> list[Cell]:
    """The cells of a line, each with what stands over it; what stands over nothing is a cell of its own."""
    made = list(below)
    for upper in above:
        near = [(_apart(upper, cell), at) for at, cell in enumerate(made)]
        apart, at = min(near, default=(_NEAR + 1, 0))
        if apart > _NEAR:
            made.append(upper)
        else:
            lower = made[at]
            text = f"{upper.text}{lower.text}" if upper.text.endswith("/") else f"{upper.text} {lower.text}"
            made[at] = Cell(text, min(upper.start, lower.start), max(upper.end, lower.end))
    return sorted(made, key=lambda cell: cell.start)


def _named(found: list[Cell]) -> list[Column] | None:
    columns = [_column(cell) or Column("text", cell.start, cell.end, None) for cell in found]
    kinds = {column.kind for column in columns}
    known = sum(_column(cell) is not None for cell in found)
    return columns if known > len(found) / 2 and "date" in kinds and kinds & {"amount", "out", "in"} else None


def _column(cell: Cell) -> Column | None:
    unit = re.search(r"[(\[]?([A-Z]{3}|[£€$])[)\]]?$", cell.text) or re.match(r"([£€$]) ", cell.text)
    name = (cell.text[: unit.start()] or cell.text[unit.end() :]) if unit else cell.text
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
    return _apart(cell, column), min(abs(cell.end - column.end), abs(cell.start - column.start))


def _apart(one: Cell, other: Cell | Column) -> int:
    return max(0, other.start - one.end, one.start - other.end)


def begins(line: str, columns: list[Column], page: int) -> Row | None:
    """A row whose figures come on a later line: it has the code of a payment where descriptions begin, and a text."""
    found = cells(line)
    if len(found) < 2 or not _in_text(found[0], columns) or not _CODE.fullmatch(found[0].text):  # noqa: PLR2004
        return None
    return Row(page, None, " ".join(cell.text for cell in found))


def continues(line: str, columns: list[Column], row: Row) -> bool:
    """Add a line to the description of the row above it, if it stands where descriptions do."""
    found = cells(line)
    if len(found) != 1 or row.continued >= MOST_CONTINUED or not _in_text(found[0], columns):
        return False
    row.text, row.continued = f"{row.text} {found[0].text}".strip(), row.continued + 1
    return True


def rows(pages: list[list[str]]) -> Iterator[tuple[str, list[Column] | None, Row | None]]:
    """Every line with the columns, if they change with it, and the row that it is, if it is one.

    A row is handed out with its first figure; lines that it goes on for are added to it afterwards. One that begins
    with a date and has its figures on a later line is put together. Where text stands above the very first row, dates
    stand beside the last lines of descriptions.
    """
    columns: list[Column] = []
    # Whether descriptions end with the row; lines of one that has not ended.
    ends_with_row: bool | None = None
    for page, lines in enumerate(pages, 1):
        last: Row | None = None
        waiting = Row(page, None, "")
        above = ""
        for line in lines:
            named = head(line, above)
            above = line
            if named:
                columns, last, waiting = named, None, Row(page, None, "")
                yield line, named, None
                continue
            row = read_row(line, columns, page) or (begins(line, columns, page) if last is not None else None)
            if row is None and columns and ends_with_row is not False and continues(line, columns, waiting):
                continue
            if row is None and last is not None and continues(line, columns, last):
                continue
            if row is not None and columns and last is None and ends_with_row is None:
                ends_with_row = bool(waiting.text) and row.date is not None
            if row is not None and ends_with_row and waiting.text:
                row.text = f"{waiting.text} {row.text}".strip()
            waiting = Row(page, None, "")
            if row is not None and row.date is None and last is not None and not last.figures:
                row.date, row.text = last.date, f"{last.text} {row.text}".strip()
            last = row
            yield line, None, row if row is not None and row.figures else None
