"""Where it was: the tail of a card line, and the country that was sent along.

Belongs here: US and Canadian state codes, well-known cities (`places.csv`), countries. A state code is an ordinary word
often enough (IN, OR, ME, CO): such a one counts only behind a known city.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pipeline.sandbox.engine.lookup import Phrases, read_table
from pipeline.sandbox.engine.text import has_digit, tokens
from pipeline.sandbox.wordlist import word_set

COUNTRIES = {
    "US": "United States", "CA": "Canada", "GB": "United Kingdom", "IE": "Ireland", "DE": "Germany", "FR": "France",
    "NL": "Netherlands", "BE": "Belgium", "LU": "Luxembourg", "ES": "Spain", "PT": "Portugal", "IT": "Italy",
    "AT": "Austria", "CH": "Switzerland", "SE": "Sweden", "DK": "Denmark", "NO": "Norway", "FI": "Finland",
    "PL": "Poland",
    "CZ": "Czechia", "AU": "Australia", "NZ": "New Zealand", "JP": "Japan", "CN": "China", "IN": "India",
    "BR": "Brazil",
    "MX": "Mexico", "ZA": "South Africa", "SG": "Singapore", "HK": "Hong Kong", "AE": "United Arab Emirates",
}  # fmt: skip
_ALPHA_3 = {"USA": "US", "GBR": "GB", "CAN": "CA", "DEU": "DE", "FRA": "FR", "NLD": "NL", "IRL": "IE", "ESP": "ES",
            "ITA": "IT", "LUX": "LU", "BEL": "BE", "CHE": "CH", "AUT": "AT", "GB": "GB", "US": "US",
            "UK": "GB"}  # fmt: skip
_STATES = {
    "US": word_set(
        "AL AK AZ AR CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE NH NJ NM NV NY OH"
        " OK OR PA RI SC SD TN TX UT VA VT WA WI WV WY"
    ),
    "CA": word_set("AB BC MB NB NL NS NT NU ON PE QC SK YT"),
}
_WORDS_TOO = word_set("AL CO DE HI ID IN LA MA ME OH OK OR PA MS MD ON")
_CURRENCIES = {
    "USD": ("US",), "CAD": ("CA",), "GBP": ("GB",), "CHF": ("CH",), "SEK": ("SE",), "DKK": ("DK",), "NOK": ("NO",),
    "PLN": ("PL",), "EUR": ("DE", "FR", "NL", "ES", "IT", "BE", "AT", "PT", "IE", "LU"),
}  # fmt: skip
_LONGEST_CITY = 3
_LEAST_BEFORE_DISTRICT = 2


class Place(NamedTuple):
    """What was found. `kept`: how many leading tokens are not part of the place."""

    kept: int
    city: str | None
    state: str | None
    country: str | None
    store_number: str | None


def locate(line: list[str], country: str | None, currency: str) -> Place:
    """Take city, state and country off the end of the tokens."""
    end = len(line)
    if end > _LEAST_BEFORE_DISTRICT and line[-1].isdigit() and line[-2].isalpha():
        # PARIS 11, and dates as NANTES 0209.
        city_before = locate(line[:-1], country, currency)
        if city_before.city:
            return city_before
    homes = (country,) if country else _CURRENCIES.get(currency, ())
    if end > 1 and line[-1] in _ALPHA_3:
        end -= 1
        homes = (country or _ALPHA_3[line[end]],)
    home = homes[0] if len(homes) == 1 else None
    state = None
    states = _STATES.get(home or "", frozenset())
    if end > 1 and line[end - 1] in states:
        state = line[end - 1]
    city, at, city_home = _city(line, end - 1 if state else end, homes, state)
    home = home or city_home
    if state and city is None and state in _WORDS_TOO:
        state = None
    elif state and city is None:
        city, at = _guess(line, end - 1)
    found = bool(city or state)
    kept = at if found else end
    name = tokens(city.upper()) if city else []
    while name and kept > len(name) and line[kept - len(name) : kept] == name:
        kept -= len(name)  # some banks print the town twice
    known = country or (home if found or end < len(line) else None)
    return Place(kept, city, state, known, _store_number(line[:kept]))


def structured(place: Place) -> dict[str, Any] | None:
    """The API's `location`, or None when nothing is known."""
    if not (place.city or place.state or place.country):
        return None
    shown = [part for part in (place.city, place.state) if part]
    names = (
        "street", "house_number", "city", "state", "postcode", "country_code", "country", "latitude", "longitude",
        "google_maps_url", "apple_maps_url", "store_number",
    )  # fmt: skip
    empty: dict[str, Any] = dict.fromkeys(names)
    empty["city"], empty["state"], empty["store_number"] = place.city, place.state, place.store_number
    empty["country_code"] = place.country
    empty["country"] = COUNTRIES.get(place.country or "")
    return {"raw_address": ", ".join(shown) or None, "structured": empty}


def _city(
    line: list[str], end: int, countries: tuple[str, ...], state: str | None
) -> tuple[str | None, int, str | None]:
    """The city before `end`, where it starts, and its country."""
    for length in range(min(_LONGEST_CITY, end - 1), 0, -1):
        for found in _CITIES.find(line[end - length : end]):
            if found.end - found.start != length:
                continue
            country = next((one for one in countries if (one, state) in found.value), None)
            if country:
                return " ".join(part.capitalize() for part in line[end - length : end]), end - length, country
    return None, end, None


def _guess(line: list[str], end: int) -> tuple[str | None, int]:
    """What stands between a number and a state is a city. Without a number nobody can tell it from the name."""
    first = next((at + 1 for at in range(end - 1, 0, -1) if has_digit(line[at])), None)
    if first is not None and 0 < end - first <= _LONGEST_CITY:
        return " ".join(part.capitalize() for part in line[first:end]), first
    return None, end


def _store_number(line: list[str]) -> str | None:
    for token in line[1:]:
        if token.isdigit() and 2 <= len(token) <= 6:  # noqa: PLR2004
            return token
    return None


def _load() -> Phrases[frozenset[tuple[str | None, str | None]]]:
    where: dict[tuple[str, ...], set[tuple[str | None, str | None]]] = {}
    for row in read_table("places.csv"):
        for city in row["cities"].split("|"):
            spots = where.setdefault(tuple(tokens(city.upper())), set())
            spots.add((row["country"], row["state"] or None))
            spots.add((row["country"], None))
    cities: Phrases[frozenset[tuple[str | None, str | None]]] = Phrases()
    for city_tokens, spots in where.items():
        cities.add(list(city_tokens), frozenset(spots))
    return cities


_CITIES = _load()
