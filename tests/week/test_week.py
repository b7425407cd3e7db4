"""One day in compressed time, by the program that lives a week with `make week`; with `make verify` only."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "week.py"


@pytest.mark.slow
@pytest.mark.sqlite
@pytest.mark.timeout(900)
@pytest.mark.whole
def test_one_day():
    command = [sys.executable, str(PROGRAM), "--days", "1", "--minutes", "0.6", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(r"passed: 2 files, .* 3 checkpoints; .* 0 double charges, 0 lost", last), done.stdout
    assert int(re.search(r"(\d+) records", last)[1]) > 200
    assert "daemon" in re.search(r"restarts: ([^;]+);", last)[1]
