"""Files that are either wholly there or not there at all, also after a power cut.

Belongs here: temporary name, fsync, rename, and the words for a disk that cannot be written. What is in the files is
no business of this module.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.crashpoints import point
from pipeline.errors import EnrichError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPORARY = ".tmp"
"""Ending of a file that is still being written, or whose writer died."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


class StorageError(EnrichError):
    """The disk did not take it: full, read-only, not permitted, or gone."""

    hint = "Check free space and permissions of the data folder, then run again: nothing was recorded."
    concerns_all = True


@contextmanager
def storage_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn an `OSError` into a `StorageError` that says what could not be done, and where."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {doing} {path}: {error.strerror or error}") from error


def unique() -> str:
    """16 hex digits that no other process makes."""
    return uuid.uuid4().hex[:16]


def safe_name(name: str) -> str:
    """The name itself. Raises `ValueError` when it could leave its folder or hide: code makes it, not people."""
    if not _SAFE_NAME.fullmatch(name):
        raise ValueError(f"not usable as a file name (letters, digits, '.', '_', '-'; at most 120): {name!r}")
    return name


def inside(root: Path, relative: str) -> Path:
    """`root / relative`. Raises `ValueError` for an absolute path or one that climbs out."""
    path = root / relative
    if path == root or not path.is_relative_to(root) or ".." in path.parts[len(root.parts) :]:
        raise ValueError(f"not a path inside the folder: {relative!r}")
    return path


def fsync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def commit(temporary: Path, final: Path, *, root: Path) -> None:
    """Give a finished file its final name, read-only, and make that durable up to `root`.

    Raises `FileExistsError` rather than replace anything.
    """
    temporary.chmod(0o444)
    fsync(temporary)
    if final.exists():
        raise FileExistsError(17, "exists already", str(final))
    point("file.before_rename")
    temporary.rename(final)
    point("file.after_rename")
    # Also the folders above: this or another writer may have just made them, and a file whose folder's entry is lost
    # is lost as well.
    folder = final.parent
    while folder != root:
        fsync(folder)
        folder = folder.parent
    fsync(root)


@contextmanager
def new_file(final: Path, *, root: Path) -> Iterator[Path]:
    """Hand out a temporary path beside `final`; commit it on success, remove it on failure.

    Raises `StorageError`.
    """
    temporary = final.with_name(f".{final.name}{TEMPORARY}")
    with storage_errors("write", final):
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            commit(temporary, final, root=root)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def shard(name: str) -> str:
    """One of 256 folder names, by a hash of the name, so that no folder gets 100,000 entries."""
    return hashlib.sha256(name.encode()).hexdigest()[:2]
