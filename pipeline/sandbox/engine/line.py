"""One line, taken apart before anything is looked up.

Belongs here: what bank and processors printed comes off, and what is left stands beside where it was and what kind of
payment it is.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

from pipeline.sandbox.engine import merchants, places, processors, rules
from pipeline.sandbox.engine.boilerplate import strip_boilerplate
from pipeline.sandbox.engine.entities import Company
from pipeline.sandbox.engine.text import canonical, normalise, tokens

_REMOTE = re.compile(r"(?:\d{3}[-. ]?\d{3}[-. ]?\d{4}|\.(?:COM|NET|ORG|IO|CO|TV)(?:/\S*)?) [A-Z]{2}$")
"""Where a telephone or a website stands for the town, the state is that of an office, and nothing happened there."""


@dataclass(slots=True)
class Line:
    """One line, taken apart."""

    every_token: list[str]
    text: str
    """Without what the bank and the processors print around a name."""
    tokens: list[str]
    """Of the text; `key` and `starts` are their canonical form."""
    key: list[str]
    starts: list[int]
    place: places.Place
    homes: frozenset[str]
    rule: rules.Match | None
    via: list[Company]
    entry_type: str
    holder_type: str


def take_apart(description: str, entry_type: str, currency: str, country: str | None, holder_type: str) -> Line:
    """The parts of a transaction that the engine looks at."""
    whole = normalise(description)
    text = strip_boilerplate(whole)
    via, text = processors.peel(text)
    if via:
        text = strip_boilerplate(text)
    elif "*" in text[:6] and merchants.by_name(text.partition("*")[0]) is None:
        text = processors.without_mark(text)
    later = processors.behind(text)
    if later is not None and later not in via:
        via.append(later)
        text = text[: text.rindex(" ", 0, text.rindex(" "))]
    line, every = tokens(text), tokens(whole)
    every_key, every_starts = canonical(every)
    key, starts = _tail(line, every, every_key, every_starts) or canonical(line)
    place = places.locate(line, country, currency)
    if place.state and not place.city and _REMOTE.search(whole):
        place = place._replace(state=None)
    homes = places.homes(place.country if place.city else country, currency)
    rule = rules.match(every, every_key, every_starts, entry_type)
    return Line(every, text, line, key, starts, place, homes, rule, via, entry_type, holder_type)


def _tail(line: list[str], every: list[str], key: list[str], starts: list[int]) -> tuple[list[str], list[int]] | None:
    """The canonical tokens of a line that is the end of every token, taken from theirs."""
    gone = len(every) - len(line)
    if gone < 0 or every[gone:] != line:
        return None
    if gone == 0:
        return key, starts
    at = bisect_left(starts, gone)
    if at == len(starts) or starts[at] != gone:
        return None
    return key[at:], [start - gone for start in starts[at:]]
