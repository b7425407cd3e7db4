"""Who stands between the payer and the merchant: payment processors, wallets, instalment services, marketplaces.

Belongs here: reading `processors.csv`, written by hand: the companies, and the prefixes that they put before a
merchant's name, with an asterisk (`starred`) and without (`bare`). A short prefix before an asterisk that is nobody's
comes off too: it is a till's mark.
"""

from __future__ import annotations

import re

from pipeline.sandbox.engine.entities import Company
from pipeline.sandbox.engine.lookup import read_table
from pipeline.sandbox.engine.text import NOISE

_PROCESSOR_MCC = (6012,)


def _company(row: dict[str, str]) -> Company:
    parent, _, site = row["parent"].partition("|")
    return Company(row["name"], row["website"], _PROCESSOR_MCC, Company(parent, site) if parent else None)


_ROWS = read_table("processors.csv")
COMPANIES = {row["key"]: _company(row) for row in _ROWS}
_BY_STAR = {prefix: row["key"] for row in _ROWS for prefix in row["starred"].split("|") if prefix}
_BY_NAME = {company.name.upper(): company for company in COMPANIES.values()}
_BY_WORD = {prefix: row["key"] for row in _ROWS for prefix in row["bare"].split("|") if prefix}
_LONG_SIGNS = {sign: key for sign, key in _BY_STAR.items() if len(sign) >= 5}  # noqa: PLR2004
_FIRST_WORDS = frozenset(prefix.partition(" ")[0] for prefix in _BY_WORD)
_LONGEST_PREFIX = 28
_OTHER_SIGN = re.compile(
    r"(PAYPAL|STRIPE|KLARNA|SUMUP|ZETTLE|MOLLIE|ADYEN|SHOPIFY|IZETTLE|SQUARE|"
    r"GOCARDLESS)(?: DES:(?:INST XFER)?| INST XFER(?: WEB)?| ?[:/_.-]\*?| INC[:,-]) ?(?=[A-Z])"
)
_NOT_A_MERCHANT = re.compile(
    r"(?:TRANSFER|XFER|PAY|PAYMENT|PAYMENTS|CREDIT|INST|EUROPE|LTD|LIMITED|INC|AB|BANK|PAYOUT|PAYOUTS|DEPOSIT|EU|"
    r"GMBH|S\.?A|BV|B\.V|UK|DE"
    r"|DONATION|SETTLEMENT|DES|FEE|FEES|CASHBACK|PMT|NV|N\.V|ID|TECHNOLOGY|SE|REF|COM|\.COM|PLC|ADD|WITHDRAWAL|RETRY|"
    r"EUR|GBP|USD|OUTGOING|OY)\b"
)
_WITH_PHONE = re.compile(r" (GOOGLE PAY|APPLE PAY)(?: ENDING IN \d+)?$")
_LAST = re.compile(r" (GOCARDLESS|STRIPE|ADYEN|MOLLIE|TITHE\.LY)(?: (?=\S*\d)\S+| [A-Z]+-\S+)?$")
_OF_ITSELF = re.compile(_NOT_A_MERCHANT.pattern + "|AUSZAHLUNG|UITBETALING|VERSEMENT|ABONO|BONIFICO")
"""Behind a processor's name: it pays what it took for the holder."""
_BEHIND = re.compile(
    r" (?:BY|VIA|DURCH|PAR|TRAMITE|MED|PRZEZ|USING) (ADYEN|MOLLIE|STRIPE|PAYPAL|KLARNA|SUMUP|ZETTLE|PAYU|"
    r"PRZELEWY24|BUCKAROO"
    r"|MULTISAFEPAY|WORLDLINE|WORLDPAY|CHECKOUT\.COM|SHOPIFY|GOCARDLESS|GOOGLE PAY|APPLE PAY|AMAZON PAY|"
    r"AFTERPAY|CLEARPAY"
    r"|RIVERTY|SCALAPAY|TRUSTLY|SQUARE)\b"
)
_WALLETS = {
    "BLIK ": COMPANIES["blik"], "PLATNOSC BLIK ": COMPANIES["blik"], "ZAKUP BLIK ": COMPANIES["blik"],
    "IDEAL ": COMPANIES["ideal"],
    "SEPA IDEAL ": COMPANIES["ideal"], "/TRTP/IDEAL/": COMPANIES["ideal"],
    "BEA, APPLE PAY ": COMPANIES["applepay"], "BEA, GOOGLE PAY ": COMPANIES["googlepay"],
}  # fmt: skip
_WALLET_SIGNS = tuple(_WALLETS)
_SITES = {company.website for company in COMPANIES.values() if company.website} | {
    "gosq.com", "fsprg.com", "tithely.com",
}  # fmt: skip
_OWN_SITE = re.compile(rf"(?<!\S)(?:WWW\.)?(?:{'|'.join(sorted(map(re.escape, _SITES)))})(?!\S)", re.IGNORECASE)
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


def by_name(name: list[str], *, earned: bool) -> Company | None:
    """The processor whose name the words begin with, nothing but a legal form behind it.

    `earned`: money that a business takes in, which is a payout whatever else the line says.
    """
    company = _BY_NAME.get(name[0])
    if company is None and earned and len(name) > 1 and name[0] in {"STG", "STICHTING"}:
        company = _BY_NAME.get(name[1])
    return company if earned or all(map(_OF_ITSELF.fullmatch, name[1:])) else None


def behind(text: str) -> tuple[Company, str] | None:
    """The processor that the text names behind the merchant, and what stands before: `SPOTIFY BY ADYEN`."""
    found = _BEHIND.search(text) or (_WITH_PHONE.search(text) if " PAY" in text else None)
    if found is None:
        found = _LAST.search(text)
        if found is None or all(word in NOISE or _OF_ITSELF.fullmatch(word) for word in text[: found.start()].split()):
            return None  # TRANSFER STRIPE ST-X1Y2: nobody stands before it
    return COMPANIES[_BY_STAR[found[1]]], text[: found.start()]


def wallet(line: str, country: str | None) -> Company | None:
    """What a payment in a shop was made with, as the bank prints it in front: `BLIK ZAKUP ALLEGRO.PL`."""
    if not line.startswith(_WALLET_SIGNS) or (line.startswith("IDEAL ") and country != "NL"):
        return None  # IDEAL SOLUTIONS is a firm
    return next(company for sign, company in _WALLETS.items() if line.startswith(sign))


def without_mark(text: str) -> str:
    """The text without a short mark before an asterisk that is no processor's."""
    mark = _SHORT_MARK.match(text)
    return text[mark.end() :] if mark else text


def without_site(text: str) -> str:
    """The text without the website of a processor, which says nothing of the merchant: `LULUS KLARNA.COM OH`."""
    if "." not in text or _NOT_A_MERCHANT.match(text) or _OWN_SITE.match(text):
        return text
    return _OWN_SITE.sub(" ", text).strip()


def _by_star(text: str) -> tuple[str, str] | None:
    star = text.find("*", 0, _LONGEST_PREFIX)
    if star <= 0:
        return None
    before = text[:star].rstrip(" _-.")
    # LYON 7 SUMUP *LE PETIT GONE: a bank that prints the place in front
    key = _BY_STAR.get(before) or _LONG_SIGNS.get(before.rpartition(" ")[2])
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
