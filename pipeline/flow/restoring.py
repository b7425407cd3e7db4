"""A backup put back into a data folder.

Everything is checked before anything is changed, and the ledger is put in place last, by one rename: killed at any
point, the folder has its old ledger or none, and the same command goes on. What was sent after the backup was made is
unknown to a ledger that was put back, so the journal gets a line by which nothing is sent before it is reconciled.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.crashpoints import point
from pipeline.errors import ConfigError, IntegrityError
from pipeline.flow import journal, server_ledger
from pipeline.flow.backup_files import (
    BackupNote,
    Referred,
    copy_file,
    read_note,
    read_references,
    replace_file,
    sha256_of,
)
from pipeline.lake.durable import TEMPORARY, fsync, storage_errors
from pipeline.ledger.copying import SIDE_FILES
from pipeline.ledger.db import sqlite_path, utc_now
from pipeline.settings import Settings

_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """The backup's note; how many files were put back and how many were there; where the old ledger is now.

    `other_folder`: the ledger that was there was not of the data folder of which this is a backup.
    """

    note: BackupNote
    restored: int
    kept: int
    set_aside: Path | None
    other_folder: bool


def restore(backup: Path, settings: Settings, *, replace: bool = False) -> RestoreReport:
    """Put the backup in the folder `backup` back into the data folder of the settings, ledger and missing files.

    Files that are there stay, newer ones too; one that is damaged is replaced. With `replace` a ledger that is there
    is moved into a folder beside it, also one of another data folder. Nothing is sent before `enrich reconcile`.

    Raises ConfigError for a folder without a backup of this account, when a ledger is there and `replace` is not set,
    and while another process works with it; IntegrityError when something is missing or damaged here and there;
    StorageError. Nothing was changed then.
    """
    backup = backup.expanduser().resolve()
    note = _checked_note(backup, settings)
    ledger = sqlite_path(settings.ledger)
    if ledger is None:
        return _restore_on_server(backup, note, settings, replace=replace)
    with storage_errors("write", settings.home):
        settings.home.mkdir(parents=True, exist_ok=True)
        with _alone(settings, ledger):
            other = ledger.exists() and _check_replaceable(ledger, note.folder_id, replace=replace)
            _, referred = read_references(backup / note.ledger)
            lacking = _lacking(referred, backup, settings.home)
            staged = _stage(backup / note.ledger, ledger)
            for file in lacking:
                copy_file(file, backup, settings.home)
                point("restore.after_file")
            _warn_of_sends(backup, settings.home / "archive", note)
            point("restore.after_journal")
            aside = _set_aside(ledger)
            point("restore.after_aside")
            staged.rename(ledger)
            fsync(ledger.parent)
            point("restore.after_ledger")
    return RestoreReport(note, len(lacking), len(referred) - len(lacking), aside, other)


def _restore_on_server(backup: Path, note: BackupNote, settings: Settings, *, replace: bool) -> RestoreReport:
    """The same with the ledger's rows on a PostgreSQL server: replaced in one transaction, as the last thing."""
    with storage_errors("write", settings.home), server_ledger.taken(settings) as place:
        other = place.require_replaceable(note.folder_id, replace=replace)
        _, referred = read_references(backup / note.ledger)
        lacking = _lacking(referred, backup, settings.home)
        for file in lacking:
            copy_file(file, backup, settings.home)
            point("restore.after_file")
        _warn_of_sends(backup, settings.home / "archive", note)
        point("restore.after_journal")
        aside = place.replace(backup / note.ledger, note.folder_id, replace=replace)
        point("restore.after_ledger")
    return RestoreReport(note, len(lacking), len(referred) - len(lacking), aside, other)


def _checked_note(backup: Path, settings: Settings) -> BackupNote:
    note = read_note(backup)
    if (note.source, note.account) != (settings.source, settings.account):
        raise ConfigError(
            f"this is a backup of {note.source}/{note.account}, and the settings are for"
            f" {settings.source}/{settings.account}",
            hint="Set ENRICH_BASE_URL, ENRICH_REGION and ENRICH_ACCOUNT as they were.",
        )
    ledger = backup / note.ledger
    if not ledger.is_file() or sha256_of(ledger) != note.ledger_sha256:
        raise IntegrityError(f"the ledger in the backup, {ledger}, is missing or damaged")
    return note


@contextmanager
def _alone(settings: Settings, ledger: Path) -> Iterator[None]:
    """Keep others from sending, and from making an empty ledger in the moment in which there is none."""
    ledger.parent.mkdir(parents=True, exist_ok=True)
    (settings.home / "ledger").mkdir(exist_ok=True)
    try:
        with (
            FileLock(settings.home / "ledger" / "sender.lock", timeout=_WAIT_SECONDS),
            FileLock(ledger.with_suffix(".migrate.lock"), timeout=_WAIT_SECONDS),
        ):
            yield
    except Timeout as error:
        raise server_ledger.busy(settings.home) from error


def _check_replaceable(ledger: Path, folder_id: str, *, replace: bool) -> bool:
    """Whether it is another data folder's; one that is damaged may be anybody's, and counts as this one's."""
    other = _id_in(ledger) not in {None, folder_id}
    if not replace:
        raise server_ledger.occupied(str(ledger), other=other)
    # Leaving WAL needs the file for oneself alone, and leaves no side files. One that is damaged is moved as it is.
    with closing(sqlite3.connect(ledger, timeout=_WAIT_SECONDS)) as connection:
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise server_ledger.busy(ledger.parent) from error
    return other


def _id_in(ledger: Path) -> str | None:
    try:
        with closing(sqlite3.connect(ledger, timeout=_WAIT_SECONDS)) as connection:
            row = connection.execute("SELECT folder_id FROM data_folder").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])


def _lacking(referred: list[Referred], backup: Path, home: Path) -> list[Referred]:
    """Files that are missing or damaged here; all of them must be whole in the backup."""
    lacking = [file for file in referred if not file.is_whole(home)]
    if bad := [file for file in lacking if not file.is_whole(backup)]:
        names = ", ".join(f"{file.folder}/{file.path}" for file in bad[:5])
        raise IntegrityError(f"{len(bad)} files are missing or damaged in the backup, and are not here either: {names}")
    return lacking


def _stage(source: Path, ledger: Path) -> Path:
    """The backup's ledger beside its place, durable. It has to compare the whole journal: this may be another one."""
    staged = ledger.with_name(f".{ledger.name}{TEMPORARY}")
    for ending in ("", *SIDE_FILES):
        staged.with_name(f"{staged.name}{ending}").unlink(missing_ok=True)
    staged.write_bytes(source.read_bytes())
    with closing(sqlite3.connect(staged)) as connection:
        connection.execute("UPDATE data_folder SET journal_seen = 0")
        connection.commit()
    fsync(staged)
    return staged


def _warn_of_sends(backup: Path, archive: Path, note: BackupNote) -> None:
    """The journal that is here stays: it has what was sent since. Either way it says now that the ledger is older."""
    if not (archive / journal.NAME).exists():
        with suppress(FileNotFoundError):
            replace_file(archive / journal.NAME, (backup / "archive" / journal.NAME).read_bytes())
    journal.note_restore(archive, note.created_at, at=utc_now())


def _set_aside(ledger: Path) -> Path | None:
    """Move the ledger that is there, its side files first, into a folder of its own. The locks stay where they are."""
    there = [ledger.with_name(f"{ledger.name}{ending}") for ending in (*SIDE_FILES, "")]
    if not any(path.exists() for path in there):
        return None
    aside = ledger.parent.with_name(f"{ledger.parent.name}.replaced-{utc_now():%Y%m%dT%H%M%S.%f}")
    aside.mkdir()
    for path in there:
        if path.exists():
            path.rename(aside / path.name)
    fsync(aside)
    fsync(aside.parent)
    return aside
