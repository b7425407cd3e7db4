"""Dagster's migrations are read once in a process: it looks through all of them for each run's own database.

That was a third of what its tests cost. What is read is what Alembic would read; only `env.py` is run each time.
"""

from __future__ import annotations

import functools
from types import ModuleType

from alembic import util

_load = util.load_python_file


@functools.cache
def _load_once(folder: str, name: str) -> ModuleType:
    return _load(folder, name)


def _load_python_file(folder: str, name: str) -> ModuleType:
    return (_load if name == "env.py" else _load_once)(str(folder), str(name))


def cache_migrations() -> None:
    """Have Alembic import each revision once."""
    util.load_python_file = _load_python_file
