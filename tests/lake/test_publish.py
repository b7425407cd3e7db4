"""Publishing: what is in the file, which revision is in force, what is cleared away, what is refused."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from filelock import FileLock
from lakes import Lake, child, finish, frame_of

from pipeline.errors import ConfigError, IntegrityError
from pipeline.lake import publish as publishing
from pipeline.lake import tables, views
from pipeline.lake.durable import StorageError
from pipeline.lake.publish import publish
from pipeline.lake.warehouse import current, query

KEEP = timedelta(days=3)
PUBLISHED = {table.name: table for table in views.PUBLISHED}


def _versions(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "warehouse").iterdir() if path.name != ".publish.lock")


@pytest.mark.parametrize("which", ["lake", "full"])
def test_everything_has_the_declared_columns_and_a_comment(which: str, request: pytest.FixtureRequest) -> None:
    some: Lake = request.getfixturevalue(which)
    publish(some.home, some.snapshot(), keep=KEEP)

    columns = query(
        some.home, "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal"
    )
    got: dict[str, list[tuple[str, ...]]] = {}
    for name, *column in columns.rows:
        got.setdefault(name, []).append(tuple(column))
    assert got == {n: [(c.name, c.type, c.comment) for c in table.columns] for n, table in PUBLISHED.items()}
    assert all(column.comment.strip() for table in PUBLISHED.values() for column in table.columns)
    comments = query(
        some.home,
        "SELECT table_name, comment FROM duckdb_tables() UNION ALL SELECT view_name, comment FROM duckdb_views()"
        " WHERE NOT internal",
    )
    assert dict(comments.rows) == {n: table.comment for n, table in PUBLISHED.items()}
    assert all(table.comment for table in PUBLISHED.values())


def test_an_empty_snapshot_publishes(lake: Lake) -> None:
    publication = publish(lake.home, lake.snapshot(0), keep=KEEP)

    assert (publication.revision, publication.published) == (0, True)
    for name in PUBLISHED:
        rows = query(lake.home, f"FROM main.{name}").rows
        assert len(rows) == (1 if name == "publication" else 0)


def test_every_accepted_row_is_shown_in_its_state(full: Lake) -> None:
    publish(full.home, full.snapshot(7), keep=KEEP)

    rows = query(
        full.home, "SELECT state, list(transaction_id ORDER BY transaction_id) FROM main.transactions GROUP BY 1"
    )
    assert dict(rows.rows) == {
        "waiting": ["b4"],
        "in_flight": ["b0", "b1"],
        "held": ["b2"],
        "quarantined": ["b3"],
        "enriched": ["a0", "a1", "a2", "a3", "a4"],
        "item_error": ["a5"],
    }
    got = query(full.home, "SELECT * EXCLUDE published_at FROM main.publication")
    assert got.columns[:3] == ["revision", "transactions", "waiting"]
    assert got.rows == [(7, 11, 1, 2, 5, 1, 1, 1, 12, 3)]


def test_frames_of_the_ledger_become_tables_with_equal_rows(full: Lake) -> None:
    for name, table in tables.LEDGER_TABLES.items():
        full.ledger[name] = frame_of(table, [{"batch_key": "k'1"}, {}])
    publish(full.home, full.snapshot(), keep=KEEP)

    for name in tables.LEDGER_TABLES:
        assert query(full.home, f"FROM main.{name}").rows == full.ledger[name].rows()
    kinds = query(full.home, "SELECT table_name FROM duckdb_tables() ORDER BY 1").rows
    assert [name for (name,) in kinds] == sorted(tables.LEDGER_TABLES)


def test_the_link_is_relative_and_the_version_is_durable_and_read_only(full: Lake) -> None:
    publication = publish(full.home, full.snapshot(12), keep=KEEP)

    link = full.home / "warehouse.duckdb"
    assert str(link.readlink()) == f"warehouse/{publication.path.name}"
    assert publication.path.name.startswith("rev-0000000012")
    assert stat.S_IMODE(publication.path.stat().st_mode) == 0o444
    assert _versions(full.home) == [publication.path.name]
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{link}' AS colleague (READ_ONLY)")
        # A view must not look into the session's own schema when the file is attached under another name.
        connection.execute("CREATE TABLE main.transactions AS SELECT 1 AS state")
        counted = connection.execute("SELECT sum(transactions) FROM colleague.main.spend_by_category").fetchall()
    assert counted == [(11,)]


def test_the_file_can_be_read_by_duckdb_1_0(full: Lake) -> None:
    path = publish(full.home, full.snapshot(), keep=KEEP).path

    # Bytes 12 to 20 are the storage version: 64 is that of v0.9 to v1.1 (DuckDB's storage_info).
    assert int.from_bytes(path.read_bytes()[12:20], "little") == 64


def test_an_older_revision_after_a_newer_one_is_skipped(full: Lake) -> None:
    newer = publish(full.home, full.snapshot(5), keep=KEEP)
    older = publish(full.home, full.snapshot(4), keep=KEEP)
    again = publish(full.home, full.snapshot(5), keep=KEEP)

    assert (older.published, older.revision, older.path) == (False, 5, newer.path)
    assert again.published
    assert again.path != newer.path
    now = current(full.home)
    assert now is not None
    assert (now.revision, now.path) == (5, again.path)


def test_a_link_whose_version_is_gone_is_healed(full: Lake) -> None:
    publish(full.home, full.snapshot(5), keep=KEEP).path.unlink()

    assert publish(full.home, full.snapshot(4), keep=KEEP).published
    assert query(full.home, "SELECT revision FROM main.publication").rows == [(4,)]


def test_a_moved_data_folder_is_published_again(full: Lake, tmp_path: Path) -> None:
    publish(full.home, full.snapshot(5), keep=KEEP)
    home = tmp_path / "it's [moved] year=2026*"
    full.home.rename(home)
    moved = {kind: [home / path.relative_to(full.home) for path in paths] for kind, paths in full.files.items()}
    plans = [(home / path.relative_to(full.home), state) for path, state in full.plans]

    publish(home, replace(full.snapshot(5), files=moved, plans=plans), keep=KEEP)

    assert query(home, "SELECT count(*) FROM main.transactions").rows == [(11,)]


def test_a_path_that_duckdb_misreads_is_refused_by_name(full: Lake) -> None:
    with pytest.raises(ConfigError, match="a folder with '\\?' in its path"):
        publish(full.home / "what?", full.snapshot(), keep=KEEP)


def test_versions_are_kept_for_as_long_as_said_since_they_were_replaced(full: Lake) -> None:
    paths = [publish(full.home, full.snapshot(n), keep=KEEP).path for n in (1, 2, 3)]
    day = 86_400
    for path, age in zip(paths, (9, 4, 2), strict=True):  # so 1 was replaced 4 days ago, 2 was replaced 2 days ago
        os.utime(path, (time.time() - age * day,) * 2)
    stale = paths[0].with_name(f"{paths[0].name}.wal")
    stale.write_bytes(b"left by a session")

    paths.append(publish(full.home, full.snapshot(4), keep=KEEP).path)
    assert _versions(full.home) == sorted(path.name for path in paths[1:])


def test_a_version_that_was_just_replaced_stays_for_those_who_are_opening_it(full: Lake) -> None:
    paths = [publish(full.home, full.snapshot(n), keep=timedelta(0)).path for n in (1, 2, 3)]

    assert _versions(full.home) == sorted(path.name for path in paths)


def test_leftovers_of_dead_publishers_are_cleared_and_a_foreign_wal_does_not_matter(full: Lake) -> None:
    publish(full.home, full.snapshot(1), keep=KEEP)
    folder = full.home / "warehouse"
    for name in (".building-dead.duckdb", ".building-dead.duckdb.wal", ".building-dead.batches.parquet"):
        (folder / name).write_bytes(b"half")
    (full.home / ".warehouse-dead.link").symlink_to("warehouse/nowhere")
    (full.home / "warehouse.duckdb.wal").write_bytes(b"not a log")
    (folder / "rev-0000000002.duckdb.wal").write_bytes(b"not a log")

    publish(full.home, full.snapshot(2), keep=KEEP)

    assert query(full.home, "SELECT revision FROM main.publication").rows == [(2,)]
    with duckdb.connect(str(full.home / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT revision FROM main.publication").fetchall() == [(2,)]
    assert not list(folder.glob(".building*"))
    assert not (full.home / ".warehouse-dead.link").is_symlink()


def test_a_missing_file_stops_publishing_and_the_old_revision_stays(full: Lake) -> None:
    publish(full.home, full.snapshot(1), keep=KEEP)
    gone = full.files["transactions"][1]
    gone.unlink()

    with pytest.raises(IntegrityError, match=f"revision 2: 1 files are missing, such as {gone}"):
        publish(full.home, full.snapshot(2), keep=KEEP)
    now = current(full.home)
    assert now is not None
    assert now.revision == 1


def test_a_file_of_another_table_stops_publishing(full: Lake) -> None:
    full.files["transactions"] = [full.files["waiting"][0]]

    with pytest.raises(IntegrityError, match="revision 1 cannot be published"):
        publish(full.home, full.snapshot(), keep=KEEP)
    assert _versions(full.home) == []
    assert current(full.home) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"files": {"transaction": []}},
        {"files": {"plan": []}},
        {"ledger": {}},
        {"plans": [("x", "waiting")]},
        {"files": {"waiting": [Path("relative.parquet")]}},
    ],
)
def test_a_snapshot_with_unknown_parts_is_refused(full: Lake, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a snapshot"):
        publish(full.home, replace(full.snapshot(), **wrong), keep=KEEP)


def test_a_ledger_frame_that_is_not_as_declared_is_refused(full: Lake) -> None:
    full.ledger["batches"] = full.ledger["batches"].with_columns(pl.lit(None, pl.String).alias("state"))

    with pytest.raises(IntegrityError, match=r"batches\.state: 2 of 2 rows are NULL"):
        publish(full.home, full.snapshot(), keep=KEEP)


def test_a_persons_own_database_is_never_replaced(full: Lake) -> None:
    own = full.home / "warehouse.duckdb"
    own.write_bytes(b"somebody's work")

    with pytest.raises(ConfigError, match="is not a link"):
        publish(full.home, full.snapshot(), keep=KEEP)
    assert own.read_bytes() == b"somebody's work"
    own.unlink()
    own.symlink_to("elsewhere.duckdb")
    with pytest.raises(ConfigError, match="points outside"):
        publish(full.home, full.snapshot(), keep=KEEP)


def test_a_publisher_that_never_ends_is_reported(full: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "LOCK_SECONDS", 0.05)
    (full.home / "warehouse").mkdir()

    with (
        FileLock(full.home / "warehouse" / ".publish.lock"),
        pytest.raises(publishing.PublishBusyError, match="has been publishing"),
    ):
        publish(full.home, full.snapshot(), keep=KEEP)
    assert publish(full.home, full.snapshot(), keep=KEEP).published


def test_a_full_disk_is_a_clear_error_and_the_old_revision_stays(full: Lake) -> None:
    publish(full.home, full.snapshot(1), keep=KEEP)
    # A limit on the size of a file is what a process meets as a full disk, also when it runs as root.
    code = """
import resource, sys
from datetime import timedelta
from pathlib import Path
from lakes import Lake
from pipeline.errors import EnrichError
from pipeline.lake.durable import StorageError
from pipeline.lake.publish import publish
lake = Lake(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    publish(lake.home, lake.snapshot(2), keep=timedelta(0))
except EnrichError as error:
    print(type(error).__name__, error)
"""
    out = finish(child(code, full.home))

    assert out.startswith("StorageError cannot publish revision 2")
    assert query(full.home, "SELECT revision FROM main.publication").rows == [(1,)]
    assert len(_versions(full.home)) == 1


def test_a_warehouse_folder_that_is_a_file_is_a_clear_error(full: Lake) -> None:
    (full.home / "warehouse").write_text("not a folder")

    with pytest.raises(StorageError, match="cannot publish in"):
        publish(full.home, full.snapshot(), keep=KEEP)
