"""Project folders of their own and real child processes in them, for the tests that kill processes.

Belongs here: starting, killing and waiting. What must be true afterwards is in `end_state.py`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from pipeline.settings import Settings

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent

TIME_SCALE = 600
"""The sandbox's batches (15 s) then take 25 ms, and the grace (1,800 s) 3 s.

The grace must exceed the longest late arrival plus list lag. On loopback a request arrives within milliseconds of being
let go, and the sandbox lists a batch from its commit on, so 3 s is plenty even on a busy machine. What must not happen
is that the grace is over before the second process has started: then "absent" would be decided by its first look, and
the waiting would not be tested; starting takes about as long as the grace, which counts from that start's own commit.
"""

BATCH = 20
HEADER = "id,date,description,amount,entry_type,currency,country,account_holder_id,account_holder_type\n"
_TEXTS = ("SQ *BLUE BOTTLE COFFEE", "NETFLIX.COM 866-579-7172", "ACME PAYROLL", "TESCO STORES 2291 LONDON")


class Child(Protocol):
    """What of a `subprocess.Popen` is used here."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...


def launch(command: Sequence[str], folder: Path, environment: Mapping[str, str], out: IO[bytes]) -> Child:
    """Start a program as users do. What tests have instead is in `forked_places`."""
    return subprocess.Popen(
        [str(BIN / command[0]), *command[1:]],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that ended: its code (-9 after SIGKILL) and everything that it wrote."""

    code: int
    output: str


@dataclass(slots=True)
class Place:
    """A folder with a copy of dagster.yaml, so that the project's own instance is never touched, and `data` in it."""

    folder: Path
    _children: list[tuple[Child, Path]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "dagster.yaml", self.folder / "dagster.yaml")

    @property
    def settings(self) -> Settings:
        """The settings that the children have, as far as paths are concerned."""
        return Settings(data_dir=self.folder / "data", base_url="http://127.0.0.1:9", _env_file=None)

    def write(self, name: str, first: int, rows: int, *, bad: int = 0) -> Path:
        """A canonical CSV of transactions `first` and following, and `bad` records that ingestion refuses."""
        lines = [
            f"tx-{i},2026-{1 + i % 9:02d}-{1 + i % 28:02d},{_TEXTS[i % 4]},{1 + i % 90}.{i % 100:02d},"
            f"{'incoming' if i % 4 == 2 else 'outgoing'},USD,US,holder-{i % 3},consumer\n"
            for i in range(first, first + rows)
        ]
        lines += [f"bad-{i},2026-02-30,X,1,outgoing,USD,US,,\n" for i in range(bad)]
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEADER + "".join(lines))
        return path

    def start(self, *command: str, **environment: str) -> Child:
        """Start a program of the virtual environment here, with no setting but these in its environment."""
        log = self.folder / f"output-{len(self._children)}.txt"
        clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
        with log.open("wb") as out:
            child = launch(command, self.folder, clean | environment, out)
        self._children.append((child, log))
        return child

    def start_run(self, *files: Path, **environment: str) -> Child:
        """`enrich run` over these files."""
        options = ("--batch-size", str(BATCH), "--time-scale", str(TIME_SCALE), "--data-dir", "data")
        return self.start("enrich", "run", *(path.name for path in files), *options, **environment)

    def wait(self, child: Child, seconds: float = 120) -> Finished:
        """Wait for a child's end; one that takes longer is killed, and fails the test with what it wrote."""
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            kill(child)
            raise AssertionError(f"not done after {seconds:.0f} s; it wrote:\n{self.output(child)}") from None
        return Finished(code, self.output(child))

    def run(self, *files: Path, **environment: str) -> Finished:
        """`enrich run` over these files, to its end."""
        return self.wait(self.start_run(*files, **environment))

    def output(self, child: Child) -> str:
        """The end of what a child has written so far."""
        (log,) = (log for one, log in self._children if one is child)
        return log.read_text(errors="replace")[-6000:]

    def close(self) -> None:
        """Kill whatever still runs: children with their process groups, and what they started in groups of its own."""
        for child, _ in self._children:
            kill(child)
        for pid in _working_in(self.folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove(self) -> None:
        """Close, and remove the folder: a passed test leaves nothing."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _working_in(folder: Path) -> list[int]:
    """Processes whose working folder this is; none on systems without /proc, where orphans end by themselves.

    Without the resource trackers of `multiprocessing`: these end after the others, and remove their semaphores.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            tracks = b"resource_tracker" in (entry.parent / "cmdline").read_bytes()
            if entry.readlink() == folder.resolve() and not tracks:
                found.append(int(entry.parent.name))
    return found


def kill(child: Child) -> None:
    """SIGKILL to a child and its process group; one that is stopped dies as well."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@contextmanager
def removed_if_good(place: Place) -> Iterator[Place]:
    """Kill the place's children at the end, and keep its files only when something failed."""
    try:
        yield place
    except BaseException:
        place.close()
        raise
    place.remove()


def wait_until(true: Callable[[], bool], what: str, *, seconds: float = 60, log: Callable[[], str] = str) -> None:
    """Look every tenth of a second until it is true; else fail, saying what was waited for, with the end of a log."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds:.0f} s still not: {what}\n{log()}")
        time.sleep(0.1)
