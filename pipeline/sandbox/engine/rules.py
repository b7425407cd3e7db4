"""Kinds of payment that words tell: cash, pay, fees, transfers, rent.

Belongs here: reading `phrases.csv` and choosing the phrase that counts. Its columns: `strength` strong beats a known
merchant's category, weak is for unknown merchants, person counts only where a person is named; `party` says where the
counterparty stands: none, rest (what is left), keep (the whole name), person, maybe (a person or an organisation).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from pipeline.sandbox.engine.lookup import Phrases, read_table
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


def match(line: list[str], entry_type: str) -> Match | None:
    """The rule for these tokens and this direction, or None."""
    key, starts = canonical(line)
    found = list(_index()[entry_type].find(key, overlapping=True))
    if not found:
        return None
    rule = min((one.value for one in found), key=lambda one: one.order)
    starts.append(len(line))
    phrase = {token for one in found if one.value is rule for token in line[starts[one.start] : starts[one.end]]}
    return Match(rule, frozenset(phrase))


@functools.cache
def _index() -> dict[str, Phrases[Rule]]:
    index: dict[str, Phrases[Rule]] = {"incoming": Phrases(), "outgoing": Phrases()}
    for order, row in enumerate(read_table("phrases.csv")):
        rule = Rule(order, row["strength"], row["consumer"], row["business"], row["party"], row["via"])
        for phrase in row["phrases"].split("|"):
            index["incoming" if row["direction"] == "in" else "outgoing"].add(canonical(tokens(normalise(phrase)))[0], rule)
    return index
