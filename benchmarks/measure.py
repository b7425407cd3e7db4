"""What both benchmarks share: made-up bank files, peak memory, medians, and tables on the screen.

Belongs here: nothing that is measured. Rows are drawn from the shipped sample with a seed, so that every run, here and
elsewhere, measures the same bytes.
"""

from __future__ import annotations

import csv
import os
import re
import resource
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from pipeline.sample import SAMPLE

ROWS_PER_HOLDER = 200
BAD = re.compile(r"-bad-")
MIB = 1024 * 1024


def write_bank_file(path: Path, rows: int, seed: int = 7) -> int:
    """Write `rows` acceptable records in the canonical columns, each with an id of its own; returns the file's bytes.

    A holder for every 200 rows, each a clone of one of the sample's 30: its texts, with other numbers in them, so that
    descriptions seldom repeat; other amounts and dates.
    """
    random = Random(seed)
    with SAMPLE.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        names = list(reader.fieldnames or ())
        by_holder: dict[str, list[dict[str, str]]] = defaultdict(list)
        for record in reader:
            if not BAD.search(record["id"]):
                by_holder[record["account_holder_id"]].append(record)
    originals = sorted(by_holder)
    holders = max(1, rows // ROWS_PER_HOLDER)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        for number in range(rows):
            holder = int(random.random() * holders)
            texts = by_holder[originals[holder % len(originals)]]
            writer.writerow(_record(random, texts[int(random.random() * len(texts))], number, holder))
    return path.stat().st_size


def _record(random: Random, original: Mapping[str, str], number: int, holder: int) -> dict[str, str]:
    def other(digits: re.Match[str]) -> str:
        return "".join(str(int(random.random() * 10)) for _ in digits.group())

    return {
        **original,
        "id": f"bench-{number:08d}",
        "date": f"2026-{1 + int(random.random() * 6):02d}-{1 + int(random.random() * 28):02d}",
        "description": re.sub(r"\d{2,}", other, original["description"]),
        "amount": f"{0.5 + random.random() * 250:.2f}",
        "account_holder_id": f"{original['account_holder_id']}-{holder:06d}",
    }


def peak_bytes(pid: int | None = None) -> int | None:
    """Peak resident memory of a process, by default this one; None where another process's cannot be read.

    /proc first: `ru_maxrss` of a child also counts what its parent had resident when it was forked.
    """
    try:
        status = Path(f"/proc/{pid or os.getpid()}/status").read_text()
    except FileNotFoundError:
        unit = 1 if sys.platform == "darwin" else 1024
        return None if pid else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def mib(size: float | None) -> str:
    """Bytes as MiB."""
    return "-" if size is None else f"{size / MIB:,.1f}" if size < 100 * MIB else f"{size / MIB:,.0f}"


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over the rounds."""
    return {name: median(one[name] for one in rounds) for name in rounds[0]}


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, links not followed; of a file its own."""
    if folder.is_file():
        return folder.stat().st_size
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def show(title: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a Markdown table, ready for the README."""
    print(f"\n{title}\n")
    print("| " + " | ".join(header) + " |")
    print("| --- |" + " ---: |" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def clean_environment() -> dict[str, str]:
    """This environment without the product's own settings: a benchmark measures the defaults."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ENRICH_")}
