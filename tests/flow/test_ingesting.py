"""Files into the lake: repeats, conflicts, conservation."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import subprocess
import sys
import time

import polars as pl
import pytest
from sqlalchemy import select

from pipeline.errors import ConfigError
from pipeline.flow import ingesting
from pipeline.flow.inbox import ingest_inbox, settled_files
from pipeline.flow.publishing import check_now
from pipeline.ingest.mapping import Mapping
from pipeline.lake import files, tables
from pipeline.lake.archive import open_archive
from pipeline.ledger import holders, manifest, schema
from pipeline.ledger.db import impatient, sqlite_path


def live(ws, kind):
    with ws.ledger.read() as conn:
        paths = [row.path for row in manifest.live(conn, kind)]
    return files.read_table(ws.lake, paths, table=tables.FILE_TABLES[kind])


def test_accepted_and_rejected_add_up_and_holders_are_wanted(workspace_for, bank_file):
    ws = workspace_for()
    report = ingesting.ingest_file(ws, bank_file(30, bad=2), None)
    assert (report.records, report.accepted, report.rejected, report.new) == (32, 30, 2, 30)
    assert live(ws, "waiting").height == live(ws, "raw_transactions").height == 30
    assert live(ws, "rejected_rows")["record_number"].to_list() == [31, 32]
    assert [row.account_holder_id for row in holders.wanted(ws.ledger)] == ["holder-0", "holder-1", "holder-2"]
    assert check_now(ws).ok


def test_the_same_file_again_adds_nothing(workspace_for, bank_file):
    ws = workspace_for()
    path = bank_file(10)
    ingesting.ingest_file(ws, path, None)
    again = ingesting.ingest_file(ws, path, None)
    assert again.known_before
    assert live(ws, "raw_transactions").height == 10
    assert manifest.head(ws.ledger).revision == 1


def test_rows_of_an_overlapping_file_are_kept_as_repeats_and_sent_once(workspace_for, bank_file):
    ws = workspace_for()
    ingesting.ingest_file(ws, bank_file(20, name="january.csv"), None)
    report = ingesting.ingest_file(ws, bank_file(20, name="february.csv", start=10), None)
    assert (report.accepted, report.repeats, report.new) == (20, 10, 10)
    assert live(ws, "waiting")["transaction_id"].n_unique() == live(ws, "waiting").height == 30
    assert live(ws, "raw_transactions").filter(pl.col("repeat"))["record_number"].to_list() == list(range(1, 11))
    assert check_now(ws).ok


def test_a_repeat_is_known_whatever_has_become_of_the_first(steps_for, bank_file):
    steps = steps_for()
    steps.ingest(bank_file(10, name="a.csv"))
    steps.plan()
    assert ingesting.ingest_file(steps.ws, bank_file(10, name="planned.csv", bad=1), None).new == 0
    steps.finish()
    assert ingesting.ingest_file(steps.ws, bank_file(10, name="landed.csv", bad=2), None).new == 0


def test_an_id_with_other_content_is_rejected_with_its_reason(workspace_for, bank_file, tmp_path):
    ws = workspace_for()
    ingesting.ingest_file(ws, bank_file(3), None)
    other = tmp_path / "other.csv"
    other.write_text(bank_file(3, name="x.csv").read_text().replace("1.00", "7.77"))
    report = ingesting.ingest_file(ws, other, None)
    assert (report.accepted, report.rejected) == (2, 1)
    rejected = live(ws, "rejected_rows")
    assert rejected["reasons"][0].to_list()[0].startswith("id: conflict")
    assert '"amount":"7.7700"' in rejected["raw_text"][0]
    assert check_now(ws).ok


def test_a_holder_has_one_type(workspace_for, bank_file, tmp_path):
    ws = workspace_for()
    ingesting.ingest_file(ws, bank_file(3), None)
    other = tmp_path / "other.csv"
    other.write_text(bank_file(3, name="x.csv", start=3).read_text().replace(",consumer", ",business", 1))
    report = ingesting.ingest_file(ws, other, None)
    assert (report.accepted, report.rejected) == (2, 1)
    assert "account_holder_type: conflict" in live(ws, "rejected_rows")["reasons"][0].to_list()[0]


def test_an_ingestion_that_rests_on_an_older_revision_is_begun_again(workspace_for, bank_file, monkeypatch):
    """Two files with the same rows at once: the second must see the first one's rows as repeats."""
    ws = workspace_for()
    first, second = bank_file(10, name="a.csv"), bank_file(10, name="b.csv", bad=1)
    write, raced = ingesting._write, []

    def write_after_another(*args):
        added = write(*args)
        if not raced:
            raced.append(1)
            ingesting.ingest_file(ws, first, None)
        return added

    monkeypatch.setattr(ingesting, "_write", write_after_another)
    report = ingesting.ingest_file(ws, second, None)
    assert (report.repeats, report.new) == (10, 0)
    assert live(ws, "waiting").height == 10


def test_a_file_is_kept_as_it_came(workspace_for, bank_file):
    ws = workspace_for()
    path = bank_file(5, bad=1)
    ingesting.ingest_file(ws, path, None)
    ((archived,),) = ws.ledger.rows(select(schema.source_files.c.archive_path))
    with open_archive(ws.archive, archived) as stream:
        assert stream.read() == path.read_bytes()


@pytest.fixture
def inbox(workspace_for):
    ws = workspace_for()
    ws.settings.inbox_dir.mkdir()
    return ws, ws.settings.inbox_dir


def old(path):
    os.utime(path, (1, 1))
    return path


def test_the_inbox_takes_what_lies_still_and_moves_it(inbox, bank_file):
    ws, folder = inbox
    bank_file(4).rename(folder / "bank.csv")
    assert settled_files(folder) == []  # just written, perhaps still growing
    old(folder / "bank.csv")
    (folder / ".hidden.csv").write_text("x")
    done = ingest_inbox(ws)
    assert [r.new for r in done.reports] == [4]
    assert [p.name for p in (folder / "done").iterdir()] == ["bank.csv"]
    assert settled_files(folder) == []


def test_a_file_that_cannot_be_read_goes_to_failed_with_the_reason_and_stops_no_other(inbox, bank_file):
    ws, folder = inbox
    old(bank_file(4).rename(folder / "good.csv"))
    (folder / "bad.csv").write_text("when,what\n1,2\n")
    old(folder / "bad.csv")
    done = ingest_inbox(ws)
    assert [r.source_file for r in done.reports] == ["good.csv"]
    assert sorted(p.name for p in (folder / "failed").iterdir()) == ["bad.csv", "bad.csv.error.txt"]
    assert "when" in (folder / "failed" / "bad.csv.error.txt").read_text()


def test_a_name_that_is_too_long_for_a_note_stops_no_other(inbox, bank_file):
    ws, folder = inbox
    names = ["ü" * 122 + "a.csv", "ü" * 122 + "b.csv"]  # 249 bytes
    old(bank_file(4).rename(folder / "z.csv"))
    for _ in range(2):  # the second time with a number in the name
        for name in names:
            (folder / name).write_text("when,what\n1,2\n")
            old(folder / name)
        assert set(ingest_inbox(ws).failed) == set(names)
    assert [p.name for p in (folder / "done").iterdir()] == ["z.csv"]
    there = [p.name for p in (folder / "failed").iterdir()]
    assert {*names} < {*there}
    assert (len(there), sum(name.endswith(".error.txt") for name in there)) == (8, 4)


def test_a_note_that_cannot_be_written_stops_no_other(inbox, bank_file):
    ws, folder = inbox
    old(bank_file(4).rename(folder / "good.csv"))
    (folder / "bad.csv").write_text("when,what\n1,2\n")
    old(folder / "bad.csv")
    (folder / "failed" / "bad.csv.error.txt").mkdir(parents=True)
    done = ingest_inbox(ws)
    assert [r.source_file for r in done.reports] == ["good.csv"]
    assert "when" in done.failed["bad.csv"]
    assert "cannot be set aside" in done.failed["bad.csv"]
    assert (folder / "failed" / "bad.csv").is_file()


def test_the_mapping_beside_a_file_is_used(inbox):
    ws, folder = inbox
    (folder / "card.csv").write_text("Tag;Text;Betrag\n01.02.2026;REWE SAGT DANKE;12,50\n")
    (folder / "card.toml").write_text(
        '[file]\ndelimiter = ";"\n[date]\ncolumn = "Tag"\nformat = "%d.%m.%Y"\n[description]\ncolumn = "Text"\n'
        '[amount]\ncolumn = "Betrag"\nsign = "outgoing"\n[currency]\nconstant = "EUR"\n'
    )
    old(folder / "card.csv")
    done = ingest_inbox(ws)
    assert done.failed == {}
    assert [r.new for r in done.reports] == [1]
    assert (folder / "card.toml").exists()


def test_a_corrected_mapping_takes_the_place_of_one_that_accepted_nothing(workspace_for, tmp_path):
    ws = workspace_for()
    path = tmp_path / "card.csv"
    path.write_text("Day,Text,Amount\n2026-02-01,REWE,12.50\n2026-02-31,REWE,12.50\n")
    toml = (
        '[date]\ncolumn = "Day"\nformat = "{}"\n[description]\ncolumn = "Text"\n[amount]\ncolumn = "Amount"\n'
        'sign = "outgoing"\n[currency]\nconstant = "EUR"\n'
    )
    wrong = ingesting.ingest_file(ws, path, Mapping.parse(toml.format("%d.%m.%Y"), name="wrong"))
    assert (wrong.accepted, wrong.rejected) == (0, 2)
    right = ingesting.ingest_file(ws, path, Mapping.parse(toml.format("%Y-%m-%d"), name="right"))
    assert (right.accepted, right.rejected) == (1, 1)
    assert live(ws, "rejected_rows").height == 1
    assert check_now(ws).ok


_CARD = """
[date]
column = "Day"
[description]
column = "Text"
[amount]
column = "Amount"
sign = "{sign}"
[currency]
constant = "EUR"
[account_holder_id]
constant = "{holder}"
[account_holder_type]
constant = "{type}"
"""


def card(tmp_path, sign, type_="consumer", holder="h-1"):
    path = tmp_path / "card.csv"
    path.write_text("Day,Text,Amount\n2026-02-01,REWE,12.50\n2026-02-02,LIDL,7.00\n")
    return path, Mapping.parse(_CARD.format(sign=sign, type=type_, holder=holder), name=sign)


def test_a_mapping_can_be_corrected_as_long_as_nothing_is_in_a_batch(steps_for, tmp_path):
    """`enrich plan` showed what a wrong mapping makes of a file, and with that had fixed it for good."""
    steps = steps_for()
    ingesting.ingest_file(steps.ws, *card(tmp_path, "incoming", "business", "h-wrong"))
    ingesting.ingest_file(steps.ws, *card(tmp_path, "incoming", "business"))
    right = ingesting.ingest_file(steps.ws, *card(tmp_path, "outgoing"))
    assert (right.accepted, right.repeats, right.rejected) == (2, 0, 0)
    assert live(steps.ws, "raw_transactions")["entry_type"].to_list() == ["outgoing"] * 2
    assert check_now(steps.ws).ok
    assert len(steps.ws.ledger.rows(select(schema.source_files))) == 1
    assert [(h.account_holder_id, h.type) for h in holders.wanted(steps.ws.ledger)] == [("h-1", "consumer")]
    assert len(steps.plan()) == 1
    with pytest.raises(ConfigError, match="2 rows were accepted before under another mapping, and are in a batch"):
        ingesting.ingest_file(steps.ws, *card(tmp_path, "incoming"))
    steps.finish()
    assert steps.check()["enriched"] == 2


def test_a_mapping_cannot_be_corrected_once_a_later_file_repeats_its_rows(steps_for, tmp_path):
    ws = steps_for().ws
    path, mapping = card(tmp_path, "outgoing")
    ingesting.ingest_file(ws, path, mapping)
    later = path.with_name("later.csv")
    later.write_text(path.read_text() + "2026-02-03,ALDI,1.00\n")
    assert ingesting.ingest_file(ws, later, mapping).repeats == 2
    with pytest.raises(ConfigError, match="known to a later file"):
        ingesting.ingest_file(ws, *card(tmp_path, "incoming"))
    assert check_now(ws).ok


def test_what_a_file_was_read_with_is_recorded(workspace_for, bank_file, tmp_path):
    ws = workspace_for()
    path = tmp_path / "card.csv"
    path.write_text("Day,Text,Amount\n2026-02-01,REWE,12.50\n")
    mapping = Mapping.parse(
        '[date]\ncolumn = "Day"\n[description]\ncolumn = "Text"\n[amount]\ncolumn = "Amount"\nsign = "outgoing"\n'
        '[currency]\nconstant = "EUR"\n'
    )
    ingesting.ingest_file(ws, path, mapping)
    ingesting.ingest_file(ws, bank_file(3), None)
    ingesting.ingest_file(ws, bank_file(3, name="b.csv", start=3), Mapping.canonical())
    card, *canonical = ws.ledger.rows(select(schema.source_files).order_by(schema.source_files.c.revision))
    assert Mapping.from_dict(card.mapping) == mapping
    assert [row.mapping for row in canonical] == [None, None]
    times = live(ws, "raw_transactions").select("file_id", "ingested_at").unique()
    assert dict(times.iter_rows()) == {row.file_id: row.ingested_at for row in (card, *canonical)}


WRITER = """
import sys
with open(sys.argv[1], "a") as stream:
    stream.write(sys.argv[2]); stream.flush()
    print("paused", flush=True); sys.stdin.readline()
    stream.write(sys.argv[3])
"""


def test_an_upload_that_pauses_is_not_read_by_half(inbox, bank_file):
    """It was: its first half, and the file was moved away under the writer, so that nobody ever read the other."""
    ws, folder = inbox
    whole = bank_file(40).read_text()
    path = folder / "slow.csv"
    command = [sys.executable, "-c", WRITER, str(path), whole[:900], whole[900:]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "paused\n"
        os.utime(path, (0, 0))
        assert settled_files(folder) == []
        writer.communicate("\n")
    os.utime(path, (0, 0))
    (report,) = ingest_inbox(ws).reports
    assert (report.accepted, report.rejected) == (40, 0)


def test_a_file_that_grew_while_it_was_read_is_read_again(inbox, bank_file, monkeypatch):
    """Where no open writer can be seen, on a network's file system say. The rows that are known count once."""
    ws, folder = inbox
    lines = bank_file(40).read_text().splitlines(keepends=True)
    path = folder / "slow.csv"
    path.write_text("".join(lines[:21]))
    os.utime(path, (0, 0))
    copy = ingesting.shutil.copyfile

    def slow_copy(*names):
        copy(*names)
        with path.open("a") as stream:
            stream.writelines(lines[21:])

    with monkeypatch.context() as patched:
        patched.setattr(ingesting.shutil, "copyfile", slow_copy)
        assert [report.accepted for report in ingest_inbox(ws).reports] == [20]
    os.utime(path, (0, 0))
    assert [(report.accepted, report.new) for report in ingest_inbox(ws).reports] == [(40, 20)]
    assert live(ws, "waiting").height == 40


def test_a_file_from_the_future_is_read(inbox, bank_file):
    """Copied with its times from a host whose clock is ahead: it lay there unread, and the inbox was called empty."""
    ws, folder = inbox
    path = bank_file(3).rename(folder / "a.csv")
    tomorrow = time.time() + 86_400
    os.utime(path, (tomorrow, tomorrow))
    assert settled_files(folder) == []  # it was made just now
    time.sleep(2.1)
    assert [report.accepted for report in ingest_inbox(ws).reports] == [3]


def test_a_name_that_is_no_text_stops_no_other(inbox, bank_file):
    """Ümsätze.csv out of an old archive has bytes that are no UTF-8: each run ended at it, before all other files."""
    ws, folder = inbox
    strange = os.fsdecode(b"\xdcms\xe4tze.csv")
    for name, start in ((strange, 0), ("z.csv", 50), (os.fsdecode(b"bad\xff.csv"), 0)):
        path = bank_file(3, start=start).rename(folder / name)
        if name.startswith("bad"):
            path.write_text("nothing,of,it\n1,2,3\n")
        os.utime(path, (0, 0))
    done = ingest_inbox(ws)
    assert {report.source_file: report.accepted for report in done.reports} == {r"\xdcms\xe4tze.csv": 3, "z.csv": 3}
    assert list(done.failed) == [r"bad\xff.csv"]
    assert {path.name for path in (folder / "done").iterdir()} == {strange, "z.csv"}
    assert settled_files(folder) == []


def test_a_file_that_shows_a_defect_stops_no_other(inbox, bank_file, monkeypatch):
    ws, folder = inbox
    for name, start in (("a.csv", 0), ("b.csv", 50)):
        os.utime(bank_file(3, start=start).rename(folder / name), (0, 0))
    read = ingesting.read_file

    def read_file(path, *args, **options):
        if path.name == "a.csv":
            raise ZeroDivisionError("COFFEE AT DAWN")
        return read(path, *args, **options)

    monkeypatch.setattr(ingesting, "read_file", read_file)
    done = ingest_inbox(ws)
    assert [report.source_file for report in done.reports] == ["b.csv"]
    assert done.failed == {"a.csv": "a.csv: cannot be read: ZeroDivisionError, a defect of this program"}
    assert (folder / "failed" / "a.csv").exists()


@pytest.mark.sqlite
def test_a_ledger_that_is_locked_is_no_fault_of_the_file(inbox, bank_file):
    """It was moved to failed/, and read no more once the ledger was free."""
    ws, folder = inbox
    path = bank_file(3).rename(folder / "a.csv")
    os.utime(path, (0, 0))
    other = sqlite3.connect(sqlite_path(ws.ledger.url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    hasty = impatient(ws.ledger, 0.2)
    assert "locked" in ingest_inbox(dataclasses.replace(ws, ledger=hasty)).failed["a.csv"]
    hasty.close()
    other.close()
    assert path.exists()
    assert [report.accepted for report in ingest_inbox(ws).reports] == [3]
