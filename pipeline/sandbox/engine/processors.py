"""Who stands between the payer and the merchant: payment processors, wallets, instalment services, marketplaces.

Belongs here: the prefixes that they put before a merchant's name, with the asterisk and without, and the companies behind
them. A prefix before an asterisk that is nobody's comes off too if it is short: it is a terminal's or a till's mark.
"""

from __future__ import annotations

import re

from pipeline.sandbox.engine.entities import Company

_PROCESSOR_MCC = (6012,)


def _company(name: str, website: str, parent: Company | None = None) -> Company:
    return Company(name, website, _PROCESSOR_MCC, parent)


_BLOCK = Company("Block, Inc.", "block.xyz")
_PAYPAL = _company("PayPal", "paypal.com")
_FISERV = _company("Fiserv", "fiserv.com")
_WORLDLINE = _company("Worldline", "worldline.com")
_AMAZON = _company("Amazon", "amazon.com")

COMPANIES = {
    "square": _company("Square", "squareup.com", _BLOCK),
    "paypal": _company("PayPal", "paypal.com", Company("PayPal Holdings, Inc.", "pypl.com")),
    "toast": _company("Toast", "toasttab.com"),
    "shopify": _company("Shopify", "shopify.com"),
    "sumup": _company("SumUp", "sumup.com"),
    "zettle": _company("Zettle", "zettle.com", _PAYPAL),
    "google": _company("Google", "google.com", Company("Alphabet Inc.", "abc.xyz")),
    "googlepay": _company("Google Pay", "pay.google.com", _company("Google", "google.com")),
    "applepay": _company("Apple Pay", "apple.com/apple-pay", Company("Apple Inc.", "apple.com")),
    "stripe": _company("Stripe", "stripe.com"),
    "klarna": _company("Klarna", "klarna.com"),
    "afterpay": _company("Afterpay", "afterpay.com", _BLOCK),
    "clearpay": _company("Clearpay", "clearpay.co.uk", _BLOCK),
    "affirm": _company("Affirm", "affirm.com"),
    "sezzle": _company("Sezzle", "sezzle.com"),
    "zip": _company("Zip", "zip.co"),
    "laybuy": _company("Laybuy", "laybuy.com"),
    "scalapay": _company("Scalapay", "scalapay.com"),
    "alma": _company("Alma", "almapay.com"),
    "riverty": _company("Riverty", "riverty.com"),
    "ratepay": _company("Ratepay", "ratepay.com"),
    "billie": _company("Billie", "billie.io"),
    "checkout": _company("Checkout.com", "checkout.com"),
    "adyen": _company("Adyen", "adyen.com"),
    "mollie": _company("Mollie", "mollie.com"),
    "gocardless": _company("GoCardless", "gocardless.com"),
    "worldpay": _company("Worldpay", "worldpay.com"),
    "wepay": _company("WePay", "wepay.com", _company("JPMorgan Chase", "jpmorganchase.com")),
    "braintree": _company("Braintree", "braintreepayments.com", _PAYPAL),
    "paddle": _company("Paddle", "paddle.com"),
    "lemonsqueezy": _company("Lemon Squeezy", "lemonsqueezy.com", _company("Stripe", "stripe.com")),
    "gumroad": _company("Gumroad", "gumroad.com"),
    "fastspring": _company("FastSpring", "fastspring.com"),
    "digitalriver": _company("Digital River", "digitalriver.com"),
    "cleverbridge": _company("Cleverbridge", "cleverbridge.com"),
    "clickbank": _company("ClickBank", "clickbank.com"),
    "bluesnap": _company("BlueSnap", "bluesnap.com"),
    "xsolla": _company("Xsolla", "xsolla.com"),
    "twocheckout": _company("2Checkout", "2checkout.com", _company("Verifone", "verifone.com")),
    "mercadopago": _company("Mercado Pago", "mercadopago.com", _company("Mercado Libre", "mercadolibre.com")),
    "clover": _company("Clover", "clover.com", _FISERV),
    "spoton": _company("SpotOn", "spoton.com"),
    "lightspeed": _company("Lightspeed", "lightspeedhq.com"),
    "intuit": _company("Intuit", "intuit.com"),
    "cantaloupe": _company("Cantaloupe", "cantaloupe.com"),
    "nayax": _company("Nayax", "nayax.com"),
    "curve": _company("Curve", "curve.com"),
    "dojo": _company("Dojo", "dojo.tech"),
    "viva": _company("Viva.com", "viva.com"),
    "mypos": _company("myPOS", "mypos.com"),
    "payu": _company("PayU", "payu.com"),
    "przelewy24": _company("Przelewy24", "przelewy24.pl"),
    "trustly": _company("Trustly", "trustly.com"),
    "multisafepay": _company("MultiSafepay", "multisafepay.com"),
    "buckaroo": _company("Buckaroo", "buckaroo.nl"),
    "worldline": _WORLDLINE,
    "payone": _company("PAYONE", "payone.com", _WORLDLINE),
    "amazonpay": _company("Amazon Pay", "pay.amazon.com", _AMAZON),
    "ccv": _company("CCV", "ccv.eu", _FISERV),
    "active": _company("ACTIVE Network", "activenetwork.com"),
    "fareharbor": _company("FareHarbor", "fareharbor.com"),
    "shoppay": _company("Shop Pay", "shop.app", _company("Shopify", "shopify.com")),
    "zelle": _company("Zelle", "zellepay.com", _company("Early Warning Services", "earlywarning.com")),
    "venmo": _company("Venmo", "venmo.com", _PAYPAL),
    "cashapp": _company("Cash App", "cash.app", _BLOCK),
    "applecash": _company("Apple Cash", "apple.com/apple-cash", Company("Apple Inc.", "apple.com")),
    "bizum": _company("Bizum", "bizum.es"),
    "swish": _company("Swish", "swish.nu"),
    "tikkie": _company("Tikkie", "tikkie.me", _company("ABN AMRO", "abnamro.nl")),
    "mobilepay": _company("MobilePay", "mobilepay.dk"),
    "vipps": _company("Vipps", "vipps.no"),
    "twint": _company("TWINT", "twint.ch"),
    "blik": _company("BLIK", "blik.com"),
    "mbway": _company("MB WAY", "mbway.pt", _company("SIBS", "sibs.com")),
    "satispay": _company("Satispay", "satispay.com"),
    "lydia": _company("Lydia", "lydia-app.com"),
    "wero": _company("Wero", "wero-wallet.eu"),
    "payconiq": _company("Payconiq", "payconiq.com"),
    "interac": _company("Interac", "interac.ca"),
}

_STARRED = {
    "square": "SQ|SQU|GOSQ.COM|SQUARE|SQ SQ", "paypal": "PAYPAL|PP|PYPL|PAYPAL INST XFER|PAY PAL|PAYPAL INC",
    "toast": "TST|TOAST|TOASTTAB", "shopify": "SP|SHOPIFY|SPY", "sumup": "SUMUP|SUM UP|SMP|SU",
    "zettle": "IZ|IZETTLE|ZETTLE|ZTL|PAYPAL ZETTLE", "googlepay": "GOOGLE PAY|GPAY|GOOGLEPAY|G PAY", "google": "GOOGLE|GOOGL",
    "applepay": "APLPAY|APPLE PAY|APPLEPAY", "stripe": "STRIPE", "klarna": "KLARNA|KLARNA AB|KLARNA BANK", "afterpay": "AFTERPAY|AFTPAY",
    "clearpay": "CLEARPAY|CLEARPAY CO UK", "affirm": "AFFIRM|AFFIRM.COM", "sezzle": "SEZZLE", "zip": "ZIP.CO|QUADPAY|ZIP|ZIPPAY",
    "laybuy": "LAYBUY", "scalapay": "SCALAPAY", "alma": "ALMA", "riverty": "RIVERTY", "ratepay": "RATEPAY",
    "checkout": "CKO|CHECKOUT.COM|CHECKOUT", "adyen": "ADYEN|ADY", "mollie": "MOLLIE|MOLLIE PAYMENTS|STICHTING MOLLIE PAYMENTS",
    "gocardless": "GOCARDLESS|GC", "worldpay": "WORLDPAY|WP", "wepay": "WPY|WEPAY", "braintree": "BT|BRAINTREE",
    "paddle": "PADDLE|PADDLE.NET|PADDLE.COM", "lemonsqueezy": "LEMSQZY|LMSQUEEZY|LEMONSQUEEZY|LMSQZY|LEMON SQUEEZY", "gumroad": "GUMROAD|GUMROAD.COM|GUMROAD.CO",
    "fastspring": "FS|FSPRG|FASTSPRING", "digitalriver": "DRI|DR|DIGITAL RIVER|DIGITALRIVER", "cleverbridge": "CBI|CLEVERBRIDGE",
    "clickbank": "CLKBANK|CLICKBANK", "bluesnap": "BLS|BLUESNAP", "xsolla": "XSOLLA", "twocheckout": "2CO|2CO.COM|2CHECKOUT|2CHECKOUT.COM",
    "mercadopago": "MERPAGO|MERCADOPAGO|MP", "clover": "CLV|CLOVER|CLO", "spoton": "SPO|SPOTON", "lightspeed": "LS|LSPD|LIGHTSPEED",
    "intuit": "IN|INTUIT PYMT SOLN", "cantaloupe": "CTLP|USA|CANTALOUPE", "nayax": "NYX|NYA|NAYAX|NAX",
    "curve": "CRV|CURVE", "dojo": "DOJO", "viva": "VIVA|VIVA WALLET|VIVAWALLET|VIVA.COM", "mypos": "MYPOS", "payu": "PAYU",
    "przelewy24": "PRZELEWY24|P24", "trustly": "TRUSTLY", "multisafepay": "MULTISAFEPAY|MSP", "buckaroo": "BUCKAROO",
    "worldline": "WORLDLINE", "payone": "PAYONE", "amazonpay": "AMAZON PAY|AMZ|AMZN PAY|AMAZONPAY", "ccv": "CCV",
    "active": "ACT|ACTIVE", "fareharbor": "FH|FAREHARBOR", "shoppay": "SHOP PAY|SHOPPAY", "twint": "TWINT", "satispay": "SATISPAY",
    "blik": "BLIK", "cashapp": "SQC|CASH APP", "venmo": "VENMO", "billie": "BILLIE",
}  # fmt: skip
_BARE = {
    "square": "SQ", "paypal": "PAYPAL|PP", "toast": "TST", "shopify": "SP", "sumup": "SUMUP", "zettle": "ZETTLE|IZETTLE|IZ|ZTL",
    "applepay": "APLPAY|APPLE PAY|APPLEPAY", "googlepay": "GPAY|GOOGLE PAY|GOOGLEPAY", "stripe": "STRIPE", "klarna": "KLARNA|KLARNA BANK AB|KLARNA AB|KLARNA BANK", "mollie": "MOLLIE|STICHTING MOLLIE PAYMENTS|MOLLIE PAYMENTS",
    "gocardless": "GOCARDLESS|GC RE", "afterpay": "AFTERPAY", "clearpay": "CLEARPAY", "adyen": "ADYEN|ADYEN N.V.|ADYEN NV", "curve": "CRV",
    "checkout": "CKO", "payone": "PAYONE", "ratepay": "RATEPAY", "riverty": "RIVERTY", "paddle": "PADDLE.NET|PADDLE.COM",
    "przelewy24": "PRZELEWY24|P24", "payu": "PAYU", "amazonpay": "AMAZON PAY|AMAZON PAYMENTS", "clover": "CLV", "ccv": "CCV", "mypos": "MYPOS",
    "multisafepay": "MULTISAFEPAY", "buckaroo": "BUCKAROO|STICHTING BUCKAROO", "viva": "VIVA WALLET", "satispay": "SATISPAY", "fastspring": "FSPRG",
    "xsolla": "XSOLLA", "shoppay": "SHOP PAY", "cantaloupe": "CTLP", "nayax": "NAYAX", "trustly": "TRUSTLY",
}  # fmt: skip
_BY_STAR = {prefix: key for key, prefixes in _STARRED.items() for prefix in prefixes.split("|")}
_BY_WORD = {prefix: key for key, prefixes in _BARE.items() for prefix in prefixes.split("|")}
_FIRST_WORDS = frozenset(prefix.partition(" ")[0] for prefix in _BY_WORD)
_LONGEST_PREFIX = 28
_OTHER_SIGN = re.compile(
    r"(PAYPAL|STRIPE|KLARNA|SUMUP|ZETTLE|MOLLIE|ADYEN|SHOPIFY|IZETTLE|SQUARE|GOCARDLESS)(?: DES:(?:INST XFER)?| INST XFER(?: WEB)?|[:/_-]| INC[:,-]) ?(?=[A-Z])"
)
_NOT_A_MERCHANT = re.compile(
    r"(?:TRANSFER|XFER|PAYMENT|PAYMENTS|CREDIT|INST|EUROPE|LTD|LIMITED|INC|AB|BANK|PAYOUT|PAYOUTS|DEPOSIT|EU|GMBH|S\.?A|BV|B\.V|UK|DE"
    r"|SETTLEMENT|DES|FEE|FEES|CASHBACK|PMT|NV|N\.V|ID|TECHNOLOGY|SE|REF|COM|\.COM|PLC|ADD|WITHDRAWAL|RETRY|EUR|GBP|USD|OUTGOING|OY)\b"
)
_BEHIND = re.compile(
    r" (?:BY|VIA|DURCH|PAR|TRAMITE|MED|PRZEZ|USING) (ADYEN|MOLLIE|STRIPE|PAYPAL|KLARNA|SUMUP|ZETTLE|PAYU|PRZELEWY24|BUCKAROO"
    r"|MULTISAFEPAY|WORLDLINE|WORLDPAY|CHECKOUT\.COM|SHOPIFY|GOCARDLESS|GOOGLE PAY|APPLE PAY|AMAZON PAY|AFTERPAY|CLEARPAY"
    r"|RIVERTY|SCALAPAY|TRUSTLY|SQUARE)\b"
)
_WORDS = re.compile(r"[A-Z]{2}")
_SHORT_MARK = re.compile(r"[A-Z0-9]{2,4} ?\* ?(?=[A-Z]{3})")


def peel(text: str) -> tuple[list[Company], str]:
    """The processors that the text begins with, outermost first, and the rest of the text."""
    found: list[Company] = []
    for _ in range(3):
        key, rest = _by_star(text) or _by_word(text) or _by_sign(text) or ("", text)
        if not key:
            break
        company = COMPANIES[key]
        if company not in found:
            found.append(company)
        text = rest
    return found, text


def behind(text: str) -> Company | None:
    """The processor that the text names behind the merchant: `SPOTIFY BY ADYEN`, `VIA MOLLIE`."""
    found = _BEHIND.search(text)
    return COMPANIES[_BY_STAR[found[1]]] if found else None


def without_mark(text: str) -> str:
    """The text without a short mark before an asterisk that is no processor's."""
    mark = _SHORT_MARK.match(text)
    return text[mark.end() :] if mark else text


def _by_star(text: str) -> tuple[str, str] | None:
    star = text.find("*", 0, _LONGEST_PREFIX)
    if star <= 0:
        return None
    key = _BY_STAR.get(text[:star].rstrip(" _-"))
    return (key, text[star + 1 :].lstrip("* ")) if key else None


def _by_word(text: str) -> tuple[str, str] | None:
    if text.partition(" ")[0] not in _FIRST_WORDS:
        return None
    words = text.split(" ", maxsplit=3)
    for length in range(min(3, len(words) - 1), 0, -1):
        key = _BY_WORD.get(" ".join(words[:length]))
        if key is None:
            continue
        rest = text[len(" ".join(words[:length])) + 1 :]
        if _WORDS.match(rest) and not _NOT_A_MERCHANT.match(rest):
            return key, rest
    return None


def _by_sign(text: str) -> tuple[str, str] | None:
    sign = _OTHER_SIGN.match(text)
    if sign is None or _NOT_A_MERCHANT.match(text, sign.end()):
        return None
    return _BY_STAR[sign[1]], text[sign.end() :]
