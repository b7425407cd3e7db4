"""What a city's card payments teach: which words of a name go with which merchant category code.

Belongs here: reading the City of Toronto's file, splitting it, and counting. Only counts leave this module. A fifth of
the descriptors, chosen by their hash, and the years after 2016 are never looked at: they are what the engine is tried
on.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import math
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from pipeline.sandbox.engine.text import normalise
from pipeline.sandbox.engine.trades import clues

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NOT_PLAIN = re.compile(r"[^A-Z0-9]")
LAST_YEAR = 2016
_HELD_OUT = 5
_LEAST_SEEN = 2
_KEPT = 3
_RECENT = 4
_LEAST_PAYMENTS = 3
_AGREED = 0.55
_ALSO = 0.1


class Payment(NamedTuple):
    """A line of the file: the year, what the card printed, and the merchant's code in four digits."""

    year: int
    text: str
    mcc: str


def read_payments(path: Path) -> Iterator[Payment]:
    """The lines that have a code."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["mcc"].isdigit():
                yield Payment(int(row["year"]), normalise(row["merchant"]), row["mcc"].zfill(4))


def held_out(text: str) -> bool:
    """Whether this descriptor is kept for trying."""
    plain = _NOT_PLAIN.sub("", text)  # the same fifth, however the engine treats signs
    return hashlib.sha256(plain.encode()).digest()[0] % _HELD_OUT == 0


def taught(payments: Iterator[Payment]) -> dict[str, Counter[str]]:
    """The codes of each descriptor that may be learnt from; the last two years count more, as shops change codes."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for payment in payments:
        if payment.year <= LAST_YEAR and not held_out(payment.text):
            found[payment.text][payment.mcc] += _RECENT if payment.year > LAST_YEAR - 2 else 1
    return found


def observe(lines: dict[str, Counter[str]], named: dict[str, str | None]) -> list[str]:
    """Rows of `observed`: the code that most payments to a known merchant had, and those of a tenth of them."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for text, codes in lines.items():
        name = named[text]
        if name:
            found[name].update(codes)
    rows = []
    for name, codes in sorted(found.items()):
        (code, times), *others = codes.most_common(3)
        if times >= _LEAST_PAYMENTS and times >= _AGREED * codes.total():
            also = [other for other, seen in others if seen >= _ALSO * codes.total()]
            rows.append(f"{name}\t{'|'.join([code, *also])}")
    return rows


def weigh(lines: dict[str, Counter[str]]) -> list[str]:
    """Rows of `clues.csv`: a clue, what it says against codes it was not seen with, and its three likeliest codes.

    Weights are hundredths of a natural logarithm: how much likelier a code is with the clue than without. Each
    descriptor counts once, whatever was spent there.
    """
    prior: Counter[str] = Counter()
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for text, codes in lines.items():
        code = codes.most_common(1)[0][0]
        prior[code] += 1
        for clue in set(clues(text)):
            seen[clue][code] += 1
    total = prior.total()
    rows = ["|".join(["", *(f"{code}:{round(100 * math.log(n / total))}" for code, n in sorted(prior.items()))])]
    for clue, codes in sorted(seen.items()):
        n = codes.total()
        if n < _LEAST_SEEN:
            continue
        best = sorted(codes.items(), key=lambda one: (-one[1], one[0]))[:_KEPT]
        weights = (f"{code}:{_weight(count, n, prior[code] / total)}" for code, count in best)
        rows.append("|".join([clue, str(round(100 * math.log(1 / (n + 1)))), *weights]))
    return rows


def _weight(count: int, n: int, share: float) -> int:
    return round(100 * (math.log((count + share) / (n + 1)) - math.log(share)))
