"""Dates as statements write them.

Belongs here: text in, a date out. Whether 03/04 is in March or April, and the year of a date that has none, is not in
the date: `Calendar` tells it for a whole statement.
"""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from pipeline.sandbox.statements.shapes import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan ene", "feb fév", "mar mär mrz", "apr abr avr", "may mai", "jun", "jul", "aug ago aoû", "sep", "oct okt",
         "nov", "dec dez dic déc"), 1)
    for name in names.split()
}  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})[a-zé]*\.?"
_FORMS = (
    r"(?P<year>\d{4})[-/.](?P<month_number>\d{1,2})[-/.](?P<day>\d{1,2})",
    r"(?P<first>\d{1,2})[-/.](?P<second>\d{1,2})[-/.](?P<year>\d{4}|\d\d)",
    rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?[ -]?{_MONTH}(?:[ ,-]+(?P<year>\d{{4}}|\d\d))?",
    rf"{_MONTH}[ -](?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:[ ,-]+(?P<year>\d{{4}}))?",
    r"(?P<first>\d{1,2})[/.](?P<second>\d{1,2})\.?",
)
_DATES = [re.compile(rf"(?:{form})(?![\w/])", re.IGNORECASE) for form in _FORMS]
_CENTURY = 2000
_MONTHS_IN_YEAR = 12
_DAYS_IN_MONTH = 31
_LEAP_YEAR = 2000
_MOST_MONTHS = dt.timedelta(100)
"""How long before a date that stands around the table its rows may be: a quarter and some days."""
_BETWEEN = re.compile(r"\s*(?:to|until|through|bis|[-\u2013\u2014])\s*", re.IGNORECASE)


class Written(NamedTuple):
    """A date as it is written: `first` and `second` are day and month, in an order that is known if `certain`."""

    first: int
    second: int
    year: int | None
    certain: bool
    dotted: bool = False
    """Written with points, as nobody does in the US."""


def leading(text: str, at: int = 0) -> tuple[Written, int] | None:
    """The date that stands at this place of a text, and where it ends."""
    for pattern in _DATES:
        found = pattern.match(text, at)
        if found is not None:
            written = _written(found)
            # 12.50 is a sum, whatever it looks like.
            return (written, found.end()) if _possible(written) else None
    return None


def _possible(written: Written) -> bool:
    small, large = sorted((written.first, written.second))
    return 1 <= small <= _MONTHS_IN_YEAR and large <= _DAYS_IN_MONTH


def period(line: str) -> tuple[Written, Written] | None:
    """Two dates with a word or a dash between them: what a statement is about."""
    for (first, _, end), (last, start, _) in pairwise(_all(line)):
        if _BETWEEN.fullmatch(line[end:start]):
            return first, last
    return None


def in_full(line: str) -> list[Written]:
    """The dates of a line that have a year."""
    return [one for one, _, _ in _all(line) if one.year is not None]


def _all(line: str) -> list[tuple[Written, int, int]]:
    found: list[tuple[Written, int, int]] = []
    at = 0
    for word in re.finditer(r"\w+", line):
        one = leading(line, word.start()) if word.start() >= at else None
        if one is not None:
            found.append((one[0], word.start(), one[1]))
            at = one[1]
    return found


def _written(found: re.Match[str]) -> Written:
    parts = found.groupdict()
    year = int(parts["year"]) if parts.get("year") else None
    if year is not None and year < 100:  # noqa: PLR2004
        year += _CENTURY
    if "first" in parts:
        # Who writes points has the day first.
        return Written(int(parts["first"]), int(parts["second"]), year, certain="." in found[0], dotted="." in found[0])
    named = parts.get("month")
    month = _MONTHS[named.lower()] if named else int(parts["month_number"])
    return Written(int(parts["day"]), month, year, certain=True)


def _read(written: list[Written], *, day_first: bool, year: int = _LEAP_YEAR) -> list[dt.date] | None:
    """Dates of uncertain order in this one, of `year` where they have none; None if one of them is no date then."""
    try:
        return [
            dt.date(one.year or year, *((one.second, one.first) if day_first else (one.first, one.second)))
            for one in written
        ]
    except ValueError:
        return None


def _has_day_first(uncertain: list[Written], between: tuple[Written, Written] | None, *, american: bool | None) -> bool:
    """In which order these dates are written; raises `UnreadableError` when nothing tells."""
    month_first, day_first = _read(uncertain, day_first=False), _read(uncertain, day_first=True)
    if month_first is None or day_first is None:
        return month_first is None
    if month_first == day_first:
        return american is False
    inside = [_inside(uncertain, between, day_first=order) for order in (False, True)]
    if inside[0] != inside[1]:
        return inside[1]
    if american is None:
        raise UnreadableError("Nothing tells whether its dates begin with the day or the month")
    # Outside the US a statement covers a month or so: of two readings the shorter one is right.
    return not american and _days(day_first) <= _days(month_first)


def _inside(uncertain: list[Written], between: tuple[Written, Written] | None, *, day_first: bool) -> bool:
    """Whether they are all within a period of certain dates, read in this order."""
    if between is None or not all(one.certain and one.year for one in between):
        return False
    ends = _read(list(between), day_first=True)
    dates = _read(uncertain, day_first=day_first, year=between[1].year or _LEAP_YEAR)
    return ends is not None and dates is not None and all(ends[0] <= one <= ends[1] for one in dates)


def _days(dates: list[dt.date]) -> int:
    return (max(dates) - min(dates)).days


class Calendar:
    """How one statement writes its dates."""

    def __init__(
        self,
        known: list[Written],
        between: tuple[Written, Written] | None,
        *,
        american: bool | None,
        elsewhere: Sequence[Written] = (),
    ) -> None:
        """`known` are the dates of its rows; `american` decides what they and `between` leave open.

        With None nothing does, and `UnreadableError` is raised if it makes a difference.
        `elsewhere` are full dates from around the table: rows without a year in a statement without a period are taken
        for those of the months before the first of these that fits.
        """
        written = [*known, *(between or ())]
        uncertain = [one for one in written if not one.certain]
        self._day_first = _has_day_first(uncertain, between, american=american)
        years = [one.year for one in written if one.year is not None]
        self._year = max(years) if years else None
        self.end: dt.date | None = None
        self._until: dt.date | None = None
        self.end = self._until = self.date(between[1]) if between else None
        self.start = self.date(between[0]) if between else None
        self.abroad = any(one.dotted for one in known) or _read(uncertain, day_first=False) is None
        """Whether nobody in the US writes its dates so."""
        if self._year is None and known:
            self._look_around(known, elsewhere)

    def _look_around(self, known: list[Written], elsewhere: Sequence[Written]) -> None:
        for one in elsewhere:
            self._year, self._until = one.year, None
            with suppress(UnreadableError):  # a number that looks like a date, or a 29 February of another year
                until = self._until = self.date(one)
                if all(until - _MOST_MONTHS <= self.date(row) <= until for row in known):
                    return
        self._year = self._until = None

    def date(self, written: Written) -> dt.date:
        """The day; raises `UnreadableError` when there is no such day or no year to be had."""
        day, month = written.first, written.second
        if not written.certain and not self._day_first:
            day, month = month, day
        year = written.year or self._year
        if year is None:
            raise UnreadableError("The dates have no year")
        try:
            made = dt.date(year, month, day)
        except ValueError as error:
            raise UnreadableError("A date in the table is none") from error
        if written.year is None and self._until is not None and made > self._until:
            # The statement goes over the end of a year.
            return self.date(written._replace(year=year - 1))
        return made
