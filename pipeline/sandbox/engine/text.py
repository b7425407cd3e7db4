"""Text of a bank line: upper case, tokens, words, names back in title case.

Belongs here: letters and words. What banks print around a name is in `boilerplate`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from pipeline.sandbox.wordlist import word_set

_TOKEN = re.compile(r"[A-Z0-9&+]+")
_LONE_AMPERSAND = re.compile(r"\b([A-Z]) & ([A-Z])\b")
_WORD_BORDER = re.compile(r"[\s*_#:;,/\\|()\[\]<>\"]+")
_PLAIN = str.maketrans({"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "æ": "ae", "Æ": "AE",
                        "œ": "oe", "Œ": "OE"})  # fmt: skip
_JOINED = frozenset({"&", "+", "AND", "UND"})
_UMLAUT = re.compile(r"([AOU])E")
_SPELLED_OTHERWISE = ("AE", "OE", "UE", "&", "+")

_DOTTED = re.compile(r"\b(?:[A-Z]\.)+[A-Z]\b\.?")
"""S.A., N.V., W.H.SMITH."""
_ATM = re.compile(r"\bATM(?=\d)|^GA (?=NR)")
"""ATM1234, and what German savings banks print: GA NR00004829 BLZ37050198."""

_SMALL = frozenset({"AND", "OF", "THE", "DE", "LA", "DU", "VAN", "DER", "UND", "ET", "FOR", "AT", "ON"})
_CAPITALS = frozenset(
    {"LLC", "PLC", "USA", "USD", "UK", "US", "NYC", "LA", "BBQ", "TV", "IT", "HQ", "AG", "SA", "BV", "KG", "SE"}
)
_WRITTEN = {
    "GMBH": "GmbH",
    "LTD": "Ltd",
    "INC": "Inc",
    "CO": "Co",
    "CORP": "Corp",
    "SRL": "Srl",
    "MC": "Mc",
    "ST": "St",
    "RD": "Rd",
    "MT": "Mt",
    "SRO": "sro",
    "SARL": "SARL",
    "BLVD": "Blvd",
}
NOISE = word_set(
    "POS CARD PURCHASE DEBIT VISA PAYMENT TO FROM AT REF DES INDN ID CO ACH PPD WEB WWW HTTP HTTPS CCD TEL"
    " RECURRING VIREMENT TRANSFERENCIA OVERBOEKING PMTS PYMT PYMTS NUMBER PAYMENTS EN AN IHR EINKAUF BEI CHEZ"
    " INST XFER INSTANT ONLINE PMT MR MRS MS MISS DR VIA JAN FEB MAR APR JUN JUL AUG SEP SEPT OCT NOV DEC STAFF"
    " VERS RECIBIDA DANKE DEPOSIT INV SUBSCRIPTION MEMBERSHIP NR JANVIER FEVRIER MARS AVRIL MAI JUIN JUILLET AOUT"
    " DONATION MONTHLY WEEKLY SCHEDULED MAERZ WHG OG EG"
    " SEPTEMBRE OCTOBRE NOVEMBRE DECEMBRE JANUAR FEBRUAR MARZ JUNI JULI SEPTEMBER OKTOBER NOVEMBER DEZEMBER ENERO"
    " FEBRERO MARZO ABRIL MAYO JUNIO JULIO AGOSTO OCTUBRE DICIEMBRE JANUARY FEBRUARY"
)

_BEFORE_PEOPLE = NOISE | word_set(
    "FPO FPI TRANSFER TFR TRF SEPA VIR ZELLE VENMO BIZUM SWISH ORDER SENT A DE VON AN VAN"
)


def normalise(description: str) -> str:
    """Upper case, plain letters, single spaces."""
    if not description.isascii():
        decomposed = unicodedata.normalize("NFKD", description.translate(_PLAIN))
        description = "".join(char for char in decomposed if not unicodedata.combining(char))
    upper = " ".join(description.upper().split())
    upper = _ATM.sub("ATM ", upper) if "ATM" in upper or upper.startswith("GA NR") else upper
    if "." in upper:
        upper = _DOTTED.sub(_without_dots, upper)
    if "'" in upper or "`" in upper:
        upper = upper.replace("'", "").replace("`", "")
    return upper if upper.isascii() else upper.replace("’", "")  # noqa: RUF001


def _without_dots(found: re.Match[str]) -> str:
    return found[0].replace(".", "")


def tokens(text: str) -> list[str]:
    """Runs of letters, digits, & and +; `H & M` counts as one."""
    if " & " in text:
        text = _LONE_AMPERSAND.sub(r"\1&\2", text)
    return _TOKEN.findall(text)


def canonical(line: list[str]) -> tuple[list[str], list[int]]:
    """Tokens as names are compared, and for each the token of the line that it begins at.

    `TRADER JOE S`, `H & M`, `MARKS AND SPENCER` and `MUELLER` are the same as what the names of the tables become:
    TRADER JOS, HM, MARKS SPENCER and MULLER.
    """
    if line and min(map(len, line)) > 1 and _JOINED.isdisjoint(line):
        text = " ".join(line)
        plain = not any(map(text.__contains__, _SPELLED_OTHERWISE))
        return line if plain else [*map(spelled, line)], list(range(len(line)))
    found: list[str] = []
    starts: list[int] = []
    alone = False  # whether the last one is made of single letters
    for at, part in enumerate(line):
        if part in _JOINED:
            continue
        if len(part) == 1 and found and (alone or (part == "S" and _may_own(found[-1]))):
            found[-1] += part
            continue
        alone = len(part) == 1 and part.isalpha()
        found.append(spelled(part))
        starts.append(at)
    return found, starts


def _may_own(word: str) -> bool:
    """Whether an S behind the word is its own, as in TRADER JOE S, and no initial, as in FASTER PAYMENT S KHAN."""
    return word.isalpha() and word[-1] != "S" and word not in _BEFORE_PEOPLE


@lru_cache(maxsize=100_000)
def spelled(word: str) -> str:
    """One token without signs, umlauts written as plain letters: `MUELLER` and MÜLLER are the same."""
    if "&" in word or "+" in word:
        word = word.replace("&", "").replace("+", "")
    return _UMLAUT.sub(r"\1", word) if "E" in word else word


def words(text: str) -> list[str]:
    """Words of a name, with their inner punctuation."""
    return [word for word in (part.strip(".-'") for part in _WORD_BORDER.split(text)) if word]


def has_digit(word: str) -> bool:
    """Whether any character is a digit."""
    return word.isdigit() or (not word.isalpha() and any(map(str.isdigit, word)))


def title(parts: list[str]) -> str:
    """`["JOES", "BBQ", "LTD"]` as `Joes BBQ Ltd`."""
    ends = {0, len(parts) - 1}
    return " ".join(_cased(part, first=index == 0, last=index in ends - {0}) for index, part in enumerate(parts))


def _cased(word: str, *, first: bool, last: bool) -> str:
    if word in _WRITTEN:
        return _WRITTEN[word]
    if word in _CAPITALS and (word != "LA" or last):  # Bar La Esquina is not in Los Angeles
        return word
    if word in _SMALL and not first:
        return word.lower()
    if "-" in word:
        return "-".join(part.capitalize() for part in word.split("-"))
    # No vowel, few letters: an abbreviation.
    if len(word) <= 3 and not set(word) & set("AEIOUY"):  # noqa: PLR2004
        return word
    return word.capitalize()
