"""One revision of the data as a set of files, and the SQL that reads them as tables.

Belongs here: what publishing and the identity check have in common. Where a snapshot comes from (the manifest) is the
business of the caller; nothing here looks into the ledger.

File lists are written out, never globs: a glob has no snapshot across tables, and files of discarded attempts lie in
the same folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import IntegrityError
from pipeline.lake.tables import FILE_TABLES, LEDGER_TABLES, PLAN, TRANSACTIONS, WAITING, Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import polars as pl

PLAN_STATES = ("in_flight", "held", "quarantined")
_READ_OPTIONS = "union_by_name = false, hive_partitioning = false"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one revision is made of.

    `files`: kind (a name in `tables.FILE_TABLES`, `plan` aside) to absolute Parquet paths; a kind without files may be
    left out. `plans`: plan files of batches that have not landed, each with the state that its rows are in:
    `in_flight`, `held` or `quarantined`. `ledger`: each of `tables.LEDGER_TABLES` with exactly its columns.
    """

    revision: int
    files: Mapping[str, Sequence[Path]]
    plans: Sequence[tuple[Path, str]]
    ledger: Mapping[str, pl.DataFrame]

    def of(self, table: Table) -> Sequence[Path]:
        """The files of one kind, possibly none."""
        return self.files.get(table.name, ())

    def all_files(self) -> list[Path]:
        """Every file that the revision refers to."""
        return [path for paths in self.files.values() for path in paths] + [path for path, _ in self.plans]

    def check(self) -> None:
        """Raise `ValueError` for an unknown part or a relative path, `IntegrityError` for missing files."""
        unknown = {*self.files} - {*FILE_TABLES} | {state for _, state in self.plans} - {*PLAN_STATES}
        if unknown or {*self.files} & {PLAN.name} or {*self.ledger} != {*LEDGER_TABLES}:
            raise ValueError(f"not a snapshot: {sorted(unknown)}, ledger tables {sorted(self.ledger)}")
        files = self.all_files()
        if not all(path.is_absolute() for path in files):
            raise ValueError("not a snapshot: its files must be absolute, since views keep them as they are")
        missing = [path for path in files if not path.is_file()]
        if missing:
            raise IntegrityError(
                f"revision {self.revision}: {len(missing)} files are missing, such as {missing[0]}",
                hint="`enrich rebuild` makes them again from the archive.",
            )


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def reader(paths: Iterable[Path], *, filename: bool = False) -> str:
    """`read_parquet([...])` over exactly these files; with `filename`, a column of that name says which."""
    names = ", ".join(quoted(_literal(path)) for path in paths)
    return f"read_parquet([{names}], {_READ_OPTIONS}{', filename = true' if filename else ''})"


def table_sql(table: Table, paths: Sequence[Path], *, filename: bool = False) -> str:
    """SELECT of a table's declared columns, in order, from its files; typed but without rows when there are none.

    With `filename`, a last column of that name says which file a row is in.
    """
    extra = [Column("filename", "VARCHAR", "")] if filename else []
    columns = [*table.columns, *extra]
    if not paths:
        return f"SELECT {', '.join(map(_null, columns))} WHERE false"
    names = ", ".join(identifier(column.name) for column in columns)
    return f"SELECT {names} FROM {reader(paths, filename=filename)}"  # noqa: S608


def transactions_sql(snapshot: Snapshot) -> str:
    """SELECT of every accepted row: waiting, planned in each state, and landed, with all columns of `transactions`."""
    parts = [_unlanded_sql(WAITING, snapshot.of(WAITING), "waiting")]
    parts += [
        _unlanded_sql(PLAN, [path for path, its in snapshot.plans if its == state], state) for state in PLAN_STATES
    ]
    if snapshot.of(TRANSACTIONS) or not any(parts):
        parts.append(table_sql(TRANSACTIONS, snapshot.of(TRANSACTIONS)))
    return "\nUNION ALL\n".join(part for part in parts if part)


def _unlanded_sql(table: Table, paths: Sequence[Path], state: str) -> str:
    if not paths:
        return ""
    columns = []
    for column in TRANSACTIONS.columns:
        if column.name == "state":
            columns.append(f"{quoted(state)} AS state")
        else:
            columns.append(identifier(column.name) if column.name in table.names else _null(column))
    return f"SELECT {', '.join(columns)} FROM {reader(paths)}"  # noqa: S608


def _null(column: Column) -> str:
    return f"CAST(NULL AS {column.type}) AS {identifier(column.name)}"


def _literal(path: Path) -> str:
    """The path with `*`, `?` and `[` bracketed: DuckDB would take them for a glob in a data folder's name."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in str(path))
