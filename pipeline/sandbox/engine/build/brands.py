"""Brands out of the npm package name-suggestion-index, with the websites that Wikidata has for them.

Belongs here: choosing and shortening. A brand keeps its name, the names that lines are searched for, the countries it
trades in, websites, and what kind of place it is. A name made of everyday words or of a town's name is marked with =
and counts only where it stands alone.
"""

from __future__ import annotations

import json
import re
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from pipeline.sandbox.engine.text import canonical, normalise, tokens
from pipeline.sandbox.wordlist import word_set

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAMES = ("brand", "name", "brand:en", "name:en", "short_name", "alt_name", "official_name", "operator", "network")
_WORLD = {"001": "", "150": "AT BE BG CH CZ DE DK EE ES FI FR GB GR HR HU IE IT LT LU LV NL NO PL PT RO SE SI SK"}
_GLOBAL_SITES = frozenset({"com", "net", "org", "co", "eu", "io", "app", "shop", "store", "coop"})
_NOT_SHOPS = re.compile(
    r"plc|group|gruppe|holding|international|corporate|investor|menu|coupon|login|promo|nearme|survey|career|"
    r"jobs|wiki|facebook|instagram|linkedin"
)
_COUNTRY = re.compile(r"([a-z]{2})(?:-|$)")
KNOWN = word_set(
    "US CA GB IE DE FR NL BE LU ES PT IT AT CH SE DK NO FI PL CZ AU NZ GR HU RO SK SI HR EE LV LT BG IS MT CY"
)
"""Countries whose brands and towns are kept."""
_SHORTEST = 3
_SHORTEST_ALONE = 6
_LONG = 7
_KIND_WORDS = word_set(
    "WAREHOUSE STORES STORE SUPERMARKET SUPERMARKETS MARKET MARKETS RESTAURANT RESTAURANTS PIZZA COFFEE"
    " BURGER BURGERS BANK"
    " PHARMACY HOTEL HOTELS HARDWARE FOODS GROUP SHOP BAKERY CAFE GRILL DONUTS GARDEN INN SUITES FITNESS"
    " INSURANCE ENERGY"
    " SUPERSTORE OUTLET PHARMACIES BAKERIES MARKT APOTHEKE TIRES TYRES ENERGIE AUTO CLOTHING HOME FURNITURE"
)
_MOST_SITES = 12


class Brand(NamedTuple):
    """A row of `brands.csv`."""

    name: str
    aliases: tuple[str, ...]
    countries: tuple[str, ...]
    sites: tuple[str, ...]
    kind: str


def read_brands(package: Path, kinds: list[str], common: frozenset[str], trades: frozenset[str]) -> list[Brand]:
    """The brands of these kinds; earlier kinds win where one name is several kinds of place in one country.

    A name of words in `common` counts only alone, and one that is a word in `trades` not at all.
    """
    with tarfile.open(package) as tar:
        index = json.load(_member(tar, "package/dist/json/nsi.min.json"))["nsi"]
        sites = json.load(_member(tar, "package/dist/wikidata/wikidata.min.json"))["wikidata"]
    merged: dict[tuple[str, str], Brand] = {}
    for kind in kinds:
        for item in index.get(kind, {}).get("items", []):
            brand = _brand(item, kind, sites, common, trades)
            if brand is None:
                continue
            earlier = merged.get((brand.name, brand.sites[0] if brand.sites else ""))
            merged[brand.name, brand.sites[0] if brand.sites else ""] = _merge(earlier, brand) if earlier else brand
    return sorted(merged.values())


def _member(tar: tarfile.TarFile, name: str) -> Any:
    found = tar.extractfile(name)
    if found is None:
        msg = f"{name} is not a file of the package"
        raise ValueError(msg)
    return found


def _brand(
    item: dict[str, Any], kind: str, sites: dict[str, Any], common: frozenset[str], trades: frozenset[str]
) -> Brand | None:
    tags = item["tags"]
    places = item["locationSet"]
    countries = _countries(places)
    if countries is None:
        return None
    name = tags.get("brand:en") or tags.get("name:en") or tags.get("brand") or item["displayName"]
    if not name.isascii() and not normalise(name).isascii():
        return None
    own = [name, *_tag_names(tags)]
    aliases = _aliases(own, [*item.get("matchNames", ()), *_shortened(own)], common)
    aliases = tuple(alias for alias in aliases if alias.removeprefix("=") not in trades)
    if not aliases:
        return None
    wikidata = next(
        (tags[key] for key in ("brand:wikidata", "operator:wikidata", "network:wikidata") if key in tags), ""
    )
    return Brand(name, aliases, countries, _sites(sites.get(wikidata, {}), countries), kind)


def _tag_names(tags: dict[str, str]) -> Iterator[str]:
    for key in _NAMES:
        yield from tags.get(key, "").split(";")


def _countries(places: dict[str, Any]) -> tuple[str, ...] | None:
    """Countries in capitals, () for the whole world, None where it trades in none that the engine knows."""
    found: set[str] = set()
    for place in places.get("include", ()):
        if place == "001":
            return ()
        text = str(place).lower()
        match = _COUNTRY.match(text)
        if text in _WORLD:
            found.update(_WORLD[text].split())
        elif match:
            found.add({"FX": "FR", "UK": "GB"}.get(match[1].upper(), match[1].upper()))
    return tuple(sorted(found & KNOWN)) or None


def _shortened(names: list[str]) -> Iterator[str]:
    """Names without what kind of place they are: cards print Bunnings for Bunnings Warehouse."""
    for name in names:
        words = name.split()
        if len(words) > 1 and words[-1].upper() in _KIND_WORDS:
            short = " ".join(words[:-1])
            if len(words) > 2 or len(short) >= _SHORTEST_ALONE:  # noqa: PLR2004
                yield short


def _aliases(own: list[str], others: list[str], common: frozenset[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    known: set[str] = set()
    for at, name in enumerate((*own, *others)):
        plain = normalise(re.sub(r"\(.*?\)", "", name))
        key, _ = canonical(tokens(plain))
        text = " ".join(key)
        if not plain.isascii() or len(text) < _SHORTEST or text.isdigit():
            continue
        # A name by others that shares no word with its own, as Coles for Shell, is somebody else's as often.
        foreign = at >= len(own) and known.isdisjoint(key)
        short = at >= len(own) and len(key) == 1
        if at < len(own):
            known.update(key)
        if not foreign or len(text) >= _LONG:
            exact = "=" if foreign or short or _everyday(key, common) else ""
            if exact + text not in found and text not in found:
                found[exact + text] = None
    return tuple(found)


def _everyday(key: list[str], common: frozenset[str]) -> bool:
    return all(word in common or len(word) <= _SHORTEST or word.isdigit() for word in key)


def _sites(known: dict[str, Any], countries: tuple[str, ...]) -> tuple[str, ...]:
    """The main website first, then those of single countries."""
    main = known.get("identities", {}).get("website")
    every = [main, *known.get("officialWebsites", ())] if main else known.get("officialWebsites", [])
    found: dict[str, None] = {}
    for url in every:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.").removeprefix("www2.")
        suffix = host.rsplit(".", maxsplit=1)[-1].upper()
        if not host or _NOT_SHOPS.search(host) or not host.isascii():
            continue
        if suffix.lower() in _GLOBAL_SITES:
            if not any(site.rsplit(".", maxsplit=1)[-1] in _GLOBAL_SITES for site in found):
                found.setdefault(host)
        elif {"UK": "GB"}.get(suffix, suffix) in (countries or KNOWN) and not any(
            site.endswith("." + suffix.lower()) for site in found
        ):
            found.setdefault(host)
    return tuple(found)[:_MOST_SITES]


def _merge(one: Brand, other: Brand) -> Brand:
    countries = () if () in (one.countries, other.countries) else tuple(sorted({*one.countries, *other.countries}))
    return one._replace(aliases=tuple(dict.fromkeys((*one.aliases, *other.aliases))), countries=countries)
