"""The archive gives back exactly the bytes that it was given, or says that it cannot."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest
import zstandard

from pipeline.errors import IntegrityError
from pipeline.lake.archive import archive_file, extract, open_archive
from pipeline.lake.durable import StorageError

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b'{"results": []}\n' * 50_000 + random.Random(1).randbytes(3_000_000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "answer.json"
    path.write_bytes(CONTENT)
    return path


def test_content_comes_back_and_the_figures_are_true(tmp_path: Path, source: Path) -> None:
    root = tmp_path / "archive"

    kept = archive_file(root, source, name="results-00000001-ab.json")

    assert kept.bytes == len(CONTENT)
    assert kept.compressed_bytes == (root / kept.path).stat().st_size < len(CONTENT)
    assert kept.sha256 == hashlib.sha256(CONTENT).hexdigest()
    with open_archive(root, kept.path) as stream:
        assert stream.read(20) == CONTENT[:20]
        assert stream.read() == CONTENT[20:]
    assert source.exists()


@pytest.mark.parametrize("content", [b"", b"x"])
def test_tiny_content_too(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "source").write_bytes(content)
    kept = archive_file(tmp_path / "archive", tmp_path / "source", name="n")

    with open_archive(tmp_path / "archive", kept.path) as stream:
        assert stream.read() == content


def test_any_zstd_program_can_open_it(tmp_path: Path, source: Path) -> None:
    kept = archive_file(tmp_path / "archive", source, name="n")

    frame = (tmp_path / "archive" / kept.path).read_bytes()
    assert zstandard.get_frame_parameters(frame).has_checksum
    assert zstandard.ZstdDecompressor().decompress(frame) == CONTENT


def test_the_same_file_twice_is_kept_twice(tmp_path: Path, source: Path) -> None:
    # Sharing one copy would let the sweep of a discarded attempt delete what another one refers to.
    root = tmp_path / "archive"

    assert archive_file(root, source, name="n").path != archive_file(root, source, name="n").path


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(content)


def _truncate(path: Path, size: int) -> None:
    path.chmod(0o644)
    os.truncate(path, size)


@pytest.mark.parametrize("where", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("damage", [_flip, _truncate])
def test_damage_is_noticed_and_never_extracted(tmp_path: Path, source: Path, damage: object, where: float) -> None:
    root = tmp_path / "archive"
    kept = archive_file(root, source, name="n")
    assert callable(damage)
    damage(root / kept.path, int(kept.compressed_bytes * where))
    target = tmp_path / "out"
    target.write_text("what was there")

    with pytest.raises(IntegrityError, match="is damaged"), open_archive(root, kept.path) as stream:
        stream.read()
    with pytest.raises(IntegrityError, match="is damaged"):
        extract(root, kept.path, target)
    assert target.read_text() == "what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer.json", "archive", "out"]


def test_an_empty_file_or_another_ones_content_is_damage(tmp_path: Path, source: Path) -> None:
    root = tmp_path / "archive"
    first = archive_file(root, source, name="n")
    (tmp_path / "other").write_bytes(b"other")
    second = archive_file(root, tmp_path / "other", name="n")
    (root / first.path).chmod(0o644)
    shutil.copy(root / second.path, root / first.path)

    with pytest.raises(IntegrityError, match="not what was archived"), open_archive(root, first.path) as stream:
        stream.read()
    (root / first.path).chmod(0o644)
    (root / first.path).write_bytes(b"")
    with pytest.raises(IntegrityError, match="is damaged"), open_archive(root, first.path) as stream:
        stream.read()


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path, source: Path) -> None:
    with pytest.raises(IntegrityError, match="is missing"):
        open_archive(tmp_path, "ab/gone.00.zst")
    with pytest.raises(ValueError, match="not a path inside"):
        open_archive(tmp_path, "/etc/hostname")
    with pytest.raises(StorageError, match="cannot read"):
        archive_file(tmp_path, source.with_name("gone"), name="n")


def test_extract_replaces_the_target(tmp_path: Path, source: Path) -> None:
    kept = archive_file(tmp_path / "archive", source, name="n")
    target = tmp_path / "out"
    target.write_text("before")

    extract(tmp_path / "archive", kept.path, target)

    assert target.read_bytes() == CONTENT
    with pytest.raises(StorageError, match="cannot write"):
        extract(tmp_path / "archive", kept.path, tmp_path / "no" / "folder")
