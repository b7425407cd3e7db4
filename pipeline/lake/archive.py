"""What came from outside, kept as it came: API responses and ingested source files, compressed.

Belongs here: storing such a file for good and giving back exactly its bytes, checked. What the bytes mean is the
business of whoever asked for them.

An archived file is one zstd frame with its content checksum, so `zstd -d` opens it without this program. Its name
ends in the SHA-256 of the content: the reader compares, so a truncated or mixed-up file is noticed as well (at a
truncated frame python-zstandard's reader just reports the end).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

import zstandard

from pipeline.errors import IntegrityError
from pipeline.lake.durable import inside, new_file, safe_name, shard, storage_errors, unique

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 1 << 20
_SUFFIX = ".zst"


@dataclass(frozen=True, slots=True)
class Archived:
    """An archived file. `path` is relative to the archive's root; `bytes` and `sha256` are of the original."""

    path: str
    bytes: int
    compressed_bytes: int
    sha256: str


def archive_file(root: Path, source: Path, *, name: str) -> Archived:
    """Keep a copy of `source` for good as `<shard>/<name>-<unique>.<sha256>.zst`; the source stays where it is.

    `name` is from `[A-Za-z0-9._-]`. Streams: memory does not grow with the file. Raises `StorageError`.
    """
    folder = root / shard(safe_name(name))
    own = f"{name}-{unique()}"
    with storage_errors("read", source), source.open("rb") as original:
        digest = hashlib.file_digest(original, "sha256").hexdigest()
        original.seek(0)
        final = folder / f"{own}.{digest}{_SUFFIX}"
        with new_file(final, root=root) as temporary, temporary.open("xb") as target:
            compressor = zstandard.ZstdCompressor(level=9, write_checksum=True, write_content_size=True)
            size, written = compressor.copy_stream(original, target, size=source.stat().st_size)
    return Archived(final.relative_to(root).as_posix(), size, written, digest)


def open_archive(root: Path, relative: str) -> BinaryIO:
    """A readable, not seekable stream of the original bytes.

    Opening raises `IntegrityError` when the file is missing; reading raises it when the content is damaged, at the
    latest at the end. So do not act on what was read before the end has been seen.
    """
    path = inside(root, relative)
    try:
        return cast("BinaryIO", io.BufferedReader(_CheckedReader(path), _CHUNK))
    except FileNotFoundError as error:
        raise IntegrityError(f"archived file {relative} is missing") from error


def extract(root: Path, relative: str, to: Path) -> None:
    """Write the original bytes to `to`, replacing it at once or, when they are damaged, not at all.

    Raises `IntegrityError` (missing or damaged) and `StorageError`.
    """
    temporary = to.with_name(f".{to.name}-{unique()}.tmp")
    with open_archive(root, relative) as stream, storage_errors("write", to):
        try:
            with temporary.open("xb") as target:
                while chunk := stream.read(_CHUNK):
                    target.write(chunk)
            temporary.replace(to)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


class _CheckedReader(io.RawIOBase):
    """Decompresses one archived file and compares its SHA-256 with its name's when the end is reached."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._expected = path.name.removesuffix(_SUFFIX).rpartition(".")[2]
        self._file = path.open("rb")
        self._stream = zstandard.ZstdDecompressor().stream_reader(self._file, read_across_frames=True)
        self._digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed: any writable buffer
        try:
            count: int = self._stream.readinto(buffer)
        except zstandard.ZstdError as error:
            raise IntegrityError(f"archived file {self._path.name} is damaged: {error}") from error
        self._digest.update(memoryview(buffer)[:count])
        if count == 0 and self._digest.hexdigest() != self._expected:
            raise IntegrityError(f"archived file {self._path.name} is damaged: its content is not what was archived")
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
