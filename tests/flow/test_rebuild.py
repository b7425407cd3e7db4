"""Tables made again from ledger and archive: identical, put back when lost, shown before anything is replaced."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys

import polars as pl
import pytest
from sqlalchemy import delete, null, select, update
from typer.testing import CliRunner

from pipeline.cli import rebuild as cli_rebuild
from pipeline.errors import ConflictError, IntegrityError
from pipeline.flow import ingesting, operating, rebuilding
from pipeline.flow.category_sets import fetch_category_sets
from pipeline.flow.publishing import publish_warehouse
from pipeline.flow.rebuild import comparing
from pipeline.flow.rebuilding import rebuild
from pipeline.flow.recurrence import refresh
from pipeline.ingest import interpret, rules
from pipeline.ingest.mapping import Mapping
from pipeline.lake import files, tables
from pipeline.lake.views import VIEWS
from pipeline.lake.warehouse import query
from pipeline.ledger import batches, documents, manifest, schema
from pipeline.ledger import operating as ledger_operating
from pipeline.ledger.states import State

POST = "POST /v3/batches"
RESULTS = "GET /v3/batches/{id}/results"
CARD = """
[file]
delimiter = ";"
decimal = ","
[date]
column = "Tag"
format = "%d.%m.%Y"
[description]
columns = ["Text", "Zusatz"]
[amount]
column = "Betrag"
sign = "negative_is_outgoing"
[currency]
constant = "EUR"
[account_holder_id]
constant = "holder-x"
[account_holder_type]
constant = "business"
"""
FAULTS = [
    {"call": POST, "ids": ["tx-3", "tx-7"], "do": "item_error", "to": 1},  # sent again by itself
    {"call": POST, "ids": ["tx-11"], "do": "item_error"},  # given up
    {"call": POST, "ids": ["tx-25"], "do": "batch_error"},  # found by halves
    {"call": RESULTS, "ids": ["tx-14"], "do": "missing_items"},  # had one by one
    {"call": RESULTS, "ids": ["tx-16"], "do": "unknown_fields"},
]


def tables_of(ws):
    """Every table of the warehouse, but for the time of its publication."""
    names = {
        *tables.LEDGER_TABLES,
        *VIEWS,
        "transactions",
        "intermediaries",
        "raw_transactions",
        "rejected_rows",
        "recurrence_groups",
    }
    return {n: query(ws.home, f"SELECT * FROM {n} ORDER BY ALL").rows for n in names - {"publication"}}


def live(ws, *kinds, **more):
    with ws.ledger.read() as conn:
        return manifest.live(conn, *kinds, **more)


def on_disk(ws):
    return {path for path in ws.home.rglob("*") if path.is_file() and path.parts[-2] != "ledger"}


def rewrite(ws, row, change):
    """Put other content into a live file, as no part of the product ever does."""
    path = ws.lake / row.path
    frame = change(pl.read_parquet(path))
    path.chmod(0o644)
    frame.write_parquet(path)


def differing(report):
    return {name for name, table in report.tables.items() if table.differs}


@pytest.fixture
def small(steps_for, bank_file):
    """Twelve landed rows in two batches, two of them rejected; published."""
    steps = steps_for(batch_size=6)
    steps.ingest(bank_file(12, bad=2))
    steps.plan()
    steps.finish()
    assert publish_warehouse(steps.ws).published
    return steps


@pytest.fixture
def rich(steps_for, bank_file, monthly_file, tmp_path):
    """Something of everything that a data folder may hold; published."""
    steps = steps_for(
        batch_size=20, backoff_base=0, max_attempts=2, item_attempts=2, faults=FAULTS, sandbox={"error_batch_nth": (1,)}
    )
    steps.ingest(bank_file(40, bad=2))
    steps.plan()
    steps.finish()
    steps.ingest(monthly_file("monthly.csv"))
    steps.plan()
    steps.finish()
    refresh(steps.ws, steps.client)
    fetch_category_sets(steps.ws, steps.client)
    # tx-11 is sent once more by a person, so that its batch gets another version.
    errors = {key for key, code in steps.rows("batch_key", "error_code").values() if code == "internal_error"}
    operating.retry(steps.ws, errors.pop(), who="ana", why="cured, says support")
    steps.ingest(overlapping(bank_file, tmp_path))
    steps.ingest(card_file(tmp_path), mapping=tmp_path / "card.toml")
    held, *_ = steps.plan()
    ledger_operating.hold(steps.ws.ledger, held, who="ana", why="not yet")
    (tmp_path / "late.csv.gz").write_bytes(gzip.compress(bank_file(5, name="x.csv", start=58).read_bytes()))
    steps.ingest(tmp_path / "late.csv.gz")
    assert publish_warehouse(steps.ws).published
    return steps


def overlapping(bank_file, tmp_path):
    """Repeats of tx-30 to tx-39; tx-40 to tx-59, one of a holder of another type; tx-0 with another amount."""
    text = bank_file(30, name="x.csv", start=30).read_text().splitlines()
    text[15] = text[15].replace(",consumer", ",business")
    text.append("tx-0,2026-01-01,SQ *BLUE BOTTLE COFFEE,9.99,outgoing,USD,US,holder-0,consumer")
    path = tmp_path / "overlapping.csv"
    path.write_text("\n".join(text) + "\n")
    return path


def card_file(tmp_path):
    """Four records in columns of their own, one of them with a date that the calendar lacks; `card.toml` beside it."""
    path = tmp_path / "card.csv"
    path.write_text(
        "Tag;Text;Zusatz;Betrag\n01.02.2026;REWE SAGT DANKE;12;-12,50\n30.02.2026;X;;1\n03.02.2026;REWE;;-1,5\n"
        "03.02.2026;REWE;;-1,5\n"
    )
    (tmp_path / "card.toml").write_text(CARD)
    return path


# -- the same tables again ----------------------------------------------------------------------------------------


def something_of_everything(rich):
    """That the folder of these tests is what it is for."""
    ws = rich.ws
    assert {row.kind for row in live(ws)} == {*tables.FILE_TABLES}
    states = {row.state for row in batches.in_states(ws.ledger, *State)}
    assert states == {State.LANDED, State.SPLIT, State.QUARANTINED, State.HELD, State.PLANNED}
    reasons = {reason for key in rich.keys(*State) for reason in (a.reason for a in rich.attempts(key))}
    assert reasons == {"first", "batch_error", "item_error", "split"}
    assert {row.landed_version for row in batches.in_states(ws.ledger, State.LANDED)} == {1, 2}
    kinds = {row.kind for row in ws.ledger.rows(select(schema.documents))}
    assert kinds == {documents.PLAN, documents.RESULTS, documents.SINGLES}
    rejected = files.read_table(ws.lake, [row.path for row in live(ws, "rejected_rows")])
    said = " ".join(reason for reasons in rejected["reasons"] for reason in reasons)
    assert "id: conflict" in said
    assert "account_holder_type: conflict" in said
    assert any(rich.rows("extra").values())
    mappings = [row.mapping for row in ws.ledger.rows(select(schema.source_files.c.mapping))]
    assert sorted(m is None for m in mappings) == [False, True, True, True, True]


def test_nothing_is_changed_when_everything_is_identical(rich):
    something_of_everything(rich)
    before, revision = on_disk(rich.ws), manifest.head(rich.ws.ledger).revision
    report = rebuild(rich.ws)
    assert (report.differs, report.lost, report.committed, report.revision) == (False, [], None, revision)
    assert {name for name, t in report.tables.items() if t.rows and t.same == t.rows} == {*tables.FILE_TABLES}
    assert report.rows == sum(row.rows for row in live(rich.ws))
    assert report.files == len(live(rich.ws))
    assert manifest.head(rich.ws.ledger).revision == revision
    assert on_disk(rich.ws) == before


def test_a_lost_lake_is_put_back_row_for_row(rich):
    ws, before, lost = rich.ws, tables_of(rich.ws), len(live(rich.ws))
    shutil.rmtree(ws.lake)
    report = rebuild(ws)
    assert (report.differs, len(report.lost)) == (False, lost)
    assert sum(t.restored for t in report.tables.values()) == report.rows
    assert report.committed == report.revision + 1
    assert publish_warehouse(ws).violations == []
    assert tables_of(ws) == before
    assert rebuild(ws).committed is None
    # What is put back is worked on as if nothing had been.
    rich.finish()
    ledger_operating.release(ws.ledger, rich.keys(State.HELD)[0], who="ana", why="now")
    rich.plan()
    rich.finish()
    assert rich.check()["in_flight"] == 0
    assert not rebuild(ws).differs


def test_files_of_one_kind_that_are_lost_are_put_back_and_no_other_is_touched(rich):
    ws, before = rich.ws, tables_of(rich.ws)
    for kind in tables.FILE_TABLES:
        others = {row.path for row in live(ws) if row.kind != kind}
        for number, row in enumerate(live(ws, kind)):
            path = ws.lake / row.path
            path.chmod(0o644)
            path.write_bytes(b"PAR1 no more") if number % 2 else path.unlink()
        report = rebuild(ws)
        assert not report.differs
        assert report.tables[kind].restored == report.tables[kind].rows > 0
        assert others < {row.path for row in live(ws)}
    assert publish_warehouse(ws).violations == []
    assert tables_of(ws) == before


@pytest.mark.sqlite
def test_it_needs_no_network_and_says_so_in_json(rich, tmp_path):
    """A process of its own that ends at the first address that it connects to: the one that the test itself tries."""
    shutil.rmtree(rich.ws.lake)
    script = (
        "import os, socket, sys\n"
        "def ban(event, _args):\n"
        "    if event in {'socket.connect', 'socket.getaddrinfo', 'socket.sendto'}:\n"
        "        os._exit(77)\n"
        "sys.addaudithook(ban)\n"
        "import pipeline.cli.rebuild\n"
        "from pipeline.cli.main import app\n"
        "try:\n"
        "    app(['rebuild', '--json'])\n"
        "except SystemExit as done:\n"
        "    assert not done.code, done.code\n"
        "sys.stdout.flush()\n"
        "socket.create_connection(('127.0.0.1', 9))\n"
    )
    environment = os.environ | {"ENRICH_DATA_DIR": str(rich.ws.home), "ENRICH_BASE_URL": rich.ws.settings.url}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 77, done.stderr
    report = json.loads(done.stdout)  # without a word on it if it had ended before
    assert report["committed"] == report["revision"] + 1
    assert report["violations"] == []
    assert report["tables"]["transactions"]["restored"] == len(rich.rows("state"))
    assert rebuild(rich.ws).lost == []


# -- what differs -------------------------------------------------------------------------------------------------


def test_damage_is_shown_and_replaced_only_when_accepted(small):
    ws, before = small.ws, tables_of(small.ws)
    row = live(ws, "transactions")[0]
    rewrite(ws, row, lambda f: f.with_columns(category=pl.lit("x"), amount=pl.col("amount").replace_strict(
        {f["amount"][0]: f["amount"][0] + 1}, default=pl.col("amount")))[:-1])  # fmt: skip
    report = rebuild(ws)
    found = report.tables["transactions"]
    assert (report.differs, report.committed, differing(report)) == (True, None, {"transactions"})
    assert (found.rows, found.same, found.differing, found.only_rebuilt, found.only_live) == (12, 6, 5, 1, 0)
    assert found.columns["category"] == 5
    assert found.columns["amount"] >= 1
    assert len(found.examples) == 5
    assert found.damaged == [row.path]
    assert row.path in {r.path for r in live(ws, "transactions")}
    accepted = rebuild(ws, accept=True)
    assert accepted.committed == report.revision + 1
    assert row.path not in {r.path for r in live(ws, "transactions")}
    assert small.row(row.batch_key).verified_version == 0
    assert publish_warehouse(ws).violations == []
    assert small.row(row.batch_key).verified_version == 1
    assert tables_of(ws) == before
    assert not rebuild(ws).differs


def test_a_file_of_an_older_schema_differs_in_what_it_lacks(small):
    row = live(small.ws, "transactions")[0]
    rewrite(small.ws, row, lambda f: f.drop("extra").with_columns(pl.col("position").cast(pl.Int32), odd=pl.lit(1)))
    found = rebuild(small.ws).tables["transactions"]
    assert found.columns == {"extra": 6, "odd": 6, "position": 6}
    rebuild(small.ws, accept=True)
    assert publish_warehouse(small.ws).violations == []


def test_rows_in_another_order_differ_for_a_plan_is_sent_in_its_order(steps_for, bank_file):
    steps = steps_for()
    steps.ingest(bank_file(6))
    steps.plan()
    rewrite(steps.ws, live(steps.ws, "plan")[0], lambda f: f.reverse())
    assert rebuild(steps.ws).tables["plan"].columns == {comparing.ROW_ORDER: 6}


def test_a_changed_parser_shows_the_difference_before_it_is_accepted(small, monkeypatch):
    ws, build = small.ws, rebuilding.build

    def newer(*args, **given):
        made = build(*args, **given)
        named = pl.col("category").str.to_uppercase()
        # It finds no intermediaries any more, and writes categories in another way.
        return rebuilding.Landing(
            made.transactions.with_columns(category=named), made.intermediaries.clear(), made.again, made.counts,
            made.problems, made.lost_holders, made.unknown_fields,
        )  # fmt: skip

    monkeypatch.setattr(rebuilding, "build", newer)
    between = sum(row.rows for row in live(ws, "intermediaries"))
    assert between
    report = rebuild(ws)
    assert (differing(report), report.committed) == ({"transactions", "intermediaries"}, None)
    assert report.tables["transactions"].columns == {"category": 12}
    assert report.tables["transactions"].damaged == []
    assert report.tables["intermediaries"].only_live == between
    rebuild(ws, accept=True)
    assert live(ws, "intermediaries") == []
    assert publish_warehouse(ws).violations == []
    assert query(ws.home, "SELECT count(*) FROM transactions WHERE category = upper(category)").rows == [(12,)]
    assert not rebuild(ws).differs


def test_lost_files_are_not_put_back_beside_a_difference_that_nobody_accepted(small):
    ws = small.ws
    rewrite(ws, live(ws, "transactions")[0], lambda f: f.with_columns(category=pl.lit("x")))
    lost = live(ws, "rejected_rows")[0].path
    (ws.lake / lost).unlink()
    report = rebuild(ws)
    assert (report.lost, report.committed) == ([lost], None)
    assert rebuild(ws, accept=True).committed
    assert publish_warehouse(ws).violations == []


def test_a_lost_file_with_another_number_of_rows_is_a_difference(small, monkeypatch):
    ws, build = small.ws, rebuilding.build
    row = live(ws, "transactions")[0]
    (ws.lake / row.path).unlink()

    def newer(rows, *args, **given):
        return build(rows[1:], *args, **given)

    monkeypatch.setattr(rebuilding, "build", newer)
    found = rebuild(ws).tables["transactions"]
    assert (found.restored, found.only_live, found.only_rebuilt) == (5, 2, 0)


def test_a_newer_reader_that_accepts_more_adds_waiting_rows_and_their_holders(small, monkeypatch, bank_file):
    """A country that the API lacks makes a row rejected; suppose a later version leaves it out instead."""
    ws = small.ws
    small.ingest(odd_file(bank_file))
    assert publish_warehouse(ws).published
    monkeypatch.setitem(interpret._SECTIONS, "country", lambda value: rules.country(value.replace("XX", "")))
    report = rebuild(ws)
    assert differing(report) == {"raw_transactions", "rejected_rows", "waiting"}
    assert report.recounted == ["odd.csv"]
    assert report.tables["waiting"].examples == ["odd-1"]
    assert report.tables["rejected_rows"].examples == ["record 1"]
    rebuild(ws, accept=True)
    assert publish_warehouse(ws).violations == []
    (row,) = [row for row in ws.ledger.rows(select(schema.source_files)) if row.name == "odd.csv"]
    assert (row.accepted, row.rejected) == (2, 0)
    small.plan()
    small.finish()
    assert small.check()["enriched"] == 14
    assert not rebuild(ws).differs


def odd_file(bank_file):
    path = bank_file(0, name="odd.csv")
    with path.open("a") as stream:
        stream.write("odd-1,2026-01-01,TESCO,1,outgoing,USD,XX,holder-new,consumer\n")
        stream.write("odd-2,2026-01-01,TESCO,2,outgoing,USD,US,holder-0,consumer\n")
    return path


# -- what cannot be rebuilt ---------------------------------------------------------------------------------------


def archived(ws, kind):
    """Paths of one kind of archived file."""
    if kind == "source":
        return [path for (path,) in ws.ledger.rows(select(schema.source_files.c.archive_path))]
    d = schema.documents
    return [path for (path,) in ws.ledger.rows(select(d.c.path).where(d.c.kind == kind))]


def test_what_the_archive_lacks_is_named_and_nothing_is_changed(small):
    ws, revision = small.ws, manifest.head(small.ws.ledger).revision
    shutil.rmtree(ws.lake)
    for kind in ("source", documents.PLAN, documents.RESULTS):
        path = ws.archive / archived(ws, kind)[0]
        whole = path.read_bytes()
        for content in (None, whole[:-9], b"x"):
            path.unlink()
            if content is not None:
                path.write_bytes(content)
            with pytest.raises(IntegrityError, match=path.name):
                rebuild(ws)
            path.write_bytes(whole)
    assert manifest.head(ws.ledger).revision == revision
    assert not ws.lake.exists()
    assert not list((ws.home / "tmp").iterdir())
    assert rebuild(ws).committed


def test_a_batch_without_its_plan_or_its_answers_in_the_ledger_is_named(small):
    d, (first, second) = schema.documents, small.keys(State.LANDED)
    with small.ws.ledger.write() as conn:
        conn.execute(delete(d).where(d.c.batch_key == second, d.c.kind == documents.RESULTS))
    with pytest.raises(IntegrityError, match=f"{second}: it has landed, and the archive has no answer"):
        rebuild(small.ws)
    with small.ws.ledger.write() as conn:
        conn.execute(delete(d).where(d.c.batch_key == first, d.c.kind == documents.PLAN))
    with pytest.raises(IntegrityError, match=f"{first}: the archive has no plan"):
        rebuild(small.ws)


def test_a_plan_that_is_not_the_one_of_the_batch_is_noticed(small):
    """Its rows would be in two batches, and those of the other one in none."""
    d, (first, second) = schema.documents, small.keys(State.LANDED)
    with small.ws.ledger.write() as conn:
        other = documents.plan_of(conn, second)
        conn.execute(update(d).where(d.c.batch_key == first, d.c.kind == documents.PLAN).values(path=other))
    with pytest.raises(IntegrityError, match=f"in the archived plans of several batches: {first}, {second}"):
        rebuild(small.ws)
    with small.ws.ledger.write() as conn:
        conn.execute(update(schema.batches).where(schema.batches.c.batch_key == first).values(rows=7))
    with pytest.raises(IntegrityError, match=f"{first}: by its archived plan .* 6 rows, where the ledger says 7"):
        rebuild(small.ws)


def test_a_reader_that_drops_rows_of_a_batch_is_refused(small, monkeypatch):
    monkeypatch.setitem(interpret._SECTIONS, "country", lambda value: rules.country(value.replace("US", "XX")))
    with pytest.raises(
        IntegrityError, match=r"6 of the rows in its archived plan .*bank\.csv give other rows now.*tx-"
    ):
        rebuild(small.ws, accept=True)


def test_the_mapping_that_was_recorded_has_to_be_the_one_of_the_file(workspace_for, tmp_path):
    ws, s = workspace_for(), schema.source_files
    ingesting.ingest_file(ws, card_file(tmp_path), Mapping.parse(CARD))
    assert rebuild(ws).rows == 7  # three accepted, one rejected, three waiting
    other = Mapping.parse(CARD.replace("Zusatz", "Betrag")).as_dict()
    for mapping, said in (
        (other, "has another mapping"),
        ({"date": {}}, "cannot be read again: the mapping as it was recorded"),
        (null(), "cannot be read again: no mapping is recorded for it, and the columns date, .* are missing"),
    ):
        with ws.ledger.write() as conn:
            conn.execute(update(s).values(mapping=mapping))
        with pytest.raises(IntegrityError, match=f"card.csv.*{said}"):
            rebuild(ws)


def test_data_that_changed_meanwhile_are_not_overwritten(small, bank_file, monkeypatch):
    ws = small.ws
    (ws.lake / live(ws, "raw_transactions")[0].path).unlink()
    commit = rebuilding._swap

    def after_another(*args):
        ingesting.ingest_file(ws, bank_file(2, name="late.csv", start=50), None)
        return commit(*args)

    monkeypatch.setattr(rebuilding, "_swap", after_another)
    before = on_disk(ws)
    with pytest.raises(ConflictError, match="the data changed while revision"):
        rebuild(ws)
    added = {row.path for row in live(ws) if row.added_revision == manifest.head(ws.ledger).revision}
    assert {p for p in on_disk(ws) - before if p.is_relative_to(ws.lake)} == {ws.lake / path for path in added}
    monkeypatch.undo()
    assert rebuild(ws).committed


# -- the parts ----------------------------------------------------------------------------------------------------


def test_a_mapping_survives_the_ledger_with_its_digest():
    for mapping in (Mapping.parse(CARD), Mapping.canonical()):
        again = Mapping.from_dict(json.loads(json.dumps(mapping.as_dict())))
        assert (again, again.digest()) == (mapping, mapping.digest())


def test_rows_that_are_doubled_in_a_damaged_file_are_counted_once_each():
    frame = pl.DataFrame(
        {"transaction_id": ["a", "b"], "position": [0, 0], "batch_key": ["k", "k"], "version": [1, 1]},
        schema_overrides={"position": pl.Int32, "version": pl.Int32},
    )
    table = tables.INTERMEDIARIES
    frame = frame.select(frame[n] if n in frame.columns else pl.lit(None, t).alias(n) for n, t in table.schema.items())
    found = comparing.compare(table, frame, pl.concat([frame, frame[:1]]))
    assert (found.same, found.only_rebuilt, found.only_live, found.examples) == (2, 0, 1, ["a"])
    found = comparing.compare(table, frame, frame.clear())
    assert (found.same, found.only_rebuilt, found.columns) == (0, 2, {})
    listed = frame.with_columns(mccs=pl.lit([1, 2], pl.List(pl.Int32)))
    assert comparing.compare(table, frame, listed).columns == {"mccs": 2}


@pytest.mark.sqlite
def test_the_command(small):
    ws = small.ws
    environment = {"ENRICH_BASE_URL": ws.settings.url, "ENRICH_DATA_DIR": str(ws.home), "COLUMNS": "200"}

    def enrich(*args, code):
        done = CliRunner().invoke(cli_rebuild.app, ["rebuild", *args], env=environment)
        assert done.exit_code == code, done.output
        return done.output

    total = sum(row.rows for row in live(ws))
    assert f"identical: {total} rows in {len(live(ws))} files" in enrich(code=0)
    rewrite(ws, live(ws, "transactions")[0], lambda f: f.with_columns(category=pl.lit("x")))
    out = enrich(code=3)
    assert "transactions differ in category (6)" in out
    assert "1 of the files of transactions are not as they were written" in out
    assert "nothing was changed; `enrich rebuild --accept`" in out
    out = enrich("--accept", code=0)
    assert "in place of those that differed" in out
    assert manifest.head(ws.ledger).published_revision == manifest.head(ws.ledger).revision
    shutil.rmtree(ws.lake)
    out = enrich(code=0)
    assert "were missing or unreadable" in out
    assert "every other row is identical" in out
    assert query(ws.home, "SELECT count(*) FROM transactions").rows == [(12,)]
    (ws.archive / archived(ws, documents.PLAN)[0]).unlink()
    assert "is missing" in enrich(code=1)
