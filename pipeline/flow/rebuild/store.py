"""Rows that were read again, on the disk: which were accepted first, and which batch each of them is in.

Memory is bounded whatever the number of rows, and a batch's rows are found without a look at all the others: they are
joined with their batches once, sorted, and read as slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipeline.flow.ingesting import KNOWN
from pipeline.lake import tables
from pipeline.lake.durable import unique
from pipeline.lake.snapshot import identifier, quoted, reader

MEMORY = "1GB"
"""For DuckDB, whose own limit of 80 % of the machine leaves nothing for the batch that is being read."""

_RAW = [column.name for column in tables.RAW_COLUMNS]
_TRIED = [column.name for column in tables.TRY_COLUMNS]
_PLACES = {"batch": pl.Int64, "transaction_id": pl.String, "position": pl.Int64} | {
    name: tables.PLAN.schema[name] for name in _TRIED
}
_ROW_GROUP = 20_480
"""Rows that a slice reads too much, at most twice; more groups than that make opening the file slow."""


@dataclass(frozen=True, slots=True)
class Store:
    """Tables `raw` (rows accepted first, of all files so far) and `places` (one row per row in a batch)."""

    connection: duckdb.DuckDBPyConnection
    folder: Path

    def known(self, accepted: pl.DataFrame) -> pl.DataFrame:
        """Those ids of a file's rows that earlier files brought, in the columns of `ingesting.KNOWN`."""
        with self._written(accepted.select("transaction_id")) as mine:
            found = self._rows(f"SELECT transaction_id, content_hash FROM raw SEMI JOIN {mine} USING (transaction_id)")  # noqa: S608
        return pl.DataFrame(found, schema=KNOWN, orient="row")

    def add_rows(self, new: pl.DataFrame, file: int) -> None:
        """Rows of file number `file` that were accepted first, in the columns of `tables.WAITING`."""
        self._insert("raw", new.with_columns(file=pl.lit(file, dtype=pl.Int64)))

    def add_places(
        self, batch: int, ids: list[str], gone: set[str], tries: dict[str, int], history: dict[str, str]
    ) -> int:
        """Put the rows `ids` less those that are `gone` into batch number `batch`; returns how many these are."""
        rows = [(batch, i, at, tries.get(i), history.get(i)) for at, i in enumerate(ids) if i not in gone]
        self._insert("places", pl.DataFrame(rows, schema=_PLACES, orient="row"))
        return len(rows)

    def placed_twice(self) -> list[tuple[str, list[int]]]:
        """Up to five ids that are in more than one batch, with the numbers of these."""
        return self._rows(
            "SELECT transaction_id, list(batch) FROM places GROUP BY transaction_id HAVING count(*) > 1"
            " ORDER BY transaction_id LIMIT 5"
        )

    def unknown(self) -> list[tuple[int, int, list[str]]]:
        """Batches with ids that no file brought: number of the batch, how many, and up to five of them."""
        return self._rows(
            "SELECT batch, count(*), list_sort(list(transaction_id))[:5] FROM places"
            " ANTI JOIN raw USING (transaction_id) GROUP BY batch ORDER BY batch"
        )

    def planned(self, batches: int) -> Iterator[pl.DataFrame]:
        """For each batch number its rows, in order, in the columns of `tables.PLAN` but for the batch's key."""
        columns = ", ".join(map(identifier, [*_RAW, "position", *_TRIED]))
        path = self._sorted(
            f"SELECT {columns} FROM places JOIN raw USING (transaction_id) ORDER BY batch, position"  # noqa: S608
        )
        counts = dict(self._rows("SELECT batch, count(*) FROM places GROUP BY batch"))
        start = 0
        for batch in range(batches):
            rows = counts.get(batch, 0)
            yield pl.scan_parquet(path, glob=False, hive_partitioning=False).slice(start, rows).collect()
            start += rows

    def waiting(self) -> pl.DataFrame:
        """Rows that are in no batch, in the order in which they came. All of them at once, as planning reads them."""
        columns = ", ".join(map(identifier, _RAW))
        path = self._sorted(
            f"SELECT {columns} FROM raw ANTI JOIN places USING (transaction_id) ORDER BY file, record_number"  # noqa: S608
        )
        return pl.read_parquet(path, glob=False, hive_partitioning=False)

    def _sorted(self, sql: str) -> Path:
        path = self.folder / "sorted.parquet"
        self.connection.execute(f"COPY ({sql}) TO {quoted(str(path))} (FORMAT parquet, ROW_GROUP_SIZE {_ROW_GROUP})")
        return path

    def _insert(self, table: str, frame: pl.DataFrame) -> None:
        if frame.height:
            with self._written(frame) as rows:
                self.connection.execute(f"INSERT INTO {table} BY NAME FROM {rows}")

    @contextmanager
    def _written(self, frame: pl.DataFrame) -> Iterator[str]:
        """The frame as SQL that reads it. A name of its own: DuckDB keeps what it read of a file by its path.

        With one name for all, most rebuilds in a run of the fault tests failed ("ZSTD Decompression failure", 1.5.6).
        """
        path = self.folder / f"frame-{unique()}.parquet"
        frame.write_parquet(path)
        yield reader([path])
        path.unlink()

    def _rows(self, sql: str) -> list[Any]:
        return self.connection.execute(sql).fetchall()


@contextmanager
def open_store(folder: Path) -> Iterator[Store]:
    """An empty store in `folder`, which is the caller's to remove."""
    raw = ", ".join(f"{identifier(column.name)} {column.type}" for column in tables.RAW_COLUMNS)
    tried = ", ".join(f"{identifier(column.name)} {column.type}" for column in tables.TRY_COLUMNS)
    settings: dict[str, Any] = {"memory_limit": MEMORY, "temp_directory": str(folder / "spill")}
    with duckdb.connect(folder / "store.duckdb", config=settings) as connection:
        connection.execute(f"CREATE TABLE raw ({raw}, file BIGINT)")
        connection.execute(f"CREATE TABLE places (batch BIGINT, transaction_id VARCHAR, position BIGINT, {tried})")
        yield Store(connection, folder)
