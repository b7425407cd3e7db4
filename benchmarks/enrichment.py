"""How good and how fast the sandbox's enrichment is, on lines that taught it nothing.

Belongs here: reading sets of labelled lines, asking the engine, and counting. Three parts: a city's card payments (pass
the file with --payments: it is not in the project), descriptors labelled by hand (--descriptors, by default the ones of
this folder), and speed. `python benchmarks/enrichment.py --payments toronto_pcard_2011_2018.csv.gz`.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from rapidfuzz import fuzz

sys.path.insert(0, str(Path(__file__).parent))

from measure import mib, peak_bytes, show

from pipeline.sample import SAMPLE
from pipeline.sandbox.engine import codes, enrich, load, merchants, shapes
from pipeline.sandbox.engine.build import cards
from pipeline.sandbox.engine.reading import read
from pipeline.sandbox.engine.text import normalise, tokens
from pipeline.sandbox.schema import Item, Location

DESCRIPTORS = Path(__file__).parent / "descriptors.csv"
ALIKE = 85.0
_FORMS = frozenset(
    [
        "LTD",
        "LIMITED",
        "PLC",
        "INC",
        "LLC",
        "CORP",
        "CO",
        "COMPANY",
        "GMBH",
        "AG",
        "SA",
        "SAS",
        "SARL",
        "BV",
        "NV",
        "AB",
        "AS",
        "OY",
        "SRL",
        "SPA",
        "LLP",
        "KG",
        "SE",
        "THE",
    ]
)
_LINES = 20_000


class Judged(NamedTuple):
    """What of one labelled line was right. `site` None: the label has no website."""

    merchant: bool
    site: bool | None
    wrong_site: bool
    intermediaries: bool
    type: bool
    category: bool


def judge(line: dict[str, str]) -> Judged:
    """Ask the engine about a labelled line and compare."""
    found = read(
        line["description"], line["entry_type"], line["currency"], line["country"] or None, line["holder_type"]
    )
    party = found["entities"]["counterparty"] or {"name": "", "website": None, "type": ""}
    website = (party["website"] or "").removeprefix("www.")
    sites = [site for site in line["website"].split("|") if site]
    return Judged(
        merchant=any(same_name(party["name"], label) for label in line["merchant"].split("|")),
        site=website in sites if sites else None,
        wrong_site=bool(website) and website not in sites,
        intermediaries=_same_intermediaries(
            [one["name"] for one in found["entities"]["intermediaries"]], line["intermediaries"]
        ),
        type=party["type"] == line["counterparty_type"],
        category=found["categories"]["general"] in line["category"].split("|"),
    )


def same_name(given: str, label: str) -> bool:
    """Whether two names are one, whatever their case, signs and legal form, or if one has a word more."""
    one, other = _plain(given), _plain(label)
    if not one or not other:
        return one == other
    return set(one) <= set(other) or set(other) <= set(one) or fuzz.ratio("".join(one), "".join(other)) >= ALIKE


def _plain(name: str) -> list[str]:
    words = tokens(normalise(name.replace(".", "")))
    return [word for word in words if word not in _FORMS] or words


def _same_intermediaries(given: list[str], labels: str) -> bool:
    wanted = [label.split("|") for label in labels.split(";") if label]
    if len(given) != len(wanted):
        return False
    return all(any(same_name(name, label) for name in given for label in options) for options in wanted)


def judge_all(path: Path) -> list[Judged]:
    """Every line of a file with the columns of `descriptors.csv`."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [judge(line) for line in csv.DictReader(stream)]


def shares(judged: list[Judged]) -> dict[str, float]:
    """The share of lines that are right, column by column; websites of the lines that have one."""
    labelled = [one.site for one in judged if one.site is not None]
    return {
        "merchant": _share(one.merchant for one in judged),
        "website": _share(bool(site) for site in labelled),
        "wrong website": _share(one.wrong_site for one in judged),
        "intermediaries": _share(one.intermediaries for one in judged),
        "counterparty type": _share(one.type for one in judged),
        "category": _share(one.category for one in judged),
    }


def _share(values: Iterable[bool]) -> float:
    counted = Counter(values)
    return counted[True] / max(counted.total(), 1)


class _Payments:
    """Card payments with codes: what the engine says of each descriptor, asked once."""

    def __init__(self, path: Path) -> None:
        self.lines = list(cards.read_payments(path))
        self._answers: dict[str, tuple[int | None, bool]] = {}

    def row(self, name: str, chosen: Iterable[cards.Payment]) -> list[str]:
        """A row of the table: lines, exact and group codes of all, exact codes where a known merchant was found."""
        exact, group, on_hits = [], [], []
        for payment in chosen:
            code, hit = self._ask(payment.text)
            exact.append(code == int(payment.mcc))
            group.append(_group(code) == _group(int(payment.mcc)))
            if hit:
                on_hits.append(exact[-1])
        return [
            name,
            f"{len(exact):,}",
            percent(_share(exact)),
            percent(_share(group)),
            f"{len(on_hits):,}",
            percent(_share(on_hits)),
        ]

    def _ask(self, text: str) -> tuple[int | None, bool]:
        if text not in self._answers:
            party = read(text, "outgoing", "CAD", "CA", "business")["entities"]["counterparty"]
            mccs = party["mccs"] if party else []
            known = party is not None and merchants.by_name(party["name"]) is not None
            self._answers[text] = (mccs[0] if mccs else None, known and bool(mccs))
        return self._answers[text]


def _group(code: int | None) -> str | None:
    known = codes.look_up(code) if code is not None else None
    return known.kind if known else None


def by_code(path: Path) -> list[list[str]]:
    """Codes on years and on descriptors that were not learnt from."""
    payments = _Payments(path)
    late = [one for one in payments.lines if one.year > cards.LAST_YEAR]
    held = [one for one in payments.lines if cards.held_out(one.text)]
    once = list({one.text: one for one in held}.values())
    seen = {one.text for one in payments.lines if one.year <= cards.LAST_YEAR}
    return [
        payments.row("2017 and 2018", late),
        payments.row("2017 and 2018, descriptors new then", [one for one in late if one.text not in seen]),
        payments.row("held-out descriptors", held),
        payments.row("held-out descriptors, each once", once),
    ]


def _distinct(seed: int) -> dict[str, dict[str, str]]:
    """The sample's texts with other numbers in them, each with its row."""
    random = Random(seed)
    rows = _sample()
    lines: dict[str, dict[str, str]] = {}
    for _ in range(_LINES):
        row = random.choice(rows)
        lines[
            re.sub(r"\d{2,}", lambda run: "".join(str(random.randrange(10)) for _ in run.group()), row["description"])
        ] = row
    return lines


def speed(seed: int = 1) -> tuple[int, float]:
    """Distinct lines, and how many a second where each is read anew."""
    lines = _distinct(seed)
    begun = time.process_time()
    for text, row in lines.items():
        read(text, row["entry_type"], row["currency"], row["country"] or None, "consumer")
    return len(lines), len(lines) / (time.process_time() - begun)


def speed_of_enrich(seed: int) -> float:
    """The same with what `enrich` remembers of lines that differ in their numbers only, nothing at first."""
    items = [(_item(row, text), "consumer") for text, row in _distinct(seed).items()]
    return _rate_of_enrich(items)


def _sample() -> list[dict[str, str]]:
    with SAMPLE.open(encoding="utf-8", newline="") as stream:
        return [row for row in csv.DictReader(stream) if row["entry_type"] in {"incoming", "outgoing"}]


def speed_of_sample() -> tuple[int, float]:
    """The sample's transactions in their order, and how many a second, nothing remembered at first."""
    items = [(_item(row, row["description"]), row["account_holder_type"] or "consumer") for row in _sample()]
    return len(items), _rate_of_enrich(items)


def _item(row: dict[str, str], text: str) -> Item:
    # The engine looks at neither date nor amount.
    day, place = dt.date(2025, 9, 1), Location(country=row["country"] or None)
    return Item(row["id"], text, day, 0.0, row["entry_type"], row["currency"], location=place)


def _rate_of_enrich(items: list[tuple[Item, str]]) -> float:
    shapes.forget()
    begun = time.process_time()
    for item, holder_type in items:
        enrich(item, holder_type)
    return len(items) / (time.process_time() - begun)


def percent(share: float) -> str:
    """A share as in a table."""
    return f"{100 * share:.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--descriptors", type=Path, default=DESCRIPTORS, help="another file with the columns of descriptors.csv"
    )
    parser.add_argument(
        "--payments", type=Path, help="City of Toronto, PCard expenditures 2011-2018, one gzipped CSV file"
    )
    given = parser.parse_args()
    begun = time.process_time()
    load()
    loaded = time.process_time() - begun
    judged = judge_all(given.descriptors)
    show(
        f"{len(judged)} labelled descriptors",
        ["", "share"],
        [[name, percent(share)] for name, share in shares(judged).items()],
    )
    if given.payments:
        header = ["card payments", "lines", "exact MCC", "group", "known merchants", "exact MCC there"]
        show("Merchant category codes", header, by_code(given.payments))
    lines, rate = speed()
    rate = median([rate, *(speed(seed)[1] for seed in range(2, 6))])
    remembered = median(speed_of_enrich(seed) for seed in range(1, 6))
    rows, rate_of_sample = speed_of_sample()
    show(
        "Speed, one core",
        ["", ""],
        [
            ["tables loaded in", f"{loaded:.2f} s"],
            [f"{lines:,} distinct lines, each read anew, median of five", f"{rate:,.0f}/s"],
            ["the same through `enrich`, median of five", f"{remembered:,.0f}/s"],
            [f"{rows:,} transactions of the sample through `enrich`", f"{rate_of_sample:,.0f}/s"],
            ["peak memory", f"{mib(peak_bytes())} MiB"],
        ],
    )


if __name__ == "__main__":
    main()
