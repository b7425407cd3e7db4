"""Which category: from what a line names and who holds the account.

Belongs here: the way from a rule or a merchant to a category of the holder's own set, and to an accounting category for
business holders. The business half is synthetic, as its list is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.sandbox.engine.categories import NOT_ENOUGH, OTHER

if TYPE_CHECKING:
    from pipeline.sandbox.engine.merchants import Merchant
    from pipeline.sandbox.engine.rules import Rule

PROCESSORS = frozenset(
    {"paypal.com", "stripe.com", "squareup.com", "klarna.com", "shopify.com", "sumup.com", "adyen.com"}
)
_MARKETPLACES = frozenset(
    {"amazon.com", "ebay.com", "etsy.com", "allegro.pl", "bol.com", "doordash.com", "ubereats.com", "grubhub.com"}
    | {"deliveroo.co.uk", "just-eat.co.uk", "airbnb.com", "booking.com", "faire.com", "walmart.com"}
)
_EARNED = frozenset(
    {
        "PAYOUT",
        "PAYOUTS",
        "DRIVER",
        "EARNINGS",
        "RAX",
        "PARTNER",
        "SETTLEMENT",
        "EDI",
        "DASHER",
        "COURIER",
        "RIDER",
        "MARKETPLACE",
        "PAYMENTS",
        "MKTPLACE",
    }
)

_BUSINESS = {
    "rent": "rent and facilities",
    "mortgage repayment": "loan repayment",
    "utilities": "telecommunications and utilities",
    "insurance premium": "insurance",
    "education": "education and training",
    "childcare": "education and training",
    "student loan repayment": "loan repayment",
    "auto loan repayment": "loan repayment",
    "contribution to reserve fund": "intra account transfer",
    "retirement contribution": "payroll",
    "groceries": "meals and entertainment",
    "restaurant": "meals and entertainment",
    "fast food": "meals and entertainment",
    "food delivery": "meals and entertainment",
    "coffee shop": "meals and entertainment",
    "bars and nightclubs": "meals and entertainment",
    "convenience store": "meals and entertainment",
    "vending machine": "meals and entertainment",
    "entertainment": "meals and entertainment",
    "fuel": "fuel and vehicle",
    "ev charging": "fuel and vehicle",
    "vehicle maintenance": "fuel and vehicle",
    "auto lease payment": "fuel and vehicle",
    "rideshare or taxi transport": "travel",
    "public transport": "travel",
    "other transport": "travel",
    "airfare": "travel",
    "hotel or lodging": "travel",
    "toll charge": "travel",
    "drugstore or pharmacy": "health",
    "medical bill": "health",
    "digital content and streaming": "subscriptions",
    "books, newsletters, newspapers": "subscriptions",
    "home maintenance": "repairs and maintenance",
    "electronics": "office supplies and equipment",
    "e-commerce purchase": "office supplies and equipment",
    "department or discount store": "office supplies and equipment",
    "saas tools": "software and cloud services",
    "transfer to investment app": "investment",
    "transfer to stock broker": "investment",
    "transfer to crypto broker": "investment",
    "ATM withdrawal": "cash withdrawal",
    "teller withdrawal": "cash withdrawal",
}
_SAME = frozenset(
    {
        "loan repayment",
        "credit card bill",
        "interest payment",
        "taxes",
        "government",
        "donation",
        "reversal",
        "adjustment",
    }
    | {"intra account transfer", "inter account transfer", "peer to peer transfer", NOT_ENOUGH}
)

_ACCOUNTING = {
    "taxes": "taxes",
    "tax refund": "taxes",
    "investment": "investing",
    "dividend": "investing",
    "inventory": "cost of goods sold",
    **dict.fromkeys(("loan repayment", "loan proceeds", "owner contribution", "interest payment"), "financing"),
    **dict.fromkeys(("credit card bill", "intra account transfer", "inter account transfer"), "financing"),
    **dict.fromkeys((NOT_ENOUGH, OTHER, "peer to peer transfer"), NOT_ENOUGH),
}
"""Accounting category where it does not follow from the direction (fact sheet, section 6)."""
_REVENUE = frozenset(
    {"sales revenue", "processor payout", "marketplace payout", "interest earned", "grant", "cash deposit"}
)


def by_rule(rule: Rule, holder_type: str) -> str:
    """The category of a rule."""
    return rule.consumer if holder_type == "consumer" else rule.business or NOT_ENOUGH


def by_merchant(merchant: Merchant, entry_type: str, holder_type: str, line: list[str]) -> str:
    """The category of a payment to or from a known merchant."""
    if entry_type == "outgoing":
        return merchant.category if holder_type == "consumer" else merchant.business or to_business(merchant.category)
    return _incoming(merchant, holder_type, line)


def to_business(category: str) -> str:
    """The business category (synthetic) of an outgoing consumer category."""
    return category if category in _SAME else _BUSINESS.get(category, OTHER)


def categories(general: str, entry_type: str, holder_type: str) -> dict[str, Any]:
    """The API's `categories` object; accounting categories are for business holders only."""
    accounting = None if holder_type == "consumer" else _accounting(general, entry_type)
    return {"general": general, "accounting": accounting}


def _incoming(merchant: Merchant, holder_type: str, line: list[str]) -> str:
    """Money from a merchant is a refund, unless it pays out what the holder has earned or saved there."""
    paid_out = _business_payout(merchant, line) if holder_type == "business" else _consumer_payout(merchant, line)
    return paid_out or (NOT_ENOUGH if merchant.category == NOT_ENOUGH else "refund")


def _business_payout(merchant: Merchant, line: list[str]) -> str | None:
    if "broker" in merchant.flags:
        return "inter account transfer"
    if merchant.company.website in PROCESSORS:
        return "processor payout"
    if merchant.company.website in _MARKETPLACES and _EARNED & set(line):
        return "marketplace payout"
    return None


def _consumer_payout(merchant: Merchant, line: list[str]) -> str | None:
    if "benefits" in merchant.flags:
        return "benefits"
    if "payroll" in merchant.flags:
        return "paycheck"
    if "broker" in merchant.flags:
        saved = merchant.category.startswith("transfer to")
        return merchant.category.replace("to", "from", 1) if saved else "transfer from investment app"
    if not _EARNED & set(line):
        return None
    if merchant.category in {"rideshare or taxi transport", "food delivery"}:
        return "rideshare or delivery income"
    return "property rental income" if merchant.company.website == "airbnb.com" else None


def _accounting(general: str, entry_type: str) -> str:
    if general in _ACCOUNTING:
        return _ACCOUNTING[general]
    return "revenue" if entry_type == "incoming" and general in _REVENUE else "operational expenses"
