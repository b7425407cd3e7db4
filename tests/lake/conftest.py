"""Fixtures: an empty lake, and one with rows in every state."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Under importmode=importlib a folder of tests is no package, and its helper modules are not found by themselves.
sys.path.insert(0, str(Path(__file__).parent))

from lakes import Lake, fill


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty data folder."""
    return Lake(tmp_path / "home")


@pytest.fixture
def full(lake: Lake) -> Lake:
    """Eleven transactions from two source files in every state, with 3 rejects, a repeat and intermediaries."""
    fill(lake)
    return lake
