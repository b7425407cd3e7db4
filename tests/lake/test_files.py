"""Parquet files: what is refused, what is durable, what is swept."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest
from lakes import Lake, child, finish, frame_of, landed_row

from pipeline.errors import IntegrityError
from pipeline.lake import tables
from pipeline.lake.durable import StorageError
from pipeline.lake.files import orphans, read_table, remove, validate_file, write_table

if TYPE_CHECKING:
    from pathlib import Path

WAITING = frame_of(tables.WAITING, [{"transaction_id": f"t{n}", "amount": n} for n in range(10)])


@pytest.mark.parametrize("table", tables.FILE_TABLES.values(), ids=lambda table: table.name)
def test_every_declared_table_round_trips_through_polars_and_duckdb(tmp_path: Path, table: tables.Table) -> None:
    frame = frame_of(table, [{}, {}])

    written = write_table(tmp_path, table, frame, stem="00000001-ab")

    validate_file(tmp_path, table, written.path)
    assert read_table(tmp_path, [written.path]).equals(frame)
    described = duckdb.sql(f"DESCRIBE FROM '{tmp_path / written.path}'").fetchall()
    assert [(name, type_) for name, type_, *_ in described] == [(c.name, c.type) for c in table.columns]


def test_what_is_reported_is_what_is_on_the_disk(tmp_path: Path) -> None:
    written = write_table(tmp_path, tables.WAITING, WAITING, stem="00000001-ab")

    content = (tmp_path / written.path).read_bytes()
    assert (written.rows, written.bytes) == (10, len(content))
    assert written.sha256 == hashlib.sha256(content).hexdigest()
    folder, shard, name = written.path.split("/")
    assert (folder, len(shard)) == ("waiting", 2)
    assert name.startswith("00000001-ab-")
    assert stat.S_IMODE((tmp_path / written.path).stat().st_mode) == 0o444
    codecs = duckdb.sql(f"SELECT DISTINCT compression FROM parquet_metadata('{tmp_path / written.path}')").fetchall()
    assert codecs == [("ZSTD",)]


def test_the_same_stem_again_makes_another_file(tmp_path: Path) -> None:
    first = write_table(tmp_path, tables.WAITING, WAITING, stem="s")
    second = write_table(tmp_path, tables.WAITING, WAITING.head(1), stem="s")

    assert first.path != second.path
    assert read_table(tmp_path, [first.path]).height == 10
    assert read_table(tmp_path, [second.path, first.path])["transaction_id"].to_list()[:2] == ["t0", "t0"]


def test_shards_spread_the_files(tmp_path: Path) -> None:
    paths = {write_table(tmp_path, tables.WAITING, WAITING, stem=f"{n:08d}").path.split("/")[1] for n in range(40)}

    assert len(paths) > 20


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (WAITING.drop("amount"), r"waiting: 1 columns missing \(amount\), 0 not declared"),
        (WAITING.with_columns(note=pl.lit("x")), r"waiting: 0 columns missing \(none\), 1 not declared \(note\)"),
        (WAITING.with_columns(pl.col("amount").cast(pl.Float64)), r"waiting: 1 columns of another type: amount"),
        (WAITING.with_columns(pl.col("ingested_at").dt.replace_time_zone("UTC")), "ingested_at is Datetime"),
        (WAITING.with_columns(pl.col("ingested_at").cast(pl.Datetime("ms"))), "ingested_at is Datetime"),
        (WAITING.select(WAITING.columns[::-1]), "another order than declared, from transaction_id on"),
        (
            WAITING.with_columns(date=pl.when(pl.col("amount") < 3).then("date")),
            r"waiting\.date: 7 of 10 rows are NULL",
        ),
    ],
)
def test_a_frame_that_is_not_as_declared_is_refused_by_name_and_count(
    tmp_path: Path, frame: pl.DataFrame, words: str
) -> None:
    with pytest.raises(IntegrityError, match=words):
        write_table(tmp_path, tables.WAITING, frame, stem="s")

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("stem", ["../up", "a/b", "", ".hidden", "with space", "x" * 121])
def test_a_stem_cannot_leave_its_folder(tmp_path: Path, stem: str) -> None:
    with pytest.raises(ValueError, match="not usable as a file name"):
        write_table(tmp_path, tables.WAITING, WAITING, stem=stem)


def test_validate_notices_another_schema_garbage_and_absence(tmp_path: Path) -> None:
    plan = write_table(tmp_path, tables.PLAN, frame_of(tables.PLAN, [{}]), stem="p").path
    (tmp_path / "garbage.parquet").write_bytes(b"PAR1 not really PAR1")

    with pytest.raises(IntegrityError, match=r"4 not declared \(batch_key, position, failed_tries, error_history\)"):
        validate_file(tmp_path, tables.WAITING, plan)
    with pytest.raises(IntegrityError, match="cannot be read as Parquet"):
        validate_file(tmp_path, tables.WAITING, "garbage.parquet")
    with pytest.raises(IntegrityError, match="cannot be read as Parquet"):
        validate_file(tmp_path, tables.WAITING, "waiting/00/gone.parquet")


def test_reading_takes_some_columns_or_no_files(tmp_path: Path) -> None:
    path = write_table(tmp_path, tables.WAITING, WAITING, stem="s").path

    assert read_table(tmp_path, [path], ["amount", "transaction_id"]).columns == ["amount", "transaction_id"]
    assert read_table(tmp_path, [], table=tables.WAITING).schema == WAITING.schema
    assert read_table(tmp_path, [], ["date"], table=tables.WAITING).schema == {"date": pl.Date}
    with pytest.raises(ValueError, match="pass table="):
        read_table(tmp_path, [])
    with pytest.raises(IntegrityError, match="cannot read 2 lake files"):
        read_table(tmp_path, [path, "waiting/00/gone.parquet"])
    with pytest.raises(ValueError, match="not a path inside"):
        read_table(tmp_path, ["../s.parquet"])


def test_a_folder_whose_name_looks_like_a_glob_or_a_partition_is_just_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "year=2026 [old]*"
    path = write_table(root, tables.WAITING, WAITING, stem="s").path

    assert read_table(root, [path]).equals(WAITING)


def test_orphans_are_old_files_that_nobody_knows(lake: Lake) -> None:
    known = lake.wait(["t1"]).relative_to(lake.root).as_posix()
    orphan = lake.write(tables.TRANSACTIONS, [landed_row("k", 0, "t1")], "k")
    recent = lake.write(tables.TRANSACTIONS, [landed_row("k", 0, "t1")], "k")
    dead = lake.root / "waiting" / "00" / ".s-1.parquet.tmp"
    dead.parent.mkdir(exist_ok=True)
    dead.write_bytes(b"half")
    for path in (lake.root / known, orphan, dead):
        os.utime(path, (time.time() - 7200,) * 2)

    found = orphans(lake.root, {known}, timedelta(hours=1))

    assert found == sorted(path.relative_to(lake.root).as_posix() for path in (orphan, dead))
    assert remove(lake.root, found) == 2
    assert remove(lake.root, found) == 0
    assert recent.exists()
    assert (lake.root / known).exists()
    assert orphans(lake.home / "nowhere", set(), timedelta(0)) == []


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of a file is what a process meets as a full disk, also when it runs as root.
    code = """
import resource, sys
from pathlib import Path
from lakes import frame_of
from pipeline.errors import EnrichError
from pipeline.lake import tables
from pipeline.lake.files import write_table
frame = frame_of(tables.WAITING, [{"transaction_id": f"{n * 7919:x}"} for n in range(5000)])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_table(Path(sys.argv[1]), tables.WAITING, frame, stem="s")
except EnrichError as error:
    print(type(error).__name__, error, error.hint)
"""
    out = finish(child(code, tmp_path))

    assert out.startswith(f"StorageError cannot write {tmp_path}/waiting/")
    assert "free space" in out
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_root_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("not a folder")

    with pytest.raises(StorageError, match="cannot write"):
        write_table(tmp_path / "lake", tables.WAITING, WAITING, stem="s")


def test_a_writer_that_is_killed_leaves_no_file_under_a_final_name(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from lakes import frame_of
from pipeline.lake import tables
from pipeline.lake.files import write_table
frame = frame_of(tables.WAITING, [{"transaction_id": f"{n * 7919:x}"} for n in range(20000)])
print("ready", flush=True)
while True:
    write_table(Path(sys.argv[1]), tables.WAITING, frame, stem="s")
"""
    writer = child(code, tmp_path)
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(0.3)
    writer.kill()
    writer.communicate(timeout=30)

    finished = list(tmp_path.rglob("[!.]*.parquet"))
    for path in finished:
        validate_file(tmp_path, tables.WAITING, path.relative_to(tmp_path).as_posix())
    assert finished
