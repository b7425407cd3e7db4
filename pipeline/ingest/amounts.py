"""Amounts as people and banks write them.

Belongs here: one value in, its canonical digits or a `Problem` out, and finding out which marks a column uses. Nothing
here knows a file or a mapping. A misreading is worse than a rejection: groups of digits must be exact, so with a point
as decimal mark "1,50" is rejected and never read as 150.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pipeline.ingest.codes import CURRENCIES
from pipeline.ingest.records import PLAIN, Problem, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DECIMALS = 4
MAX_INTEGER_DIGITS = 14
"""DECIMAL(18,4) has 14 digits before the point."""


EMPTY = Problem("is empty")


class Amount(NamedTuple):
    """A parsed amount: absolute value as plain digits ("0", "12.5"), its sign, and a currency code beside it or ""."""

    digits: str
    negative: bool
    code: str


class Marks(NamedTuple):
    """Decimal mark, and the characters that may separate groups of digits (one kind per value)."""

    decimal: str
    thousands: str


_ONE_SPACE = str.maketrans(dict.fromkeys("\t\u00a0\u202f\u2009\u2007", " "))
_PLAIN_SIGNS = str.maketrans({**dict.fromkeys("\u2212\u2013\u2010\ufe63\uff0d", "-"), "\u2019": "'"})
_SIMPLE = re.compile(r"(-?)([0-9]{1,14})(?:\.([0-9]{1,4}))?")
_SYMBOL = r"[$\u00a2-\u00a5\u20a0-\u20c0\uff04]"


def _unit(name: str) -> str:
    """Currency beside a number: a code, a symbol ("US$", "€"), or one of two Nordic and Swiss abbreviations."""
    return rf"(?:(?P<{name}>[A-Z]{{3}})|[A-Z]{{0,2}}{_SYMBOL}[A-Z]{{0,2}}|kr\.?|Fr\.)?"


_BODY = re.compile(rf"([-+]?) *{_unit('before')} *([-+]?) *([0-9.,][0-9.,' ]*?) *([-+]?) *{_unit('after')} *([-+]?)")


@lru_cache(maxsize=64)
def _number(marks: Marks) -> re.Pattern[str]:
    decimal, group = re.escape(marks.decimal), f"[{re.escape(marks.thousands)}]"
    grouped = rf"[0-9]{{1,3}}(?P<mark>{group})(?:[0-9]{{2,3}}(?P=mark))*[0-9]{{3}}|" if marks.thousands else ""
    return re.compile(rf"(?=[0-9]|{decimal}[0-9])(?P<whole>{grouped}[0-9]*)(?:{decimal}(?P<part>[0-9]+))?")


def parse_amount(value: str, marks: Marks) -> Amount | Problem:
    """An amount with its sign. Takes currency symbols and codes around it, spaces of any kind, "(12.30)" and "12.30-".

    At most 14 digits before the decimal mark and 4 behind it (zeros at the end do not count); never rounded.
    """
    if value.startswith(PLAIN):
        value, marks = value[1:], Marks(".", "")
    simple = _SIMPLE.fullmatch(value) if marks.decimal == "." else None
    if simple:
        return _amount(simple[2], simple[3] or "", simple[1] == "-", "", value)
    text = value.translate(_ONE_SPACE).translate(_PLAIN_SIGNS).strip()
    if not text:
        return EMPTY
    in_brackets = text.startswith("(") and text.endswith(")")
    body = _BODY.fullmatch(text[1:-1].strip() if in_brackets else text)
    signs = "".join(body.group(1, 3, 5, 7)) if body else ""
    number = _number(marks).fullmatch(body[4]) if body else None
    if body is None or number is None or len(signs) + in_brackets > 1:
        return Problem(f"{quoted(value)} is not a number with decimal mark {marks.decimal!r}")
    code = body["before"] or body["after"] or ""
    if code and code not in CURRENCIES:
        return Problem(f"{quoted(value)}: {code} is not a currency of the API")
    whole = re.sub("[^0-9]", "", number["whole"])
    return _amount(whole, number["part"] or "", in_brackets or signs == "-", code, value)


def _amount(whole: str, part: str, negative: bool, code: str, value: str) -> Amount | Problem:  # noqa: FBT001
    whole, part = whole.lstrip("0"), part.rstrip("0")
    if len(part) > MAX_DECIMALS:
        return Problem(f"{quoted(value)} has more than {MAX_DECIMALS} decimals")
    if len(whole) > MAX_INTEGER_DIGITS:
        return Problem(f"{quoted(value)} has more than {MAX_INTEGER_DIGITS} digits before the decimal mark")
    digits = (whole or "0") + ("." + part if part else "")
    return Amount(digits, negative and digits != "0", code)


def find_marks(values: Iterable[str], decimal: str | None, thousands: str | None) -> Marks | Problem:
    """The marks of a column, as far as they are not stated. A `Problem` when the decimal mark is anybody's guess."""
    if decimal is None:
        found = _find_decimal(values, thousands)
        if isinstance(found, Problem):
            return found
        decimal = found
    if thousands is None:
        return Marks(decimal, ".,' ".replace(decimal, ""))
    return Marks(decimal, thousands.translate(_ONE_SPACE).translate(_PLAIN_SIGNS))


def _find_decimal(values: Iterable[str], thousands: str | None) -> str | Problem:
    """Votes of the values: "1.234,56" and "1,5" for a comma, "1,234.5" for a point, "1.234" alone for neither."""
    votes = {",": 0, ".": 0}
    unclear = ""
    for value in values:
        if value.startswith(PLAIN):
            continue
        marks = re.findall("[.,]", value)
        tail = re.search(r"(?:^|[^0-9.,])([0-9]*)[.,]([0-9]+)(?![0-9.,])", value)
        if len(set(marks)) > 1:
            votes[marks[-1]] += 1
        elif len(marks) > 1:
            votes["," if marks[0] == "." else "."] += 1
        elif tail and (len(tail[2]) != 3 or not 1 <= len(tail[1]) <= 3 or tail[1] == "0"):  # noqa: PLR2004
            votes[marks[0]] += 1
        elif tail:
            unclear = unclear or value
    if votes[","] != votes["."]:
        return "," if votes[","] > votes["."] else "."
    if votes["."] == 0 and unclear and thousands in {".", ","}:
        return "," if thousands == "." else "."
    if unclear or votes["."]:
        return Problem(f"{quoted(unclear)} can be read in two ways" if unclear else "half of the values use each mark")
    return "."
