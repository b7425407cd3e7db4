"""The name that is left of a line when nobody is known.

Belongs here: which words are the name's, and which are references, places and words of the payment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.sandbox.engine import people
from pipeline.sandbox.engine.text import NOISE, canonical, has_digit, tokens, words
from pipeline.sandbox.engine.trades import by_words
from pipeline.sandbox.wordlist import word_set

if TYPE_CHECKING:
    from pipeline.sandbox.engine.line import Line
    from pipeline.sandbox.engine.matching import Hit

LONGEST_NAME = 6
_MOST_LEADING_DIGITS = 4
_LEAST_LETTERS = 3
_LEAST_MIXED = 3
_RUNS = re.compile(r"[0-9]+|[^0-9]+")
_OF_PEOPLE = people.TITLES | {"JAN"}
"""Noise elsewhere: a title may be a state, and JAN a month."""
_MONTHS_OR_NAMES = word_set("MAI MARS MAYO JUNI JULI JULIO MARZO AVRIL ABRIL ENERO")
"""Months where the payment is regular, and else what a shop is called: MAI THAI, MAYO CLINIC."""
_NEEDS_PLACE = word_set(
    "OF DE DI DU DA VON STADT CITY COUNTY TOWN GEMEENTE MAIRIE COMUNE AYUNTAMIENTO COUNCIL UNIVERSITY STADTWERKE"
    " UNIVERSITAT GEMEINDE KOMMUNE BOROUGH STADTVERWALTUNG UNIVERSIDAD UNIVERSITE SPARKASSE VOLKSBANK LANDESHAUPTSTADT"
    " FINANZAMT DISTRICT LA LE LES DEL DELLA DES ZUM ZUR AM IM SAINT SAN SANTA"
)
"""Words that are no name without the place behind them."""
_NO_SHOP = word_set(
    "SUBSCRIPTION PENDING TRIP PASS PLUS ORDER TIP HELP EATS ONE HOLD DELIVERY REFUND DASHPASS MEMBER MEMBERSHIP"
)
"""What platforms print of themselves where a shop's name would stand."""


def left_over(taken: Line) -> list[str]:
    """The words of the name: no numbers, places and words of the payment."""
    keep = taken.rule is None or taken.rule.rule.party == "keep"
    phrase = frozenset() if keep or taken.rule is None else taken.rule.phrase
    parts = _without_place(taken)
    name: list[str] = []
    for at, part in enumerate(parts):
        if _is_of_payment(part, at, parts, phrase):
            continue
        if has_digit(part):
            # A number behind the name is the shop's, and what follows is a place; one before it is a reference.
            if len(name) > 1 or (name and name[0] not in NOISE and name[0] != "THE"):
                break
            if _is_reference(part, at) or (taken.via and _is_mixed(part)):
                continue
        elif _is_noise(part, parts[at + 1 : at + 2], taken, first=not name):
            continue
        name.append(part)
    while name and (name[-1] in NOISE or name[-1] in {"-", "&"}) and name[-1] != "CO":
        name.pop()
    return [] if all(part.isdigit() for part in name) else name[:LONGEST_NAME]


def _without_place(taken: Line) -> list[str]:
    """The words of the text up to the place, and with it where the name needs it: CITY OF MESA, STATE OF NJ."""
    parts = words(taken.text)
    tail = taken.tokens[taken.place.kept :]
    while tail and len(parts) > 1 and tokens(parts[-1]) == tail[-len(tokens(parts[-1])) :]:
        del tail[-len(tokens(parts[-1])) or len(tail) :]
        parts.pop()
    if taken.place.city and parts and (parts[-1] in _NEEDS_PLACE or _only_trade(parts)):
        parts.extend(taken.place.city.upper().split())
    elif taken.place.state and not taken.place.city and parts and parts[-1] == "OF":
        parts.append(taken.place.state)
    return parts


def _only_trade(parts: list[str]) -> bool:
    """PIZZERIA NAPOLI: the trade alone is no name."""
    return len(parts) == 1 and by_words(canonical(tokens(parts[0]))[0]) is not None


def _is_of_payment(part: str, at: int, parts: list[str], phrase: frozenset[str]) -> bool:
    """Whether a word belongs to the kind of payment; of two equal ones the second: LEEDS CITY COUNCIL COUNCIL TAX."""
    if not phrase or (part in phrase and part in parts[at + 1 :]):
        return False
    return part in phrase or phrase.issuperset(tokens(part))


def _is_reference(part: str, at: int) -> bool:
    digits = sum(char.isdigit() for char in part)
    return digits > _MOST_LEADING_DIGITS or (digits == len(part) and (at > 0 or digits == _MOST_LEADING_DIGITS))


def _is_mixed(part: str) -> bool:
    """Whether letters and digits alternate as in no name: 9KQ71LTZ."""
    runs = _RUNS.findall(part)
    return part.isalnum() and len(runs) >= _LEAST_MIXED and max(map(len, runs)) <= _LEAST_MIXED


def _is_noise(part: str, following: list[str], taken: Line, *, first: bool) -> bool:
    """Whether a word is none of the name. JAN is one before KOWALSKI, and a month in JAN STAFF."""
    if not tokens(part):
        return True
    if part in _MONTHS_OR_NAMES and taken.rule is None and following and following[0].isalpha():
        return False
    named = taken.rule is not None and taken.rule.rule.party in {"person", "maybe"}
    return first and part in NOISE and not (named and part in _OF_PEOPLE and NOISE.isdisjoint(following))


def shop_behind(taken: Line, hit: Hit) -> list[str]:
    """`DOORDASH*THAI HOUSE`: the words of the shop behind the platform's asterisk; none where there is no shop."""
    rest = taken.text.partition("*")[2]
    if len(tokens(taken.text.partition("*")[0])) < hit.end - hit.start:
        return []
    line = tokens(rest)
    gone = len(taken.tokens) - len(line)
    sites = {token for word in rest.split(" ") if "." in word.strip(".") for token in tokens(word)}
    left = [
        word
        for word in line[: max(taken.place.kept - gone, 0)]
        if not (has_digit(word) or word in NOISE or word in sites)
    ]
    return [] if sum(map(len, left)) <= _LEAST_LETTERS or not _NO_SHOP.isdisjoint(left) else left
