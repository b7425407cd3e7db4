"""Payment processors: who stands between the card and the merchant.

Belongs here: the prefixes that processors put before a merchant's name, and the companies behind them.
"""

from __future__ import annotations

import re

from pipeline.sandbox.engine.entities import Company

_BLOCK = Company("Block, Inc.", "block.xyz")
_PAYPAL_HOLDINGS = Company("PayPal Holdings, Inc.", "pypl.com")
_ALPHABET = Company("Alphabet Inc.", "abc.xyz")
_APPLE = Company("Apple Inc.", "apple.com")
_PROCESSOR_MCC = (6012,)


def _company(name: str, website: str, parent: Company | None = None) -> Company:
    return Company(name, website, _PROCESSOR_MCC, parent)


COMPANIES = {
    "square": _company("Square", "squareup.com", _BLOCK),
    "paypal": _company("PayPal", "paypal.com", _PAYPAL_HOLDINGS),
    "toast": _company("Toast", "toasttab.com"),
    "shopify": _company("Shopify", "shopify.com"),
    "sumup": _company("SumUp", "sumup.com"),
    "zettle": _company("Zettle", "zettle.com", _company("PayPal", "paypal.com")),
    "google": _company("Google", "google.com", _ALPHABET),
    "googlepay": _company("Google Pay", "pay.google.com", _company("Google", "google.com")),
    "applepay": _company("Apple Pay", "apple.com/apple-pay", _APPLE),
    "stripe": _company("Stripe", "stripe.com"),
    "klarna": _company("Klarna", "klarna.com"),
    "afterpay": _company("Afterpay", "afterpay.com", _BLOCK),
    "checkout": _company("Checkout.com", "checkout.com"),
    "adyen": _company("Adyen", "adyen.com"),
    "mollie": _company("Mollie", "mollie.com"),
    "gocardless": _company("GoCardless", "gocardless.com"),
    "worldpay": _company("Worldpay", "worldpay.com"),
    "braintree": _company("Braintree", "braintreepayments.com", _company("PayPal", "paypal.com")),
    "paddle": _company("Paddle", "paddle.com"),
    "fastspring": _company("FastSpring", "fastspring.com"),
    "digitalriver": _company("Digital River", "digitalriver.com"),
    "twocheckout": _company("2Checkout", "2checkout.com", _company("Verifone", "verifone.com")),
    "mercadopago": _company("Mercado Pago", "mercadopago.com", _company("Mercado Libre", "mercadolibre.com")),
    "clover": _company("Clover", "clover.com", _company("Fiserv", "fiserv.com")),
    "amazonpay": _company("Amazon Pay", "pay.amazon.com", _company("Amazon", "amazon.com")),
    "ccv": _company("CCV", "ccv.eu", _company("Fiserv", "fiserv.com")),
    "zelle": _company("Zelle", "zellepay.com", _company("Early Warning Services", "earlywarning.com")),
    "venmo": _company("Venmo", "venmo.com", _company("PayPal", "paypal.com")),
    "cashapp": _company("Cash App", "cash.app", _BLOCK),
}

_PREFIX = re.compile(
    r"(?:(?P<square>(?:SQU? ?\* ?)+|GOSQ\.COM ?)"
    r"|(?P<paypal>PAYPAL ?(?:\*|INST XFER\b|DES:) ?|"
    r"PAYPAL (?!TRANSFER|PAYMENT|CREDIT|INST|XFER)(?=[A-Z])|PP ?\* ?|PYPL ?\* ?)"
    r"|(?P<toast>TST ?\* ?)|(?P<shopify>SP ?\* ?|SP (?=[A-Z])|SHOPIFY ?\* ?)|(?P<sumup>SUMUP ?\* ?)"
    r"|(?P<zettle>IZ ?\* ?|IZETTLE ?\* ?|ZETTLE_? ?\* ?)|(?P<googlepay>GOOGLE PAY\b ?\*? ?|GPAY ?\* ?)"
    r"|(?P<google>GOOGLE ?\* ?)|(?P<applepay>APLPAY |APPLE PAY (?=[A-Z]))|(?P<stripe>STRIPE ?[*:] ?|STRIPE-(?=[A-Z]))"
    r"|(?P<klarna>KLARNA ?\* ?)|(?P<afterpay>AFTERPAY ?\* ?)|(?P<checkout>CKO ?\* ?)|(?P<adyen>ADYEN ?\* ?)"
    r"|(?P<mollie>MOLLIE ?\* ?|STICHTING MOLLIE PAYMENTS )|(?P<gocardless>GOCARDLESS ?\*? ?|GC RE )"
    r"|(?P<worldpay>WORLDPAY ?\* ?|WPY ?\* ?)|(?P<braintree>BT ?\* ?)|(?P<paddle>PADDLE(?:\.NET)? ?\* ?)"
    r"|(?P<fastspring>FS ?\* ?|FSPRG ?\* ?)|(?P<digitalriver>DRI ?\* ?|DR ?\* ?)"
    r"|(?P<twocheckout>2CO(?:\.COM)? ?\* ?)|(?P<mercadopago>MERPAGO ?\* ?|MERCADOPAGO ?\* ?|MP ?\* ?)"
    r"|(?P<ccv>CCV ?\* ?)|(?P<clover>CLV ?\* ?|CLOVER ?\* ?)|(?P<amazonpay>AMAZON PAY ?\* ?|AMZ\*PAY ?))"
)


def peel(text: str) -> tuple[list[Company], str]:
    """The processors that the text begins with, outermost first, and the rest of the text."""
    found: list[Company] = []
    for _ in range(3):
        prefix = _PREFIX.match(text)
        if prefix is None or prefix.lastgroup is None:
            break
        company = COMPANIES[prefix.lastgroup]
        if company not in found:
            found.append(company)
        text = text[prefix.end() :]
    return found, text
