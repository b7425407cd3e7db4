"""Kills at random moments, by the program that does thousands of them with `make torture N=5000`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "torture.py"
KILLS = 20 if os.environ.get("ENRICH_ALL_CRASHES") else 8


def test_some_kills():
    command = [sys.executable, str(PROGRAM), str(KILLS), "--seed", "100"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    told = re.fullmatch(r"(\d+) kills, (\d+) items, 0 double charges, 0 lost", last)
    assert told, done.stdout
    assert int(told[1]) >= KILLS
    assert int(told[2]) > 0
