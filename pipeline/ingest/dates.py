"""Dates as banks write them.

Belongs here: one value in, an ISO date or a `Problem` out, and finding out which format a column uses. A column that
fits day first and month first is never guessed.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING

from pipeline.ingest.mapping import ISO
from pipeline.ingest.records import Problem, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

YEARS = range(1970, 2100)
"""Years that a transaction may have. Fixed, not relative to today: the same bytes always give the same rows."""

_DAYS = (
    "%Y/%m/%d", "%Y.%m.%d", "%Y.%m.%d.", "%Y%m%d", "%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y",
    "%d/%m/%y",
    "%m/%d/%y", "%d-%m-%Y", "%m-%d-%Y", "%d-%m-%y", "%m-%d-%y", "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%d-%b-%y",
    "%d %b %y", "%b %d, %Y", "%B %d, %Y",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S %z", ", %H:%M", " %I:%M %p", " %I:%M:%S %p")
FORMATS = (ISO, *(day + time for time in _TIMES for day in _DAYS))
"""Formats that are recognised, in order of preference; any other can be stated."""

_FIRST = 200
"""Values that choose the formats worth trying on all: trying 150 formats on 100,000 time stamps took a minute."""

_ISO = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ]\d.*)?", re.ASCII)


def parse_date(value: str, form: str) -> str | Problem:
    """The date as YYYY-MM-DD. 30 February is a problem. A time behind the date is checked and dropped."""
    text = value.strip()
    if not text:
        return Problem("is empty")
    day = _read(text, form)
    if day is None:
        return Problem(f"{quoted(value)} is not a date{'' if form == ISO else f' in the form {form}'}")
    if day.year not in YEARS:
        return Problem(f"{quoted(value)} has a year outside {YEARS[0]} to {YEARS[-1]}")
    return day.isoformat()


def _read(text: str, form: str) -> date | None:
    """The date as written: a time zone behind it does not move the day."""
    try:
        if form != ISO:
            return datetime.strptime(text, form).date()  # noqa: DTZ007
        match = _ISO.fullmatch(text)
        if match is None:
            return None
        return date.fromisoformat(text) if text == match[1] else datetime.fromisoformat(text.replace(" +", "+")).date()
    except ValueError:
        return None


def find_format(values: Iterable[str]) -> str | Problem:
    """The format of a column. A `Problem` when none fits, or when day and month could be either way round."""
    samples = list(dict.fromkeys(value.strip() for value in values if value.strip()))
    if not samples:
        return ISO
    forms = [form for form in FORMATS if any(_sane(text, form) for text in samples[:_FIRST])]
    if not forms:
        return Problem(f"no known format fits {quoted(samples[0])}")
    fits = {form: {text for text in samples if _sane(text, form)} for form in forms}
    best = max(forms, key=lambda form: len(fits[form]))
    for rival in forms:
        apart = any(_read(text, rival) != _read(text, best) for text in fits[rival] & fits[best])
        mixed = _swapped(rival) == best and bool(fits[rival] - fits[best])
        if (apart and not fits[rival] < fits[best]) or mixed:
            return Problem(f"the values fit {best} and {rival}")
    return best


def _sane(text: str, form: str) -> bool:
    day = _read(text, form)
    return day is not None and day.year in YEARS


def _swapped(form: str) -> str:
    return form.translate(str.maketrans("dm", "md"))
