"""The direction of imports, and that plain modules do without Dagster."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

EDGE = {
    "pipeline.alert_sensor", "pipeline.cli", "pipeline.columns", "pipeline.definitions", "pipeline.instance",
    "pipeline.jobs", "pipeline.one_shot", "pipeline.operator_jobs",
    "pipeline.partitions", "pipeline.refresh_sensor",
    "pipeline.resources", "pipeline.retiring", "pipeline.runs", "pipeline.sensors", "assets",
}  # fmt: skip
"""Only these may import dagster."""

BASE = {
    "pipeline.settings", "pipeline.errors", "pipeline.process", "pipeline.crashpoints", "pipeline.damaged_json",
    "pipeline.lake.tables",
}  # fmt: skip
MAY_IMPORT = {
    "pipeline.api": set(),
    "pipeline.ingest": set(),
    "pipeline.ledger": set(),
    "pipeline.lake": set(),
    "pipeline.sandbox": set(),
    "pipeline.sample": set(),
    "pipeline.dispatch": set(),
    "pipeline.flow": {"pipeline.api", "pipeline.dispatch", "pipeline.ingest", "pipeline.ledger", "pipeline.lake"},
    "pipeline.webhooks": {"pipeline.ledger"},
    "pipeline.local_api": {"pipeline.sandbox"},
}
"""What each plain part may import besides BASE and itself."""

ALONE = {"pipeline.sandbox", "pipeline.sample", "pipeline.dispatch"}
"""Parts that know nothing of the rest, not even BASE."""


def modules():
    for folder in ("pipeline", "assets"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, path


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(name):
    """`pipeline.flow.inbox` belongs to `pipeline.flow`, `pipeline.jobs` to itself, `assets.raw` to `assets`."""
    return name.split(".")[0] if name.startswith("assets") else ".".join(name.split(".")[:2])


def within(name, parts):
    return any(name == p or name.startswith(f"{p}.") for p in parts)


ALL = list(modules())


@pytest.mark.parametrize(("name", "path"), ALL, ids=[name for name, _ in ALL])
def test_imports_point_down(name, path):
    mine = part(name)
    used = {
        i for i in imports(path) if within(i, {"pipeline", "assets", "dagster"}) and i not in {"pipeline", "assets"}
    }
    if within(name, EDGE):
        assert not {i for i in used if within(i, {"assets"})} or name == "pipeline.definitions" or mine == "assets"
        return
    assert not {i for i in used if within(i, {"dagster"})}, "only the edge knows Dagster"
    assert not {i for i in used if within(i, EDGE)}, "imports point down"
    allowed = MAY_IMPORT.get(mine, set()) | {mine} | (set() if mine in ALONE else BASE)
    if mine in MAY_IMPORT:
        assert not {i for i in used if not within(i, allowed)}, f"{mine} may import {sorted(allowed)} only"
    else:
        assert within(name, BASE | {"pipeline"})


def test_plain_modules_import_without_dagster():
    plain = [name for name, _ in ALL if not within(name, EDGE) and "migrations" not in name and "__main__" not in name]
    assert len(plain) > 60
    script = (
        "import sys\n"
        "class Ban:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'dagster': raise ImportError('dagster is banned here')\n"
        "sys.meta_path.insert(0, Ban())\n"
        "import importlib\n"
        f"for name in {plain!r}: importlib.import_module(name)\n"
        "assert 'dagster' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_the_lock_file_names_no_index_and_pins_every_package_with_hashes():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    pins = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(pins) > 50
    assert all("==" in line and line.endswith("\\") for line in pins)
