"""Sums of money as statements write them.

Belongs here: one cell in, a figure out. The last point or comma with one or two digits behind it is the decimal one; a
minus on either side, brackets, DR, D(ebit), OD (overdrawn) and S(oll) make a figure negative.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

SYMBOLS = {"£": "GBP", "€": "EUR", "$": "USD"}
MARKS = "CR|DR|Cr|Dr|OD|[CDSH]"
"""Behind a figure: whose it is. S and H are German, for debit and credit."""
_OWED = {"DR", "D", "OD", "S"}
_OWN = {"CR", "C", "H"}
_UNIT = r"(?:[£€$]|[A-Z]{3})"
_NUMBER = r"(?:\d{1,3}(?:[ ,.'\u2019\u00a0]\d{3})+|\d+)(?:[.,]\d{1,2})?"
_FIGURE = re.compile(
    rf"(?P<open>\()?\s?(?P<sign>[-+\u2212])?\s?{_UNIT}?\s?(?P<inner>[-+\u2212])?\s?(?P<number>{_NUMBER})\s?{_UNIT}?"
    rf"\s?(?P<close>\))?\s?(?P<tail>{MARKS}|[-+\u2212])?"
)
_ENDS_WITH_FIGURE = re.compile(rf"(?:^|(?<=\s))[-+\u2212(]?[£€$]?[-+\u2212]?{_NUMBER}\)?-?(?:\s?(?:{MARKS}))?$")


class Figure(NamedTuple):
    """A sum. `marked` tells whether its sign was written rather than taken for granted."""

    value: Decimal
    marked: bool
    credit: bool
    """It was marked CR, C or H."""
    unit: str | None
    """The currency's symbol or code beside it."""


def figure(text: str) -> Figure | None:
    """The figure that a cell consists of, or None."""
    found = _FIGURE.fullmatch(text.strip())
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    number = found["number"]
    decimals = re.search(r"[.,](\d{1,2})$", number)
    whole = number[: decimals.start()] if decimals else number
    if decimals and decimals[0][0] in whole:
        return None
    value = Decimal(re.sub(r"\D", "", whole) + "." + (decimals[1] if decimals else "0"))
    signs = {found["sign"], found["inner"], (found["tail"] or "").upper()}
    negative = bool(found["open"] or signs & {"-", "\u2212"} or signs & _OWED)
    credit = bool(signs & _OWN)
    unit = re.search(_UNIT, re.sub(r"(?i)CR|DR", "", text))
    return Figure(-value if negative else value, negative or credit or "+" in signs, credit, unit[0] if unit else None)


def last_figure(text: str) -> tuple[str, str] | None:
    """A cell that ran into the next one: its text, and the figure with decimals that it ends with."""
    found = _ENDS_WITH_FIGURE.search(text)
    if found is None or not re.search(r"[.,]\d\d\D*$", found[0]):
        return None
    return text[: found.start()].rstrip(), found[0]
