"""Partitions added by several at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.instance import open_instance
from pipeline.partitions import BATCHES, ensure_partitions

ROOT = Path(__file__).parent.parent.parent
_ADD = """
import sys, time
from pathlib import Path
from pipeline.instance import open_instance
from pipeline.partitions import ensure_partitions
with open_instance(Path(sys.argv[1])) as instance:
    print("ready", flush=True)
    sys.stdin.readline()
    for start in range(0, 2_000, 20):
        ensure_partitions(instance, [f"{n:06d}" for n in range(start, start + 20)])
"""


def test_a_key_that_is_named_twice_is_one_partition(project_for):
    instance = project_for().instance
    assert ensure_partitions(instance, ["b", "a", "b"]) == ["b", "a"]
    assert ensure_partitions(instance, ["a", "c"]) == ["c"]
    assert ensure_partitions(instance, []) == []
    assert instance.get_dynamic_partitions(BATCHES) == ["b", "a", "c"]


def test_processes_that_add_the_same_keys_at_once_all_succeed(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "dagster.yaml", folder)
    open_instance(folder).dispose()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _ADD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    errors = [child.communicate()[1] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], errors
    with open_instance(folder) as instance:
        assert sorted(instance.get_dynamic_partitions(BATCHES)) == [f"{n:06d}" for n in range(2_000)]
