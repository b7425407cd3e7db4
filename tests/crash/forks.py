"""Real processes by fork of one that has done its imports: a process in 5 ms where starting Python takes 1.5 s.

Belongs here: forking, and the sandbox as such a child. The parent must never use polars or DuckDB itself, whose threads
do not survive a fork; so it only imports, and everything is done in children. Every child dies with its parent.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from places import Place
from turns import Run, take_turn

import pipeline.cli.running
import pipeline.sandbox.server  # noqa: F401 - imported here, used in the children
from pipeline.cli import app
from pipeline.sandbox import engine
from pipeline.sandbox.__main__ import main

KILLED = -signal.SIGKILL
RAISED = 70
"""Exit code of a child that ended in an exception; the traceback is in its log."""

_PR_SET_PDEATHSIG = 1


def preload() -> None:
    """Import everything that a run, a sensor or the sandbox needs. For a process that only forks.

    Dagster imports a good part of itself when it is used first, which took 0.35 s of each child's 0.5 s. So a child
    goes through ingest, plan and publish, and says what it has imported by then.
    """
    with tempfile.TemporaryDirectory(prefix="enrich-preload-") as name:
        folder = Path(name)
        code = wait(fork(lambda: _use_everything(folder), folder, {"ENRICH_DATA_DIR": "data"}))
        assert code == 0, (folder / "output.txt").read_text()
        for module in (folder / "modules").read_text().split():
            with suppress(ImportError):  # made while it ran, as alembic does with its revisions
                importlib.import_module(module)
    engine.load()
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, every page


def _use_everything(folder: Path) -> None:
    before = set(sys.modules)
    Place(folder).write("inbox/bank.csv", 0, 10)
    os.utime(folder / "inbox" / "bank.csv", (0, 0))
    take_turn({}, folder / "turn.jsonl")()
    for job in ("ingest", "plan", "publish"):
        assert Run(job).start() == 0, job
    (folder / "modules").write_text("\n".join(sorted(set(sys.modules) - before)))


def fork(act: Callable[[], int | None], folder: Path, environment: Mapping[str, str], log: str = "output.txt") -> int:
    """Start a child that does `act` in `folder`, with no ENRICH setting but these; returns its process id.

    What it writes is appended to `log`.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = RAISED
    try:
        _die_with(parent)
        _settle(folder, environment, log)
        code = act() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it is, it must not go on as the parent would
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # nothing of the parent's is torn down twice, and no thread of a library is waited for


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(RAISED)


def _settle(folder: Path, environment: Mapping[str, str], log: str) -> None:
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith(("ENRICH_", "DAGSTER_"))]:
        del os.environ[name]
    os.environ |= environment
    silence = os.open(os.devnull, os.O_RDONLY)
    out = os.open(folder / log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(silence, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


def wait(pid: int, seconds: float = 120) -> int:
    """Wait for a child; its exit code, or minus the signal. Kills it, and raises, when it takes longer."""
    end, pause = time.monotonic() + seconds, 0.002
    while (code := ended(pid)) is None:
        if time.monotonic() > end:
            kill(pid)
            raise AssertionError(f"process {pid} was not done after {seconds:.0f} s")
        time.sleep(pause)
        pause = min(0.02, pause * 1.5)
    return code


def ended(pid: int) -> int | None:
    """The exit code of a child that has ended, once; None for one that runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def kill(pid: int) -> int:
    """SIGKILL, and wait; returns the exit code, which is another's where it had just ended by itself."""
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def enrich(*arguments: str) -> Callable[[], int]:
    """`enrich` with these arguments, as something to do in a child."""

    def act() -> int:
        sys.argv = ["enrich", *arguments]
        app()
        return 0

    return act


@dataclass(slots=True)
class Sandbox:
    """A sandbox server over `state`, as a child. May be killed and started again; its address then is another."""

    state: Path
    options: tuple[str, ...] = ()
    url: str = ""
    pid: int = 0

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        self.state.mkdir(parents=True, exist_ok=True)
        ready = self.state / "url"
        ready.unlink(missing_ok=True)
        self.pid = fork(self._serve, self.state, {}, "server.txt")
        end = time.monotonic() + 60
        while not ready.exists():
            assert time.monotonic() < end, "the sandbox does not start"
            assert ended(self.pid) is None, (self.state / "server.txt").read_text()
            time.sleep(0.005)
        self.url = ready.read_text()

    def _serve(self) -> int:
        return main(["serve", f"--state={self.state}", f"--ready-file={self.state / 'url'}", *self.options])

    def stop(self) -> None:
        """End it by SIGKILL: what it answered is durable."""
        if self.pid:
            kill(self.pid)
            self.pid = 0
