"""The mark by which a folder is known as a backup folder of ours, and what in it may be removed.

Belongs here: `.enrich-backup.json`, which is written before anything else, and names each ledger before it is there. A
file is removed when a ledger that is named refers to it, and by nothing else: in a folder that was somebody's own,
every file below `archive/` and `lake/` was removed once, photographs among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from sqlalchemy.exc import DBAPIError

from pipeline.errors import ConfigError
from pipeline.flow.backup_files import NOTE, Referred, read_references, replace_file
from pipeline.lake.durable import TEMPORARY

LOCK = ".backup.lock"
_MARK = ".enrich-backup.json"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Id of the data folder that is backed up here, and the names of the ledgers that it has put here."""

    folder_id: str
    ledgers: tuple[str, ...] = ()


def read_mark(to: Path) -> Mark | None:
    """The mark of a folder; None when it has none. Raises ConfigError when it cannot be read."""
    try:
        return msgspec.json.decode((to / _MARK).read_bytes(), type=Mark)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{to / _MARK} is damaged: {error}", hint="Name a new or empty folder.") from error


def write_mark(to: Path, mark: Mark) -> None:
    """Write it, durably, in place of the one before. Raises StorageError."""
    replace_file(to / _MARK, msgspec.json.encode(mark))


def add_ledger(to: Path, folder_id: str, name: str) -> None:
    """Name a ledger that is about to be there. Raises StorageError."""
    before = read_mark(to)
    write_mark(to, Mark(folder_id=folder_id, ledgers=(*(before.ledgers if before else ()), name)))


def require_ours(to: Path) -> None:
    """Raise ConfigError unless the folder is empty, or has a backup of ours, finished or only begun."""
    if (to / NOTE).exists() or (to / _MARK).exists():
        return
    harmless = {LOCK, f".{_MARK}{TEMPORARY}"}
    if strange := sorted(path.name for path in to.iterdir() if path.name not in harmless):
        raise ConfigError(f"{to} is not a backup folder: {strange[0]} is in it", hint="Name a new or empty folder.")


def remove_old(to: Path, ledger: str, referred: Sequence[Referred]) -> int:
    """Remove what only earlier backups needed, and what killed ones left; returns how many files it were.

    `ledger` and `referred` are what the last backup needs. The ledgers go last: killed, the next one still knows.
    """
    mark = read_mark(to)
    if mark is None:
        return 0
    keep = {file.under(to) for file in referred}
    earlier = [to / name for name in mark.ledgers if name != ledger]
    old = {path for name in mark.ledgers for path in _files_of(to, to / name)} - keep
    halves = (path.with_name(f".{path.name}{TEMPORARY}") for path in old)
    removed = sum(_unlink(path) for path in (*old, *halves, *earlier))
    write_mark(to, Mark(folder_id=mark.folder_id, ledgers=(ledger,)))
    return removed


def _files_of(to: Path, ledger: Path) -> Iterator[Path]:
    if not ledger.exists():
        return
    try:
        _, referred = read_references(ledger)
    except DBAPIError:  # damaged: what it referred to is not known any more, so it stays
        return
    for file in referred:
        yield file.under(to)


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
