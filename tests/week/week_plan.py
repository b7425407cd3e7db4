"""How long a week takes, with which settings, and what happens when in it. Starts nothing."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from pipeline.sandbox.config import SandboxConfig

DAYS = 7
DAY = 86_400
AT_ONCE = 40
"""Batches that may be processing: with the real ten the sensors' 5 s, a quarter of a day, would let wait."""

GRACE_SECONDS = 6
"""Real ones: a request on its way does not get faster with the sandbox's clock, as in `places.TIME_SCALE`."""

FILE_SECONDS = 25
"""Real ones from file to file: each makes five runs of 3 s and more, and two at a time is what dagster.yaml allows."""

TOKEN = "0123456789abcdef0123456789abcdef"
SHORTEST = {"ENRICH_KEEP_REPLACED_DAYS": "0.001", "ENRICH_KEEP_WAREHOUSE_HOURS": "0.02"}
DAGSTER_KEEPS = {"ENRICH_KEEP_RUNS_DAYS": "0.001", "ENRICH_KEEP_PARTITIONS_DAYS": "0.001"}
"""86 s, 72 s: of a week of 6 minutes a day and a half."""


@dataclass(frozen=True, slots=True)
class Size:
    """How long and how much."""

    minutes: float
    days: int = DAYS
    rows: tuple[int, int] = (200, 600)
    batch: int = 25
    trouble: float = 0.0003
    """Share of the transactions that the API refuses for good; other kinds are multiples of it."""

    @property
    def day(self) -> float:
        """Real seconds."""
        return self.minutes * 60 / self.days

    @property
    def speed(self) -> float:
        return DAY / self.day

    @property
    def settings(self) -> dict[str, str]:
        """Environment of every process."""
        return {
            "ENRICH_TIME_SCALE": str(self.speed), "ENRICH_DATA_DIR": "data", "ENRICH_BATCH_SIZE": str(self.batch),
            "ENRICH_MAX_IN_FLIGHT": str(AT_ONCE), "ENRICH_GRACE": str(max(1800, GRACE_SECONDS * self.speed)),
            "ENRICH_DISPATCH_SECONDS": "15", "ENRICH_CLAIM_SECONDS": "20", "ENRICH_WEBHOOK_TOKEN": TOKEN,
        } | SHORTEST | DAGSTER_KEEPS  # fmt: skip

    def sandbox(self, faults: Path) -> SandboxConfig:
        """A receiver that is restarted is away for seconds, which are hours here: deliveries come again after 1 s."""
        return SandboxConfig(
            time_scale=self.speed, max_processing=AT_ONCE, webhook_retry_seconds=self.speed, webhook_failures=100,
            fault_plan=faults,
        )  # fmt: skip


def timetable(size: Size, files: int, chance: random.Random) -> list[tuple[float, str, str]]:
    """Day, what, how: everything that is to happen, in order."""
    found = [(at, "file", "") for at in sorted(chance.uniform(0.02, size.days - 0.05) for _ in range(files))]
    found += _restarts(size, "daemon", ["term", "kill", "power"], (0.8, 1.6), chance)
    found += _restarts(size, "receiver", ["term", "kill"], (0.5, 1.4), chance)
    for day in range(size.days):
        found += [(day + 0.5, "check", ""), (day + 0.9, "night", ""), (day + 1.0, "check", "")]
    return sorted(found)


def _restarts(
    size: Size, what: str, ways: list[str], apart: tuple[float, float], chance: random.Random
) -> list[tuple[float, str, str]]:
    """Each way comes as often as the others."""
    found: list[tuple[float, str, str]] = []
    at, left = chance.uniform(*apart), list[str]()
    while at < size.days:
        left = left or chance.sample(ways, len(ways))
        found.append((at, what, left.pop()))
        at += chance.uniform(*apart)
    return found
