"""One line, taken apart before anything is looked up.

Belongs here: what bank and processors printed comes off, and what is left stands beside where it was and what kind of
payment it is.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

from pipeline.sandbox.engine import merchants, places, processors, rules
from pipeline.sandbox.engine.boilerplate import strip_boilerplate, without_remarks
from pipeline.sandbox.engine.entities import Company
from pipeline.sandbox.engine.text import canonical, normalise, tokens

_REMOTE = re.compile(r"(?:\d{3}[-. ]?\d{3}[-. ]?\d{4}|\.(?:COM|NET|ORG|IO|CO|TV)(?:/\S*)?) [A-Z]{2}$")
"""Where a telephone or a website stands for the town, the state is that of an office, and nothing happened there."""
_SEPA_FIELD = re.compile(r"\b(?:SVWZ|EREF|KREF|MREF|CRED|ABWA|ABWE|PURP)\+")
"""Names of fields, stuck to what is in them: SVWZ+GEHALT."""


_COLUMNS = re.compile(r".{22} ([^\d.*]{13}) [A-Z]{3}")
"""What some feeds leave as the card schemes send it: name, town and country in columns of a fixed width."""
_WIDTH = 40
_TOWN = re.compile(r"[^\W\d][^\d.*]*")
_LEAST_COLUMNS = 3


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
    whole = without_remarks(normalise(description))
    text = strip_boilerplate(whole)
    via, text = processors.peel(text)
    wallet = processors.wallet(whole, country)
    if wallet is not None and not via:  # it goes by Mollie, and then that is who it goes through
        via.append(wallet)
    if via:
        text = processors.without_site(strip_boilerplate(text))
    elif "*" in text[:6] and merchants.by_name(text.partition("*")[0]) is None:
        marked, text = text, processors.without_mark(text)
        if text != marked and text.startswith("DOORDASH "):
            text = text.replace(" ", "*", 1)  # the asterisk stood before it: DD *DOORDASH THAI HOUSE
    later = processors.behind(text)
    if later is not None:
        service, text = later
        if service not in via:
            via.append(service)
    line, every = tokens(text), tokens(_SEPA_FIELD.sub("", whole) if "+" in whole else whole)
    every_key, every_starts = canonical(every)
    key, starts = _within(line, every, every_key, every_starts) or canonical(line)
    place = places.locate(line, country, currency)
    if not place.city and len(line) > 1 and len(line[-1]) == 2 and _REMOTE.search(whole):  # noqa: PLR2004
        place.state = None
        place.kept = min(place.kept, len(line) - (line[-1] == whole[-2:]))
    if "  " in description or len(description) == _WIDTH:
        places.set_apart(place, line, _town_apart(description))
    homes = places.homes(place.country if place.city else country, currency)
    rule = rules.match(every, every_key, every_starts, entry_type)
    return Line(every, text, line, key, starts, place, homes, rule, via, entry_type, holder_type)


def _town_apart(description: str) -> list[str]:
    """The tokens of the town in a column of its own, if there are columns."""
    columns = _COLUMNS.fullmatch(description)
    if columns is not None:
        return tokens(normalise(columns[1]))
    parts = [part.strip() for part in description.split("  ") if part.strip()]
    apart = len(parts) >= _LEAST_COLUMNS and _TOWN.fullmatch(parts[-2]) is not None
    return tokens(normalise(parts[-2])) if apart else []


def _within(line: list[str], every: list[str], key: list[str], starts: list[int]) -> tuple[list[str], list[int]] | None:
    """The canonical tokens of a line whose tokens are among every token of the description, taken from theirs."""
    if line == every:
        return key, starts
    if key is every and set(every).issuperset(line):
        return line, list(range(len(line)))  # every token is what it is compared as
    if not line or line[0] not in every:
        return None
    first = every.index(line[0])
    last = first + len(line)
    if every[first:last] != line:
        return None
    at, end = bisect_left(starts, first), bisect_left(starts, last)
    if starts[at : at + 1] != [first] or (last < len(every) and starts[end : end + 1] != [last]):
        return None  # its first letter belongs to the token before, or its last one goes on
    return key[at:end], [start - first for start in starts[at:end]]
