"""Known merchants: which one a line names.

Belongs here: the index of `merchants.csv` (written by hand) and `data/brands` (made by `build`), and choosing among
several hits by length, position, country and who wrote the row. An alias that starts with = is an everyday word
(Target, Next, Boots): it counts only where the whole name is that word. Flags: `platform` others sell through it, `broker` keeps
the holder's own money or assets, `bank` lends and keeps money, `payroll` pays the wages of other companies, `benefits`
pays benefits. `countries`: where it trades, empty for everywhere. When in doubt there is no hit: the line's own words
are a good name, and a wrong website is worse than none.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

import ahocorasick
from rapidfuzz import fuzz, process

from pipeline.sandbox.engine.entities import Company
from pipeline.sandbox.engine.lookup import read_packed, read_table
from pipeline.sandbox.engine.text import canonical, has_digit, normalise, tokens
from pipeline.sandbox.engine.trades import Trade, by_words
from pipeline.sandbox.wordlist import word_set

if TYPE_CHECKING:
    from collections.abc import Iterable

LAST_START = 4
"""A name that starts later than the fifth token is more likely a street or a remark."""
_GENERIC = word_set(
    "LTD LIMITED PLC INC LLC CORP CO GMBH AG SA BV UK US USA STORE STORES ONLINE COM RETAIL SERVICES SERVICE MARKT"
    " GROUP PAYMENT BILL MOBILE SHOP EXPRESS EUROPE DE FR NL ES IT SRL SPA KG SE NV AB OY AS APS SAS SARL SL"
    " LDA THE WWW"
    " INTERNATIONAL INTL FILIALE FIL NR NO STR SUPERSTORE BRANCH OUTLET CITY CENTRE CENTER NORTH SOUTH EAST"
    " WEST AIRPORT"
    " STATION ST HIGH STREET ROAD RD MALL PLAZA PARK FOOD PHARMACY BANK HOTEL RESTAURANT CAFE COFFEE PETROL FUEL GAS"
    " SUPERMARKET PURCHASE CARD DIRECT EU GB CA AU SUPERCENTER MARKET INSURANCE ENERGY SUBSCRIPTION"
    " MEMBERSHIP HELP AUTOPAY"
    " TOPUP PAYG PREPAID MONTHLY ACCOUNT CUSTOMER CLIENTS KUNDEN DIGITAL TOP UP GASBAR STN DANKT SAGT DANKE"
    " RETAIL APP ORDER STATIONS WEB PMT PYMT PAYMENTS DD INTERNET UND AND DEUTSCHLAND FRANCE ESPANA ITALIA"
    " NEDERLAND IRELAND"
)
_AMBIGUOUS = 8
"""A single word of the brand table that is shorter counts only where nothing strange stands behind it."""
_LEAST_BEHIND = 9
_LEAST_ABROAD = 6
"""Letters from which a name written by hand is believed outside its countries too."""
_LEAST_INSIDE = 5
"""Letters that a single word needs to be found behind words that are not its own."""
_SHORT = 6
_TRUNCATED = 7
_FULL_FIELD = 18
_ALIKE = 90.0
_BLOCK = 4
_LEAST_FUZZY = 8
_WRITTEN = 8
_FIRST = 6
_MAIN = 2
_AT_HOME = 3
_STRANGE = 5
_ABROAD = 9


class Merchant(NamedTuple):
    """A row of `merchants.csv` or of `data/brands`."""

    company: Company
    category: str
    business: str
    flags: frozenset[str]
    countries: frozenset[str]
    sites: tuple[str, ...] = ()
    written: bool = True


class Hit(NamedTuple):
    """The merchant of a line, the platform it was bought through, its first token and the one behind its name."""

    merchant: Merchant
    platform: Merchant | None
    start: int
    end: int


class _Entry(NamedTuple):
    """A name of a merchant."""

    merchant: Merchant
    exact: bool
    words: int
    letters: int
    main: bool
    """Whether it is the merchant's first name."""


class _Index(NamedTuple):
    automaton: ahocorasick.Automaton
    by_site: dict[str, Merchant]
    by_key: dict[str, list[_Entry]]
    squeezed: dict[str, list[_Entry]]
    sorted_keys: list[str]
    blocks: dict[str, list[str]]


class _Line(NamedTuple):
    """Canonical tokens of a line, where they begin in it, how many are its name, and where it may have happened."""

    key: list[str]
    starts: list[int]
    kept: int
    homes: frozenset[str]


def identify(line: list[str], kept: int, homes: Iterable[str] = ()) -> Hit | None:
    """The merchant that the tokens name, or None; from token `kept` on stands a place.

    `homes`: countries that the transaction may have happened in; none means any.
    """
    key, starts = canonical(line)
    return find(key, starts, len(line), kept, frozenset(homes))


def find(key: list[str], starts: list[int], end: int, kept: int, homes: frozenset[str]) -> Hit | None:
    """As `identify`, of a line of `end` tokens whose canonical ones are known."""
    if not key:
        return None
    taken = _Line(key, starts, bisect_left(starts, kept), homes)
    return _by_automaton(taken, end) or _by_resemblance(taken, end)


def by_website(website: str) -> Merchant | None:
    """The merchant of a website, or None."""
    return _index().by_site.get(website)


def by_name(name: str) -> Merchant | None:
    """The merchant of exactly this name, the ones written by hand first, or None."""
    entries = _index().by_key.get(" ".join(canonical(tokens(normalise(name)))[0]))
    return entries[0].merchant if entries else None


def codes_at_home(merchant: Merchant, homes: Iterable[str]) -> tuple[int, ...]:
    """The merchant's codes; those that Canadian banks gave it come first where it may be there."""
    observed = _observed().get(merchant.company.name, ()) if "CA" in homes else ()
    return tuple(dict.fromkeys((*observed, *merchant.company.mccs)))


def at_home(merchant: Merchant, homes: Iterable[str]) -> Company:
    """The merchant's company with the website of the country; none if it has only those of other countries.

    What was written by hand stays, unless it ends like another country and the brand table has one for this country.
    """
    company = merchant.company._replace(mccs=codes_at_home(merchant, homes)) if "CA" in homes else merchant.company
    if not merchant.sites:
        return company
    if merchant.written and (company.website or "").rpartition(".")[2] not in _NATIONAL:
        return company
    suffixes = [_SUFFIX.get(home, home.lower()) for home in homes]
    for site in merchant.sites:
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


def _by_automaton(line: _Line, end: int) -> Hit | None:
    """The best of the names that stand in the line as they are."""
    text = f" {' '.join(line.key)} "
    best: tuple[int, int, _Entry] | None = None
    platform: tuple[int, int, _Entry] | None = None
    for last, (length, entries) in _index().automaton.iter(text):
        start = text.count(" ", 0, last - length + 1)
        for entry in entries:
            score = _score(entry, start, line)
            if score is None:
                continue
            if "platform" in entry.merchant.flags:
                if platform is None or score > platform[0]:
                    platform = (score, start, entry)
            elif best is None or score > best[0]:
                best = (score, start, entry)
    if platform is not None and (best is None or best[1] < platform[1] + platform[2].words):
        best, platform = platform, None
    if best is None:
        return None
    _, start, entry = best
    first, behind = _span(line, start, start + entry.words, end)
    return Hit(entry.merchant, platform[2].merchant if platform else None, first, behind)


def _span(line: _Line, start: int, stop: int, end: int) -> tuple[int, int]:
    """Canonical tokens as tokens of the line."""
    return line.starts[start], line.starts[stop] if stop < len(line.starts) else end


def _score(entry: _Entry, start: int, line: _Line) -> int | None:
    """How well a name fits the line, or None where it does not count."""
    merchant, stop = entry.merchant, start + entry.words
    if start > LAST_START or start >= line.kept:
        return None
    abroad = bool(merchant.countries and line.homes) and merchant.countries.isdisjoint(line.homes)
    if abroad and (not merchant.written or entry.exact or entry.letters < _LEAST_ABROAD):
        return None
    before = sum(word not in _GENERIC for word in line.key[:start]) if start else 0
    if before and entry.letters < _LEAST_INSIDE:
        return None
    if entry.exact:
        if before or not (_alone_written(entry, line, stop) if merchant.written else _alone(line, stop)):
            return None
    elif not (_clear_written(entry, line, stop) if merchant.written else _clear(entry, line, start, stop)):
        return None
    return (
        entry.letters
        + _FIRST * (start == 0)
        + _MAIN * entry.main
        + _WRITTEN * merchant.written
        + _AT_HOME * (not abroad and bool(merchant.countries) and bool(line.homes))
        - _STRANGE * before
        - _ABROAD * abroad
    )


def _alone(line: _Line, stop: int) -> bool:
    """Whether nothing stands behind the name but numbers, legal forms and the like."""
    return stop >= line.kept or all(map(_plain, line.key[stop : line.kept]))


def _alone_written(entry: _Entry, line: _Line, stop: int) -> bool:
    """The same of an everyday word written by hand; one number or so is enough, and so is a word of its own trade."""
    if stop >= line.kept:
        return True
    trade = _trade_behind(line, stop)
    if trade is not None and trade.category != "other":
        return trade.category == entry.merchant.category
    return _plain(line.key[stop])


def _plain(word: str) -> bool:
    return word in _GENERIC or len(word) == 1 or has_digit(word)


def _clear(entry: _Entry, line: _Line, start: int, stop: int) -> bool:
    """Whether a name of the brand table is meant, and not a word of another name."""
    if start > 0:
        return entry.words > 1 and entry.letters >= _LEAST_BEHIND
    behind = [word for word in line.key[stop : line.kept] if not _plain(word)]
    if not behind or entry.words > 1:
        return True
    trade = by_words(behind)
    return entry.letters >= _AMBIGUOUS and (trade is None or trade.category == entry.merchant.category)


def _clear_written(entry: _Entry, line: _Line, stop: int) -> bool:
    """Whether no other trade stands behind a short name written by hand: `CHASE STREET BAKERY` is no bank."""
    if entry.words > 1 or entry.letters > _SHORT:
        return True
    trade = _trade_behind(line, stop)
    return trade is None or trade.category in {entry.merchant.category, "other", ""}


def _trade_behind(line: _Line, stop: int) -> Trade | None:
    behind = [word for word in line.key[stop : line.kept] if not _plain(word)]
    return by_words(behind) if behind else None


def _by_resemblance(line: _Line, end: int) -> Hit | None:
    """A name written as one word, cut off where the bank's field ends, or with a letter wrong."""
    name = line.key[: line.kept]
    stop = next((at for at, word in enumerate(name) if at and word.isdigit()), len(name))
    name = name[:stop]
    for finder in (_squeezed, _cut_off, _alike):
        found = finder(name)
        fits = [
            entry
            for entry in found
            if not (entry.merchant.countries and line.homes) or entry.merchant.countries & line.homes
        ]
        owners = {entry.merchant.company.name for entry in fits}
        if len(owners) == 1 and not (finder is not _squeezed and "platform" in fits[0].merchant.flags):
            words = next((n for n in range(1, len(name) + 1) if len("".join(name[:n])) >= fits[0].letters), len(name))
            first, behind = _span(line, 0, words, end)
            return Hit(fits[0].merchant, None, first, behind)
    return None


def _squeezed(name: list[str]) -> list[_Entry]:
    """`HOMEDEPOT`, `MEDIA MARKT`: the longest beginning that is a name when spaces are ignored."""
    squeezed = _index().squeezed
    for length in range(min(len(name), 4), 0, -1):
        entries = squeezed.get("".join(name[:length]))
        if entries:
            return [entry for entry in entries if length == len(name) or not entry.exact]
    return []


def _cut_off(name: list[str]) -> list[_Entry]:
    """`BED BATH BEYO`: the names that begin so and go on within the word, or the line fills its field."""
    text = " ".join(name)
    if len(text) < _TRUNCATED:
        return []
    keys = _index().sorted_keys
    found: list[_Entry] = []
    for at in range(bisect_left(keys, text), min(bisect_left(keys, text) + 12, len(keys))):
        if not keys[at].startswith(text):
            break
        if len(keys[at]) > len(text) and (keys[at][len(text)] != " " or len(text) >= _FULL_FIELD):
            found.extend(_index().by_key[keys[at]])
    return found


def _alike(name: list[str]) -> list[_Entry]:
    """Names with the same first letters that differ in a letter or so."""
    while len(name) > 1 and name[-1] in _GENERIC:
        name = name[:-1]
    text = "".join(name)
    if len(text) < _LEAST_FUZZY:
        return []
    block = _index().blocks.get(text[:_BLOCK])
    if not block:
        return []
    best = process.extractOne(text, block, scorer=fuzz.ratio, score_cutoff=_ALIKE)
    return _index().squeezed[best[0]] if best and abs(len(best[0]) - len(text)) <= 1 else []


@functools.cache
def _index() -> _Index:
    by_key: dict[str, list[_Entry]] = {}
    by_site: dict[str, Merchant] = {}
    brands = list(_brands())
    by_main: dict[str, list[Merchant]] = {}
    for brand, _ in brands:
        for site in brand.sites:
            by_main.setdefault(site, []).append(brand)
    for read_one, aliases in (*_written(by_main), *brands):
        # A brand whose website is that of a row written by hand is the same company; the row knows it better.
        twin = None if read_one.written or not read_one.sites else by_site.get(read_one.sites[0])
        merchant = twin if twin is not None and _twins(twin, read_one) else read_one
        for site in filter(None, (merchant.company.website, *merchant.sites)):
            by_site.setdefault(site, merchant)
        for order, alias in enumerate(aliases):
            key = canonical(tokens(alias.removeprefix("=")))[0]
            text = " ".join(key)
            entries = by_key.setdefault(text, [])
            if text and not any(entry.merchant is merchant or _everywhere(entry) for entry in entries):
                entries.append(_Entry(merchant, alias.startswith("="), len(key), len(text), order == 0))
    return _searchable(by_key, by_site)


def _twins(written: Merchant, brand: Merchant) -> bool:
    """Whether both are one company under one name: one website is not enough, as Hilton's has Hampton too."""
    first, other = (canonical(tokens(normalise(one.company.name)))[0][:1] for one in (written, brand))
    return written.written and first == other


def _everywhere(entry: _Entry) -> bool:
    return entry.merchant.written and not entry.merchant.countries


def _searchable(by_key: dict[str, list[_Entry]], by_site: dict[str, Merchant]) -> _Index:
    automaton = ahocorasick.Automaton()
    squeezed: dict[str, list[_Entry]] = {}
    blocks: dict[str, list[str]] = {}
    for text, entries in by_key.items():
        automaton.add_word(f" {text} ", (len(text) + 2, entries))
        one_word = text.replace(" ", "")
        if len(one_word) >= _TRUNCATED:
            squeezed.setdefault(one_word, []).extend(entries)
            if len(one_word) >= _LEAST_FUZZY:
                blocks.setdefault(one_word[:_BLOCK], []).append(one_word)
    automaton.make_automaton()
    return _Index(automaton, by_site, by_key, squeezed, sorted(by_key), blocks)


@functools.cache
def _observed() -> dict[str, tuple[int, ...]]:
    return {name: tuple(map(int, codes.split("|"))) for name, codes in read_packed("observed.zst")}


def _written(brands: dict[str, list[Merchant]]) -> Iterable[tuple[Merchant, list[str]]]:
    """Rows of `merchants.csv`, with the websites of other countries that the brand table has for the same company."""
    for row in read_table("merchants.csv"):
        parent_name, _, parent_site = row["parent"].partition("|")
        parent = Company(parent_name, parent_site or None) if parent_name else None
        mccs = tuple(int(code) for code in row["mccs"].split("|") if code)
        company = Company(row["name"], row["website"] or None, mccs, parent)
        countries = frozenset((row.get("countries") or "").split())
        merchant = Merchant(company, row["category"], row["business"], frozenset(row["flags"].split()), countries)
        twin = next((brand for brand in brands.get(row["website"], ()) if _twins(merchant, brand)), None)
        merchant = merchant._replace(sites=twin.sites) if twin else merchant
        yield (
            merchant,
            [
                ("=" if alias.startswith("=") else "") + normalise(alias.removeprefix("="))
                for alias in row["aliases"].split("|")
            ],
        )


def _brands() -> Iterable[tuple[Merchant, list[str]]]:
    kinds = {row["kind"]: row for row in read_table("data/kinds.csv")}
    for name, aliases, countries, sites, kind in read_packed("brands.zst"):
        row = kinds[kind]
        addresses = tuple(sites.split())
        company = Company(name, None, (int(row["mcc"]),))
        merchant = Merchant(company, row["category"], "", _NONE, frozenset(countries.split()), addresses, written=False)
        yield merchant, aliases.split("|")


_NONE: frozenset[str] = frozenset()


def load() -> None:
    """Read the tables, once."""
    _index()
    _observed()
