"""Rebuilt tables beside the live ones, file by file, and the files that would take the place of those that differ.

Belongs here: what is counted, and what is kept for the commit. How two frames are compared is `comparing`'s, the commit
itself `rebuilding`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.flow.rebuild.comparing import EXAMPLES, Difference, compare, read_live
from pipeline.flow.rebuild.known import Owner
from pipeline.lake import files, tables
from pipeline.lake.durable import inside
from pipeline.ledger.manifest import NewFile


@dataclass(slots=True)
class TableReport:
    """One kind of file compared: counts of rows, but for `files`.

    `same` and `differing` are in both, `columns` says in which column how many differ. `restored` were in files that
    are missing or unreadable (`lost`). `damaged`: files that differ and do not have the bytes that were written, so
    that the difference is the disk's and no parser's.
    """

    files: int = 0
    rows: int = 0
    same: int = 0
    differing: int = 0
    only_rebuilt: int = 0
    only_live: int = 0
    restored: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Whether any row is not what it was."""
        return bool(self.differing or self.only_rebuilt or self.only_live)


class Comparison:
    """Takes rebuilt tables, file by file; those that differ from the live file, or whose file is lost, are written.

    `added` are in the folder `written`, under the paths that they will have in the lake; `removed` are live.
    """

    def __init__(self, lake: Path, written: Path, live: Mapping[Owner, list[Any]]) -> None:
        self.written = written
        self.tables = {name: TableReport() for name in tables.FILE_TABLES}
        self.added: list[NewFile] = []
        self.removed: list[str] = []
        self._lake, self._live = lake, dict(live)

    def take(
        self, table: tables.Table, owner: str | None, rebuilt: pl.DataFrame, *, stem: str, version: int | None = None
    ) -> None:
        """Compare all rows that belong to `owner` with its live files; its rows may be none."""
        rows = self._live.pop((table.name, owner), [])
        found = {row.path: read_live(self._lake, table, row.path) for row in rows}
        lost = [row for row in rows if found[row.path] is None]
        read = [pair for pair in found.values() if pair is not None]
        live = pl.concat([pl.DataFrame(schema=table.schema), *(frame for frame, _ in read)])
        ours = rebuilt
        if table is tables.WAITING:  # what is left of several files after planning, in no order that anything needs
            ours, live = rebuilt.sort("transaction_id"), live.sort("transaction_id")
        difference = compare(table, ours, live, set().union(*(misfits for _, misfits in read)))
        report = self.tables[table.name]
        report.files += len(rows) or bool(rebuilt.height)
        report.rows += rebuilt.height
        if self._count(report, difference, lost):
            report.damaged += [row.path for row in rows if row not in lost and not self._is_as_written(row)]
        elif not lost:
            return
        self.removed += [row.path for row in rows]
        if rebuilt.height:
            self._write(table, owner, rebuilt, stem, version)

    def finish(self) -> None:
        """Count the live files that nothing belongs to in the ledger or the archive."""
        for (kind, _), rows in self._live.items():
            report = self.tables[kind]
            report.files += len(rows)
            report.only_live += sum(row.rows for row in rows)
            self.removed += [row.path for row in rows]
        self._live = {}

    def _count(self, report: TableReport, found: Difference, lost: list[Any]) -> bool:
        """Add to the report; True when a row differs. Rows of lost files are no difference, if their number agrees."""
        gone = sum(row.rows for row in lost)
        restored = min(found.only_rebuilt, gone)
        only_rebuilt, only_live = found.only_rebuilt - restored, found.only_live + gone - restored
        report.same += found.same
        report.differing += found.differing
        report.only_rebuilt += only_rebuilt
        report.only_live += only_live
        report.restored += restored
        report.lost += [row.path for row in lost]
        for name, count in found.columns.items():
            report.columns[name] = report.columns.get(name, 0) + count
        differs = bool(found.differing or only_rebuilt or only_live)
        if differs:
            report.examples += found.examples[: EXAMPLES - len(report.examples)]
        return differs

    def _is_as_written(self, row: Any) -> bool:
        with inside(self._lake, row.path).open("rb") as stream:
            return bool(hashlib.file_digest(stream, "sha256").hexdigest() == row.sha256)

    def _write(
        self, table: tables.Table, owner: str | None, rebuilt: pl.DataFrame, stem: str, version: int | None
    ) -> None:
        w = files.write_table(self.written, table, rebuilt, stem=stem)
        of_file = table in {tables.RAW_TRANSACTIONS, tables.REJECTED_ROWS, tables.RECURRENCE_GROUPS}
        self.added.append(
            NewFile(
                table.name, w.path, w.rows, w.bytes, w.sha256, batch_key=None if of_file else owner,
                file_id=owner if of_file else None, version=version,
            )
        )  # fmt: skip
