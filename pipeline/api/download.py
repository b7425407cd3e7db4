"""Getting bytes onto the disk so that a file is there whole or not at all.

Belongs here: the file side of a download. A leftover `.<name>.<hex>.part` beside a file is from a killed process and
may be deleted.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_RESULTS = 2 * 1024**3
"""Default bound of one batch's results in bytes; 24,960 items are 25-50 MB."""


@dataclass(frozen=True, slots=True)
class Download:
    """What was written: size, hash of the bytes in the file (hex), and the request id to quote to the API's support."""

    bytes: int
    sha256: str
    request_id: str


def save(parts: Iterable[bytes], to: Path, request_id: str) -> Download:
    """Write `parts` to `to`, replacing it, through a temporary name, fsynced. Any exception leaves `to` as it was."""
    to.parent.mkdir(parents=True, exist_ok=True)
    part_file = to.with_name(f".{to.name}.{uuid.uuid4().hex}.part")
    digest, size = hashlib.sha256(), 0
    try:
        with part_file.open("xb") as file:
            for part in parts:
                file.write(part)
                digest.update(part)
                size += len(part)
            file.flush()
            os.fsync(file.fileno())
        part_file.replace(to)
    finally:
        part_file.unlink(missing_ok=True)
    _sync_folder(to.parent)
    return Download(size, digest.hexdigest(), request_id)


def _sync_folder(folder: Path) -> None:
    """Without this the rename itself may be lost in a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
