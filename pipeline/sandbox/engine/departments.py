"""Whether the trade that a line names beside a brand is the brand's own, or another's that only shares its name.

Belongs here: which trades are found under one roof. `TESCO PHARMACY` is Tesco, and `SAFEWAY DRIVING SCHOOL` is no
supermarket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.sandbox.engine.trades import Trade

_SELLS_ALL = frozenset({"groceries", "department or discount store", "electronics", "vehicle maintenance"})
"""Another trade is a department of theirs."""
_SELLS_ONLINE = frozenset({"e-commerce purchase", "digital content and streaming", "saas tools"})
"""Another trade is what was bought, if no place is needed for it: `AMAZON GRILL` is one."""
_SERVICES = (
    (1500, 1799), (5813, 5813), (7200, 7220), (7230, 7299), (7500, 7549), (8000, 8042), (8044, 8999),
)  # fmt: skip
"""Codes of what no shop has a department of: builders, bars, barbers, garages, doctors, lawyers, schools. 8043 are
opticians."""
_KITCHENS = ((5811, 5814),)
_PLACES = (*_KITCHENS, (5912, 5912), (5992, 5995), (7911, 7911), (7992, 7999), *_SERVICES)
_FOOD_SHOPS = (*_PLACES, (5422, 5462))
_EATING = frozenset({"restaurant", "fast food", "coffee shop", "bars and nightclubs", "food delivery", "groceries"})
_MEALS = _EATING - {"groceries", "bars and nightclubs"}
_GO_TOGETHER = (
    _EATING | {"hotel or lodging"}, _EATING | {"entertainment"}, _EATING | {"fuel", "convenience store"},
    frozenset({"hotel or lodging", "e-commerce purchase", "self care", "sport and fitness", "other transport"}),
    frozenset({"fuel", "vehicle maintenance"}), frozenset({"drugstore or pharmacy", "medical bill", "self care"}),
    *(frozenset({"insurance premium", insured}) for insured in ("vehicle maintenance", "medical bill", "pets")),
)  # fmt: skip
"""Trades of which one has the other under its roof."""


def may_be_of(category: str, trade: Trade, *, everyday: bool) -> bool:
    """Whether a brand of this category may have this trade behind its name. `everyday`: a cafe, a pharmacy."""
    if trade.category == category:
        return True
    if category in _SELLS_ALL:
        return not _within(trade.mcc, _SERVICES) and (everyday or not _within(trade.mcc, _KITCHENS))
    if category in _SELLS_ONLINE:
        return not _within(trade.mcc, _PLACES)
    return trade.category in {"other", ""} or _go_together(category, trade.category)


def may_stand_before(category: str, trade: Trade) -> bool:
    """Whether a brand of this category may have this trade before its name: not so BOULANGERIE LECLERC."""
    if category == "groceries":
        return not _within(trade.mcc, _FOOD_SHOPS)
    return trade.category in {category, "other", ""} or _go_together(category, trade.category)


def is_the_same(category: str, trade: Trade) -> bool:
    """Whether the trade is the brand's, where its name is an everyday word: SUBWAY RESTAURANT, and no SUBWAY TAVERN."""
    return trade.category == category or {trade.category, category} <= _MEALS


def _within(code: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(first <= code <= last for first, last in ranges)


def _go_together(one: str, other: str) -> bool:
    return any(one in roof and other in roof for roof in _GO_TOGETHER)
