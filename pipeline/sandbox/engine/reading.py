"""Reading one line: the order in which the other modules are asked.

Belongs here: processors off, then place, rule, merchant, domain, and at last the bare name. The first that knows
decides who the counterparty is; a strong rule decides the category before a merchant does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipeline.sandbox.engine import merchants, people, places, processors, rules, verdict
from pipeline.sandbox.engine.boilerplate import strip_boilerplate
from pipeline.sandbox.engine.categories import NOT_ENOUGH
from pipeline.sandbox.engine.entities import Company, counterparty, entity
from pipeline.sandbox.engine.text import NOISE, has_digit, normalise, title, tokens, words

_DOMAIN = re.compile(
    r"\b(?:WWW\.)?((?:[A-Z0-9][A-Z0-9-]*\.)+(?:CO\.UK|COM|NET|ORG|IO|AI|APP|DEV|DE|FR|NL|UK|EU|ES|IT|CH|AT|BE|IE|CA|US|TV|SHOP))\b"
)
_CARD = frozenset({"CARD", "POS", "CONTACTLESS", "PURCHASE"})
_LONGEST_NAME = 6
_MOST_LEADING_DIGITS = 4


@dataclass(slots=True)
class _Line:
    """One line, taken apart."""

    every_token: list[str]
    text: str
    tokens: list[str]
    place: places.Place
    rule: rules.Match | None
    via: list[Company]
    entry_type: str
    holder_type: str


@dataclass(slots=True)
class _Party:
    """Who it was, and what that says about the category."""

    company: Company | None = None
    type: str = "organization"
    merchant: merchants.Merchant | None = None


def read(description: str, entry_type: str, currency: str, country: str | None, holder_type: str) -> dict[str, Any]:
    """What `enrich` answers, from the parts of a transaction that it looks at."""
    whole = normalise(description)
    text = strip_boilerplate(whole)
    via, text = processors.peel(text)
    if via:
        text = strip_boilerplate(text)
    line = tokens(text)
    every = tokens(whole)
    taken = _Line(
        every,
        text,
        line,
        places.locate(line, country, currency),
        rules.match(every, entry_type),
        via,
        entry_type,
        holder_type,
    )
    party = _party(taken)
    general = _category(taken, party)
    return {
        "entities": {
            "counterparty": counterparty(party.company, party.type) if party.company else None,
            "intermediaries": [entity(company) for company in taken.via if not _same(company, party.company)],
        },
        "categories": verdict.categories(general, entry_type, holder_type),
        "location": places.structured(taken.place),
    }


def _same(one: Company, other: Company | None) -> bool:
    return other is not None and one.website == other.website


def _party(taken: _Line) -> _Party:
    rule = taken.rule.rule if taken.rule else None
    if rule is not None and rule.via:
        service = processors.COMPANIES[rule.via]
        taken.via.append(service)
        return _left_over(taken, likely=True) or _Party(service)
    hit = _own_service(taken) or merchants.identify(taken.tokens, taken.place.kept)
    if hit is not None:
        if hit.end > taken.place.kept:
            # What was guessed to be a city is part of the name.
            taken.place = taken.place._replace(city=None)
        if hit.platform is not None:
            taken.via.append(hit.platform.company)
        return _Party(hit.merchant.company, merchant=hit.merchant)
    domain = _DOMAIN.search(taken.text) if "." in taken.text else None
    if domain is not None:
        return _site(domain[1].lower())
    if rule is not None and rule.party == "none":
        return _Party()
    return _left_over(taken, likely=rule is not None and rule.party == "person") or _only_processor(taken)


def _own_service(taken: _Line) -> merchants.Hit | None:
    """`GOOGLE *ADS…`: Google is the processor of others, and sells services of its own under names of their own."""
    if processors.COMPANIES["google"] not in taken.via:
        return None
    hit = merchants.identify(["GOOGLE", *taken.tokens], len(taken.tokens) + 1)
    return hit._replace(end=0) if hit and hit.merchant.company.website != "google.com" else None


def _site(website: str) -> _Party:
    known = merchants.by_website(website) or merchants.by_website(".".join(website.split(".")[-2:]))
    if known is not None:
        return _Party(known.company, merchant=known)
    label = website.split(".", maxsplit=1)[0]
    return _Party(Company(title(label.upper().split("-")), website))


def _left_over(taken: _Line, *, likely: bool) -> _Party | None:
    """The name that remains once the words of the payment itself are off."""
    name = _name(taken)
    if not name:
        return None
    rule = taken.rule.rule if taken.rule else None
    asks = rule is not None and rule.party in {"person", "maybe"} and not _CARD & set(taken.every_token)
    if asks and people.is_person(name, likely=likely):
        return _Party(Company(title(people.without_title(name)), None), "person")
    return _Party(Company(title(name), None))


def _only_processor(taken: _Line) -> _Party:
    """A processor alone on a line is itself the counterparty."""
    if not taken.via:
        return _Party()
    company = taken.via[-1]
    return _Party(company, merchant=merchants.by_website(company.website or ""))


def _name(taken: _Line) -> list[str]:
    keep = taken.rule is None or taken.rule.rule.party == "keep"
    phrase = frozenset() if keep or taken.rule is None else taken.rule.phrase
    parts = words(taken.text)
    tail = taken.tokens[taken.place.kept :]
    while tail and len(parts) > 1 and tokens(parts[-1]) == tail[-len(tokens(parts[-1])) :]:
        del tail[-len(tokens(parts[-1])) or len(tail) :]
        parts.pop()
    name: list[str] = []
    for at, part in enumerate(parts):
        if part in phrase:
            continue
        if has_digit(part):
            # A number behind the name is the shop's, and what follows is a place; one before it is a reference.
            if len(name) > 1 or (name and name[0] not in NOISE and name[0] != "THE"):
                break
            digits = sum(char.isdigit() for char in part)
            if digits > _MOST_LEADING_DIGITS or (digits == len(part) and (at > 0 or digits == _MOST_LEADING_DIGITS)):
                continue
        elif (not name and part in NOISE and part not in people.TITLES) or not tokens(part):
            continue
        name.append(part)
    while name and (name[-1] in NOISE or name[-1] in {"-", "&"}) and name[-1] != "CO":
        name.pop()
    return [] if all(part.isdigit() for part in name) else name[:_LONGEST_NAME]


def _category(taken: _Line, party: _Party) -> str:
    rule = taken.rule.rule if taken.rule else None
    if rule is not None and (rule.strength == "strong" or (rule.strength == "person" and party.type == "person")):
        return verdict.by_rule(rule, taken.holder_type)
    if party.merchant is not None:
        return verdict.by_merchant(party.merchant, taken.entry_type, taken.holder_type, taken.every_token)
    if rule is not None and rule.strength == "weak":
        return verdict.by_rule(rule, taken.holder_type)
    return NOT_ENOUGH
