"""Kinds of payment that words tell: cash, pay, fees, transfers, rent.

Belongs here: reading `phrases.csv` and choosing the phrase that counts. Its columns: `strength` strong beats a known
merchant's category, weak is for unknown merchants, person counts only where a person is named; `party` says where the
counterparty stands: none, rest (what is left), keep (the whole name), person, maybe (a person or an organisation).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import ahocorasick

from pipeline.sandbox.engine.lookup import read_table
from pipeline.sandbox.engine.text import canonical, normalise, tokens


class Rule(NamedTuple):
    """A row of `phrases.csv`. `order`: the earlier of two that match counts."""

    order: int
    strength: str
    consumer: str
    business: str
    party: str
    via: str


class Match(NamedTuple):
    """The rule that counts and the tokens of its phrases."""

    rule: Rule
    phrase: frozenset[str]


def match(line: list[str], key: list[str], starts: list[int], entry_type: str) -> Match | None:
    """The rule for these tokens (`key` and `starts`: canonical) and this direction, or None."""
    text = f" {' '.join(key)} "
    found = list(_index()[entry_type].iter(text))
    if not found:
        return None
    rule = min(found, key=_order)[1][0]
    ends = [*starts, len(line)]
    phrase: set[str] = set()
    for last, (other, length) in found:
        if other is rule:
            first = text.count(" ", 0, last - length + 1)
            phrase.update(line[ends[first] : ends[first + text.count(" ", last - length + 2, last + 1)]])
    return Match(rule, frozenset(phrase))


def _order(found: tuple[int, tuple[Rule, int]]) -> int:
    return found[1][0].order


@functools.cache
def _index() -> dict[str, ahocorasick.Automaton]:
    index = {"incoming": ahocorasick.Automaton(), "outgoing": ahocorasick.Automaton()}
    for order, row in enumerate(read_table("phrases.csv")):
        rule = Rule(order, row["strength"], row["consumer"], row["business"], row["party"], row["via"])
        automaton = index["incoming" if row["direction"] == "in" else "outgoing"]
        for phrase in row["phrases"].split("|"):
            text = f" {' '.join(canonical(tokens(normalise(phrase)))[0])} "
            if not automaton.exists(text):
                automaton.add_word(text, (rule, len(text)))
    for automaton in index.values():
        automaton.make_automaton()
    return index


def load() -> None:
    """Read the tables, once."""
    _index()
