"""What a process imports before `enrich` is forked from it: see `crash/forks.py`, which does it for the crash plays."""

from __future__ import annotations

import sys
from pathlib import Path

import sandbox_preloaded  # noqa: F401

sys.path.insert(0, str(Path(__file__).parent / "crash"))
import forks

sys.path.pop(0)
forks.preload()
