"""Fixtures of the ingestion tests: files written to a temporary folder, and the real exports where they exist."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.ingest.mapping import Mapping
from pipeline.ingest.reader import Ingested, read_file

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
NOW = datetime(2026, 11, 24, 9, 30)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def ingest(tmp_path: Path) -> Callable[..., Ingested]:
    """Write `content` to a file and read it, under a mapping given as TOML text."""

    def run(content: str | bytes, mapping: str | None = None, name: str = "file.csv") -> Ingested:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_file(path, Mapping.parse(mapping) if mapping else None, now=NOW)

    return run


@pytest.fixture
def exports() -> Path:
    """The folder of real exports beside the project."""
    folder = HERE.parents[2] / "shared" / "exports"
    if not folder.is_dir():
        pytest.skip(f"no real exports at {folder}: they are not part of the project")
    return folder


@pytest.fixture
def mappings() -> Path:
    return HERE / "mappings"
