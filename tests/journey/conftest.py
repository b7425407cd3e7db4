from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from forked_programs import run

ROOT = Path(__file__).parent.parent.parent


class Folder:
    """A new folder with a copy of dagster.yaml, in which commands are run as a person would."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        shutil.copy(ROOT / "dagster.yaml", path)
        self.path = path
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ENRICH_", "DAGSTER_"))}
        self.environment = {**kept, "COLUMNS": "200"}

    def enrich(self, *args, code=0, timeout=120, **environment):
        done = run(list(map(str, args)), cwd=self.path, env={**self.environment, **environment}, timeout=timeout)
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def query(self, sql, data_dir):
        out = self.enrich("query", sql, "--json", "--data-dir", data_dir)
        return [tuple(json.loads(line).values()) for line in out.splitlines()]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "person")
