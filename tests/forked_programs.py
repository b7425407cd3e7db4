"""Programs forked from a process that has imported Dagster: 30 ms instead of 1 to 2 s of the processor.

Belongs here: `enrich` and pieces of Python, as `subprocess` would run them. Where the start itself matters
(`enrich dev`, units, what a program leaves behind in its process tree) tests start programs as users do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

from forked_sandbox import context, ensure_server

ENRICH = Path(sys.executable).with_name("enrich")


class Program:
    """`enrich`, started: what of `subprocess.Popen` the tests use. It leads a process group, as with a new session.

    `out` and `err` may be one file.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        out: IO[bytes],
        err: IO[bytes],
        code: str | None = None,
    ) -> None:
        self.args = [str(ENRICH) if code is None else "-c", *arguments]
        ends = [Connection(os.dup(file.fileno()), readable=False) for file in (out, err)]
        ensure_server()
        self._process = context.Process(target=_play, args=(code, self.args, str(cwd), dict(env), *ends), daemon=True)
        self._process.start()
        self.pid = self._process.pid or 0
        for end in ends:
            end.close()
        with suppress(ProcessLookupError):  # it has ended already
            while os.getpgid(self.pid) != self.pid:
                time.sleep(0.001)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        os.kill(self.pid, sig)

    def kill(self) -> None:
        self._process.kill()


def run(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float, code: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `enrich` to its end; its code, and what it wrote. Raises TimeoutExpired, and has killed it then."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        program = Program(arguments, cwd=cwd, env=env, out=out, err=err, code=code)
        try:
            program.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
            raise
        written = []
        for file in (out, err):
            file.seek(0)
            written.append(file.read().decode())
        return subprocess.CompletedProcess(program.args, program.wait(), *written)


def run_code(
    code: str, *arguments: str, env: Mapping[str, str], cwd: Path | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run this text as `python -c` does, here if no folder is given."""
    return run(arguments, cwd=cwd or Path.cwd(), env=env, timeout=timeout, code=code)


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
