"""What a week brings: when which file arrives with how many rows, and what the API does wrong with them.

Everything is drawn from the seed before the week begins, so that what must have become of each transaction is known.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from places import HEADER

POST = "POST /v3/batches"
RESULTS = "GET /v3/batches/{id}/results"
_TEXTS = (
    "SQ *BLUE BOTTLE COFFEE", "NETFLIX.COM 866-579-7172", "ACME PAYROLL", "TESCO STORES 2291 LONDON",
    "PAYPAL *SPOTIFY", "UBER *TRIP HELP.UBER.COM", "AMZN MKTP US*2K4", "SHELL OIL 57444",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class File:
    """One file: new transactions `first` and following, earlier ones again, and records that no one can read."""

    name: str
    first: int
    rows: int
    again: tuple[int, ...]
    bad: int

    @property
    def counts(self) -> tuple[int, int, int]:
        """Records, accepted and rejected ones."""
        accepted = self.rows + len(self.again)
        return accepted + self.bad, accepted, self.bad

    def drop(self, inbox: Path) -> None:
        """Put it there in one piece, as a careful sender does."""
        lines = [_line(i) for i in (*range(self.first, self.first + self.rows), *self.again)]
        lines += [f"bad-{self.name}-{i},2026-02-30,X,1,outgoing,USD,US,,\n" for i in range(self.bad)]
        half = inbox / f".{self.name}.part"
        half.write_text(HEADER + "".join(lines))
        half.rename(inbox / self.name)


@dataclass(slots=True)
class Cargo:
    """The files of a week in the order of their arrival, and the ids that are to come to something special."""

    files: list[File]
    passing_batches: list[str] = field(default_factory=list)
    """The first batch of each ends in error, the next one does not."""
    poison: list[str] = field(default_factory=list)
    """Every batch of one ends in error: it is to be quarantined alone."""
    invalid: list[str] = field(default_factory=list)
    """The API refuses it (422): quarantined, and never charged."""
    passing_items: list[str] = field(default_factory=list)
    failing_items: list[str] = field(default_factory=list)
    """They get an error of their own: once, or whenever they are sent."""

    @property
    def rows(self) -> int:
        """Transactions, each counted once."""
        return sum(file.rows for file in self.files)

    @property
    def states(self) -> dict[str, int]:
        """Rows that are not enriched in the end."""
        found = {"quarantined": len(self.poison) + len(self.invalid), "item_error": len(self.failing_items)}
        return {state: count for state, count in found.items() if count}

    def faults(self) -> dict[str, Any]:
        """The plan for the sandbox: troubles of these ids, and others by chance that pass by themselves."""
        special: list[dict[str, Any]] = [
            {"call": POST, "ids": self.poison, "do": "batch_error"},
            {"call": POST, "ids": self.passing_batches, "each": True, "to": 1, "do": "batch_error"},
            {"call": POST, "ids": self.invalid, "do": "item_invalid"},
            {"call": POST, "ids": self.passing_items, "to": 1, "do": "item_error"},
            {"call": POST, "ids": self.failing_items, "do": "item_error"},
        ]
        return {"rules": [rule for rule in special if rule["ids"]] + list(_BY_CHANCE)}


_BY_CHANCE: tuple[dict[str, Any], ...] = (
    {"call": POST, "share": 0.15, "do": "webhook_lost"},
    {"call": POST, "share": 0.15, "do": "webhook_repeated", "copies": 3, "seconds": 600},
    {"call": POST, "share": 0.15, "do": "webhook_late", "seconds": 7200},
    {"call": POST, "share": 0.05, "do": "webhook_reordered", "behind": 2, "seconds": 7200},
    {"call": POST, "share": 0.05, "do": "batch_slow", "factor": 100},
    {"call": POST, "share": 0.01, "do": "drop", "when": "after"},
    {"call": POST, "share": 0.01, "do": "drop", "when": "before", "how": "reset"},
    {"call": POST, "share": 0.01, "do": "status", "status": 503, "when": "after"},
    {"call": POST, "share": 0.01, "do": "status", "status": 429, "retry_after": 1},
    {"call": RESULTS, "share": 0.02, "do": "truncate", "how": "json"},
    {"call": "*", "share": 0.01, "do": "status", "status": 500},
    {"call": "*", "share": 0.01, "do": "status", "status": 429},
    {"call": "*", "share": 0.01, "do": "delay", "when": "after", "seconds": 0.3},
)


def load(chance: random.Random, files: int, rows: tuple[int, int], share: float) -> Cargo:
    """So many files with so many new rows each; `share` of the transactions is to meet each kind of trouble."""
    found, first = [], 0
    for number in range(files):
        new = chance.randint(*rows)
        again = chance.sample(range(first), min(first, chance.randint(0, new // 4)))
        found.append(File(f"bank-{number:04d}.csv", first, new, tuple(again), chance.randint(0, 3)))
        first += new
    cargo = Cargo(found)
    kinds = {"passing_batches": 10, "passing_items": 10, "failing_items": 2, "poison": 1, "invalid": 1}
    ids = [f"tx-{i}" for i in chance.sample(range(first), first)]
    for name, weight in kinds.items():
        some = max(1, round(first * share * weight))
        setattr(cargo, name, ids[:some])
        ids = ids[some:]
    return cargo


def _line(i: int) -> str:
    return (
        f"tx-{i},2026-{1 + i % 9:02d}-{1 + i % 28:02d},{_TEXTS[i % len(_TEXTS)]} {i % 97},{1 + i % 90}.{i % 100:02d},"
        f"{'incoming' if i % 8 == 2 else 'outgoing'},USD,US,holder-{i % 12},consumer\n"
    )
