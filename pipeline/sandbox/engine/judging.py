"""What the line was for: the trade of an unknown merchant, and the category.

Belongs here: the order in which rules, merchants and trades decide; their categories are in `verdict` and `codes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.sandbox.engine import codes, processors, trades, verdict
from pipeline.sandbox.engine.categories import NOT_ENOUGH, OTHER

if TYPE_CHECKING:
    from pipeline.sandbox.engine.line import Line
    from pipeline.sandbox.engine.party import Party
    from pipeline.sandbox.engine.rules import Rule

_GAMES = trades.Trade(0, 5816, "digital content and streaming")
_SOFTWARE = trades.Trade(0, 5734, "saas tools")
_SOLD = {
    "Google": _GAMES, "Xsolla": _GAMES, "Paddle": _SOFTWARE, "FastSpring": _SOFTWARE, "Lemon Squeezy": _SOFTWARE,
    "2Checkout": _SOFTWARE, "Digital River": _SOFTWARE, "Cleverbridge": _SOFTWARE, "Gumroad": _GAMES,
    "Tithe.ly": trades.Trade(0, 8661, "donation"),
}  # fmt: skip
"""What is sold through those who sell one kind of thing."""
_SHOP = trades.Trade(0, 5969, "e-commerce purchase")
_MACHINE = trades.Trade(0, 5814, "vending machine")
_LIKELY = {
    "Toast": trades.Trade(0, 5812, "restaurant"), "Shopify": _SHOP, "Shop Pay": _SHOP, "Cantaloupe": _MACHINE,
    "Nayax": _MACHINE, "FareHarbor": trades.Trade(0, 7999, "entertainment"),
    "Eventbrite": trades.Trade(0, 7922, "entertainment"),
}  # fmt: skip
"""What is mostly sold through those whom one trade uses, where no word of the shop's says more."""
_FUEL = frozenset({"PFS", "GAS", "PETROL", "FUEL", "PUMP", "GASBAR", "STATION", "FUELS", "TANKSTELLE"})
_SELLS_FUEL = frozenset({"groceries", "department or discount store", "convenience store"})
_FOOD = frozenset({"FOOD", "FOODHALL", "GROCERY", "GROCERIES", "SUPERMARKET", "LEBENSMITTEL", "ALIMENTATION"})
_SELLS_FOOD = frozenset({"department or discount store"})
_TAUGHT = frozenset({"US", "CA", "GB", "IE", "AU", "NZ"})
"""Where the names are in the language of the clues."""


def find_trade(taken: Line, party: Party) -> None:
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
    if sold is None and not party.sure:
        sold = next((_LIKELY[via.name] for via in taken.via if via.name in _LIKELY), None)
    if sold is not None and party.trade is None:
        party.trade, party.code, party.sure = sold, sold.mcc, True


def category(taken: Line, party: Party) -> str:
    """The category: a strong rule's, else the merchant's, else a weak rule's, else the trade's."""
    rule = taken.rule.rule if taken.rule else None
    known = party.merchant is not None and party.merchant.category
    # What was bought with a person-to-person service, or saved with a broker, says more than the way it was paid.
    outdone = rule is not None and ((known and (rule.via or rule.party == "none")) or (rule.via and party.trade))
    if rule is not None and _decides(rule, party) and not outdone:
        return verdict.by_rule(rule, taken.holder_type)
    weak = rule is not None and rule.strength == "weak"
    billed = weak and (known == NOT_ENOUGH or (rule is not None and rule.consumer == "freelance income"))
    if party.merchant is not None and known and not billed:
        counter = _counter(known, taken.tokens) if taken.entry_type == "outgoing" else None
        if counter is not None:
            return counter if taken.holder_type == "consumer" else verdict.to_business(counter)
        return verdict.by_merchant(party.merchant, taken.entry_type, taken.holder_type, taken.every_token)
    told = party.code is not None and party.sure and taken.entry_type == "outgoing"
    if rule is not None and weak and not (told and party.trade and rule.consumer == OTHER):
        return verdict.by_rule(rule, taken.holder_type)
    if party.code is not None and told:
        return codes.category(party.code, party.trade.category if party.trade else "", taken.holder_type)
    return _earned(taken, party)


def _earned(taken: Line, party: Party) -> str:
    """What a business has from somebody unknown, or from a processor that is no merchant."""
    if party.company is None or (taken.entry_type, taken.holder_type) != ("incoming", "business") or party.merchant:
        return NOT_ENOUGH
    return "processor payout" if party.company in processors.COMPANIES.values() else "sales revenue"


def _counter(category: str, line: list[str]) -> str | None:
    """What was bought where more than one kind of thing is sold: petrol at a grocer's, food at a department store."""
    if category in _SELLS_FUEL and not _FUEL.isdisjoint(line):
        return "fuel"
    return "groceries" if category in _SELLS_FOOD and not _FOOD.isdisjoint(line) else None


def _decides(rule: Rule, party: Party) -> bool:
    return rule.strength == "strong" or (rule.strength == "person" and party.type == "person")
