"""Category sets of the two holder types, and the way from one to the other.

Belongs here: lists only. The consumer set is the union of what the fact sheet could find (section 6.1 a and b) with
`other` and `not enough information`. No source has the business set: ours is synthetic, made up for the sandbox.
"""

from __future__ import annotations

NOT_ENOUGH = "not enough information"
OTHER = "other"

_EITHER = ("intra account transfer", "inter account transfer", "peer to peer transfer")

CONSUMER_INCOMING = (
    "paycheck", "freelance income", "rideshare or delivery income", "property rental income", "interest earned",
    "stock dividend", "benefits", "tax refund", "insurance payout", "cashback", "grant or stipend", "refund",
    "chargeback", "transfer from investment app", "transfer from stock broker", "transfer from crypto broker",
    "ATM deposit", "teller deposit", *_EITHER, OTHER, NOT_ENOUGH,
)  # fmt: skip

CONSUMER_OUTGOING = (
    "rent", "mortgage repayment", "utilities", "insurance premium", "education", "childcare", "loan repayment",
    "student loan repayment", "auto loan repayment", "credit card bill", "interest payment", "taxes", "government",
    "contribution to reserve fund", "retirement contribution", "groceries", "restaurant", "fast food", "food delivery",
    "coffee shop", "bars and nightclubs", "fuel", "ev charging", "vehicle maintenance", "auto lease payment",
    "rideshare or taxi transport", "public transport", "other transport", "airfare", "hotel or lodging", "toll charge",
    "clothing", "self care", "drugstore or pharmacy", "medical bill", "entertainment", "digital content and streaming",
    "sport and fitness", "pets", "home maintenance", "electronics", "e-commerce purchase",
    "department or discount store",
    "convenience store", "recreational goods", "books, newsletters, newspapers", "saas tools", "laundry", "donation",
    "gambling spend", "transfer to investment app", "transfer to stock broker", "transfer to crypto broker",
    "ATM withdrawal", "teller withdrawal", "vending machine", "reversal", "adjustment", "funeral service",
    *_EITHER, OTHER, NOT_ENOUGH,
)  # fmt: skip

# Synthetic from here on.
BUSINESS_INCOMING = (
    "sales revenue", "processor payout", "marketplace payout", "refund", "chargeback", "interest earned", "dividend",
    "loan proceeds", "owner contribution", "tax refund", "grant", "insurance payout", "cash deposit", *_EITHER, OTHER,
    NOT_ENOUGH,
)  # fmt: skip

BUSINESS_OUTGOING = (
    "software and cloud services", "telecommunications and utilities", "office supplies and equipment", "inventory",
    "travel", "meals and entertainment", "fuel and vehicle", "rent and facilities", "repairs and maintenance",
    "insurance",
    "payroll", "professional services", "advertising and marketing", "shipping", "education and training", "health",
    "subscriptions", "donation", "taxes", "government", "bank fee", "interest payment", "loan repayment",
    "credit card bill", "investment", "cash withdrawal", "reversal", "adjustment", *_EITHER, OTHER, NOT_ENOUGH,
)  # fmt: skip

SETS: dict[str, dict[str, list[str]]] = {
    "consumer": {"incoming": list(CONSUMER_INCOMING), "outgoing": list(CONSUMER_OUTGOING)},
    "business": {"incoming": list(BUSINESS_INCOMING), "outgoing": list(BUSINESS_OUTGOING)},
}
