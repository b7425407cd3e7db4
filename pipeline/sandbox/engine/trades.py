"""What trade an unknown merchant is in, from the words of its name.

Belongs here: `trades.csv`, words of eight languages written by hand (one that starts with ~ also ends a longer word, as
in Rosenapotheke), and for names with none of them `data/clues`, what a city's card payments have taught about words.
Of what matches, more words at once count before one, and then what is written first in the table.
"""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from pipeline.sandbox.engine.lookup import Phrases, read_packed, read_table
from pipeline.sandbox.engine.text import canonical, has_digit, normalise, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = 5
_PRIOR_SHARE = 0.5
_LEAST_LEAD = 150
"""Hundredths of a natural logarithm that the best code has to be ahead of the second."""
_SURE = 350
_SHORTEST_ENDING = 4


class Trade(NamedTuple):
    """A merchant category code, and a category where the table names one other than the code's own."""

    order: int
    mcc: int
    category: str


class _Tables(NamedTuple):
    words: Phrases[Trade]
    endings: dict[str, Trade]
    tails: frozenset[str]
    """The last letters of the endings."""
    prior: dict[int, int]
    clues: dict[str, tuple[int, list[tuple[int, int]]]]


def by_words(name: list[str]) -> Trade | None:
    """The trade that a word of the name (in canonical tokens) tells, or None."""
    tables = _tables()
    found: list[tuple[int, Trade]] = []
    if tables.words.may_find(name):
        found.extend((one.start - one.end, one.value) for one in tables.words.find(name, overlapping=True))
    for word in name:
        if word[-_SHORTEST_ENDING:] in tables.tails:
            found.extend((-1, trade) for trade in _by_ending(word, tables.endings))
    return min(found)[1] if found else None


def is_trade(word: str) -> bool:
    """Whether the word as a whole (canonical) is a trade's: BACKEREI, and not NYSTROM, which only ends like power."""
    return next(_tables().words.find([word]), None) is not None


class Guess(NamedTuple):
    """A code that the clues speak for, and whether they are sure enough to name a category by it."""

    mcc: int
    sure: bool


def by_clues(name: list[str]) -> Guess | None:
    """The likeliest merchant category code of a name in canonical tokens, or None where nothing is likely."""
    tables = _tables()
    scores: dict[int, int] = {}
    for clue in set(_clues(name)):
        known = tables.clues.get(clue)
        if known is not None:
            against, codes = known
            for code, weight in codes:
                scores[code] = scores.get(code, 0) + weight - against
    if not scores:
        return None
    ranked = sorted(((score + _PRIOR_SHARE * tables.prior[code], code) for code, score in scores.items()), reverse=True)
    lead = ranked[0][0] - ranked[1][0] if len(ranked) > 1 else _LEAST_LEAD
    return Guess(ranked[0][1], lead >= _SURE) if lead >= _LEAST_LEAD else None


def clues(text: str) -> Iterator[str]:
    """What of a normalised text is counted: words, pairs of words, beginnings of words, the first word."""
    return _clues(canonical(tokens(text))[0])


def _clues(name: list[str]) -> Iterator[str]:
    kept = [word for word in name if len(word) > 1 and not has_digit(word)]
    if kept:
        yield "$" + kept[0]
    yield from kept
    for one, other in pairwise(kept):
        yield f"{one} {other}"
    for word in kept:
        if len(word) >= _PREFIX:
            yield "^" + word[:_PREFIX]


def _by_ending(word: str, endings: dict[str, Trade]) -> Iterator[Trade]:
    for length in range(len(word) - 2, _SHORTEST_ENDING - 1, -1):
        trade = endings.get(word[-length:])
        if trade is not None:
            yield trade
            return


@functools.cache
def _tables() -> _Tables:
    words: Phrases[Trade] = Phrases()
    endings: dict[str, Trade] = {}
    for order, row in enumerate(read_table("trades.csv")):
        trade = Trade(order, int(row["mcc"]), row["category"])
        for word in row["words"].split("|"):
            key = canonical(tokens(normalise(word)))[0]
            if word.startswith("~"):
                endings.setdefault("".join(key), trade)
            if not word.startswith("~") or len(word) > _SHORTEST_ENDING:
                words.add(key, trade)
    first, *rows = (line[0].split("|") for line in read_packed("clues.zst"))
    prior = dict(_weights(first[1:]))
    tails = frozenset(ending[-_SHORTEST_ENDING:] for ending in endings)
    return _Tables(words, endings, tails, prior, {row[0]: (int(row[1]), list(_weights(row[2:]))) for row in rows})


def _weights(cells: list[str]) -> Iterator[tuple[int, int]]:
    for cell in cells:
        code, _, weight = cell.partition(":")
        yield int(code), int(weight)


def load() -> None:
    """Read the tables, once."""
    _tables()
