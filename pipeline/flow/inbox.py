"""The inbox: files that somebody drops, each ingested once and moved aside.

A file's mapping is `<its name without suffix>.toml` beside it, or `mapping.toml` for the whole folder, or none for
files in the canonical columns. A file that cannot be read goes to `failed/` with the reason in a text file.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.crashpoints import point
from pipeline.errors import ConflictError, EnrichError
from pipeline.flow.ingesting import FileReport, ingest_file
from pipeline.flow.workspace import Workspace
from pipeline.ingest.mapping import Mapping
from pipeline.lake.durable import StorageError

SETTLED_SECONDS = 2.0
"""A file that was written to more lately than this may still be growing."""

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
            done.failed[path.name] = error.in_full
    return done


def settled_files(inbox: Path) -> list[Path]:
    """Files in the inbox that nobody writes to any more, by name."""
    if not inbox.is_dir():
        return []
    horizon = time.time() - SETTLED_SECONDS
    return sorted(
        path
        for path in inbox.iterdir()
        if path.is_file()
        and not path.name.startswith(".")
        and path.suffix.lower() not in _NOT_DATA
        and path.stat().st_mtime <= horizon
    )


def ingest_inbox(ws: Workspace) -> Ingestion:
    """Ingest what lies in the inbox. Killed before the move, the next call finds the file known."""
    done = Ingestion()
    for path in settled_files(ws.settings.inbox_dir):
        try:
            mapping = mapping_for(path)
            done.reports.append(ingest_file(ws, path, Mapping.load(mapping) if mapping else None))
        except (StorageError, ConflictError, OSError) as error:  # not the file's fault: it stays for the next time
            done.failed[path.name] = f"{path.name}: {error}"
        except EnrichError as error:
            done.failed[path.name] = error.in_full
            _set_aside(path, done, note=True)
        else:
            _set_aside(path, done)
    return done


def _set_aside(path: Path, done: Ingestion, *, note: bool = False) -> None:
    """Move a file to `done/` or, with a note of what is wrong with it, to `failed/`. Neither stops the other files."""
    try:
        moved = _move(path, path.parent / ("failed" if note else "done"))
        if note:
            beside = moved.with_name(_fitting(moved.name, ".error.txt"))
            beside.write_text(done.failed[path.name] + "\n", errors="backslashreplace")
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.exists():  # another run over the inbox has moved it
            return
        said = f"{path.name}: cannot be set aside: {error.strerror}"
        done.failed[path.name] = "; ".join(filter(None, [done.failed.get(path.name), said]))


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
