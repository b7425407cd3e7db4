"""What a backup folder holds, and how its files are checked and copied. Making and putting back are elsewhere.

Layout: `lake/` and `archive/` as in the data folder, `ledger-<revision>-<unique>.sqlite`, and `backup.json`, which is
written last and names the ledger that counts. The warehouse is not in it: it is made from these.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
from sqlalchemy import select

from pipeline.errors import ConfigError, IntegrityError
from pipeline.lake import archive
from pipeline.lake.durable import TEMPORARY, fsync, new_file, storage_errors
from pipeline.ledger import copying, manifest, schema

NOTE = "backup.json"
_CHUNK = 1 << 20


class BackupNote(msgspec.Struct, frozen=True, kw_only=True):
    """What `backup.json` says. `created_at` is naive UTC, `folder_id` the data folder's, `ledger` a name beside it."""

    created_at: datetime
    source: str
    account: str
    folder_id: str
    revision: int
    ledger: str
    ledger_sha256: str
    lake_files: int
    archive_files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Referred:
    """A file that a ledger refers to. Of an archived one neither size nor hash is known; its name has its content's."""

    folder: str
    path: str
    bytes: int | None = None
    sha256: str | None = None

    def under(self, root: Path) -> Path:
        """Where it is in a data folder, or in a backup folder."""
        return root / self.folder / self.path

    def is_whole(self, root: Path) -> bool:
        """Whether it is there, with exactly its content. Reads it."""
        try:
            if self.sha256 is None:
                with archive.open_archive(root / self.folder, self.path) as stream:
                    while stream.read(_CHUNK):
                        pass
                return True
            return sha256_of(self.under(root)) == self.sha256
        except (FileNotFoundError, IntegrityError):
            return False


def read_references(ledger: Path) -> tuple[int, list[Referred]]:
    """The manifest's revision in a ledger file that nobody writes to, and the files that it refers to, each once."""
    m, d, s, k = schema.manifest_files, schema.documents, schema.source_files, schema.kept_answers
    with copying.unchanging(ledger).connect() as conn:
        revision = manifest.revision(conn)
        live = conn.execute(select(m.c.path, m.c.bytes, m.c.sha256).where(m.c.removed_revision.is_(None)))
        lake = [Referred("lake", *row) for row in live]
        archived = {path for c in (d.c.path, s.c.archive_path, k.c.path) for path in conn.execute(select(c)).scalars()}
    return revision, lake + [Referred("archive", path) for path in sorted(archived)]


def read_note(folder: Path) -> BackupNote:
    """What the last finished backup in a folder says of itself. Raises ConfigError when there is none."""
    try:
        return msgspec.json.decode((folder / NOTE).read_bytes(), type=BackupNote)
    except OSError as error:
        raise ConfigError(f"there is no finished backup in {folder}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{folder / NOTE} is not a note of a backup: {error}") from error


def copy_file(file: Referred, from_: Path, to: Path) -> None:
    """Copy one file from one root to another, durably, replacing a damaged one there. Raises StorageError."""
    final = file.under(to)
    with storage_errors("write", final):
        final.unlink(missing_ok=True)
    with new_file(final, root=to) as temporary:
        temporary.unlink(missing_ok=True)  # of a process that was killed
        with file.under(from_).open("rb") as original, temporary.open("xb") as target:
            while chunk := original.read(_CHUNK):
                target.write(chunk)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, durably, in place of the one before, at once. Raises StorageError."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    with storage_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        fsync(path.parent)


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
