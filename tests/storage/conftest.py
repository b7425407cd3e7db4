"""A small disk that can be filled or made read-only, and processes that stop where it is to happen.

The disk is a tmpfs, which needs the right to mount. Without it these tests are skipped, and say so.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

# Under importmode=importlib a folder of tests is no package; these helpers are those of the crash tests.
sys.path.insert(0, str(Path(__file__).parent.parent / "crash"))

from forked_places import fork_programs
from places import BATCH, TIME_SCALE, Place, removed_if_good, wait_until

from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess

fork_programs()

SIZE = 32 << 20

_STOPS = """
import signal, sys
signal.SIGKILL = signal.SIGSTOP
from pipeline.cli import app
app()
"""
"""`enrich` whose crash points stop the process where they would kill it."""


@dataclass(slots=True)
class Disk:
    """A mounted tmpfs."""

    folder: Path

    def fill(self, leave: int = 0) -> None:
        """Leave only so many bytes free."""
        found = os.statvfs(self.folder)
        with (self.folder / "ballast").open("ab") as ballast:
            ballast.write(b"x" * max(0, found.f_bavail * found.f_frsize - leave))

    def free(self) -> None:
        """Take away what filled it."""
        (self.folder / "ballast").unlink(missing_ok=True)

    def remount(self, how: str) -> None:
        """`ro` or `rw`. No process may have a file open for writing."""
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.folder)], check=True, capture_output=True)


@pytest.fixture
def disks(tmp_path):
    """Small disks: `disks("name")`."""
    mounted = []

    def make(name):
        folder = tmp_path / "disks" / name
        folder.mkdir(parents=True)
        try:
            command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("no disk can be made small: there is no `mount` here")
        except subprocess.CalledProcessError as refused:
            pytest.skip(f"no disk can be made small: {refused.stderr.strip()} (needs root)")
        mounted.append(folder)
        return Disk(folder)

    yield make
    for folder in mounted:
        # Lazily: DuckDB may still hold a file for a moment.
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


class Stopped:
    """`enrich run`s in a project of their own, whose data folder may lie elsewhere and whose API outlives them."""

    def __init__(self, place: Place, sandbox: SandboxProcess, data: Path) -> None:
        self.place, self.data = place, data
        (place.folder / "data").symlink_to(data, target_is_directory=True)
        self.file = place.write("bank.csv", 0, 60, bad=2)
        self.environment = {
            "ENRICH_BASE_URL": sandbox.url,
            "ENRICH_BATCH_SIZE": str(BATCH),
            "ENRICH_TIME_SCALE": str(TIME_SCALE),
            "ENRICH_DATA_DIR": "data",
        }

    def start_stopping_at(self, point: str) -> subprocess.Popen[bytes]:
        """A run that has stopped itself at this point."""
        child = self.place.start("python", "-c", _STOPS, "run", "bank.csv", ENRICH_CRASH_AT=point, **self.environment)
        look = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT
        seen = None

        def has_stopped() -> bool:
            nonlocal seen
            seen = os.waitid(os.P_PID, child.pid, look)
            return seen is not None

        wait_until(has_stopped, f"stopped at {point}", log=lambda: self.place.output(child), seconds=120)
        assert seen is not None
        assert (seen.si_code, seen.si_status) == (os.CLD_STOPPED, signal.SIGSTOP), self.place.output(child)
        return child

    def run(self, **more: str):
        """A run to its end."""
        return self.place.wait(self.place.start("enrich", "run", "bank.csv", **self.environment, **more), 200)


@pytest.fixture
def stopped_for(tmp_path):
    """`stopped_for("name", data_folder)`."""
    opened = []

    def make(name, data):
        data.mkdir(parents=True)
        place = Place(Path(tempfile.mkdtemp(prefix=f"{name}-", dir=tmp_path)))
        sandbox = SandboxProcess(place.folder / "api", SandboxConfig(time_scale=TIME_SCALE)).start()
        opened.append((place, sandbox))
        return Stopped(place, sandbox, data)

    yield make
    for place, sandbox in opened:
        with removed_if_good(place):
            sandbox.stop()
