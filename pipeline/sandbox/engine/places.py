"""Where it was: the tail of a card line, and the country that was sent along.

Belongs here: US and Canadian state codes, towns (`data/towns`, and `places.csv` for names in the local language),
countries. A state code is an ordinary word often enough (IN, OR, ME, CO): such a one counts only behind a known town.
Of towns with one name the largest counts, one at home thirty times as much as one abroad.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from pipeline.sandbox.engine.lookup import read_packed, read_table
from pipeline.sandbox.engine.text import has_digit, normalise, spelled, tokens
from pipeline.sandbox.wordlist import word_set

COUNTRIES = {
    "US": "United States", "CA": "Canada", "GB": "United Kingdom", "IE": "Ireland", "DE": "Germany", "FR": "France",
    "NL": "Netherlands", "BE": "Belgium", "LU": "Luxembourg", "ES": "Spain", "PT": "Portugal", "IT": "Italy",
    "AT": "Austria", "CH": "Switzerland", "SE": "Sweden", "DK": "Denmark", "NO": "Norway", "FI": "Finland",
    "PL": "Poland",
    "CZ": "Czechia", "AU": "Australia", "NZ": "New Zealand", "JP": "Japan", "CN": "China", "IN": "India",
    "BR": "Brazil",
    "MX": "Mexico", "ZA": "South Africa", "SG": "Singapore", "HK": "Hong Kong", "AE": "United Arab Emirates",
    "GR": "Greece", "HU": "Hungary", "RO": "Romania", "SK": "Slovakia", "SI": "Slovenia", "HR": "Croatia",
    "EE": "Estonia", "LV": "Latvia", "LT": "Lithuania",
    "BG": "Bulgaria", "IS": "Iceland", "MT": "Malta", "CY": "Cyprus",
}  # fmt: skip
_ALPHA_3 = {"USA": "US", "GBR": "GB", "CAN": "CA", "DEU": "DE", "FRA": "FR", "NLD": "NL", "IRL": "IE", "ESP": "ES",
            "ITA": "IT", "LUX": "LU", "BEL": "BE", "CHE": "CH", "AUT": "AT", "GB": "GB", "US": "US", "UK": "GB",
            "SWE": "SE", "DNK": "DK", "NOR": "NO", "FIN": "FI", "POL": "PL", "PRT": "PT", "CZE": "CZ", "AUS": "AU",
            "NZL": "NZ", "GRC": "GR", "HUN": "HU", "EST": "EE", "GERMANY": "DE", "FRANCE": "FR", "NETHERLANDS": "NL",
            "IRELAND": "IE", "SPAIN": "ES", "ITALY": "IT", "LUXEMBOURG": "LU", "BELGIUM": "BE", "SWITZERLAND": "CH",
            "AUSTRIA": "AT", "SWEDEN": "SE", "DENMARK": "DK", "NORWAY": "NO", "FINLAND": "FI", "POLAND": "PL",
            "PORTUGAL": "PT"}  # fmt: skip
_ALPHA_2 = word_set("DE FR NL IE ES IT LU BE CH AT SE DK NO FI PL PT CZ AU NZ GR")
"""Count behind a town only: DE, ES and NO are words, AT and BE too."""
_STATES = {
    "US": word_set(
        "AL AK AZ AR CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE NH NJ NM NV NY OH"
        " OK OR PA RI SC SD TN TX UT VA VT WA WI WV WY"
    ),
    "CA": word_set("AB BC MB NB NL NS NT NU ON PE QC SK YT"),
}
_WORDS_TOO = word_set("AL CO DE HI ID IN LA MA ME OH OK OR PA MS MD ON")
_ANYWHERE: frozenset[str] = frozenset()
_ALONE = {country: frozenset((country,)) for country in COUNTRIES}
_CURRENCIES = {
    currency: word_set(countries)
    for currency, countries in {
        "USD": "US", "CAD": "CA", "GBP": "GB", "CHF": "CH", "SEK": "SE", "DKK": "DK", "NOK": "NO",
        "PLN": "PL", "AUD": "AU",
        "NZD": "NZ", "CZK": "CZ", "HUF": "HU", "RON": "RO", "BGN": "BG", "ISK": "IS",
        "EUR": "DE FR NL ES IT BE AT PT IE LU FI GR SK SI HR EE LV LT MT CY",
    }.items()
}  # fmt: skip
_CODES = frozenset({*COUNTRIES, *_ALPHA_3}).union(*_STATES.values())
_HOME_BONUS = 15
_LARGE = 55
"""Ten times the logarithm of 300,000: a town abroad is taken from this size on."""
_NEEDS_STATE = 50
"""In the US and in Canada smaller towns than 100,000 are taken only with their state."""
_NO_TOWNS = word_set(
    "MOBILE ENTERPRISE BEST ORANGE MARKET SPLIT DEAL CENTRAL UNION PAYMENT COMMERCE INDEPENDENCE INDUSTRY SALEM"
    " GOLF HOME"
    " EAGLE LIBERTY UNIVERSAL SUN SPRING SALE WARE HAM OF MAN SURPRISE PLANT COOPER APPLE RENT MODENA CARD CREDIT NICE"
    " BAR BANK ROCK STORE SHOP TRUST PLAN CENTER POST AUTO VISA HERNE ESSEN GAP WELLS FARGO PROSPER SANDY ARES"
    " VIA TRANSFER"
    " PARADISE PUMA ELK MERCURY PORTAGE DEBIT BROADWAY"
)
_LONGEST_CITY = 3
_LEAST_BEFORE_DISTRICT = 2


_NO_GUESS = word_set("COM NET ORG BILL HELP WWW HTTP HTTPS CARD REF ID AUTH PENDING")


@dataclasses.dataclass(slots=True)
class Place:
    """What was found. `kept`: how many leading tokens are not part of the place."""

    kept: int
    city: str | None
    state: str | None
    country: str | None
    store_number: str | None


def homes(country: str | None, currency: str) -> frozenset[str]:
    """The countries that the sender's country, or else the currency, speaks for; none for all."""
    return _only(country) if country else _CURRENCIES.get(currency, _ANYWHERE)


def _only(country: str) -> frozenset[str]:
    return _ALONE.get(country) or frozenset((country,))


def locate(line: list[str], country: str | None, currency: str) -> Place:
    """Take city, state and country off the end of the tokens."""
    end = len(line)
    if end > _LEAST_BEFORE_DISTRICT and line[-1].isdigit():
        # PARIS 11, dates as NANTES 0209, and both.
        shorter = line[:-2] if line[-2].isdigit() else line[:-1]
        city_before = locate(shorter, country, currency) if shorter[-1].isalpha() else None
        if city_before is not None and city_before.city:
            return city_before
    spoken = homes(country, currency)
    if end > 1 and line[-1] in _ALPHA_3:
        end -= 1
        spoken = _only(_ALPHA_3[line[end]])
    elif end > 2 and line[-1] in _ALPHA_2 and _city(line, end - 1, _only(line[-1]), None)[0]:  # noqa: PLR2004
        end -= 1
        spoken = _only(line[end])
    home = next(iter(spoken)) if len(spoken) == 1 else None
    state = None
    if end > 1 and line[end - 1] in _STATES.get(home or "", _ANYWHERE):
        state = line[end - 1]
    city, at, city_home = _city(line, end - 1 if state else end, spoken, state)
    if city_home and country in _STATES and city_home != country and end == len(line):
        city, at, city_home = None, end - 1 if state else end, None  # a PARIS of their own, state left out
    home = city_home or home
    if state and city is None and state in _WORDS_TOO:
        state = None
    elif state and city is None:
        city, at = _guess(line, end - 1)
    found = bool(city or state)
    kept = at if found else end
    name = line[at : end - 1 if state else end] if city else []
    while name and kept > len(name) and line[kept - len(name) : kept] == name:
        kept -= len(name)  # some banks print the town twice
    # What is printed goes before what the sender says of all lines: a Londoner's card in Dublin.
    printed = home if city_home or end < len(line) else None
    known = printed or country or (home if found else None)
    return Place(kept, city, state, known, _store_number(line[1:kept]) if city else None)


def set_apart(place: Place, line: list[str], town: list[str]) -> None:
    """Take the town that stands in a column of its own, however small it is; its country or state is the last token."""
    at = len(line) - 1 - len(town)
    if not town or at < 1 or line[at:-1] != town or line[-1] not in _CODES:
        return
    place.kept, place.city = min(at, place.kept), " ".join(part.capitalize() for part in town)
    place.store_number = _store_number(line[1 : place.kept])
    place.country = _ALPHA_3.get(line[-1], place.country)
    if place.country is not None and line[-1] in _STATES.get(place.country, _ANYWHERE):
        place.state = line[-1]


def structured(place: Place) -> dict[str, Any] | None:
    """The API's `location`, or None when nothing is known."""
    if not (place.city or place.state or place.country):
        return None
    shown = [part for part in (place.city, place.state) if part]
    structured = {
        "street": None,
        "house_number": None,
        "city": place.city,
        "state": place.state,
        "postcode": None,
        "country_code": place.country,
        "country": COUNTRIES.get(place.country or ""),
        "latitude": None,
        "longitude": None,
        "google_maps_url": None,
        "apple_maps_url": None,
        "store_number": place.store_number,
    }
    return {"raw_address": ", ".join(shown) or None, "structured": structured}


def _city(line: list[str], end: int, spoken: frozenset[str], state: str | None) -> tuple[str | None, int, str | None]:
    """The town before `end`, where it starts, and its country."""
    if end < 2:  # noqa: PLR2004
        return None, end, None
    towns, lengths = _towns()
    for length in lengths.get(spelled(line[end - 1]), ()):
        if length >= end:
            continue
        name = line[end - length : end]
        if length == 1 and name[0] in _NO_TOWNS:
            continue
        country = _choose(towns.get(" ".join(map(spelled, name)), ()), spoken, state)
        if country:
            return " ".join(part.capitalize() for part in name), end - length, country
    return None, end, None


def _choose(towns: tuple[_Town, ...] | list[_Town], spoken: frozenset[str], state: str | None) -> str | None:
    """The country of the likeliest of towns with one name."""
    best: tuple[int, str] | None = None
    for country, its_state, size in towns:
        at_home = country in spoken
        if state is not None:
            if not at_home or (its_state and its_state != state):
                continue
        elif (country in _STATES and size < _NEEDS_STATE) or (not at_home and size < _LARGE):
            continue
        weight = size + _HOME_BONUS * at_home
        if best is None or weight > best[0]:
            best = (weight, country)
    return best[1] if best else None


def _guess(line: list[str], end: int) -> tuple[str | None, int]:
    """What stands between a number and a state is a city. Without a number nobody can tell it from the name."""
    first = next((at + 1 for at in range(end - 1, 0, -1) if has_digit(line[at])), None)
    if first is not None and 0 < end - first <= _LONGEST_CITY and _NO_GUESS.isdisjoint(line[first:end]):
        return " ".join(part.capitalize() for part in line[first:end]), first
    return None, end


def _store_number(line: list[str]) -> str | None:
    for token in line:
        if token.isdigit() and 2 <= len(token) <= 6:  # noqa: PLR2004
            return token
    return None


_Town = tuple[str, str, int]
"""Country, state, ten times the logarithm of the inhabitants."""


@functools.cache
def _towns() -> tuple[dict[str, list[_Town]], dict[str, list[int]]]:
    """Towns by name, and by the last word of their names how many words these have, the most first."""
    found: dict[str, list[_Town]] = {}
    for name, country, state, size in read_packed("towns.zst"):
        found.setdefault(" ".join(map(spelled, tokens(name))), []).append((country, state, int(size)))
    for row in read_table("places.csv"):
        for city in row["cities"].split("|"):
            name = " ".join(map(spelled, tokens(normalise(city))))
            if not any(town[:2] == (row["country"], row["state"]) for town in found.get(name, ())):
                found.setdefault(name, []).append((row["country"], row["state"], _NEEDS_STATE))
    lengths: dict[str, set[int]] = {}
    for name in found:
        words = name.split(" ")
        lengths.setdefault(words[-1], set()).add(len(words))
    return found, {word: sorted(known, reverse=True) for word, known in lengths.items()}


def load() -> None:
    """Read the tables, once."""
    _towns()
