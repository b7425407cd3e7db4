"""Makes the sample file, the same bytes every time.

Belongs here: who the holders are and what happens in their months. Only `Random.random()` is drawn from: Python
promises that its sequence stays the same across versions, and promises nothing about `choice` or `sample`.
"""

# ruff: noqa: PLR2004 - the numbers are shares of a month's events
from __future__ import annotations

import calendar
import csv
import io
import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.sample import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

GOOD = 3_000
COLUMNS = [
    "id",
    "date",
    "description",
    "amount",
    "entry_type",
    "currency",
    "country",
    "account_holder_id",
    "account_holder_type",
]
MONTHS = ((2025, 9), (2025, 10), (2025, 11), (2025, 12), (2026, 1), (2026, 2))
CONSUMERS = {"US": 7, "GB": 6, "DE": 3, "FR": 2, "ES": 2, "NL": 2, "IE": 2}
BUSINESSES = {"US": 2, "GB": 2, "DE": 1, "IE": 1}

# Refused on purpose, each for one reason: there is no 31 November, no currency XXQ, and NaN is not an amount.
BAD = {
    700: "gb02-bad-1|2025-11-31|TESCO STORES 2296 LEEDS GB|18.40|outgoing|GBP|GB|acct-gb-02|consumer",
    1500: "us03-bad-2|2025-12-04|POS DEBIT SAFEWAY #1197 AUSTIN TX|42.15|outgoing|XXQ|US|acct-us-03|consumer",
    2400: "de01-bad-3|2026-01-19|EDEKA BERLIN//BERLIN/DE|NaN|outgoing|EUR|DE|acct-de-01|consumer",
}
"""Records by their index in the file."""

Item = tuple[str, float, float]
"""Text, lowest and highest amount."""


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))


def _items(section: str, key: str) -> list[Item]:
    """Lines of a list in words.toml: "18 120 TRADER JOE S"."""
    parts = [line.split(" ", 2) for line in _words()[section][key].splitlines()]
    return [(text, float(low), float(high)) for low, high, text in parts]


@dataclass(frozen=True, slots=True)
class Holder:
    """An account holder. Without `with_ids` the bank gives no ids, and ingestion makes them from the content."""

    id: str
    type: str
    code: str
    with_ids: bool
    rent: float
    pay: float
    employer: str
    currency: str
    monthly: tuple[tuple[str, float, int], ...]
    """Bills: text, amount and day of the month, alike every month."""
    staff: tuple[str, ...]
    """Whom a business pays, every month."""


class Generator:
    """Draws everything from one seed."""

    def __init__(self, seed: int = 20_250_901) -> None:
        self._random = Random(seed).random
        self._rows: list[tuple[str, ...]] = []

    def records(self) -> list[tuple[str, ...]]:
        """3,003 records by date: 3,000 good ones and the three of `BAD`."""
        holders = self._holders()
        for holder in holders:
            for year, month in MONTHS:
                self._fixed(holder, year, month)
        self._twins(next(holder for holder in holders if not holder.with_ids))
        while len(self._rows) < GOOD:
            self._anything(self._pick(holders))
        rows = sorted(self._rows, key=lambda row: row[1])[:GOOD]
        for at, row in BAD.items():
            rows.insert(at, tuple(row.split("|")))
        return _numbered(rows)

    def _holders(self) -> list[Holder]:
        wanted = [("consumer", code, count) for code, count in CONSUMERS.items()]
        wanted += [("business", code, count) for code, count in BUSINESSES.items()]
        return [self._holder(kind, code, number) for kind, code, count in wanted for number in range(1, count + 1)]

    def _holder(self, kind: str, code: str, number: int) -> Holder:
        words = _words()[code]
        business = kind == "business"
        bills = _items("business" if business else code, "monthly")
        _, low_rent, high_rent = _items(code, "rent")[0]
        return Holder(
            id=f"acct-{code.lower()}-{'biz-' if business else ''}{number:02d}",
            type=kind,
            code=code,
            with_ids=self._random() < 0.6,
            rent=self._between(low_rent, high_rent, whole=True),
            pay=self._between(*words["salary"]),
            employer=self._pick(words["employers"]),
            currency=words["currency"],
            staff=tuple(words["people"][(number + at) % len(words["people"])] for at in range(2)),
            monthly=tuple(
                # Tax is paid to one council, not to another one each month.
                (
                    text.replace("{c}", words["towns"][number % len(words["towns"])]),
                    self._between(low, high),
                    2 + int(self._random() * 26),
                )
                for text, low, high in self._some(bills)
            ),
        )

    def _fixed(self, holder: Holder, year: int, month: int) -> None:
        """What comes every month: rent and pay, or payroll; bills; one transfer to the own savings."""
        for text, amount, day in holder.monthly:
            self._add(holder, text, amount, amount, "outgoing", date(year, month, day))
        if holder.type == "business":
            text, low, high = _items("business", "payroll")[0]
            for person in holder.staff:
                self._add(holder, text.replace("{p}", person), low, high, "outgoing", date(year, month, 25))
            return
        self._add(holder, _items(holder.code, "rent")[0][0], holder.rent, holder.rent, "outgoing", date(year, month, 1))
        text = _words()[holder.code]["salary_text"].replace("{e}", holder.employer)
        self._add(
            holder, text, holder.pay, holder.pay, "incoming", date(year, month, 27 if holder.code != "US" else 14)
        )
        if self._random() < 0.6:
            self._add(holder, _words()[holder.code]["savings_text"], 50, 50, "outgoing", date(year, month, 28))

    def _twins(self, holder: Holder) -> None:
        """Two coffees on one day, alike in everything: both must survive."""
        for _ in range(2):
            self._add(holder, "COFFEE CART 12", 3.2, 3.2, "outgoing", date(2025, 10, 7))

    def _anything(self, holder: Holder) -> None:
        """One more record of a holder: mostly shopping, sometimes a person, a fee, cash, or a refund."""
        day = self._day(*self._pick(MONTHS))
        chance = self._random()
        if holder.type == "business":
            item, way = (
                (self._pick(_items("business", "incoming")), "incoming")
                if chance < 0.35
                else (self._pick(_items("business", "outgoing")), "outgoing")
            )
            self._add(holder, *item, way, day)
        elif chance < 0.82:
            shop, low, high = self._pick(_items(holder.code, "shops"))
            self._add(
                holder, self._pick(_words()[holder.code]["cards"]).replace("{shop}", shop), low, high, "outgoing", day
            )
        elif chance < 0.93:
            self._add(holder, *self._pick(_items(holder.code, "outgoing")), "outgoing", day)
        elif chance < 0.975:
            self._add(holder, *self._pick(_items(holder.code, "incoming")), "incoming", day)
        else:
            shop, low, high = self._pick(_items(holder.code, "shops"))
            self._add(holder, _words()[holder.code]["refund_text"].replace("{shop}", shop), low, high, "incoming", day)

    def _add(self, holder: Holder, text: str, low: float, high: float, way: str, day: date) -> None:
        description = self._fill(text, holder.code, day)
        amount = f"{self._between(low, high):.2f}"
        identifier = holder.id.replace("acct-", "") if holder.with_ids else ""
        self._rows.append(
            (
                identifier,
                day.isoformat(),
                description,
                amount,
                way,
                holder.currency,
                holder.code,
                holder.id,
                holder.type,
            )
        )

    def _fill(self, text: str, code: str, day: date) -> str:
        hour, minute = int(self._between(8, 21)), int(self._between(0, 59))
        values = {
            "c": self._pick(_words()[code]["towns"]),
            "p": self._pick(_words()[code]["people"]),
            "dd": f"{day:%d}",
            "mm": f"{day:%m}",
            "yy": f"{day:%y}",
            "mon": calendar.month_abbr[day.month].upper(),
            "t": f"{hour:02d}:{minute:02d}",
            **{f"n{length}": "".join(str(int(self._random() * 10)) for _ in range(length)) for length in (4, 6, 10)},
        }
        return text.format(**values)

    def _pick(self, options: Sequence[T]) -> T:
        return options[int(self._random() * len(options))]

    def _some(self, items: Sequence[Item]) -> list[Item]:
        return [item for item in items if self._random() < 0.7]

    def _between(self, low: float, high: float, *, whole: bool = False) -> float:
        share = self._random()
        value = low + (high - low) * share * share  # small amounts are the common ones
        return float(round(value / 5) * 5) if whole else round(value, 2)

    def _day(self, year: int, month: int) -> date:
        return date(year, month, 1 + int(self._random() * calendar.monthrange(year, month)[1]))


def _numbered(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Ids in the order of the file, per holder: `gb-01-000007`."""
    counts: dict[str, int] = {}
    numbered = []
    for row in rows:
        name = row[0]
        if name and "bad" not in name:
            counts[name] = counts.get(name, 0) + 1
            name = f"{name}-{counts[name]:06d}"
        numbered.append((name, *row[1:]))
    return numbered


def sample_bytes() -> bytes:
    """The whole file: CSV in UTF-8, LF line ends."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(Generator().records())
    return text.getvalue().encode()


if __name__ == "__main__":
    SAMPLE.write_bytes(sample_bytes())
