"""Known merchants: which one a line names.

Belongs here: reading `merchants.csv` (written by hand) and choosing among several hits. An alias that starts with =
is an everyday word (Target, Next, Boots): it counts only where the whole name is that word. Flags: `platform` others
sell through it, `broker` keeps the holder's own money or assets, `bank` lends and keeps money, `payroll` pays the wages
of other companies, `benefits` pays benefits. `countries`: where it trades, empty for everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

from pipeline.sandbox.engine.entities import Company
from pipeline.sandbox.engine.lookup import Phrases, read_table
from pipeline.sandbox.engine.text import has_digit, normalise, tokens
from pipeline.sandbox.wordlist import word_set

LAST_START = 4
"""A name that starts later than the fifth token is more likely a street or a remark."""
_GENERIC = word_set(
    "LTD LIMITED PLC INC LLC CORP CO GMBH AG SA BV UK US USA STORE STORES ONLINE COM RETAIL SERVICES SERVICE MARKT"
    " GROUP PAYMENT BILL MOBILE"
)


class Merchant(NamedTuple):
    """A row of `merchants.csv`."""

    company: Company
    category: str
    business: str
    flags: frozenset[str]


class Hit(NamedTuple):
    """The merchant of a line, the platform that it was bought through, if any, and the tokens up to the name's end."""

    merchant: Merchant
    platform: Merchant | None
    end: int


def identify(line: list[str], kept: int) -> Hit | None:
    """The merchant that the tokens name, or None; from token `kept` on stands a place."""
    platform: Hit | None = None
    for found in _INDEX.find(line):
        merchant, exact = found.value
        if found.start > LAST_START:
            break
        if exact and not _stands_alone(line[:kept], found.start, found.end):
            continue
        if "platform" not in merchant.flags:
            return Hit(merchant, platform.merchant if platform else None, found.end)
        platform = platform or Hit(merchant, None, found.end)
    return platform


def by_website(website: str) -> Merchant | None:
    """The merchant of a website, or None."""
    return _BY_WEBSITE.get(website)


def _stands_alone(line: list[str], start: int, end: int) -> bool:
    if start > 0:
        return False
    return end >= len(line) or has_digit(line[end]) or len(line[end]) == 1 or line[end] in _GENERIC


def _load() -> tuple[Phrases[tuple[Merchant, bool]], dict[str, Merchant]]:
    index: Phrases[tuple[Merchant, bool]] = Phrases()
    by_site: dict[str, Merchant] = {}
    for row in read_table("merchants.csv"):
        parent_name, _, parent_site = row["parent"].partition("|")
        parent = Company(parent_name, parent_site) if parent_name else None
        mccs = tuple(int(code) for code in row["mccs"].split("|"))
        company = Company(row["name"], row["website"], mccs, parent)
        merchant = Merchant(company, row["category"], row["business"], frozenset(row["flags"].split()))
        by_site.setdefault(row["website"], merchant)
        for alias in row["aliases"].split("|"):
            index.add(tokens(normalise(alias.removeprefix("="))), (merchant, alias.startswith("=")))
    return index, by_site


_INDEX, _BY_WEBSITE = _load()
