"""Known merchants: two tables and their index.

Belongs here: reading `merchants.csv` (written by hand) and `data/brands` (made by `build`), and what is asked about a
merchant. An alias that starts with = is an everyday word (Target, Next, Boots): it counts only where the whole name is
that word. Flags: `platform` others sell through it, `broker` keeps the holder's own money or assets, `bank` lends and
keeps money, `payroll` pays the wages of other companies, `benefits` pays benefits. `countries`: where it trades, empty
for everywhere. `national.csv` has the websites of single
countries, where people there know a merchant by them.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import ahocorasick

from pipeline.sandbox.engine.entities import SHARED, Company
from pipeline.sandbox.engine.lookup import read_packed, read_table
from pipeline.sandbox.engine.text import canonical, normalise, spelled, tokens
from pipeline.sandbox.wordlist import word_set

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

SHORTEST_SQUEEZED = 7
"""Letters that a name needs to be found without its spaces."""
BLOCK = 4
"""First letters that names have to share to be compared letter by letter."""
SHORTEST_ALIKE = 8
"""Letters that a name needs to be found with one of them wrong."""


@dataclass(slots=True)
class Merchant:
    """A row of `merchants.csv` or of `data/brands`."""

    company: Company
    category: str
    business: str
    flags: frozenset[str]
    countries: frozenset[str]
    sites: tuple[str, ...] = ()
    written: bool = True
    national: dict[str, str] = field(default_factory=dict)
    """Websites of single countries, written by hand."""


@dataclass(slots=True)
class Entry:
    """A name of a merchant."""

    merchant: Merchant
    exact: bool
    words: int
    letters: int
    main: bool
    """Whether it is the merchant's first name."""


class Index(NamedTuple):
    """Both tables, to be searched in several ways."""

    automaton: ahocorasick.Automaton
    by_site: dict[str, Merchant]
    by_key: dict[str, list[Entry]]
    squeezed: dict[str, list[Entry]]
    sorted_keys: list[str]
    blocks: dict[str, list[str]]
    spaced: dict[str, str]
    """Names of more words than one, by what they are without spaces."""


def by_website(website: str) -> Merchant | None:
    """The merchant of a website, or None."""
    return index().by_site.get(website)


def companies() -> Iterator[Company]:
    """Every company with a website, once for each of its websites."""
    for site, merchant in index().by_site.items():
        yield merchant.company._replace(website=site)
    for entries in index().by_key.values():
        yield from (entry.merchant.company for entry in entries if entry.merchant.company.website in SHARED)


def by_name(name: str) -> Merchant | None:
    """The merchant of exactly this name, the ones written by hand first, or None."""
    entries = index().by_key.get(" ".join(canonical(tokens(normalise(name)))[0]))
    return entries[0].merchant if entries else None


def codes_at_home(merchant: Merchant, homes: Iterable[str]) -> tuple[int, ...]:
    """The merchant's codes; those that Canadian banks gave it come first where it may be there."""
    observed = _observed().get(merchant.company.name, ()) if "CA" in homes else ()
    return tuple(dict.fromkeys((*observed, *merchant.company.mccs)))


def at_home(merchant: Merchant, homes: Collection[str]) -> Company:
    """The merchant's company with the website of the country; none if it has only those of other countries.

    What was written by hand stays, unless it ends like another country and the brand table has one for this country.
    """
    company = merchant.company._replace(mccs=codes_at_home(merchant, homes)) if "CA" in homes else merchant.company
    if merchant.national:
        own = merchant.national.get(next(iter(homes))) if len(homes) == 1 else None
        return company._replace(website=own) if own else company
    if not merchant.sites:
        return company
    if merchant.written and (company.website or "").rpartition(".")[2] not in _NATIONAL:
        return company
    suffixes = [_SUFFIX.get(home, home.lower()) for home in homes]
    for site in merchant.sites if len(suffixes) == 1 else ():
        if any(site.endswith("." + suffix) for suffix in suffixes):
            return company._replace(website=site)
    if merchant.written:
        return company
    wide = next((site for site in merchant.sites if len(site.rpartition(".")[2]) > 2), None)  # noqa: PLR2004
    if wide is None and (not suffixes or len(merchant.countries) == 1):
        wide = merchant.sites[0]
    return company._replace(website=wide)


_SUFFIX = {"GB": "uk"}
_NATIONAL = word_set("uk de fr nl es it at be ie ch pl pt se dk no fi au us")
"""Endings of websites that are one country's."""


@functools.cache
def index() -> Index:
    """Both tables, read once."""
    by_key: dict[str, list[Entry]] = {}
    by_site: dict[str, Merchant] = {}
    brands = list(_brands())
    by_main: dict[str, list[Merchant]] = {}
    for brand, _ in brands:
        for site in brand.sites:
            by_main.setdefault(site, []).append(brand)
    for read_one, names in (*_written(by_main), *brands):
        # A brand whose website is that of a row written by hand is the same company; the row knows it better.
        twin = None if read_one.written or not read_one.sites else by_site.get(read_one.sites[0])
        merchant = twin if twin is not None and _twins(twin, read_one) else read_one
        for site in filter(None, (merchant.company.website, *merchant.sites, *merchant.national.values())):
            by_site.setdefault(site, merchant)
        for order, name in enumerate(names):
            text = name.removeprefix("=")
            entries = by_key.setdefault(text, [])
            if text and not any(entry.merchant is merchant or _everywhere(entry) for entry in entries):
                entries.append(Entry(merchant, text != name, text.count(" ") + 1, len(text), order == 0))
    return _searchable(by_key, by_site)


def _twins(written: Merchant, brand: Merchant) -> bool:
    """Whether both are one company under one name: one website is not enough, as Hilton's has Hampton too."""
    return written.written and _first_word(written.company.name) == _first_word(brand.company.name)


@functools.cache
def _first_word(name: str) -> str | None:
    return next(iter(canonical(tokens(normalise(name)))[0]), None)


def _key(alias: str) -> str:
    """An alias as names are compared; = in front stays."""
    everyday = alias.startswith("=")
    return "=" * everyday + " ".join(canonical(tokens(normalise(alias.removeprefix("="))))[0])


def _everywhere(entry: Entry) -> bool:
    return entry.merchant.written and not entry.merchant.countries


def _searchable(by_key: dict[str, list[Entry]], by_site: dict[str, Merchant]) -> Index:
    automaton = ahocorasick.Automaton()
    squeezed: dict[str, list[Entry]] = {}
    blocks: dict[str, list[str]] = {}
    spaced: dict[str, str] = {}
    for text, entries in by_key.items():
        automaton.add_word(f" {text} ", (len(text) + 2, entries))
        one_word = spelled(text.replace(" ", ""))
        if len(one_word) >= SHORTEST_SQUEEZED:
            squeezed.setdefault(one_word, []).extend(entries)
            if len(one_word) >= SHORTEST_ALIKE:
                blocks.setdefault(one_word[:BLOCK], []).append(one_word)
                if " " in text:
                    spaced.setdefault(one_word, text)
    automaton.make_automaton()
    return Index(automaton, by_site, by_key, squeezed, sorted(by_key), blocks, spaced)


@functools.cache
def _observed() -> dict[str, tuple[int, ...]]:
    return {name: tuple(map(int, codes.split("|"))) for name, codes in read_packed("observed.zst")}


def _written(brands: dict[str, list[Merchant]]) -> Iterable[tuple[Merchant, list[str]]]:
    """Rows of `merchants.csv`, with the websites of other countries that the brand table has for the same company."""
    national = {row["website"]: _by_country(row["sites"].split()) for row in read_table("national.csv")}
    for row in read_table("merchants.csv"):
        parent_name, _, parent_site = row["parent"].partition("|")
        parent = Company(parent_name, parent_site or None) if parent_name else None
        mccs = tuple(int(code) for code in row["mccs"].split("|") if code)
        company = Company(row["name"], row["website"] or None, mccs, parent)
        countries = frozenset((row.get("countries") or "").split())
        merchant = Merchant(company, row["category"], row["business"], frozenset(row["flags"].split()), countries)
        twin = next((brand for brand in brands.get(row["website"], ()) if _twins(merchant, brand)), None)
        merchant.sites = twin.sites if twin else ()
        merchant.national = national.get(row["website"], merchant.national)
        yield merchant, [_key(alias) for alias in row["aliases"].split("|")]


def _by_country(sites: list[str]) -> dict[str, str]:
    """Websites by the country that they end like: hofer.at is Austria's."""
    endings = [site.rpartition(".")[2].upper() for site in sites]
    return {"GB" if ending == "UK" else ending: site for ending, site in zip(endings, sites, strict=True)}


def _brands() -> Iterable[tuple[Merchant, list[str]]]:
    kinds = {row["kind"]: row for row in read_table("data/kinds.csv")}
    for name, aliases, countries, sites, kind in read_packed("brands.zst"):
        row = kinds[kind]
        addresses = tuple(sites.split())
        mcc, category = int(row["mcc"]), row["category"]
        if category == "ev charging" and _SUPPLIER.search(name):
            mcc, category = 4900, "utilities"  # a town's works have charging stations, but bills are for electricity
        if category == "ev charging" and _NO_OPERATOR.search(name):
            continue  # who has charging stations for its guests is known by something else
        company = Company(name, None, (mcc,))
        merchant = Merchant(company, category, "", _NONE, frozenset(countries.split()), addresses, written=False)
        yield merchant, aliases.split("|")


_NONE: frozenset[str] = frozenset()
_NO_OPERATOR = re.compile("Universi|College|Hospital|Hotel|Council|City of|County|School|Touring|ÖAMTC", re.IGNORECASE)
_SUPPLIER = re.compile("werk|energie|energy|strom|electric|power|kraft|elektri", re.IGNORECASE)


def load() -> None:
    """Read the tables, once."""
    index()
    _observed()
