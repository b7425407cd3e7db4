"""The journal, a backup made while the pipeline works, and a backup put back, interrupted or not."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

import pytest
from forked_programs import run_code
from sqlalchemy import select
from typer.testing import CliRunner

from pipeline.cli import backup as cli_backup
from pipeline.errors import ConfigError, EnrichError, IntegrityError
from pipeline.flow import backing_up, journal
from pipeline.flow.backing_up import backup
from pipeline.flow.backup_files import read_note, read_references
from pipeline.flow.publishing import check_now, publish_warehouse
from pipeline.flow.restoring import restore
from pipeline.lake import tables
from pipeline.lake.durable import StorageError
from pipeline.lake.views import VIEWS
from pipeline.lake.warehouse import query
from pipeline.ledger import batches, circuit, manifest, schema
from pipeline.ledger.states import State

AT = datetime(2026, 3, 1, 12, 0, 0, 123456)


def circuit_of(ws):
    with ws.ledger.read() as conn:
        return circuit.opened(conn)


def tables_of(ws):
    """Every table of the warehouse, but for the time of its publication."""
    names = [*(t.name for t in tables.LEDGER_TABLES.values()), *VIEWS, "transactions", "intermediaries",
             "raw_transactions", "rejected_rows"]  # fmt: skip
    return {n: query(ws.home, f"SELECT * FROM {n} ORDER BY ALL").rows for n in {*names} - {"publication"}}


@pytest.fixture
def landed(steps_for, bank_file):
    """Twenty landed rows, five planned and three waiting; published."""
    steps = steps_for(batch_size=10)
    steps.ingest(bank_file(20, bad=2))
    steps.plan()
    steps.finish()
    steps.ingest(bank_file(5, name="b.csv", start=20))
    steps.plan()
    steps.ingest(bank_file(3, name="c.csv", start=25))
    assert publish_warehouse(steps.ws).published
    return steps


@dataclass(frozen=True)
class Row:
    """What the journal notes of a batch's row in the ledger."""

    batch_key: str = "00000001-00000000"
    rows: int = 10
    first_id: str = "tx-1"
    last_id: str = "tx-10"


# -- the journal --------------------------------------------------------------------------------------------------


def test_every_intent_is_in_the_journal_before_it_is_sent_and_no_transaction_is(landed):
    lines = [line for _, line in journal.read(landed.ws.archive)[0]]
    sent = [a for key in landed.keys(State.LANDED) for a in landed.attempts(key)]
    intents = [line for line in lines if not line.let_go]
    assert [(line.batch_key, line.sequence, line.rows, line.at) for line in intents] == [
        (a.batch_key, a.sequence, a.credits, a.reserved_at) for a in sent
    ]
    let_go = [(line.batch_key, line.sequence) for line in lines if line.let_go]
    assert let_go == [(a.batch_key, a.sequence) for a in sent]
    row = landed.row(lines[0].batch_key)
    assert lines[0].ends == (journal.hash_id(row.first_id), journal.hash_id(row.last_id))
    assert b"tx-" not in (landed.ws.archive / journal.NAME).read_bytes()


@pytest.mark.sqlite
def test_a_line_is_written_although_the_process_dies_before_its_request_is_let_go(landed):
    code = (
        "from pathlib import Path\n"
        "from pipeline.api.client import ApiClient\n"
        "from pipeline.flow.holder_sync import sync_holders\n"
        "from pipeline.flow.submitting import submit\n"
        "from pipeline.flow.workspace import open_workspace\n"
        "from pipeline.ledger import batches\n"
        "from pipeline.ledger.states import State\n"
        "from pipeline.settings import Settings\n"
        f"ws = open_workspace(Settings(data_dir={str(landed.ws.home)!r}, base_url={landed.ws.settings.url!r},"
        " time_scale=200, _env_file=None))\n"
        "client = ApiClient(base_url=ws.settings.url, api_key='sandbox-key', time_scale=200)\n"
        "sync_holders(ws, client)\n"
        "submit(ws, client, [row.batch_key for row in batches.in_states(ws.ledger, State.PLANNED)])\n"
    )
    assert killed_at("submit.before_release", code)
    (key,) = landed.keys(State.RESERVED)
    assert journal.read(landed.ws.archive)[0][-1][1].batch_key == key


def test_a_torn_line_is_no_line_and_is_taken_off_by_the_next(tmp_path):
    journal.note_intent(tmp_path, Row(), 1, at=AT)
    whole = (tmp_path / journal.NAME).read_bytes()
    with (tmp_path / journal.NAME).open("ab") as stream:
        stream.write(whole[:20])
    lines, end = journal.read(tmp_path)
    assert ([line.sequence for _, line in lines], end) == ([1], len(whole))
    journal.note_intent(tmp_path, Row(), 2, at=AT)
    assert [line.sequence for _, line in journal.read(tmp_path)[0]] == [1, 2]
    assert (tmp_path / journal.NAME).read_bytes().startswith(whole + b"{")


def test_a_line_that_cannot_be_read_is_one_that_the_ledger_does_not_know(landed, workspace_for):
    with (landed.ws.archive / journal.NAME).open("ab") as stream:
        stream.write(b"\x00\x00\x00\n")
    assert "1 batches are unknown" in circuit_of(workspace_for(base_url=landed.ws.settings.url)).reason


def test_only_new_lines_are_read_at_opening_and_known_ones_open_nothing(landed, workspace_for):
    ws = workspace_for(base_url=landed.ws.settings.url)
    assert circuit_of(ws) is None
    (row,) = ws.ledger.rows(select(schema.data_folder))
    assert row.journal_seen == (ws.archive / journal.NAME).stat().st_size > 0
    content = (ws.archive / journal.NAME).read_bytes()
    (ws.archive / journal.NAME).write_bytes(b"x" * (len(content) - 1) + b"\n")  # lines before are not read again
    journal.note_intent(ws.archive, Row(), 1, at=AT)
    assert [line.batch_key for line in journal.find_gap(ws.ledger, ws.archive).lines] == [Row().batch_key]


def test_a_journal_that_is_gone_is_begun_anew(landed, workspace_for):
    (landed.ws.archive / journal.NAME).unlink()
    ws = workspace_for(base_url=landed.ws.settings.url)
    assert circuit_of(ws) is None
    for _ in range(20):  # longer than the one that was lost
        journal.note_intent(ws.archive, Row(), 1, at=AT)
    assert "1 batches are unknown" in circuit_of(workspace_for(base_url=landed.ws.settings.url)).reason


def test_without_the_journal_nothing_goes_out(landed, books_of):
    path = landed.ws.archive / journal.NAME
    path.rename(path.with_suffix(".away"))
    path.mkdir()  # cannot be appended to, whoever runs this
    before = books_of().summary()
    (key,) = landed.keys(State.PLANNED)
    report = landed.submit(key)
    assert journal.NAME in report.failed[key]
    row = landed.row(key)
    assert (row.state, row.attempts, [a.state for a in landed.attempts(key)]) == (State.PLANNED, 0, ["not_sent"])
    assert books_of().summary().batches_accepted == before.batches_accepted
    path.rmdir()
    path.with_suffix(".away").rename(path)
    with pytest.raises(StorageError):
        journal.note_intent(path, Row(), 1, at=AT)


# -- backing up ---------------------------------------------------------------------------------------------------


def test_a_restored_folder_has_the_same_tables(landed, settings_for, workspace_for, tmp_path):
    report = backup(landed.ws, tmp_path / "backup")
    assert report.note.revision == manifest.head(landed.ws.ledger).revision
    before = tables_of(landed.ws)
    settings = settings_for("other", base_url=landed.ws.settings.url)
    done = restore(tmp_path / "backup", settings)
    assert (done.restored, done.kept, done.set_aside) == (report.copied, 0, None)
    ws = workspace_for("other", base_url=landed.ws.settings.url)
    published = publish_warehouse(ws)
    assert (published.published, published.violations) == (True, [])
    assert tables_of(ws) == before
    assert "what was sent since is unknown" in circuit_of(ws).reason


def test_a_further_backup_copies_what_is_new_and_removes_what_is_not_needed(landed, tmp_path, settings_for):
    to = tmp_path / "backup"
    first = backup(landed.ws, to)
    assert first.copied == first.note.lake_files + first.note.archive_files
    again = backup(landed.ws, to)
    assert (again.copied, again.removed) == (0, 1)  # the ledger before
    landed.finish()
    third = backup(landed.ws, to)
    # The plan file of the batch gave way to its landed rows; with intermediaries or without.
    assert 2 <= third.copied <= 3
    assert third.removed == 2
    referred = read_references(to / third.note.ledger)[1]
    on_disk = {p for d in ("lake", "archive") for p in (to / d).rglob("*") if p.is_file() and p.name != journal.NAME}
    assert on_disk == {file.under(to) for file in referred}
    restore(to, settings_for("other"))


def test_what_a_backup_must_not_overwrite(landed, tmp_path, settings_for, workspace_for):
    ws, to = landed.ws, tmp_path / "backup"
    with pytest.raises(ConfigError, match="in the data folder itself"):
        backup(ws, ws.home / "backup")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    a_file = tmp_path / "backup.tar"
    a_file.touch()
    with pytest.raises(ConfigError, match=r"backup\.tar is a file"):
        backup(landed.ws, a_file)
    with pytest.raises(ConfigError, match=r"thesis\.txt"):
        backup(ws, tmp_path / "mine")
    backup(ws, to)
    note = read_note(to)
    older = workspace_for("older", base_url=ws.settings.url)
    with older.ledger.write() as conn:
        conn.execute(schema.data_folder.update().values(folder_id=note.folder_id))
    with pytest.raises(ConfigError, match=f"newer backup: revision {note.revision}, and this ledger is at 0"):
        backup(older, to)
    with pytest.raises(ConfigError, match="has a backup of sandbox/default"):
        backup(workspace_for("ana", base_url=ws.settings.url, account="ana"), to)
    restore(to, settings_for("other", base_url=ws.settings.url))
    with pytest.raises(EnrichError, match=r"not backed up: .* restored from a backup"):
        backup(workspace_for("other", base_url=ws.settings.url), to)
    assert read_note(to) == note


def test_a_folder_that_is_somebodys_own_is_left_as_it_is(landed, tmp_path):
    """Photographs below `archive/` were removed by the first backup: its own names were taken for its own files."""
    for path in ("archive/2019/wedding.jpg", "lake/como.jpg", "ledger-2020.xlsx", ".ssh/id"):
        root = tmp_path / path.replace("/", "-")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("mine")
        with pytest.raises(ConfigError, match="is not a backup folder"):
            backup(landed.ws, root)
        assert [p for p in root.rglob("*") if p.is_file()] == [root / path]


def test_what_a_person_puts_into_a_backup_folder_stays(landed, tmp_path):
    to = tmp_path / "backup"
    backup(landed.ws, to)
    mine = [to / "archive" / "wedding.jpg", to / "ledger-2020.xlsx", next((to / "lake").iterdir()) / "como.parquet"]
    for path in mine:
        path.write_text("mine")
    landed.finish()
    assert backup(landed.ws, to).removed == 2  # the plan file and the ledger before
    assert [path.read_text() for path in mine] == ["mine"] * 3


def test_two_data_folders_of_one_account_have_a_backup_folder_each(landed, tmp_path, workspace_for):
    """The second one removed the files of the first, and each was told that it had a backup."""
    to = tmp_path / "backup"
    note = backup(landed.ws, to).note
    other = workspace_for("second", base_url=landed.ws.settings.url)
    for _ in range(note.revision + 1):  # newer than the backup that is there
        with other.ledger.write() as conn:
            manifest.touch(conn)
    with pytest.raises(ConfigError, match="has a backup of another data folder"):
        backup(other, to)
    (to / "backup.json").unlink()  # begun only
    with pytest.raises(ConfigError, match="has a backup of another data folder"):
        backup(other, to)
    assert backup(landed.ws, to).copied == 0


@pytest.mark.sqlite
def test_a_backup_of_another_data_folder_is_put_back_only_when_asked(landed, tmp_path, workspace_for):
    to = tmp_path / "backup"
    backup(landed.ws, to)
    other = workspace_for("second", base_url=landed.ws.settings.url)
    with pytest.raises(ConfigError, match="backup of another data folder") as refused:
        restore(to, other.settings)
    assert "--replace" in refused.value.hint
    other.ledger.close()
    done = restore(to, other.settings, replace=True)
    assert done.other_folder
    assert done.set_aside is not None
    assert not restore(to, other.settings, replace=True).other_folder  # it is the same one now


@pytest.mark.sqlite
def test_a_first_backup_that_is_killed_goes_on_and_leaves_nothing(landed, tmp_path):
    to = tmp_path / "backup"
    call = f"backup(open_workspace(settings), Path({str(to)!r}))"
    home, url = str(landed.ws.home), landed.ws.settings.url
    assert killed_at(
        "backup.before_note", SCRIPT.format(module="backing_up", name="backup", home=home, url=url, call=call)
    )
    landed.finish()
    done = backup(landed.ws, to)
    assert done.removed == 2
    referred = read_references(to / done.note.ledger)[1]
    on_disk = {p for d in ("lake", "archive") for p in (to / d).rglob("*") if p.is_file() and p.name != journal.NAME}
    assert on_disk == {file.under(to) for file in referred}


def test_a_damaged_or_lost_file_is_named_and_the_backup_before_stays(landed, tmp_path, settings_for):
    to = tmp_path / "backup"
    backup(landed.ws, to)
    note = read_note(to)
    landed.finish()
    with landed.ws.ledger.read() as conn:
        path = landed.ws.lake / manifest.live(conn, "transactions")[-1].path
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-1] + b"?")
    with pytest.raises(IntegrityError, match=f"{path.name} is damaged"):
        backup(landed.ws, to)
    path.unlink()
    with pytest.raises(IntegrityError, match=f"{path.name} is missing"):
        backup(landed.ws, to)
    assert read_note(to) == note
    restore(to, settings_for("other"))


def test_a_file_that_a_newer_revision_has_done_without_makes_it_begin_again(landed, tmp_path, monkeypatch):
    real, seen = backing_up._copy_new, []

    def copy_new(home, to, referred):
        if not seen:
            landed.finish()  # the plan file that the copied ledger names is not live any more, and swept away
            for file in referred:
                if file.path.startswith("plan/"):
                    file.under(home).unlink()
        seen.append(len(referred))
        return real(home, to, referred)

    monkeypatch.setattr(backing_up, "_copy_new", copy_new)
    report = backup(landed.ws, tmp_path / "backup")
    assert len(seen) == 2
    assert report.note.revision == manifest.head(landed.ws.ledger).revision
    assert all(
        file.is_whole(tmp_path / "backup") for file in read_references(tmp_path / "backup" / report.note.ledger)[1]
    )


def test_backups_made_while_batches_land_are_consistent(steps_for, bank_file, tmp_path, settings_for, workspace_for):
    steps = steps_for(batch_size=5)
    steps.ingest(bank_file(60))
    steps.plan()
    revisions = []
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(steps.finish)
        while not work.done() or len(revisions) < 2:
            note = backup(steps.ws, tmp_path / "backup").note
            revisions.append(note.revision)
            referred = read_references(tmp_path / "backup" / note.ledger)[1]
            assert all(file.is_whole(tmp_path / "backup") for file in referred)
            if len(revisions) <= 2:
                kept = shutil.copytree(tmp_path / "backup", tmp_path / f"kept-{len(revisions)}")
        work.result()
    restore(kept, settings_for("other"))
    identity = check_now(workspace_for("other"))
    assert (identity.violations, identity.counts["transactions"]) == ([], 60)


SCRIPT = """
from pathlib import Path
from pipeline.flow.{module} import {name}
from pipeline.flow.workspace import open_workspace
from pipeline.settings import Settings
settings = Settings(data_dir={home!r}, base_url={url!r}, _env_file=None)
{call}
"""


def killed_at(point, code):
    """Run code in a process of its own that is killed at a point; whether it was."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENRICH_")}
    done = run_code(code, env={**environment, "ENRICH_CRASH_AT": point})
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode == -signal.SIGKILL


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "point", ["backup.after_ledger", "backup.after_file:2", "backup.before_note", "backup.after_note"]
)
def test_a_backup_that_is_killed_leaves_a_valid_one(landed, tmp_path, settings_for, workspace_for, point):
    to = tmp_path / "backup"
    before = backup(landed.ws, to).note
    landed.finish()
    call = f"backup(open_workspace(settings), Path({str(to)!r}))"
    code = SCRIPT.format(
        module="backing_up", name="backup", home=str(landed.ws.home), url=landed.ws.settings.url, call=call
    )
    assert killed_at(point, code)
    now = manifest.head(landed.ws.ledger).revision
    assert read_note(to).revision == (now if point == "backup.after_note" else before.revision)
    restore(to, settings_for("other"))
    assert check_now(workspace_for("other")).violations == []
    assert backup(landed.ws, to).note.revision == now
    assert [path.name for path in to.glob("ledger-*")] == [read_note(to).ledger]


# -- putting back -------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("point", "replaces"),
    [
        ("restore.after_file:2", False),
        ("restore.after_journal", True),
        ("restore.after_aside", True),
        ("restore.after_ledger", True),
    ],
)
def test_a_restore_that_is_killed_is_run_again(landed, tmp_path, workspace_for, point, replaces):
    ws, to, url = landed.ws, tmp_path / "backup", landed.ws.settings.url
    backup(ws, to)
    before = tables_of(ws)
    ws.ledger.close()
    if replaces:
        for path in (ws.lake / "transactions").rglob("*.parquet"):
            path.unlink()
    else:
        shutil.rmtree(ws.home)
    call = f"restore(Path({str(to)!r}), settings, replace={replaces})"
    code = SCRIPT.format(module="restoring", name="restore", home=str(ws.home), url=url, call=call)
    assert killed_at(point, code)
    if not point.startswith("restore.after_file"):
        between = workspace_for(base_url=url)  # whichever ledger is there now, nothing is sent from it
        assert circuit_of(between).kind == circuit.RESTORED
        between.ledger.close()
    restore(to, ws.settings, replace=(ws.home / "ledger" / "ledger.sqlite").exists())
    again = workspace_for(base_url=url)
    published = publish_warehouse(again)
    assert (published.published, published.violations) == (True, [])
    assert tables_of(again) == before
    assert circuit_of(again).kind == circuit.RESTORED


@pytest.mark.sqlite
def test_a_ledger_that_is_there_is_kept_and_moved_aside_only_when_asked(landed, tmp_path):
    ws, to = landed.ws, tmp_path / "backup"
    backup(ws, to)
    with pytest.raises(ConfigError, match="there is a ledger already") as refused:
        restore(to, ws.settings)
    assert "--replace" in refused.value.hint
    landed.finish()
    with pytest.raises(ConfigError, match="another process works with"):
        restore(to, ws.settings, replace=True)  # its connections are open
    assert circuit_of(ws) is None
    revision = manifest.head(ws.ledger).revision
    ws.ledger.close()
    done = restore(to, ws.settings, replace=True)
    assert done.set_aside.parent == ws.home
    assert done.set_aside.name.startswith("ledger.replaced-")
    with closing(sqlite3.connect(done.set_aside / "ledger.sqlite")) as old:
        assert old.execute("SELECT revision FROM manifest_head").fetchone() == (revision,)
    assert (done.restored, done.kept) == (0, read_note(to).lake_files + read_note(to).archive_files)


def test_what_is_damaged_is_told_before_anything_is_changed(landed, tmp_path, settings_for):
    to = tmp_path / "backup"
    note = backup(landed.ws, to).note
    settings = settings_for("other")
    with pytest.raises(ConfigError, match="no finished backup"):
        restore(tmp_path, settings)
    with pytest.raises(ConfigError, match="backup of sandbox/default, and the settings are for sandbox/ana"):
        restore(to, settings_for("other", account="ana"))
    archived = next((to / "archive").rglob("results-*"))
    content = archived.read_bytes()
    archived.chmod(0o644)
    archived.write_bytes(content[:-30])
    with pytest.raises(IntegrityError, match=f"1 files are missing or damaged .*{archived.name}"):
        restore(to, settings)
    archived.write_bytes(content)
    ledger = to / note.ledger
    with ledger.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"?")
    with pytest.raises(IntegrityError, match=f"{note.ledger}, is missing or damaged"):
        restore(to, settings)
    assert not (settings.home / "ledger" / "ledger.sqlite").exists()
    assert not (settings.home / "lake").exists()
    assert not (settings.home / "archive").exists()


def test_damaged_files_are_replaced_and_newer_ones_stay(landed, tmp_path, workspace_for):
    ws, to = landed.ws, tmp_path / "backup"
    backup(ws, to)
    landed.finish()
    newer = {p for d in (ws.lake, ws.archive) for p in d.rglob("*") if p.is_file()}
    with ws.ledger.read() as conn:
        damaged = ws.lake / manifest.live(conn, "raw_transactions")[0].path
    damaged.chmod(0o644)
    damaged.write_bytes(b"PAR1")
    ws.ledger.close()
    assert restore(to, ws.settings, replace=True).restored == 1
    assert {p for d in (ws.lake, ws.archive) for p in d.rglob("*") if p.is_file()} == newer
    assert check_now(workspace_for(base_url=ws.settings.url)).violations == []


def test_a_journal_of_another_ledger_is_compared_from_its_first_line(landed, tmp_path, workspace_for, settings_for):
    """The place up to which the backup's ledger knew its own says nothing of this one, though lines end there too."""
    backup(workspace_for(base_url=landed.ws.settings.url), tmp_path / "backup")  # opened again: it has seen two lines
    before = [len(line) for line in (landed.ws.archive / journal.NAME).read_bytes().splitlines()]
    settings = settings_for("other", base_url=landed.ws.settings.url)
    for n in range(1, 5):
        journal.note_intent(settings.home / "archive", Row(f"0000000{n}-00000000"), 1, at=AT)
        journal.note_let_go(settings.home / "archive", f"0000000{n}-00000000", 1, at=AT)
    there = [len(line) for line in (settings.home / "archive" / journal.NAME).read_bytes().splitlines()]
    assert there[: len(before)] == before
    restore(tmp_path / "backup", settings)
    assert "4 batches are unknown" in circuit_of(workspace_for("other", base_url=settings.url)).reason


def test_tables_of_a_newer_ledger_are_replaced_by_those_of_the_restored_one(landed, tmp_path, workspace_for):
    ws, to, url = landed.ws, tmp_path / "backup", landed.ws.settings.url
    backup(ws, to)
    before = tables_of(ws)
    landed.finish()
    newer = publish_warehouse(ws).revision
    ws.ledger.close()
    restore(to, ws.settings, replace=True)
    published = publish_warehouse(again := workspace_for(base_url=url))
    assert published.published
    assert published.revision > newer
    assert tables_of(again) == before


@pytest.mark.sqlite
def test_an_empty_ledger_beside_an_archive_publishes_nothing_over_good_tables(landed, workspace_for, bank_file):
    ws, url = landed.ws, landed.ws.settings.url
    before = tables_of(ws)
    ws.ledger.close()
    shutil.rmtree(ws.home / "ledger")
    empty = workspace_for(base_url=url)
    assert "2 batches are unknown to it; run `enrich reconcile`" in circuit_of(empty).reason
    assert not publish_warehouse(empty).published
    assert tables_of(ws) == before
    landed.ws = empty
    landed.ingest(bank_file(5, name="b.csv", start=20))
    assert publish_warehouse(workspace_for(base_url=url)).published
    assert query(ws.home, "SELECT count(*) FROM transactions").rows == [(5,)]


@pytest.mark.sqlite
def test_the_commands(landed, tmp_path):
    ws, to = landed.ws, tmp_path / "backup"
    environment = {"ENRICH_BASE_URL": ws.settings.url, "ENRICH_TIME_SCALE": "200", "ENRICH_GRACE": "0"}
    environment |= {"ENRICH_DATA_DIR": str(ws.home), "COLUMNS": "200"}

    def enrich(*args, code):
        done = CliRunner().invoke(cli_backup.app, list(map(str, args)), env=environment)
        assert done.exit_code == code, done.output
        return done.output

    assert "were new" in enrich("backup", to, code=0)
    assert "nothing to reconcile" in enrich("reconcile", code=0)
    assert "there is a ledger already" in enrich("restore", to, code=1)
    landed.finish()
    sent = landed.row(landed.keys(State.LANDED)[-1]).vendor_batch_id
    ws.ledger.close()
    out = enrich("restore", to, "--replace", code=0)
    assert "ledger.replaced-" in out
    assert "run `enrich reconcile`" in out
    out = enrich("reconcile", "--why", "disk was full", code=0)
    assert f"is {sent} there" in out
    assert "planned batches are sent again" in out
    ledger_actions = ws.ledger.rows(select(schema.operator_actions))
    assert [a.action for a in ledger_actions] == ["adopt", "reconcile and close circuit"]
    assert all("disk was full" in a.why for a in ledger_actions)
    assert {row.state for row in batches.in_states(ws.ledger, *State)} == {State.LANDED}
