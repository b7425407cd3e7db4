"""Parquet files of the lake: written once, under a name of their own, and never changed.

Belongs here: writing, checking and reading files of declared tables, and finding those that nobody refers to. Which
files make up a table is in the ledger's manifest, which this module does not know.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pipeline.errors import IntegrityError
from pipeline.lake.durable import StorageError, inside, new_file, safe_name, shard, storage_errors, unique

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta
    from pathlib import Path

    from pipeline.lake.tables import Table


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that is on the disk for good. `path` is relative to the lake's root; `sha256` is of the file's bytes."""

    path: str
    rows: int
    bytes: int
    sha256: str


def check_frame(table: Table, frame: pl.DataFrame) -> None:
    """Raise `IntegrityError` unless the frame has exactly the declared columns, in order, with the declared types."""
    _check_schema(table, frame.schema, table.name)
    required = [column.name for column in table.columns if column.required]
    for name, nulls in frame.select(pl.col(required).null_count()).row(0, named=True).items() if required else ():
        if nulls:
            raise IntegrityError(f"{table.name}.{name}: {nulls} of {frame.height} rows are NULL, but it is required")


def write_table(root: Path, table: Table, frame: pl.DataFrame, *, stem: str) -> WrittenFile:
    """Write a frame as a new zstd Parquet file `<table>/<shard>/<stem>-<unique>.parquet` under `root`.

    It is durable when this returns. Every call makes another file, so that a discarded attempt never collides with
    the one that counts. `stem` is from `[A-Za-z0-9._-]`. Raises `IntegrityError` when the frame is not what the table
    declares (naming table, column and count) and `StorageError` when the disk does not take it.
    """
    check_frame(table, frame)
    relative = f"{table.name}/{shard(stem)}/{safe_name(stem)}-{unique()}.parquet"
    final = root / relative
    with new_file(final, root=root) as temporary:
        try:
            frame.write_parquet(temporary, compression="zstd")
        except pl.exceptions.PolarsError as error:  # what polars makes of a full disk when it writes the footer
            raise StorageError(f"cannot write {final}: {error}") from error
        with temporary.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = temporary.stat().st_size
    return WrittenFile(relative, frame.height, size, digest)


def validate_file(root: Path, table: Table, relative: str) -> None:
    """Raise `IntegrityError` unless the file can be read and has exactly the declared columns, in order.

    Looks at the file's footer only, so required columns are not searched for NULL: `write_table` has done that.
    """
    try:
        # An open file: a path is taken for a glob, and with `[` in the data folder's name nothing landed.
        with inside(root, relative).open("rb") as stream:
            schema = pl.read_parquet_schema(stream)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise IntegrityError(f"{table.name}: {relative} cannot be read as Parquet: {error}") from error
    _check_schema(table, schema, f"{table.name}: {relative}")


def read_table(
    root: Path, files: Sequence[str], columns: Sequence[str] | None = None, *, table: Table | None = None
) -> pl.DataFrame:
    """Read files, given relative to `root`, in the order given; all columns or only those named.

    No files need `table`, to give an empty frame of its types; without it that raises `ValueError`. Raises
    `IntegrityError` when a file is missing or unreadable.
    """
    wanted = None if columns is None else list(columns)
    if not files:
        if table is None:
            raise ValueError("no files: pass table= to get an empty frame of its columns")
        empty = pl.DataFrame(schema=table.schema)
        return empty if wanted is None else empty.select(wanted)
    paths = [inside(root, relative) for relative in files]
    try:
        return pl.read_parquet(paths, columns=wanted, glob=False, hive_partitioning=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise IntegrityError(f"cannot read {len(files)} lake files, first {files[0]}: {error}") from error


def orphans(root: Path, known: set[str], older_than: timedelta) -> list[str]:
    """Paths relative to `root` of files that are not in `known` and were last written longer ago than `older_than`.

    Half-written files of dead writers are among them. `known` must hold every file that any revision refers to that
    may still be read. `older_than` must exceed the time between writing a file and committing it to the manifest.
    """
    horizon = time.time() - older_than.total_seconds()
    found = []
    with storage_errors("list", root):
        for path in root.rglob("*"):
            relative = path.relative_to(root).as_posix()
            if relative not in known and _is_older(path, horizon):
                found.append(relative)
    return sorted(found)


def remove(root: Path, files: Iterable[str]) -> int:
    """Delete files, given relative to `root`; those gone already do not matter. Returns how many were there."""
    removed = 0
    for relative in files:
        path = inside(root, relative)
        with storage_errors("delete", path):
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            removed += 1
    return removed


def _is_older(path: Path, horizon: float) -> bool:
    try:
        return path.is_file() and path.stat().st_mtime < horizon
    except FileNotFoundError:  # renamed or removed since it was listed: not ours to sweep
        return False


def _check_schema(table: Table, schema: dict[str, pl.DataType], where: str) -> None:
    declared = table.schema
    missing = [name for name in declared if name not in schema]
    extra = [name for name in schema if name not in declared]
    if missing or extra:
        raise IntegrityError(
            f"{where}: {len(missing)} columns missing ({', '.join(missing) or 'none'}),"
            f" {len(extra)} not declared ({', '.join(extra) or 'none'})"
        )
    wrong = [f"{name} is {schema[name]}, not {type_}" for name, type_ in declared.items() if schema[name] != type_]
    if wrong:
        raise IntegrityError(f"{where}: {len(wrong)} columns of another type: {'; '.join(wrong)}")
    if list(schema) != list(declared):
        place = next(name for name, other in zip(declared, schema, strict=True) if name != other)
        raise IntegrityError(f"{where}: {len(declared)} columns in another order than declared, from {place} on")
