"""Makes a revision of the warehouse and puts it in force, atomically.

Belongs here: building the file, swapping the link, and clearing away what is old or half-made. What the tables mean is
in `tables.py` and `views.py`; which files count is the caller's snapshot.

Readers and publishers never meet: a version is built under a name that nobody opens, closed, made read-only and then
linked. Each has a name of its own, so that a `.wal` that somebody's session left beside one is never replayed onto
another.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from string import Template
from typing import TYPE_CHECKING

import duckdb
import polars as pl
from filelock import FileLock, Timeout

from pipeline.crashpoints import point
from pipeline.errors import ConfigError, EnrichError, IntegrityError
from pipeline.lake import tables, views, warehouse
from pipeline.lake.durable import StorageError, commit, fsync, storage_errors, unique
from pipeline.lake.files import check_frame
from pipeline.lake.snapshot import Snapshot, identifier, quoted, reader, table_sql, transactions_sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Publication", "PublishBusyError", "Snapshot", "publish"]

LOCK_SECONDS = 120.0
"""Longest wait for another publisher; 5,000 files take about a second."""

_OPENING = timedelta(minutes=1)
_BUILDING = ".building-"
_NEW_LINK = ".warehouse-"
# DuckDB 1.0 and later read this; the default of 1.5 is refused by older command lines and BI drivers.
STORAGE_VERSION = "v1.0.0"


class PublishBusyError(EnrichError):
    """Another process was publishing for all the time that we waited."""

    hint = "Look for a hung `enrich` or Dagster process; its lock ends with it."


@dataclass(frozen=True, slots=True)
class Publication:
    """What `publish` did.

    `published` is False when a newer revision was out; `revision` and `path` are then that one's.
    """

    revision: int
    path: Path
    seconds: float
    published: bool


def publish(home: Path, snapshot: Snapshot, *, keep: timedelta) -> Publication:
    """Put a snapshot in force as `<home>/warehouse.duckdb`; skip it when a newer revision is out.

    The same revision may be published again: views hold absolute paths and are rebuilt when the folder was moved.
    Versions that were replaced longer ago than `keep` are deleted; sessions that are open on one keep reading it.
    Killed at any point, the version before stays in force and the next call clears up.

    Raises `IntegrityError` (files missing or not as declared), `StorageError`, `PublishBusyError`, and `ConfigError`
    when something that is not our link is in its place or the path has a '?'.
    """
    started = time.monotonic()
    if "?" in str(home):  # DuckDB takes the rest for a query string and puts its log somewhere else
        raise ConfigError(f"DuckDB cannot write in a folder with '?' in its path: {home}", hint="Move the data folder.")
    snapshot.check()
    for name, table in tables.LEDGER_TABLES.items():
        check_frame(table, snapshot.ledger[name])
    folder = home / warehouse.FOLDER
    with storage_errors("publish in", folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder):
            _clear_dead(home)
            out = warehouse.current(home)
            if out is not None and out.revision > snapshot.revision:
                return Publication(out.revision, out.path, time.monotonic() - started, published=False)
            path = _build(home, snapshot)
            point("publish.before_swap")
            _swap(home, path)
            point("publish.after_swap")
            _retire(folder, path, keep)
    return Publication(snapshot.revision, path, time.monotonic() - started, published=True)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / ".publish.lock", timeout=LOCK_SECONDS):
            yield
    except Timeout as error:
        raise PublishBusyError(f"another process has been publishing in {folder} for {LOCK_SECONDS:.0f} s") from error


def _clear_dead(home: Path) -> None:
    """Remove what killed publishers left. Under the lock nobody alive can be building."""
    for path in (home / warehouse.FOLDER).glob(f"{_BUILDING}*"):
        path.unlink()
    for path in home.glob(f"{_NEW_LINK}*.link"):
        path.unlink()


def _build(home: Path, snapshot: Snapshot) -> Path:
    """A closed, durable, read-only file with everything in it. The caller holds the lock."""
    folder, own = home / warehouse.FOLDER, unique()
    temporary = folder / f"{_BUILDING}{own}.duckdb"
    final = folder / f"rev-{snapshot.revision:010d}-{own}.duckdb"
    try:
        # In memory first: the names inside are then the same whatever the file is called when it is opened.
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"ATTACH {quoted(str(temporary))} AS built (STORAGE_VERSION '{STORAGE_VERSION}')")
            connection.execute("USE built")
            _fill(connection, snapshot, folder / f"{_BUILDING}{own}")
            connection.execute("USE memory")
            connection.execute("DETACH built")
        commit(temporary, final, root=home)
    except duckdb.OperationalError as error:  # the disk, memory, or a commit that could not write
        raise StorageError(f"cannot publish revision {snapshot.revision}: {error}") from error
    except duckdb.Error as error:
        raise IntegrityError(f"revision {snapshot.revision} cannot be published: {error}") from error
    finally:
        for leftover in folder.glob(f"{_BUILDING}{own}*"):
            leftover.unlink()
    return final


def _fill(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, scratch: Path) -> None:
    connection.execute("BEGIN")
    for name, table in tables.LEDGER_TABLES.items():
        _copy_frame(connection, table, snapshot, scratch.with_name(f"{scratch.name}.{name}.parquet"))
        _comment(connection, table, "TABLE")
    for table in (tables.RAW_TRANSACTIONS, tables.REJECTED_ROWS, tables.INTERMEDIARIES, tables.RECURRENCE_GROUPS):
        _create_view(connection, table, table_sql(table, snapshot.of(table)))
    _create_view(connection, tables.TRANSACTIONS, transactions_sql(snapshot))
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ")
    for name, table in views.VIEWS.items():
        sql = views.view_sql(name)
        if table is views.PUBLICATION:
            sql = Template(sql).substitute(revision=snapshot.revision, published_at=now)
        _create_view(connection, table, sql)
    connection.execute("COMMIT")


def _copy_frame(connection: duckdb.DuckDBPyConnection, table: tables.Table, snapshot: Snapshot, scratch: Path) -> None:
    """Copy through a Parquet file: DuckDB scans polars frames only with pyarrow, and `executemany` is slow."""
    columns = ", ".join(
        f"{identifier(column.name)} {column.type}{' NOT NULL' if column.required else ''}" for column in table.columns
    )
    connection.execute(f"CREATE TABLE main.{identifier(table.name)} ({columns})")
    frame = snapshot.ledger[table.name]
    if frame.height:
        try:
            frame.write_parquet(scratch)
        except pl.exceptions.PolarsError as error:  # what polars makes of a full disk
            raise StorageError(f"cannot write {scratch}: {error}") from error
        connection.execute(f"INSERT INTO main.{identifier(table.name)} BY NAME FROM {reader([scratch])}")
        scratch.unlink()


def _create_view(connection: duckdb.DuckDBPyConnection, table: tables.Table, sql: str) -> None:
    connection.execute(f"CREATE VIEW main.{identifier(table.name)} AS {sql}")
    _comment(connection, table, "VIEW")


def _comment(connection: duckdb.DuckDBPyConnection, table: tables.Table, kind: str) -> None:
    name = f"main.{identifier(table.name)}"
    connection.execute(f"COMMENT ON {kind} {name} IS {quoted(table.comment)}")
    for column in table.columns:
        connection.execute(f"COMMENT ON COLUMN {name}.{identifier(column.name)} IS {quoted(column.comment)}")


def _swap(home: Path, version: Path) -> None:
    """Point the link at a version, relative, so that the data folder can be looked at through another mount."""
    temporary = home / f"{_NEW_LINK}{unique()}.link"
    temporary.symlink_to(version.relative_to(home))
    temporary.replace(home / warehouse.LINK)
    fsync(home)


def oldest_revision(home: Path) -> int | None:
    """The oldest revision of which a version is still there to be read, or None before the first one."""
    found = [int(path.name.split("-")[1]) for path in (home / warehouse.FOLDER).glob("rev-*.duckdb")]
    return min(found, default=None)


def _retire(folder: Path, current: Path, keep: timedelta) -> None:
    """Delete versions whose successor has been out for longer than `keep`, and for a minute at least.

    With no such minute a session that had just resolved the link found its version gone (seen with `keep` = 0).
    """
    horizon = time.time() - max(keep, _OPENING).total_seconds()
    versions = sorted((path.stat().st_mtime_ns, path) for path in folder.glob("rev-*.duckdb"))
    for (_, version), (replaced_ns, _) in pairwise(versions):
        if version != current and replaced_ns / 1e9 < horizon:
            version.unlink()
            version.with_name(f"{version.name}.wal").unlink(missing_ok=True)
