"""The inbox: files that somebody drops, each ingested once and moved aside.

A file's mapping is `<its name without suffix>.toml` beside it, or `mapping.toml` for the whole folder, or none for
files in the canonical columns. A file that cannot be read goes to `failed/` with the reason in a text file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.crashpoints import point
from pipeline.errors import ConflictError, EnrichError
from pipeline.flow.ingesting import FileReport, ingest_file, shown_name
from pipeline.flow.workspace import Workspace
from pipeline.ingest.mapping import Mapping
from pipeline.lake.durable import StorageError

SETTLED_SECONDS = 2.0
"""A file that was written to more lately than this may still be growing."""

FUTURE_SECONDS = 3_600.0
"""A time so far ahead is no time of writing: a clock was wrong, or whoever copied the file set it."""

_LONGEST_NAME = 255
"""Bytes that file systems take for a name. A file's with `.error.txt` behind it was longer once, and ended the run."""

_NOT_DATA = {".toml", ".tmp", ".part", ".crdownload", ".swp"}


@dataclass(slots=True)
class Ingestion:
    """Reports of the files that were read, and the reason by name for those that could not be."""

    reports: list[FileReport] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def ingest_files(ws: Workspace, paths: Sequence[Path], mapping: Path | None) -> Ingestion:
    """Ingest these files with one mapping. One that cannot be read does not stop the others."""
    done = Ingestion()
    loaded = Mapping.load(mapping) if mapping else None
    for path in paths:
        try:
            done.reports.append(ingest_file(ws, path, loaded))
        except EnrichError as error:
            done.failed[shown_name(path)] = error.in_full
    return done


def settled_files(inbox: Path) -> list[Path]:
    """Files in the inbox that nobody writes to any more, by name."""
    if not inbox.is_dir():
        return []
    return sorted(
        path
        for path in inbox.iterdir()
        if not path.name.startswith(".") and path.suffix.lower() not in _NOT_DATA and _is_settled(path)
    )


def newest_of(paths: Sequence[Path]) -> float:
    """When the newest of these came or was changed here, as `time.time`; 0 when none is there any more."""
    newest = 0.0
    for path in paths:
        with suppress(OSError):
            newest = max(newest, path.stat().st_ctime)
    return newest


def _is_settled(path: Path) -> bool:
    try:
        found = path.stat()
    except OSError:  # moved by another run since it was listed, or a link to nothing
        return False
    # A file copied with its times may be "written" in the future; when that was done here is in its ctime.
    age = time.time() - min(found.st_mtime, found.st_ctime)
    lies_still = age >= SETTLED_SECONDS or age < -FUTURE_SECONDS
    return stat.S_ISREG(found.st_mode) and lies_still and not _is_written_to(path)


def _is_written_to(path: Path) -> bool:
    """Whether a process of this machine has the file open for writing; False as well where that cannot be known.

    An upload that paused for three seconds was read by half and moved to done/, where the rest of it went unread. The
    kernel grants a read lease on a file only if nobody has it open to write (fcntl(2), Linux; our own files).
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        with path.open("rb") as stream:
            # A writer that comes just now makes the kernel send a signal: SIGIO would end this process.
            fcntl.fcntl(stream, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:  # another user's file, or a file system without leases
        return False
    return False


def ingest_inbox(ws: Workspace) -> Ingestion:
    """Ingest what lies in the inbox. Killed before the move, the next call finds the file known."""
    done = Ingestion()
    for path in settled_files(ws.settings.inbox_dir):
        name = shown_name(path)
        try:
            before = _version(path)
            mapping = mapping_for(path)
            done.reports.append(ingest_file(ws, path, Mapping.load(mapping) if mapping else None))
            if _version(path) != before:  # what was read is in; the whole is read when it lies still
                continue
        except (StorageError, ConflictError, OSError) as error:  # not the file's fault: it stays for the next time
            done.failed[name] = f"{name}: {error}"
        except EnrichError as error:
            done.failed[name] = error.in_full
            if error.concerns_all:  # nor that of a ledger which is locked or gone: the next file would meet it too
                break
            _set_aside(path, done, note=True)
        except Exception as error:  # noqa: BLE001 - a defect that one file shows must not keep the others out for good
            # Its class only: a library's text may hold a value of the file.
            done.failed[name] = f"{name}: cannot be read: {type(error).__name__}, a defect of this program"
            _set_aside(path, done, note=True)
        else:
            _set_aside(path, done)
    return done


def _version(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _set_aside(path: Path, done: Ingestion, *, note: bool = False) -> None:
    """Move a file to `done/` or, with a note of what is wrong with it, to `failed/`. Neither stops the other files."""
    try:
        moved = _move(path, path.parent / ("failed" if note else "done"))
        if note:
            beside = moved.with_name(_fitting(moved.name, ".error.txt"))
            beside.write_text(done.failed[shown_name(path)] + "\n", errors="backslashreplace")
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.exists():  # another run over the inbox has moved it
            return
        said = f"{shown_name(path)}: cannot be set aside: {error.strerror}"
        done.failed[shown_name(path)] = "; ".join(filter(None, [done.failed.get(shown_name(path)), said]))


def mapping_for(path: Path) -> Path | None:
    """The mapping that lies beside a file, or None."""
    for candidate in (path.with_suffix(".toml"), path.with_name("mapping.toml")):
        if candidate.is_file():
            return candidate
    return None


def _fitting(name: str, ending: str) -> str:
    """The two joined; a name too long for that is cut, and its hash keeps it apart from those that begin alike."""
    whole = os.fsencode(name + ending)
    if len(whole) <= _LONGEST_NAME:
        return name + ending
    raw = os.fsencode(name)
    tail = f"~{hashlib.sha256(raw).hexdigest()[:8]}{ending}"
    return raw[: _LONGEST_NAME - len(os.fsencode(tail))].decode(errors="ignore") + tail


def _move(path: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    target, n = folder / path.name, 1
    while target.exists():
        target, n = folder / _fitting(path.stem, f"-{n}{path.suffix}"), n + 1
    point("inbox.before_move")
    moved = path.rename(target)
    point("inbox.after_move")
    return moved
