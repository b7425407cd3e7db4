"""Reading one line: the order in which the other modules are asked.

Belongs here: processors off, then place, rule, merchant, domain, and at last the bare name. The first that knows
decides who the counterparty is; a strong rule decides the category before a merchant does, a trade after it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from pipeline.sandbox.engine import codes, matching, merchants, people, places, processors, rules, trades, verdict
from pipeline.sandbox.engine.boilerplate import strip_boilerplate
from pipeline.sandbox.engine.categories import NOT_ENOUGH
from pipeline.sandbox.engine.entities import Company, counterparty, entity
from pipeline.sandbox.engine.text import NOISE, canonical, has_digit, normalise, title, tokens, words

_DOMAIN = re.compile(
    r"(?:HTTPS?://)?\b(?:WWW\.?)?((?:[A-Z0-9][A-Z0-9-]*\.)+(?:CO\.UK|ORG\.UK|GOV\.UK|AC\.UK|COM\.AU|COM|NET|"
    r"ORG|IO|AI|APP|DEV|DE|FR|NL"
    r"|UK|EU|ES|IT|CH|AT|BE|IE|CA|US|TV|SHOP|PL|SE|DK|NO|FI|PT|ME|STORE|CLOUD|GOV|EDU|BIKE|COFFEE|CLUB|ONLINE|"
    r"LU|CZ|CO|SO|FM|GG|TO))\b(?!\.?@)"
)
_NOT_SITES = re.compile(r"^(?:HELP|SUPPORT|G|P|S|SA|N|INC|ST|DR|MR|MRS|MS|CO|NO|[A-Z])\.[A-Z]{2,3}$")
_HELP = re.compile(
    r"^(?:HELP|SUPPORT|BILL|PAY|WWW|WWW2|M|SHOP|STORE|ORDER|ACCOUNT|ACCOUNTS|BILLING|CHECKOUT|MY|"
    r"APP)\.(?=[^.]+\.[^.]+)"
)
_CHEQUE = re.compile(r"(?:CHECK|CHEQUE|CHQ|SCHECK|ASSEGNO|CHECKS?) ?(?:PAID|PD)? ?(?:N[OR]?\.? ?|# ?|NUMBER )?\d*")
_CARD = frozenset({"CARD", "POS", "CONTACTLESS", "PURCHASE"})
_NO_SHOP = frozenset(
    {
        "SUBSCRIPTION",
        "PENDING",
        "TRIP",
        "PASS",
        "PLUS",
        "ORDER",
        "TIP",
        "HELP",
        "EATS",
        "ONE",
        "HOLD",
        "DELIVERY",
        "REFUND",
        "DASHPASS",
        "MEMBER",
        "MEMBERSHIP",
    }
)
_NEEDS_PLACE = frozenset(
    [
        "OF",
        "DE",
        "DI",
        "DU",
        "DA",
        "VON",
        "STADT",
        "CITY",
        "COUNTY",
        "TOWN",
        "GEMEENTE",
        "MAIRIE",
        "COMUNE",
        "AYUNTAMIENTO",
        "COUNCIL",
        "UNIVERSITY",
        "STADTWERKE",
        "UNIVERSITAT",
        "GEMEINDE",
        "KOMMUNE",
        "BOROUGH",
        "STADTVERWALTUNG",
        "UNIVERSIDAD",
        "UNIVERSITE",
        "SPARKASSE",
        "VOLKSBANK",
        "LANDESHAUPTSTADT",
        "FINANZAMT",
        "DISTRICT",
    ]
)
"""Words that are no name without the place behind them."""
_LONGEST_NAME = 6
_MOST_LEADING_DIGITS = 4
_LEAST_LETTERS = 3


_TITLES_TOO = people.TITLES | {"JAN"}
_GAMES = trades.Trade(0, 5816, "digital content and streaming")
_SOFTWARE = trades.Trade(0, 5734, "saas tools")
_SOLD = {
    "Google": _GAMES, "Xsolla": _GAMES, "Paddle": _SOFTWARE, "FastSpring": _SOFTWARE, "Lemon Squeezy": _SOFTWARE,
    "2Checkout": _SOFTWARE, "Digital River": _SOFTWARE, "Cleverbridge": _SOFTWARE, "Gumroad": _GAMES,
}  # fmt: skip
"""What is sold through those who sell one kind of thing."""
_FUEL = frozenset({"GAS", "PETROL", "FUEL", "PUMP", "GASBAR", "STATION", "FUELS", "TANKSTELLE"})
_SELLS_FUEL = frozenset({"groceries", "department or discount store", "convenience store"})
_TAUGHT = frozenset({"US", "CA", "GB", "IE", "AU", "NZ"})
"""Where the names are in the language of the clues."""


@dataclass(slots=True)
class _Line:
    """One line, taken apart."""

    every_token: list[str]
    text: str
    tokens: list[str]
    key: list[str]
    starts: list[int]
    place: places.Place
    homes: frozenset[str]
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
    trade: trades.Trade | None = None
    code: int | None = None
    sure: bool = False


def read(description: str, entry_type: str, currency: str, country: str | None, holder_type: str) -> dict[str, Any]:
    """What `enrich` answers, from the parts of a transaction that it looks at."""
    taken = _take_apart(description, entry_type, currency, country, holder_type)
    party = _party(taken)
    if party.type == "person":
        taken.place = taken.place._replace(city=None, state=None)
    elif party.company is not None and party.merchant is None:
        _by_trade(taken, party)
    general = _category(taken, party)
    company = _with_codes(party)
    return {
        "entities": {
            "counterparty": counterparty(company, party.type) if company else None,
            "intermediaries": [entity(one) for one in taken.via if not _same(one, company)],
        },
        "categories": verdict.categories(general, entry_type, holder_type),
        "location": places.structured(taken.place),
    }


def _take_apart(description: str, entry_type: str, currency: str, country: str | None, holder_type: str) -> _Line:
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
    homes = places.homes(place.country if place.city else country, currency)
    rule = rules.match(every, every_key, every_starts, entry_type)
    return _Line(every, text, line, key, starts, place, homes, rule, via, entry_type, holder_type)


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


def _same(one: Company, other: Company | None) -> bool:
    """Whether a processor is the counterparty itself, or the company that this belongs to."""
    if other is None:
        return False
    return one.website == other.website or (other.parent is not None and one.website == other.parent.website)


def _party(taken: _Line) -> _Party:
    rule = taken.rule.rule if taken.rule else None
    if rule is not None and rule.via:
        service = processors.COMPANIES[rule.via]
        if service not in taken.via:
            taken.via.append(service)
        return _left_over(taken, likely=True) or _Party(service)
    hit = _own_service(taken) or matching.find(
        taken.key, taken.starts, len(taken.tokens), taken.place.kept, taken.homes
    )
    if rule is not None and rule.party == "none" and not (hit and _is_its_name(taken, hit)):
        return _Party()
    if _CHEQUE.fullmatch(taken.text):
        return _Party()
    if hit is not None and not _paid_by(taken, hit):
        return _through_bank(taken, hit) or _known(taken, hit)
    domain = _domain(taken.text)
    if domain is not None:
        return _site(domain, taken.homes)
    return _left_over(taken, likely=rule is not None and rule.party == "person") or _only_processor(taken)


def _is_its_name(taken: _Line, hit: matching.Hit) -> bool:
    """Whether what sounds like a kind of payment is a merchant's name (ATM MILANO) or a broker's business."""
    if "broker" in hit.merchant.flags:
        return True
    whole = taken.rule is not None and taken.rule.phrase.issubset(taken.tokens[hit.start : hit.end])
    if whole and hit.end - hit.start > 1:
        taken.rule = None
        return True
    return False


def _paid_by(taken: _Line, hit: matching.Hit) -> bool:
    """Whether wages come from a firm that only shares a short name with a brand: ACME CORP."""
    wages = taken.rule is not None and taken.rule.rule.consumer == "paycheck"
    return wages and not hit.merchant.written and hit.end - hit.start == 1


def _through_bank(taken: _Line, hit: matching.Hit) -> _Party | None:
    """`REVOLUT PAYMENT FROM T BRENNOCK`: the person, not the bank."""
    rule = taken.rule.rule if taken.rule else None
    if rule is None or rule.party not in {"person", "maybe"} or "bank" not in hit.merchant.flags or not taken.rule:
        return None
    left = [
        word for word in taken.tokens[hit.end : taken.place.kept] if word not in taken.rule.phrase and word not in NOISE
    ]
    if not people.is_person(left, likely=False):
        return None
    return _Party(Company(title(people.without_title(left)), None), "person")


def _known(taken: _Line, hit: matching.Hit) -> _Party:
    if hit.end > taken.place.kept:
        # What was guessed to be a city is part of the name.
        taken.place = taken.place._replace(city=None, state=None)
    if hit.platform is not None:
        taken.via.append(merchants.at_home(hit.platform, taken.homes))
    elif "platform" in hit.merchant.flags and "*" in taken.text:
        bought = _behind(taken, hit)
        if bought is not None:
            taken.via.append(merchants.at_home(hit.merchant, taken.homes))
            return _Party(bought, merchant=hit.merchant)
    company = merchants.at_home(hit.merchant, taken.homes)
    return _Party(_as_printed(company, taken.text), merchant=hit.merchant)


def _as_printed(company: Company, text: str) -> Company:
    """With the website that the line prints, where it is another country's of the same name: amazon.co.uk."""
    printed = _domain(text)
    if printed is None or company.website is None or company.website.startswith(printed):
        return company
    label, _, suffix = printed.partition(".")
    return (
        company._replace(website=printed) if label == company.website.partition(".")[0] and len(suffix) > 1 else company
    )


def _behind(taken: _Line, hit: matching.Hit) -> Company | None:
    """`DOORDASH*THAI HOUSE`: the unknown shop behind the platform's asterisk."""
    rest = taken.text.partition("*")[2]
    if len(tokens(taken.text.partition("*")[0])) < hit.end - hit.start:
        return None
    line = tokens(rest)
    gone = len(taken.tokens) - len(line)
    sites = {token for word in rest.split(" ") if "." in word.strip(".") for token in tokens(word)}
    left = [
        word
        for word in line[: max(taken.place.kept - gone, 0)]
        if not (has_digit(word) or word in NOISE or word in sites)
    ]
    if sum(map(len, left)) <= _LEAST_LETTERS or not _NO_SHOP.isdisjoint(left):
        return None
    return Company(title(left[:_LONGEST_NAME]), None)


def _own_service(taken: _Line) -> matching.Hit | None:
    """`GOOGLE *ADS…`: Google is the processor of others, and sells services of its own under names of their own."""
    if processors.COMPANIES["google"] not in taken.via:
        return None
    hit = matching.identify(["GOOGLE", *taken.tokens], len(taken.tokens) + 1)
    return hit._replace(end=0) if hit and hit.merchant.company.website != "google.com" else None


def _domain(text: str) -> str | None:
    """The website that is printed, or None."""
    if "." not in text:
        return None
    for found in _DOMAIN.finditer(text):
        site: str = _HELP.sub("", found[1])
        if not _NOT_SITES.match(site) and "@" not in text[max(found.start() - 1, 0) : found.end() + 1]:
            return site.lower()
    return None


def _site(website: str, homes: frozenset[str]) -> _Party:
    known = merchants.by_website(website) or merchants.by_website(".".join(website.split(".")[-2:]))
    if known is not None:
        return _Party(merchants.at_home(known, homes), merchant=known)
    label = website.split(".", maxsplit=1)[0]
    return _Party(Company(title(label.upper().split("-")), website))


def _left_over(taken: _Line, *, likely: bool) -> _Party | None:
    """The name that remains once the words of the payment itself are off."""
    name = _name(taken)
    if not name:
        return None
    rule = taken.rule.rule if taken.rule else None
    asks = rule is not None and rule.party in {"person", "maybe"} and not _CARD & set(taken.every_token)
    asks = asks and (name[0] in people.FIRST_NAMES or trades.by_words(canonical(tokens(" ".join(name)))[0]) is None)
    wages = rule is not None and rule.business == "payroll"
    if asks and people.is_person(name, likely=likely or wages):
        return _Party(Company(title(people.without_title(name)), None), "person")
    if likely:
        hit = matching.identify(tokens(" ".join(name)), len(name), taken.homes)
        if hit is not None:
            return _Party(merchants.at_home(hit.merchant, taken.homes), merchant=hit.merchant)
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
    if taken.place.city and parts[-1:] and parts[-1] in _NEEDS_PLACE:
        parts.extend(taken.place.city.upper().split())
    named = taken.rule is not None and taken.rule.rule.party in {"person", "maybe"}
    name: list[str] = []
    for at, part in enumerate(parts):
        if part in phrase and part in parts[at + 1 :]:
            pass  # LEEDS CITY COUNCIL COUNCIL TAX: the second one is the phrase's
        elif part in phrase or (phrase and phrase.issuperset(tokens(part))):
            continue
        if has_digit(part):
            # A number behind the name is the shop's, and what follows is a place; one before it is a reference.
            if len(name) > 1 or (name and name[0] not in NOISE and name[0] != "THE"):
                break
            digits = sum(char.isdigit() for char in part)
            if digits > _MOST_LEADING_DIGITS or (digits == len(part) and (at > 0 or digits == _MOST_LEADING_DIGITS)):
                continue
        elif (not name and part in NOISE and not (named and part in _TITLES_TOO)) or not tokens(part):
            continue
        name.append(part)
    while name and (name[-1] in NOISE or name[-1] in {"-", "&"}) and name[-1] != "CO":
        name.pop()
    return [] if all(part.isdigit() for part in name) else name[:_LONGEST_NAME]


def _by_trade(taken: _Line, party: _Party) -> None:
    """Give an unknown merchant the code of its trade, if the words tell one."""
    name = [word for word, start in zip(taken.key, taken.starts, strict=True) if start < taken.place.kept]
    party.trade = trades.by_words(name)
    party.code = party.trade.mcc if party.trade else None
    party.sure = party.trade is not None
    if (
        taken.entry_type == "outgoing"
        and not _TAUGHT.isdisjoint(taken.homes)
        and (party.code is None or "CA" in taken.homes)
    ):
        guess = trades.by_clues(name)
        if guess is not None:
            party.code, party.sure = guess.mcc, party.sure or guess.sure
    sold = next((_SOLD[via.name] for via in taken.via if via.name in _SOLD), None)
    if sold is not None and party.trade is None:
        party.trade, party.code, party.sure = sold, sold.mcc, True


def _with_codes(party: _Party) -> Company | None:
    if party.company is None or party.code is None or party.company.mccs:
        return party.company
    return party.company._replace(mccs=(party.code,))


def _category(taken: _Line, party: _Party) -> str:
    rule = taken.rule.rule if taken.rule else None
    known = party.merchant is not None and party.merchant.category
    if rule is not None and (rule.strength == "strong" or (rule.strength == "person" and party.type == "person")):
        # What was bought with a person-to-person service, or saved with a broker, says more than the way it was paid.
        if not (known and (rule.via or rule.party == "none")):
            return verdict.by_rule(rule, taken.holder_type)
    if party.merchant is not None and known:
        if known in _SELLS_FUEL and taken.entry_type == "outgoing" and not _FUEL.isdisjoint(taken.tokens):
            return "fuel" if taken.holder_type == "consumer" else verdict.to_business("fuel")
        return verdict.by_merchant(party.merchant, taken.entry_type, taken.holder_type, taken.every_token)
    if rule is not None and rule.strength == "weak":
        return verdict.by_rule(rule, taken.holder_type)
    if party.code is not None and party.sure and taken.entry_type == "outgoing":
        category = party.trade.category if party.trade else ""
        return codes.category(party.code, category, taken.holder_type)
    paid = party.company is not None and party.merchant is None
    return (
        "sales revenue" if paid and taken.entry_type == "incoming" and taken.holder_type == "business" else NOT_ENOUGH
    )
