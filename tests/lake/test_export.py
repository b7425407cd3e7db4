"""The copy for other programs: whole, of one revision, on its own; and what it refuses to write over."""

from __future__ import annotations

import csv
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from lakes import Lake, child, finish, landed_row

from pipeline.errors import ConfigError
from pipeline.lake import tables, views
from pipeline.lake.export import NOTE, ExportError, export
from pipeline.lake.publish import publish
from pipeline.lake.warehouse import query

KEEP = timedelta(days=3)
NAMES = [table.name for table in views.PUBLISHED]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "a [copy] of it's"
    folder.mkdir()
    return folder


def _published(lake: Lake, revision: int = 1) -> Lake:
    publish(lake.home, lake.snapshot(revision), keep=KEEP)
    return lake


def test_a_database_file_has_every_row_of_every_table_and_view_and_needs_nothing_else(full: Lake, out: Path) -> None:
    _published(full, 7)
    wanted = {name: sorted(map(repr, query(full.home, f"FROM main.{name}").rows)) for name in NAMES}
    done = export(full.home, out / "copy.duckdb", format="duckdb")
    shutil.rmtree(full.home)

    assert (done.revision, list(done.rows), done.rows["transactions"]) == (7, NAMES, 11)
    assert [path.name for path in out.iterdir()] == ["copy.duckdb"]
    assert str(full.home).encode() not in done.path.read_bytes()
    # A new process and nothing of ours: what a colleague has.
    code = """
import json, sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    names = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
    assert connection.execute("SELECT count(*) FROM duckdb_views() WHERE NOT internal").fetchall() == [(0,)]
    rows = {name: sorted(map(repr, connection.execute(f"FROM {name}").fetchall())) for name in names}
    print(json.dumps(rows))
"""
    assert json.loads(finish(child(code, done.path))) == wanted
    with duckdb.connect(str(done.path)) as connection:  # it is the colleague's own, and can be written to
        connection.execute("DELETE FROM transactions")


def test_types_and_comments_are_the_declared_ones(full: Lake, out: Path) -> None:
    _published(full)
    done = export(full.home, out / "copy.duckdb", format="duckdb")
    with duckdb.connect(str(done.path), read_only=True) as connection:
        found = connection.execute(
            "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
        comments = dict(connection.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall())
    wanted = [(t.name, c.name, c.type, c.comment) for t in views.PUBLISHED for c in t.columns]
    assert sorted(found) == sorted(wanted)
    assert comments == {table.name: table.comment for table in views.PUBLISHED}


def test_a_folder_of_parquet_files_can_be_read_by_others(full: Lake, out: Path) -> None:
    _published(full, 3)
    done = export(full.home, out / "files", format="parquet")
    assert sorted(path.name for path in done.path.iterdir()) == sorted([NOTE, *(f"{name}.parquet" for name in NAMES)])
    file = str(done.path / "transactions.parquet").replace("[", "[[]")
    total = duckdb.sql(f"SELECT count(*), sum(amount) FROM read_parquet('{file.replace(chr(39), chr(39) * 2)}')")
    assert total.fetchall() == query(full.home, "SELECT count(*), sum(amount) FROM transactions").rows
    note = json.loads((done.path / NOTE).read_text())
    assert note["revision"] == 3
    assert [t["name"] for t in note["tables"]] == NAMES
    first = note["tables"][0]
    assert (first["rows"], first["columns"][0]["comment"]) == (11, views.PUBLISHED[0].columns[0].comment)


@pytest.mark.parametrize("text", ["=HYPERLINK(A1)", "+1+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1+1"])
def test_a_csv_cell_is_never_a_formula(lake: Lake, out: Path, text: str) -> None:
    rows = [
        landed_row("00000001-aa", 0, "a", description=text),
        landed_row("00000001-aa", 1, "b", description="TEA, 2"),
    ]
    lake.add(tables.TRANSACTIONS, rows)
    _published(lake)
    done = export(lake.home, out / "files", format="csv")
    with (done.path / "transactions.csv").open(newline="", encoding="utf-8") as stream:
        read = {row["transaction_id"]: row for row in csv.DictReader(stream)}
    assert read["a"]["description"] == f"'{text}"
    assert read["b"]["description"] == "TEA, 2"
    assert (read["b"]["amount"], read["b"]["category"]) == ("10.0000", "")
    parquet = export(lake.home, out / "exact", format="parquet")  # as the bank printed it
    path = str(parquet.path / "transactions.parquet").replace("[", "[[]").replace("'", "''")
    assert (text,) in duckdb.sql(f"SELECT description FROM '{path}'").fetchall()


@pytest.mark.parametrize("format_", ["duckdb", "parquet"])
def test_nothing_is_written_over_unless_it_is_said(full: Lake, out: Path, format_: str) -> None:
    _published(full)
    place = out / ("copy.duckdb" if format_ == "duckdb" else "files")
    export(full.home, place, format=format_)
    _published(full, 2)
    with pytest.raises(ConfigError, match="already"):
        export(full.home, place, format=format_)
    assert export(full.home, place, format=format_, force=True).revision == 2
    assert [path.name for path in out.iterdir()] == [place.name]


def test_places_that_are_somebody_elses_stay_as_they_are(full: Lake, out: Path) -> None:
    _published(full)
    (out / "mine").mkdir()
    (out / "mine" / "thesis.txt").write_text("years of work")
    (out / "some").write_text("a file")
    done = export(full.home, out / "files", format="csv")
    (done.path / "notes.txt").write_text("mine")
    (out / "open.duckdb.wal").write_bytes(b"of a program that has it open")
    for format_, place, why in (
        ("parquet", out / "mine", "files that are of no export"),
        ("csv", out / "files", "files that are of no export"),
        ("parquet", out / "some", "is no folder"),
        ("duckdb", out / "mine", "is a folder"),
        ("duckdb", out / "open.duckdb", "open.duckdb.wal is there"),
        ("duckdb", full.home / "warehouse.duckdb", "in the data folder itself"),
        ("parquet", full.home / "lake", "in the data folder itself"),
        ("duckdb", out / "none" / "copy.duckdb", "there is no folder"),
        ("duckdb", out / "what?.duckdb", "with '\\?' in it"),
    ):
        with pytest.raises(ConfigError, match=why):
            export(full.home, place, format=format_, force=True)
    assert (out / "mine" / "thesis.txt").read_text() == "years of work"
    assert (done.path / "notes.txt").read_text() == "mine"
    assert query(full.home, "SELECT count(*) FROM transactions").rows == [(11,)]


def test_an_empty_folder_is_taken(full: Lake, out: Path) -> None:
    _published(full)
    (out / "files").mkdir()
    assert len(list(export(full.home, out / "files", format="csv").path.iterdir())) == len(NAMES) + 1


def test_before_the_first_publication_there_is_nothing_to_copy(lake: Lake, out: Path) -> None:
    lake.home.mkdir()
    with pytest.raises(ConfigError, match="no warehouse has been published"):
        export(lake.home, out / "copy.duckdb", format="duckdb")


def test_a_full_disk_leaves_the_copy_before_and_nothing_else(full: Lake, out: Path) -> None:
    _published(full)
    before = export(full.home, out / "copy.duckdb", format="duckdb").path.read_bytes()
    code = """
import resource, sys
from pathlib import Path
from pipeline.errors import EnrichError
from pipeline.lake.export import export
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    export(Path(sys.argv[1]), Path(sys.argv[2]), format="duckdb", force=True)
except EnrichError as error:
    print(type(error).__name__, error)
"""
    assert "cannot be exported" in finish(child(code, full.home, out / "copy.duckdb"))
    assert [path.name for path in out.iterdir()] == ["copy.duckdb"]
    assert (out / "copy.duckdb").read_bytes() == before


def test_a_missing_file_is_named_and_leaves_nothing(full: Lake, out: Path) -> None:
    _published(full)
    gone = full.files["transactions"][0]
    gone.unlink()
    for format_, name in (("duckdb", "copy.duckdb"), ("csv", "files")):
        with pytest.raises(ExportError, match=gone.name):
            export(full.home, out / name, format=format_)
    assert list(out.iterdir()) == []


def test_copies_are_of_one_revision_while_others_are_published(full: Lake, out: Path) -> None:
    """Each revision has one more waiting row; a copy whose tables were of two revisions would contradict itself."""
    _published(full)
    publisher = child(
        """
import sys, time
from datetime import timedelta
from pathlib import Path
from lakes import Lake, fill
from pipeline.lake.publish import publish
lake = Lake(Path(sys.argv[1]))
fill(lake)
for n in range(2, 1000):
    lake.wait([f"w{n}"])
    publish(lake.home, lake.snapshot(n), keep=timedelta(0))
    print(n, flush=True)
""",
        full.home,
    )
    try:
        publisher.stdout.readline()
        revisions = set()
        for n in range(8):
            done = export(full.home, out / f"{n}.duckdb", format="duckdb")
            with duckdb.connect(str(done.path), read_only=True) as connection:
                ((count, states, said, revision),) = connection.execute(
                    "SELECT (SELECT count(*) FROM transactions), (SELECT count(*) FROM transaction_states),"
                    " transactions, revision FROM publication"
                ).fetchall()
            assert (count, states, said) == (revision + 10,) * 3
            revisions.add(revision)
        assert len(revisions) > 1
    finally:
        publisher.kill()
        publisher.communicate()


def test_a_copy_has_the_permissions_of_any_new_file(full: Lake, out: Path) -> None:
    _published(full)
    (out / "any").touch()
    made = export(full.home, out / "copy.duckdb", format="duckdb").path
    assert made.stat().st_mode == (out / "any").stat().st_mode
    assert made.stat().st_nlink == 1


def test_ctrl_c_ends_it_and_leaves_nothing(full: Lake, out: Path) -> None:
    _published(full)
    code = """
import os, signal, sys, threading, time
from pathlib import Path
from pipeline.lake.export import export
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where the tests were started in the background
interrupted = threading.Event()
def press():  # again, as a person would: what is raised in a finalizer is printed by Python and ignored
    time.sleep(float(sys.argv[3]))
    while not interrupted.is_set():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
threading.Thread(target=press, daemon=True).start()
try:
    while True:
        export(Path(sys.argv[1]), Path(sys.argv[2]), format="duckdb", force=True)
except KeyboardInterrupt:
    interrupted.set()
    print("interrupted")
"""
    for seconds in (0.3, 0.37, 0.44, 0.51):
        assert finish(child(code, full.home, out / "copy.duckdb", seconds)) == "interrupted\n"
        assert {path.name for path in out.iterdir()} <= {"copy.duckdb"}


def test_what_a_killed_export_left_goes_with_the_next_one_to_the_same_place(full: Lake, out: Path) -> None:
    _published(full)
    left = [out / f".copy[1].duckdb-{'a' * 16}.tmp{end}" for end in ("", ".wal")]
    (out / f".copy[1].duckdb-{'c' * 16}.tmp.spill").mkdir()
    others = [out / ".copy[1].duckdb-notes", out / f".other.duckdb-{'a' * 16}.tmp"]
    young = out / f".copy[1].duckdb-{'b' * 16}.tmp"
    for path in (*left, *others, young):
        path.write_bytes(b"x")
    for path in out.iterdir():
        os.utime(path, (0, 0))
    os.utime(young)  # another export, under way
    export(full.home, out / "copy[1].duckdb", format="duckdb")
    assert set(out.iterdir()) == {out / "copy[1].duckdb", *others, young}


@pytest.mark.parametrize("name", ["tables.csv", "tables.parquet"])
def test_a_folder_is_not_called_like_a_file(full: Lake, out: Path, name: str) -> None:
    _published(full)
    with pytest.raises(ConfigError, match="sounds like a file"):
        export(full.home, out / name, format="csv")
    (out / name).mkdir()  # unless somebody wants it so
    assert export(full.home, out / name, format="csv").path == out / name
