"""A backup of a data folder: its ledger, and every file of lake and archive that this ledger refers to.

Belongs here: making one while the pipeline works. What is in it is told in `backup_files`; putting one back is
`restoring`'s. Files of lake and archive never change, so a further backup into the same folder copies what is new.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout
from sqlalchemy import select

from pipeline.crashpoints import point
from pipeline.errors import ConfigError, EnrichError, IntegrityError
from pipeline.flow import backup_mark, journal
from pipeline.flow.backup_files import (
    NOTE,
    BackupNote,
    Referred,
    copy_file,
    read_note,
    read_references,
    replace_file,
    sha256_of,
)
from pipeline.flow.backup_mark import Mark
from pipeline.flow.workspace import Workspace
from pipeline.lake.durable import TEMPORARY, StorageError, fsync, storage_errors, unique
from pipeline.ledger import circuit, copying, manifest, schema


@dataclass(frozen=True, slots=True)
class BackupReport:
    """The note of the backup, and what this one added and took away, in files."""

    note: BackupNote
    copied: int
    removed: int


def backup(ws: Workspace, to: Path) -> BackupReport:
    """Back the data folder up into `to`: a new or empty folder, or one with an earlier backup of it.

    Interrupted at any point, the earlier one stays valid. Raises ConfigError for a folder that cannot be used,
    EnrichError when the ledger is older than what was sent, IntegrityError for a file that is missing or damaged (its
    path is named), StorageError when the disk does not take it.
    """
    to = to.expanduser().resolve()
    if to == ws.home or to.is_relative_to(ws.home):
        raise ConfigError(f"{to} is in the data folder itself", hint="A backup belongs on another disk.")
    if to.is_file():
        raise ConfigError(f"{to} is a file", hint="A backup is a folder: name one that is new or empty.")
    with storage_errors("write", to):
        to.mkdir(parents=True, exist_ok=True)
        backup_mark.require_ours(to)  # before a lock is left in somebody's own folder
        try:
            with FileLock(to / backup_mark.LOCK, timeout=0):
                backup_mark.require_ours(to)
                folder_id = ws.ledger.rows(select(schema.data_folder.c.folder_id))[0].folder_id
                _refuse(ws, to, folder_id)
                return _backup(ws, to, folder_id)
        except Timeout as error:
            raise EnrichError(f"another process is backing up into {to}") from error
        except sqlite3.Error as error:  # what SQLite makes of a full disk
            raise StorageError(f"cannot copy the ledger to {to}: {error}") from error


def _refuse(ws: Workspace, to: Path, folder_id: str) -> None:
    """A ledger that is gone or older is backed up over a good one by the next night's job, unless this stops it."""
    with ws.ledger.read() as conn:
        open_, revision = circuit.opened(conn), manifest.revision(conn)
    if open_ is not None and open_.kind == circuit.RESTORED:
        raise EnrichError(f"not backed up: {open_.reason}", hint="Back up again when it is reconciled.")
    if not (to / NOTE).exists():
        mark = backup_mark.read_mark(to)
        if mark is not None and mark.folder_id != folder_id:
            raise _another(to)
        return
    before = read_note(to)
    if (before.source, before.account) != (ws.settings.source, ws.settings.account):
        raise ConfigError(f"{to} has a backup of {before.source}/{before.account}", hint="Name another folder.")
    if before.folder_id != folder_id:
        raise _another(to)
    if before.revision > revision:
        raise ConfigError(
            f"{to} has a newer backup: revision {before.revision}, and this ledger is at {revision}",
            hint="Name another folder, or restore from that one.",
        )


def _another(to: Path) -> ConfigError:
    """The later of the two would remove the files of the other, and each only believe that it has a backup."""
    return ConfigError(
        f"{to} has a backup of another data folder of this account", hint="Name another folder: one for each."
    )


def _backup(ws: Workspace, to: Path, folder_id: str) -> BackupReport:
    missing: str | None = None
    if backup_mark.read_mark(to) is None:
        backup_mark.write_mark(to, Mark(folder_id=folder_id))
    while True:
        began = ws.ledger.now()
        ledger = _copy_ledger(ws, to, folder_id)
        revision, referred = read_references(ledger)
        point("backup.after_ledger")
        try:
            copied = _copy_new(ws.home, to, referred)
            break
        except FileNotFoundError as error:  # a newer revision has done without it since: begin with that one
            if missing == error.filename:
                raise IntegrityError(f"{missing} is missing, so the backup before this stays the last") from error
            missing = error.filename
    _copy_journal(ws, to)
    note = BackupNote(
        created_at=began, source=ws.settings.source, account=ws.settings.account, folder_id=folder_id,
        revision=revision,
        ledger=ledger.name, ledger_sha256=sha256_of(ledger), lake_files=sum(f.folder == "lake" for f in referred),
        archive_files=sum(f.folder == "archive" for f in referred),
        bytes=sum(f.under(to).stat().st_size for f in referred) + ledger.stat().st_size,
    )  # fmt: skip
    point("backup.before_note")
    replace_file(to / NOTE, msgspec.json.format(msgspec.json.encode(note)))
    point("backup.after_note")
    return BackupReport(note, copied, backup_mark.remove_old(to, note.ledger, referred))


def _copy_ledger(ws: Workspace, to: Path, folder_id: str) -> Path:
    """A copy of the ledger as of one moment, as a single SQLite file; nobody is kept from writing meanwhile."""
    temporary = to / f".ledger{TEMPORARY}"
    temporary.unlink(missing_ok=True)
    if not ws.ledger.one_host:
        with ws.ledger.read() as conn:
            copying.to_file(conn, temporary)
    with closing(sqlite3.connect(temporary)) as target:
        if ws.ledger.one_host:
            source = ws.ledger.engine.raw_connection()
            try:
                source.driver_connection.backup(target)  # type: ignore[union-attr]  # SQLite's
            finally:
                source.close()
        target.execute("PRAGMA journal_mode = DELETE")
        ((revision,),) = target.execute("SELECT revision FROM manifest_head")
    final = to / f"ledger-{revision:010d}-{unique()}.sqlite"
    fsync(temporary)
    backup_mark.add_ledger(to, folder_id, final.name)
    temporary.rename(final)
    fsync(to)
    return final


def _copy_new(home: Path, to: Path, referred: Sequence[Referred]) -> int:
    """Copy the files that are not in the backup yet; returns how many. Raises FileNotFoundError when one is gone."""
    copied = 0
    for file in referred:
        size = file.under(home).stat().st_size
        there = file.under(to)
        if there.exists() and there.stat().st_size == size:  # files get their names when they are whole
            continue
        if not file.is_whole(home):
            file.under(home).stat()
            raise IntegrityError(f"{file.under(home)} is damaged, so the backup before this stays the last")
        copy_file(file, home, to)
        copied += 1
        point("backup.after_file")
    return copied


def _copy_journal(ws: Workspace, to: Path) -> None:
    """After the ledger: lines that it does not know yet say that it is older, which is true."""
    with storage_errors("read", ws.archive / journal.NAME):
        if (ws.archive / journal.NAME).exists():
            content = (ws.archive / journal.NAME).read_bytes()
            replace_file(to / "archive" / journal.NAME, content[: content.rfind(b"\n") + 1])
