"""In which currency a statement is.

Belongs here: what is printed beside a figure, what a line says, and what a bank's country tells without either. A
currency that the API does not have is a currency all the same: its statement is not in the one of the country.
"""

from __future__ import annotations

import re

from pipeline.sandbox.schema import CURRENCIES
from pipeline.sandbox.statements.figures import SYMBOLS
from pipeline.sandbox.wordlist import word_set

_SAID = re.compile(
    r"\b(?i:currency|w[äa]hrung|devise|moneda)\s*(?:(?P<colon>:)\s*)?\(?(?P<named>[A-Z]{3})\b|"
    r"\b(?i:amounts?|balances?|figures|shown|betr[äa]ge|montants)\b.{0,30}?\b(?:in|en)\b.{0,20}?\b(?P<within>[A-Z]{3})\b"
)
_FOREIGN = word_set(
    "BTN BYN HTG LSL MRU NAD PAB SLE STN SVC VED VES ZWG CUC"
    " ATS BEF CYP DEM EEK ESP FIM FRF GRD IEP ITL LTL LUF LVL MTL NLG PTE SIT SKK"
)
"""Codes that the API does not have: in use (fact sheet, section 9.1, and later ones), and from before the euro."""
_COUNTRIES = {
    "GBP": r"\bsort code\b|\bfinancial services compensation scheme\b|\bfscs\b|\bfinancial conduct authority\b|"
    r"\bbuilding society\b|\bunited kingdom\b|\bUK\b",
    "USD": r"\brouting (?:number|no\b)|\bABA\b|\bfdic\b|\bncua\b|\bunited states\b|"
    r"\b(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|"
    r"W[AIVY]) \d{5}(?:-\d{4})?$",
    "CAD": r"\bcdic\b|\bcanada\b|\binterac\b",
    "AUD": r"\bbsb\b|\baustralia\b",
    "NZD": r"\bnew zealand\b",
    "INR": r"\bifsc\b|\bindia\b",
    "EUR": r"\bsepa\b|\bkontoauszug\b|\bgirokonto\b|\brelev[ée] de compte\b|\bextracto\b|\bestratto conto\b|"
    r"\bireland\b",
}
_AT_HOME = {code: re.compile(f"(?i:{words})") for code, words in _COUNTRIES.items()}
_DOLLARS = {"CAD", "AUD", "NZD"}
"""Currencies that write a dollar's sign, of the countries known here."""
_BY_COUNTRY = {"GB": "GBP", "CH": "CHF", "LI": "CHF", "SE": "SEK", "NO": "NOK", "DK": "DKK", "PL": "PLN"}
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")


def unit(text: str | None) -> str | None:
    """A code, or a symbol that stands for one; the dollar's stays itself, since many have it."""
    if text == "$":
        return text
    code = SYMBOLS.get(text or "", (text or "").upper())
    return code if code in CURRENCIES or code in _FOREIGN else None


def said(line: str) -> str | None:
    """The currency that a line names as that of the statement."""
    found = _SAID.search(line)
    if found is None:
        return None
    # "Currency: XYZ" says so whatever XYZ is; "CURRENCY FEE" does not.
    return found["named"] if found["colon"] else unit(found["named"] or found["within"])


def at_home(line: str) -> str | None:
    """The currency of the country whose banks print such a line."""
    return next((code for code, words in _AT_HOME.items() if words.search(line)), None)


def iban(line: str) -> str | None:
    """An IBAN in a line, as it is printed."""
    found = _IBAN.search(line)
    return found[0] if found else None


def settle(printed: str | None, number: str | None, home: str | None) -> str | None:
    """A statement's currency from its signs, its account's number and its country, or None; the API may not have it."""
    if printed == "$":
        return home if home in _DOLLARS else "USD"
    if printed is not None:
        return printed
    if number is not None and _IBAN.fullmatch(number):
        return _BY_COUNTRY.get(number[:2], "EUR")
    return home
