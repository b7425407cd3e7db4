"""Reading one line: what is asked in which order.

Belongs here: taking the line apart, who it was, what it was for, and putting the answer together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.sandbox.engine import places, verdict
from pipeline.sandbox.engine.entities import Company, counterparty, entity
from pipeline.sandbox.engine.judging import category, find_trade
from pipeline.sandbox.engine.line import take_apart
from pipeline.sandbox.engine.party import find_party

if TYPE_CHECKING:
    from pipeline.sandbox.engine.party import Party

_NO_SHOPS = frozenset(
    {4111, 4112, 4121, 4215, 4511, 4722, 4789, 4814, 4816, 4899, 4900, 5734, 5815, 5816, 5817, 5818, 5968}
    | {6012, 6211, 6300, 7311, 7372, 7399}
)
"""Codes of what has no shops with numbers: transport, utilities, services. 3000 to 3350 are airlines and car hire."""
_SENT = frozenset({"e-commerce purchase", "food delivery", "airfare"})


def read(description: str, entry_type: str, currency: str, country: str | None, holder_type: str) -> dict[str, Any]:
    """What `enrich` answers, from the parts of a transaction that it looks at."""
    taken = take_apart(description, entry_type, currency, country, holder_type)
    party = find_party(taken)
    if party.type == "person":
        taken.place.city = taken.place.state = None
    elif party.company is not None and party.merchant is None:
        find_trade(taken, party)
    if taken.place.store_number and not _has_shops(party):
        taken.place.store_number = None  # an account's digits, an invoice, a telephone
    general = category(taken, party)
    company = _with_codes(party)
    return {
        "entities": {
            "counterparty": counterparty(company, party.type) if company else None,
            "intermediaries": [entity(one) for one in taken.via if not _same(one, company)],
        },
        "categories": verdict.categories(general, entry_type, holder_type),
        "location": places.structured(taken.place),
    }


def _has_shops(party: Party) -> bool:
    """Whether a number may be a shop's, and not an order's, a ticket's or a customer's."""
    if party.company is None or party.type == "person":
        return False
    if party.merchant is None:
        return True
    if "platform" in party.merchant.flags or party.merchant.category in _SENT:
        return False
    return not any(code in _NO_SHOPS or 3000 <= code < 3351 for code in party.merchant.company.mccs[:1])  # noqa: PLR2004


def _same(one: Company, other: Company | None) -> bool:
    """Whether a processor is the counterparty itself, or the company that this belongs to."""
    if other is None:
        return False
    return one.website == other.website or (other.parent is not None and one.website == other.parent.website)


def _with_codes(party: Party) -> Company | None:
    if party.company is None or party.code is None or party.company.mccs:
        return party.company
    return party.company._replace(mccs=(party.code,))
