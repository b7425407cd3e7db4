"""The published tables as a thing of their own: one native DuckDB file, or a folder of Parquet or CSV files.

Belongs here: copying what one published version shows. Nothing in the copy refers to the data folder, so it can be sent
to a colleague or opened by a BI tool. Which version is out is `warehouse`'s, how one is made `publish`'s.

The copy is of one revision, since a published version never changes and its Parquet files outlive it by days; it takes
no lock and nobody waits for it. It is built beside its place under another name and renamed when it is whole.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import duckdb

from pipeline.errors import ConfigError, EnrichError
from pipeline.lake import views, warehouse
from pipeline.lake.durable import TEMPORARY, fsync, storage_errors, unique
from pipeline.lake.publish import STORAGE_VERSION
from pipeline.lake.snapshot import identifier, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

Format = Literal["duckdb", "parquet", "csv"]

NOTE = "export.json"
"""In an exported folder: revision, and each table's rows, comment and columns. It also marks the folder as ours."""

ENDINGS = (".duckdb", ".ddb", ".db")
"""Names that end so are database files; all others are folders."""

_ORDER = {table.name: place for place, table in enumerate(views.PUBLISHED)}
_FORMULA = "^[=+\\-@\\t\\r\\n\\x{FF0B}\\x{FF0D}\\x{FF1D}\\x{FF20}]"
"""How a cell begins that a spreadsheet runs as a formula (OWASP, CSV injection), full-width forms included."""

_ABANDONED = 86_400
"""Seconds after which a half-written copy is that of an export that was killed."""

_INTERRUPTED = "Query interrupted"
"""What DuckDB makes of Ctrl-C while a statement runs."""


class ExportError(EnrichError):
    """DuckDB could not write the copy, or not read what it is a copy of. Nothing is left of it."""


@dataclass(frozen=True, slots=True)
class Export:
    """What was written. `rows` by table, in the order in which a person should look at them."""

    path: Path
    format: Format
    revision: int
    rows: dict[str, int]
    bytes: int
    seconds: float


_FILE_ENDINGS = {".csv", ".parquet", ".json", ".xlsx"}


@dataclass(frozen=True, slots=True)
class _Table:
    """A table or view as the published version has it: columns as (name, type, comment)."""

    name: str
    comment: str
    columns: list[tuple[str, str, str]]


def export(home: Path, to: Path, *, format: Format, force: bool = False) -> Export:  # noqa: A002 - the option's word
    """Copy every published table and the rows of every view to `to`: a file for `duckdb`, else a folder.

    With `force` a file that is there is replaced, and a folder if it has an earlier export and nothing else. Raises
    `ConfigError` (nothing published, or a place that cannot be used), `StorageError`, `ExportError`.
    """
    started = time.monotonic()
    version = warehouse.current(home)
    if version is None:
        raise ConfigError(f"no warehouse has been published in {home} yet", hint="`enrich run` publishes at its end.")
    final = _place(home, to, format, force=force)
    with storage_errors("write", final):
        _remove(final, f".{final.name}-", older=_ABANDONED)
    temporary = final.with_name(f".{final.name}-{unique()}{TEMPORARY}")
    try:
        with storage_errors("write", final), _reading(version, temporary) as connection:
            rows = _write(connection, _tables(connection), version.revision, temporary, format)
        with storage_errors("write", final):
            written = [temporary] if format == "duckdb" else sorted(temporary.iterdir())
            size = sum(path.stat().st_size for path in written)
            for path in dict.fromkeys([*written, temporary]):
                fsync(path)
            _put(temporary, final, force=force)
    finally:
        _remove(final, temporary.name)
    return Export(final, format, version.revision, rows, size, time.monotonic() - started)


def _remove(final: Path, beginning: str, *, older: float | None = None) -> None:
    """Remove half-written copies beside the place whose names begin so, and that are older than these seconds."""
    for path in list(final.parent.iterdir()):
        if not path.name.startswith(beginning) or TEMPORARY not in path.name:
            continue
        with suppress(FileNotFoundError, PermissionError):  # another export removes it as well, or another person's
            if older is None or time.time() - path.lstat().st_mtime > older:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _place(home: Path, to: Path, format: Format, *, force: bool) -> Path:  # noqa: A002 - as above
    """Where the copy goes. Raises ConfigError for a place that has something which is not ours to replace."""
    final = to.expanduser().absolute()
    real = final.parent.resolve() / final.name
    if real.is_relative_to(home.resolve()):
        raise ConfigError(f"{to} is in the data folder itself", hint="Name another place for the copy.")
    if not final.parent.is_dir():
        raise ConfigError(f"{to}: there is no folder {final.parent}")
    if "?" in str(final):  # DuckDB takes the rest for a query string
        raise ConfigError(f"DuckDB cannot write to a path with '?' in it: {to}", hint="Choose another name.")
    if format == "duckdb":
        _refuse_file(final, force=force)
    else:
        if final.suffix.lower() in _FILE_ENDINGS and not final.is_dir():
            hint = f"Name a folder, or a file that ends in {ENDINGS[0]}; --format says what the folder's files are."
            raise ConfigError(f"{to} sounds like a file, and an export is a folder with one for each table", hint=hint)
        _refuse_folder(final, force=force)
    return final


def _refuse_file(final: Path, *, force: bool) -> None:
    if final.is_dir():
        raise ConfigError(f"{final} is a folder", hint="Name a file, such as out.duckdb.")
    log = final.with_name(f"{final.name}.wal")
    if log.exists():  # DuckDB would replay it onto the new file
        raise ConfigError(
            f"{log} is there: a program has {final.name} open, or did not close it", hint="Close it, or choose a name."
        )
    if os.path.lexists(final) and not force:
        raise ConfigError(f"{final} is there already", hint="--force replaces it.")


def _refuse_folder(final: Path, *, force: bool) -> None:
    if not os.path.lexists(final):
        return
    if final.is_symlink() or not final.is_dir():
        raise ConfigError(
            f"{final} is no folder", hint=f"Name a new one, or a file that ends in {ENDINGS[0]} for a database."
        )
    there = {path.name for path in final.iterdir()}
    if not there:
        return
    if NOTE not in there or not there <= _files_of(final):
        raise ConfigError(f"{final} has files that are of no export", hint="Name a new folder, or an empty one.")
    if not force:
        raise ConfigError(f"{final} has an export already", hint="--force replaces it.")


def _files_of(folder: Path) -> set[str]:
    """Names of the files that an earlier export wrote into a folder, as its note says."""
    try:
        note = json.loads((folder / NOTE).read_bytes())
        return {NOTE, *(str(table["file"]) for table in note["tables"])}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


@contextmanager
def _reading(version: warehouse.Current, temporary: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the version attached as `published`; what does not fit into memory goes beside the copy."""
    spill = temporary.with_name(f"{temporary.name}.spill")
    try:
        with duckdb.connect(":memory:", config={"temp_directory": str(spill)}) as connection:
            connection.execute(f"ATTACH {quoted(str(version.path))} AS published (READ_ONLY)")
            yield connection
    except duckdb.Error as error:
        raise ExportError(f"revision {version.revision} cannot be exported: {error}") from error
    except RuntimeError as error:
        if str(error) == _INTERRUPTED:
            raise KeyboardInterrupt from error
        raise


def _tables(connection: duckdb.DuckDBPyConnection) -> list[_Table]:
    """What the version has, which an older or newer program may have published."""
    comments: list[tuple[str, str]] = connection.execute(
        "SELECT table_name, comment FROM duckdb_tables() WHERE database_name = 'published' UNION ALL"
        " SELECT view_name, comment FROM duckdb_views() WHERE database_name = 'published' AND NOT internal"
    ).fetchall()
    found = []
    for name, comment in sorted(comments, key=lambda pair: (_ORDER.get(pair[0], len(_ORDER)), pair[0])):
        columns: list[tuple[str, str, str]] = connection.execute(
            "SELECT column_name, data_type, coalesce(comment, '') FROM duckdb_columns()"
            " WHERE database_name = 'published' AND table_name = ? ORDER BY column_index",
            [name],
        ).fetchall()
        found.append(_Table(name, comment or "", columns))
    return found


def _write(
    connection: duckdb.DuckDBPyConnection,
    tables: list[_Table],
    revision: int,
    temporary: Path,
    format: Format,  # noqa: A002 - as above
) -> dict[str, int]:
    if format == "duckdb":
        return _write_database(connection, tables, temporary)
    temporary.mkdir()
    rows = {table.name: _write_file(connection, table, temporary, format) for table in tables}
    note = {"revision": revision, "format": format, "tables": [_noted(t, rows[t.name], format) for t in tables]}
    (temporary / NOTE).write_text(json.dumps(note, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return rows


def _write_database(connection: duckdb.DuckDBPyConnection, tables: list[_Table], temporary: Path) -> dict[str, int]:
    rows = {}
    connection.execute(f"ATTACH {quoted(str(temporary))} AS copy (STORAGE_VERSION '{STORAGE_VERSION}')")
    for table in tables:
        name = f"copy.main.{identifier(table.name)}"
        sql = f"CREATE TABLE {name} AS FROM published.main.{identifier(table.name)}"
        ((rows[table.name],),) = connection.execute(sql).fetchall()
        connection.execute(f"COMMENT ON TABLE {name} IS {quoted(table.comment)}")
        for column, _, comment in table.columns:
            connection.execute(f"COMMENT ON COLUMN {name}.{identifier(column)} IS {quoted(comment)}")
    connection.execute("DETACH copy")  # writes its log into the file
    return rows


def _write_file(connection: duckdb.DuckDBPyConnection, table: _Table, folder: Path, format: str) -> int:  # noqa: A002
    guard = _guarded if format == "csv" else identifier
    columns = ", ".join(guard(name) if type_ == "VARCHAR" else identifier(name) for name, type_, _ in table.columns)
    options = "FORMAT csv, HEADER" if format == "csv" else "FORMAT parquet, COMPRESSION zstd"
    ((rows,),) = connection.execute(
        f"COPY (SELECT {columns} FROM published.main.{identifier(table.name)})"  # noqa: S608
        f" TO {quoted(str(folder / f'{table.name}.{format}'))} ({options})"
    ).fetchall()
    return int(rows)


def _guarded(name: str) -> str:
    """A text column for a spreadsheet: a cell that would be run as a formula gets an apostrophe before it."""
    column = identifier(name)
    return f"CASE WHEN regexp_matches({column}, {quoted(_FORMULA)}) THEN '''' || {column} ELSE {column} END AS {column}"


def _noted(table: _Table, rows: int, format: str) -> dict[str, Any]:  # noqa: A002
    columns = [{"name": name, "type": type_, "comment": comment} for name, type_, comment in table.columns]
    return {"name": table.name, "file": f"{table.name}.{format}", "rows": rows, "comment": table.comment} | {
        "columns": columns
    }


def _put(temporary: Path, final: Path, *, force: bool) -> None:
    """Give the copy its name. A file is swapped at once; a folder that has an export is moved aside for a moment."""
    if temporary.is_file():
        if force:
            temporary.replace(final)
        else:
            _link(temporary, final)
    elif final.exists() and any(final.iterdir()):
        aside = temporary.with_name(f"{temporary.name}.old")
        final.rename(aside)
        temporary.rename(final)
    else:
        temporary.rename(final)
    fsync(final.parent)


def _link(temporary: Path, final: Path) -> None:
    """Name a file without replacing one that has come meanwhile; where there are no links, by a look and a rename."""
    try:
        os.link(temporary, final)
    except FileExistsError:
        raise
    except OSError:  # exFAT, and other disks that one carries to a colleague
        if os.path.lexists(final):
            raise
        temporary.rename(final)
    else:
        temporary.unlink()
