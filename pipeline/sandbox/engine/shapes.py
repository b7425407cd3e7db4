"""Answers that are remembered: by what a line looks like, since most lines differ in their numbers only.

Belongs here: the shape of a line, and what its answer is for other lines of that shape. References, card digits, dates
and times count as any other of their length. Numbers that a table knows (24 HOUR FITNESS, MODELO 303) stay, a shop's
number is put in, and an answer that tells another number of its line is for that line alone.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.sandbox.engine.lookup import read_packed, read_table
from pipeline.sandbox.engine.reading import read

if TYPE_CHECKING:
    from collections.abc import Iterator

REMEMBERED = 20_000
"""Answers kept: at some 2 KB each that is 40 MB at most."""
_RUN = re.compile(r"[0-9]{2,}")
_DAY = re.compile(r"(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?(?![0-9])")
"""2026-01-02T08:11:12, as German banks print it."""
_LONG = 5
"""Digits that no name of the tables has in a row, but for one."""
_MONTHS = frozenset(["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"])
_ANY_DIGIT = str.maketrans("0123456789", "\0" * 10)
"""No digit stands for them: a name may have zeros in it."""


class _Known(NamedTuple):
    """An answer, and which of the runs of digits in the line is the shop's number that it tells."""

    answer: dict[str, Any]
    store: int | None


_answers: OrderedDict[tuple[str, str, str, str | None, str], _Known] = OrderedDict()


def answer(description: str, entry_type: str, currency: str, country: str | None, holder_type: str) -> dict[str, Any]:
    """What `read` answers, looked up where a line like it was answered before. Shared: treat it as read-only."""
    shape = shape_of(description)
    known = _answers.get((shape, entry_type, currency, country, holder_type))
    if known is None and shape != description:
        known = _answers.get((description, entry_type, currency, country, holder_type))
    if known is not None:
        return known.answer if known.store is None else _with_store(known, _RUN.findall(description))
    found = read(description, entry_type, currency, country, holder_type)
    fits_all, store = (True, None) if shape == description else _told(found, _RUN.findall(description))
    known_by = shape if fits_all else description
    _answers[known_by, entry_type, currency, country, holder_type] = _Known(found, store)
    if len(_answers) > REMEMBERED:
        _answers.popitem(last=False)
    return found


def forget() -> None:
    """Forget every answer, for who measures."""
    _answers.clear()


def shape_of(description: str) -> str:
    """The line without those digits that make no difference."""
    if "-" in description:
        description = _DAY.sub(_any_day, description)
    return _RUN.sub(_any_number, description)


def _any_day(found: re.Match[str]) -> str:
    return found[0].translate(_ANY_DIGIT)


def _any_number(found: re.Match[str]) -> str:
    text = found[0]
    if not (_is_masked(found) or _is_date(found)):
        if text in _known_numbers():
            return text
        start, end = found.span()
        before, after = found.string[max(start - 1, 0) : start], found.string[end : end + 1]
        if len(text) < _LONG and (_is_of_word(before) or _is_of_word(after)):
            return text
    return text.translate(_ANY_DIGIT)


def _is_masked(found: re.Match[str]) -> bool:
    """Whether they are the last digits of a card: XXXX1234."""
    return found.string[max(found.start() - 2, 0) : found.start()] in {"XX", "xx"}


def _is_of_word(char: str) -> bool:
    return char.isalnum() or (char != "" and char in "&+")


def _is_date(found: re.Match[str]) -> bool:
    """Whether a run is a part of 05.11., 05/11/25, 16:47, 05SEP25 or 05 SEP."""
    string, start, end = found.string, found.start(), found.end()
    if string[end : end + 1] in _BETWEEN and string[end + 1 : end + 3].isdigit():
        return True
    if string[max(start - 1, 0) : start] in _BETWEEN and string[max(start - 3, 0) : max(start - 1, 0)].isdigit():
        return True
    behind = string[end : end + 5].upper().lstrip(" ")
    if behind[:3] in _MONTHS and not behind[3:4].isalpha():
        return True
    return string[max(start - 3, 0) : start].upper() in _MONTHS and not _is_of_word(string[end : end + 1])


_BETWEEN = frozenset({".", "/", ":"})


def _told(found: dict[str, Any], runs: list[str]) -> tuple[bool, int | None]:
    """Whether the answer fits all lines of the shape, and which of the runs is the shop's number in it."""
    location = found["location"]
    number = location["structured"]["store_number"] if location else None
    if number is not None and runs.count(number) != 1:
        return False, None
    told = " ".join(_names(found))
    return not any(run in told for run in runs), None if number is None else runs.index(number)


def _names(found: dict[str, Any]) -> Iterator[str]:
    entities, location = found["entities"], found["location"]
    for one in filter(None, (entities["counterparty"], *entities["intermediaries"])):
        yield from (one["name"], one["website"] or "")
    if location is not None:
        yield location["raw_address"] or ""


def _with_store(known: _Known, runs: list[str]) -> dict[str, Any]:
    location = known.answer["location"]
    structured = {**location["structured"], "store_number": runs[known.store or 0]}
    return {**known.answer, "location": {**location, "structured": structured}}


@cache
def _known_numbers() -> frozenset[str]:
    """Numbers in the names and words of the tables, and what they begin with, which may be a name that is cut off."""
    rows = [
        *(row["aliases"] for row in read_table("merchants.csv")),
        *(row["phrases"] for row in read_table("phrases.csv")),
        *(row["words"] for row in read_table("trades.csv")),
        *(f"{row['starred']} {row['bare']}" for row in read_table("processors.csv")),
        *(aliases for _, aliases, *_ in read_packed("brands.zst")),
        *(name for name, *_ in read_packed("towns.zst")),
    ]
    runs = {run for row in rows for run in _RUN.findall(row)}
    return frozenset(run[:length] for run in runs for length in range(2, len(run) + 1))


def load() -> None:
    """Read the tables, once."""
    _known_numbers()
