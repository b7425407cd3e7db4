"""The published warehouse as its readers find it: where it is, which revision it shows, and asking it something.

Belongs here: reading. Making a new revision is in `publish.py`.

Layout: `<home>/warehouse.duckdb` is a relative symlink to `warehouse/rev-<revision>-<unique>.duckdb`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from pipeline.errors import ConfigError, EnrichError

if TYPE_CHECKING:
    from pathlib import Path

LINK = "warehouse.duckdb"
_READING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.PRAGMA}
FOLDER = "warehouse"
_VERSION = re.compile(rf"{FOLDER}/(rev-(\d{{10,}})(?:-[0-9a-f]+)?\.duckdb)")


class QueryError(EnrichError):
    """DuckDB refused a statement; the message is DuckDB's."""


@dataclass(frozen=True, slots=True)
class Current:
    """The version that is out now. `path` is the file itself, not the link."""

    revision: int
    path: Path


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows as tuples, in the order of `columns`."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def current(home: Path) -> Current | None:
    """The version that the link points to; None when nothing was published yet or the file it names is gone.

    Raises `ConfigError` when something that is not our link has its name: it might be a person's database.
    """
    link = home / LINK
    if not link.is_symlink():
        if link.exists():
            raise ConfigError(f"{link} is not a link to a published revision", hint="Move it elsewhere and run again.")
        return None
    match = _VERSION.fullmatch(link.readlink().as_posix())
    if match is None:
        raise ConfigError(f"{link} points outside {FOLDER}/", hint="Remove the link and run again.")
    path = home / FOLDER / match[1]
    return Current(int(match[2]), path) if path.is_file() else None


def query(home: Path, sql: str) -> QueryResult:
    """Run one statement on the published warehouse, read-only. Raises `ConfigError` when there is none, `QueryError`.

    The session stays on the version that was out when it opened, whatever is published meanwhile.
    """
    version = current(home)
    if version is None:
        raise ConfigError(f"no warehouse has been published in {home} yet", hint="`enrich run` publishes at its end.")
    try:
        with duckdb.connect(str(version.path), read_only=True) as connection:
            cursor = connection.execute(_one(connection, sql))
            columns = [column[0] for column in cursor.description or ()]
            return QueryResult(columns, cursor.fetchall() if columns else [])
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The statement in it. A read-only database still lets COPY write a file, and of two only the last is shown."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"one statement is wanted, not {len(statements)}")
    if statements[0].type not in _READING:
        raise QueryError(f"{statements[0].type.name} is not among the statements that only read")
    return statements[0]
