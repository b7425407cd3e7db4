"""Merchant category codes: what they say about the category, and the NAICS code of the trade.

Belongs here: reading `mcc.csv`, whose rows are codes of ISO 18245 or ranges of them.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from pipeline.sandbox.engine.categories import NOT_ENOUGH
from pipeline.sandbox.engine.lookup import read_table
from pipeline.sandbox.engine.verdict import to_business


class Code(NamedTuple):
    """A row of `mcc.csv`: a consumer's categories by direction, a business's, NAICS 2017, a coarse group."""

    consumer_out: str
    consumer_in: str
    business: str
    naics: str
    kind: str


def look_up(code: int) -> Code | None:
    """What is known of a code, or None."""
    return _codes().get(code)


def naics(mccs: tuple[int, ...]) -> str | None:
    """The NAICS 2017 code of the trade of a merchant's first code, or None."""
    known = look_up(mccs[0]) if mccs else None
    return known.naics or None if known else None


def category(code: int, own: str, holder_type: str) -> str:
    """The category of a payment to a merchant with this code; `own` overrides the consumer's.

    Of money from it the code says nothing: it may be a refund as well as pay for the holder's work.
    """
    known = look_up(code)
    if holder_type == "consumer":
        return own or (known.consumer_out if known else NOT_ENOUGH)
    return known.business if known else to_business(own or NOT_ENOUGH)


@functools.cache
def _codes() -> dict[int, Code]:
    found: dict[int, Code] = {}
    for row in read_table("mcc.csv"):
        first, _, last = row["mcc"].partition("-")
        code = Code(row["consumer_out"], row["consumer_in"], row["business"], row["naics2017"], row["kind"])
        for number in range(int(first), int(last or first) + 1):
            found.setdefault(number, code)
    return found


def load() -> None:
    """Read the tables, once."""
    _codes()
