"""Makes small real lakes: source rows, files of every kind, and the snapshot that refers to them.

Also runs Python in a child process, for tests that need a second process or one that can be killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.lake import tables
from pipeline.lake.files import write_table
from pipeline.lake.identity import SourceCount
from pipeline.lake.publish import Snapshot

REPOSITORY = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).replace(tzinfo=None)
_VALUES: dict[str, Any] = {
    "VARCHAR": "x",
    "VARCHAR[]": ["amount: not a number"],
    "INTEGER[]": [5814],
    "BIGINT": 1,
    "INTEGER": 1,
    "DOUBLE": 1.5,
    "BOOLEAN": False,
    "DATE": date(2026, 1, 1),
    "TIMESTAMP": NOW,
    "DECIMAL(18,4)": 10,
}
_COLUMN_VALUES = {"entry_type": "outgoing", "currency": "USD"}


def _value(column: tables.Column) -> Any:
    return _COLUMN_VALUES.get(column.name, _VALUES[column.type]) if column.required else None


def frame_of(table: tables.Table, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows with the given values; required columns that are left out get one of their type, others NULL."""
    filled = [{c.name: row.get(c.name, _value(c)) for c in table.columns} for row in rows]
    return pl.DataFrame(filled, schema=table.schema, orient="row")


@dataclass
class Lake:
    """A data folder under construction. `home` is absolute, the lake's root is `home / 'lake'`."""

    home: Path
    files: dict[str, list[Path]] = field(default_factory=dict)
    plans: list[tuple[Path, str]] = field(default_factory=list)
    ledger: dict[str, pl.DataFrame] = field(
        default_factory=lambda: {n: pl.DataFrame(schema=t.schema) for n, t in tables.LEDGER_TABLES.items()}
    )
    sources: list[SourceCount] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.home / "lake"

    def write(self, table: tables.Table, rows: list[dict[str, Any]], stem: str = "some") -> Path:
        """A file that no snapshot refers to yet."""
        return self.root / write_table(self.root, table, frame_of(table, rows), stem=stem).path

    def add(self, table: tables.Table, rows: list[dict[str, Any]], stem: str = "some") -> Path:
        path = self.write(table, rows, stem)
        self.files.setdefault(table.name, []).append(path)
        return path

    def source(self, file_id: str, accepted: list[str], rejected: int = 0) -> None:
        """Input rows of one source file, and its count."""
        rows = [{"transaction_id": id_, "file_id": file_id, "record_number": n} for n, id_ in enumerate(accepted, 1)]
        self.add(tables.RAW_TRANSACTIONS, rows, file_id)
        if rejected:
            bad = [{"file_id": file_id, "record_number": len(accepted) + n} for n in range(1, rejected + 1)]
            self.add(tables.REJECTED_ROWS, bad, file_id)
        self.sources.append(SourceCount(file_id, f"{file_id}.csv", len(accepted) + rejected))

    def wait(self, ids: list[str]) -> Path:
        return self.add(tables.WAITING, [{"transaction_id": id_} for id_ in ids])

    def plan(self, key: str, ids: list[str], state: str = "in_flight") -> Path:
        rows = [{"transaction_id": id_, "batch_key": key, "position": n} for n, id_ in enumerate(ids)]
        path = self.write(tables.PLAN, rows, key)
        self.plans.append((path, state))
        return path

    def land(self, key: str, ids: list[str], **values: Any) -> Path:
        rows = [landed_row(key, n, id_, **values) for n, id_ in enumerate(ids)]
        return self.add(tables.TRANSACTIONS, rows, key)

    def replace(self, table: tables.Table, old: Path, rows: pl.DataFrame) -> Path:
        """Swap a file for one with other rows, as damage or as a later version."""
        new = self.root / write_table(self.root, table, rows, stem="other").path
        self.files[table.name] = [new if path == old else path for path in self.files[table.name]]
        return new

    def snapshot(self, revision: int = 1) -> Snapshot:
        return Snapshot(revision, self.files, self.plans, self.ledger)


def landed_row(key: str, position: int, transaction_id: str, **values: Any) -> dict[str, Any]:
    """An enriched row at its place in a batch."""
    return {
        "transaction_id": transaction_id,
        "state": "enriched",
        "batch_key": key,
        "position": position,
        "version": 1,
        "enriched_at": NOW,
        **values,
    }


def fill(lake: Lake) -> None:
    """Eleven transactions from two source files in every state, with 3 rejects, a repeat and intermediaries."""
    lake.source("file-a", ["a0", "a1", "a2", "a3", "a4", "a5"], rejected=2)
    lake.source("file-b", ["b0", "b1", "b2", "b3", "b4", "a0"], rejected=1)
    lake.wait(["b4"])
    lake.plan("00000003-cc", ["b0", "b1"])
    lake.plan("00000004-dd", ["b2"], "held")
    lake.plan("00000005-ee", ["b3"], "quarantined")
    lake.land("00000001-aa", ["a0", "a1", "a2"], counterparty_id="e1", counterparty_name="Cafe", category="coffee shop")
    lake.land("00000002-bb", ["a3", "a4"])
    lake.add(tables.TRANSACTIONS, [landed_row("00000006-ff", 0, "a5", state="item_error", error_code="internal_error")])
    rows = [{"transaction_id": id_, "position": 0, "batch_key": "00000001-aa"} for id_ in ("a0", "a1")]
    lake.add(tables.INTERMEDIARIES, [{**row, "intermediary_id": "e2", "name": "Payer Inc"} for row in rows])
    lake.ledger["batches"] = frame_of(
        tables.BATCHES,
        [
            {"batch_key": "00000003-cc", "state": "submitted", "rows": 2},
            {"batch_key": "00000004-dd", "state": "held", "rows": 1, "reason": "attempts used up"},
        ],
    )


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process that runs `code` with the repository and this folder importable; `sys.argv[1:]` as given."""
    paths = os.pathsep.join(str(path) for path in (REPOSITORY, Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a child that must succeed; its output."""
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, err
    return out
