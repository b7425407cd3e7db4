"""Who the counterparty is.

Belongs here: the order in which services, known merchants, printed websites and the bare name are asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.sandbox.engine import matching, merchants, people, places, processors, trades
from pipeline.sandbox.engine.entities import SHARED, Company
from pipeline.sandbox.engine.line import Line
from pipeline.sandbox.engine.matching import Hit
from pipeline.sandbox.engine.naming import LONGEST_NAME, left_over, shop_behind
from pipeline.sandbox.engine.rules import Rule
from pipeline.sandbox.engine.sites import as_printed, name_of, printed_site
from pipeline.sandbox.engine.text import NOISE, canonical, has_digit, title, tokens, words

_CHEQUE = re.compile(
    r"(?:CHECK|CHEQUE|CHQ|SCHECK|ASSEGNO|CHECKS?) ?(?:PAID|PD|EMIS)? ?"
    r"(?:N[OR]?\.? ?|# ?|NUMBER )?(?:\d{3,}|(?<![A-Z])\d+)?"
)
_GROCERS = (5411,)
_LEAST_LETTERS = 2
_LEAST_TRADE = 5
_LEAST_CLEAR = 6
_IN_SHOPS = frozenset({"vipps", "mobilepay", "twint", "payconiq", "satispay"})
"""Wallets that people pay shops with as often as each other."""
_OF_WAGES = frozenset({"PAY", "FEES", "FEE", "TAX", "ADP", "NET", "EIB", "TPS", "INVOICE", "DIR", "DEP"})
"""Behind the name of who pays wages for others; not the employer's."""
_COLUMN = 13
"""Letters that card schemes have for a town, where shops without one print their website."""
_LAST_AND_FIRST = re.compile(r"\b[A-Z]{2,},[A-Z]{2,}")
"""`WALKER,TANISHA`: the one whose wages they are."""
_CARD = frozenset({"CARD", "POS", "CONTACTLESS", "PURCHASE"})


@dataclass(slots=True)
class Party:
    """Who it was, and what that says about the category."""

    company: Company | None = None
    type: str = "organization"
    merchant: merchants.Merchant | None = None
    trade: trades.Trade | None = None
    code: int | None = None
    sure: bool = False


def find_party(taken: Line) -> Party:
    """Who the counterparty is; those in between are added to the line's."""
    rule = taken.rule.rule if taken.rule else None
    if rule is not None and rule.via:
        return _through_service(taken, rule)
    if taken.place.city and _is_surname(taken):
        taken.place.city, taken.place.kept = None, len(taken.tokens)
    hit = _own_service(taken) or matching.find(
        taken.key, taken.starts, len(taken.tokens), taken.place.kept, taken.homes
    )
    if _is_nobody(taken, hit):
        return Party()
    if hit is not None and hit.start > 0 and _names_person(taken, hit):
        hit = None
    if hit is not None and rule is None:
        return _known(taken, hit)
    if hit is not None and not _paid_by(taken, hit):
        return _through_bank(taken, hit) or _through_payroll(taken, hit) or _known(taken, hit)
    domain = printed_site(taken.text)
    if domain is not None:
        return _site(domain, taken)
    likely = rule is not None and rule.party == "person"
    return _left_over(taken, likely=likely) or _office(taken) or _only_processor(taken)


def _through_service(taken: Line, rule: Rule) -> Party:
    """Whom money went to by a service between people; the service, where it is the holder's own that lay there."""
    service = processors.COMPANIES[rule.via]
    if rule.party == "none":
        return Party(service)
    if service not in taken.via:
        taken.via.append(service)
    return _left_over(taken, likely=rule.via not in _IN_SHOPS) or Party(service)


def _is_its_name(taken: Line, hit: Hit) -> bool:
    """Whether what sounds like a kind of payment is a merchant's name (ATM MILANO) or a broker's business."""
    if "broker" in hit.merchant.flags:
        return True
    whole = taken.rule is not None and taken.rule.phrase.issubset(taken.tokens[hit.start : hit.end])
    if whole and hit.end - hit.start > 1:
        taken.rule = None
        return True
    return False


def _is_nobody(taken: Line, hit: Hit | None) -> bool:
    """Whether the line has no counterparty: cash, cheques, own transfers, a bank's own fee (`AIB FEE`)."""
    if _CHEQUE.fullmatch(taken.text):
        return True
    if taken.rule is None:
        return False
    if taken.rule.rule.party == "none":
        return hit is None or not _is_its_name(taken, hit)
    return hit is not None and taken.rule.rule.business == "bank fee" and "bank" in hit.merchant.flags


def _is_surname(taken: Line) -> bool:
    """Whether the town is the last name of whom money went to: OLIVIA PRESTON, EMMA LINCOLN."""
    kept, rule = taken.place.kept, taken.rule.rule if taken.rule else None
    if taken.place.state or not people.is_first_name(taken.tokens[kept - 1]):
        return False
    return rule.party in {"person", "maybe"} if rule is not None else bool(taken.via) and kept == 1


def _names_person(taken: Line, hit: Hit) -> bool:
    """Whether a transfer went to PETER MÜLLER, whose name is a shop's too."""
    if taken.rule is None or taken.rule.rule.party not in {"person", "maybe"}:
        return False
    name = left_over(taken)
    if hit.end - hit.start == len(name) and not people.is_last_name(name[-1]):
        return False  # the whole name is the shop's: EDDIE BAUER, and not so JOHN LEWIS
    return len(name) > 1 and people.is_first_name(name[0]) and people.is_person(name, likely=False)


def _paid_by(taken: Line, hit: Hit) -> bool:
    """Whether wages or an invoice are paid by a firm that only shares a short name with a shop: ACME CORP."""
    earned = taken.rule is not None and taken.rule.rule.consumer in {"paycheck", "freelance income"}
    if not earned or hit.end - hit.start > 1:
        return False
    short = len(taken.tokens[hit.start]) < _LEAST_CLEAR if hit.start < len(taken.tokens) else True
    return not hit.merchant.written or (short and hit.merchant.company.mccs[:1] == _GROCERS)


def _through_bank(taken: Line, hit: Hit) -> Party | None:
    """`REVOLUT PAYMENT FROM T BRENNOCK`: the person, not the bank."""
    rule = taken.rule.rule if taken.rule else None
    if rule is None or rule.party not in {"person", "maybe"} or "bank" not in hit.merchant.flags or not taken.rule:
        return None
    left = [
        word for word in taken.tokens[hit.end : taken.place.kept] if word not in taken.rule.phrase and word not in NOISE
    ]
    if not people.is_person(left, likely=False):
        return None
    return Party(Company(title(people.without_title(left)), None), "person")


def _through_payroll(taken: Line, hit: Hit) -> Party | None:
    """`ADP PAYROLL ACME CORP`: wages from the employer, who has somebody else pay them."""
    rule = taken.rule.rule if taken.rule else None
    if rule is None or rule.consumer != "paycheck" or "payroll" not in hit.merchant.flags or not taken.rule:
        return None
    left = [
        word
        for word in taken.tokens[hit.end : taken.place.kept]
        if not (word in taken.rule.phrase or word in NOISE or has_digit(word) or word in _OF_WAGES)
    ]
    if sum(map(len, left)) <= _LEAST_LETTERS or _LAST_AND_FIRST.search(taken.text):
        return None
    taken.via.append(merchants.at_home(hit.merchant, taken.homes))
    employer = merchants.by_name(" ".join(left))
    if employer is not None and (employer.written or len(left) > 1):
        return Party(merchants.at_home(employer, taken.homes), merchant=employer)
    return Party(Company(title(left[:LONGEST_NAME]), None))


def _office(taken: Line) -> Party | None:
    """`COUNCIL TAX BRISTOL`: who collects it is named by the tax and the place alone."""
    rule = taken.rule.rule if taken.rule else None
    if rule is None or rule.consumer != "taxes" or taken.via or not taken.place.city:
        return None
    return Party(Company(title([word for word in words(taken.text) if not has_digit(word)][:LONGEST_NAME]), None))


def _known(taken: Line, hit: Hit) -> Party:
    if hit.end > taken.place.kept:
        # What was guessed to be a city is part of the name.
        taken.place.city = taken.place.state = None
    if hit.platform is not None:
        taken.via.append(merchants.at_home(hit.platform, taken.homes))
    elif "platform" in hit.merchant.flags and "*" in taken.text:
        bought = shop_behind(taken, hit)
        if bought:
            taken.via.append(merchants.at_home(hit.merchant, taken.homes))
            known = matching.identify(bought, len(bought), taken.homes)
            if known is not None and "platform" not in known.merchant.flags:
                return Party(merchants.at_home(known.merchant, taken.homes), merchant=known.merchant)
            return Party(Company(title(bought[:LONGEST_NAME]), None), merchant=hit.merchant)
    company = merchants.at_home(hit.merchant, _said_to_be(taken, hit) or taken.homes)
    return Party(as_printed(company, taken.text), merchant=hit.merchant)


def _said_to_be(taken: Line, hit: Hit) -> frozenset[str] | None:
    """The country that stands behind a name with websites by country: `AMZN MKTP DE`."""
    if not hit.merchant.national or hit.end >= len(taken.tokens):
        return None
    word = taken.tokens[hit.end]
    country = "GB" if word == "UK" else word
    return frozenset((country,)) if country in places.COUNTRIES and word != "SE" else None  # ZALANDO SE: its form


def _own_service(taken: Line) -> Hit | None:
    """`GOOGLE *ADS…`: Google is the processor of others, and sells services of its own under names of their own."""
    if not taken.via or processors.COMPANIES["google"] not in taken.via:
        return None
    hit = matching.identify(["GOOGLE", *taken.tokens], len(taken.tokens) + 1)
    return hit._replace(end=0) if hit and hit.merchant.company.website != "google.com" else None


def _site(website: str, taken: Line) -> Party:
    label = website.partition(".")[0].replace("-", "").upper()
    words = next((n for n in range(2, len(taken.tokens)) if "".join(taken.tokens[:n]) == label), 0)
    if words and len(website) == _COLUMN and website.endswith(".co"):
        website += "m"  # MAGIC SPOON MAGICSPOON.CO, cut off
    owner = ".".join(website.split(".")[-2:])
    known = merchants.by_website(website) or (merchants.by_website(owner) if owner not in SHARED else None)
    if known is not None:
        return Party(merchants.at_home(known, taken.homes), merchant=known)
    return Party(Company(title(taken.tokens[:words]) if words else name_of(website), website))


def _left_over(taken: Line, *, likely: bool) -> Party | None:
    """The name that remains once the words of the payment itself are off."""
    name = left_over(taken)
    if not name:
        return None
    rule = taken.rule.rule if taken.rule else None
    who = people.without_remark(name)
    sent = rule is not None and rule.party in {"person", "maybe"} and not _CARD & set(taken.every_token)
    asks = sent or (rule is not None and rule.party == "rest" and _is_said_to_be_person(name, rule.consumer))
    asks = asks and not _names_trade(who)
    wages = rule is not None and rule.business == "payroll"
    bare = rule is None and not taken.via and taken.place.city is None
    bare = bare and (people.is_full_name(name) or people.is_titled([*taken.tokens[:1], *name]))
    who = who if asks else name
    if bare or (asks and people.is_person(who, likely=likely or wages)):
        return Party(Company(title(people.without_title(who)), None), "person")
    if rule is not None:
        hit = matching.identify(tokens(" ".join(name)), len(name), taken.homes)
        if hit is not None and not _paid_by(taken, hit):
            return Party(merchants.at_home(hit.merchant, taken.homes), merchant=hit.merchant)
    processor = processors.by_name(name, earned=(taken.entry_type, taken.holder_type) == ("incoming", "business"))
    if processor is not None:
        return Party(processor, merchant=merchants.by_website(processor.website or ""))
    return Party(Company(title(name), None))


def _names_trade(name: list[str]) -> bool:
    """Whether a word is a trade's. Behind a first name a short one is a last name: JOHN BAKER, not MARTIN BAKERY."""
    key = canonical(tokens(" ".join(name)))[0]
    if people.is_first_name(name[0]):
        words = [word for word in key[1:] if len(word) >= _LEAST_TRADE and not people.is_last_name(word)]
        return any(map(trades.is_trade, words))
    return trades.by_words(key) is not None


def _is_said_to_be_person(name: list[str], category: str) -> bool:
    """Whether a title says so, or a first name where rent is paid: landlords are people more often than shops are."""
    return name[0] in people.TITLES or (category == "rent" and people.is_first_name(name[0]))


def _only_processor(taken: Line) -> Party:
    """A processor alone on a line is itself the counterparty."""
    if not taken.via:
        return Party()
    company = taken.via[-1]
    return Party(company, merchant=merchants.by_website(company.website or ""))
