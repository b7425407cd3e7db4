"""Programs forked from a process that has imported Dagster: 30 ms instead of 1 to 2 s of the processor.

Belongs here: `enrich` and pieces of Python, as `subprocess.run` would run them. Where the start itself matters
(`enrich dev`, units, what a program leaves behind in its process tree) tests start programs as users do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from forked_sandbox import context, ensure_server


def run(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run `enrich` to its end; its code, and what it wrote. Raises TimeoutExpired, and has killed it then."""
    return _run(None, [str(Path(sys.executable).with_name("enrich")), *arguments], cwd, env, timeout)


def run_code(
    code: str, *arguments: str, env: Mapping[str, str], cwd: Path | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run this text as `python -c` does, here if no folder is given."""
    return _run(code, ["-c", *arguments], cwd or Path.cwd(), env, timeout)


def _run(
    code: str | None, argv: list[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        ends = [Connection(os.dup(file.fileno()), readable=False) for file in (out, err)]
        ensure_server()
        child = context.Process(target=_play, args=(code, argv, str(cwd), dict(env), *ends), daemon=True)
        child.start()
        for end in ends:
            end.close()
        child.join(timeout)
        if child.exitcode is None:
            os.killpg(child.pid or 0, signal.SIGKILL)
            child.join()
            raise subprocess.TimeoutExpired(argv, timeout)
        written = []
        for file in (out, err):
            file.seek(0)
            written.append(file.read().decode())
        return subprocess.CompletedProcess(argv, child.exitcode, *written)


def _play(code: str | None, argv: list[str], cwd: str, env: dict[str, str], out: Connection, err: Connection) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, end in enumerate((nothing, out.fileno(), err.fileno())):
        os.dup2(end, number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.stdin, sys.stdout, sys.stderr = (open(number, "w" if number else "r") for number in range(3))  # noqa: SIM115, PTH123
    sys.argv = argv
    if code is None:
        sys.modules["forks"].app()
    else:
        exec(code, {"__name__": "__main__"})
