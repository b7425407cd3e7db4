"""Sandboxes forked from a process that has done their imports and read their tables: 20 ms instead of 0.7 s.

Belongs here: a child as `SandboxProcess` wants one, by the fork server of the standard library. Programs that tests
start (`enrich run`, `enrich dev`, the week) start their sandboxes as users' do, and so do the tests of starting one.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

from pipeline.sandbox import process
from pipeline.sandbox.__main__ import main
from pipeline.sandbox.config import SandboxConfig

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["sandbox_preloaded", "programs_preloaded"])
_HERE = str(Path(__file__).parent)


class Child:
    """What of `subprocess.Popen` a `SandboxProcess` uses."""

    def __init__(self, config: SandboxConfig, errors: IO[bytes]) -> None:
        arguments = [each for each in config.to_args() if not each.startswith("--exit-with-parent")]  # it is forked
        theirs_in, self.stdin = context.Pipe(duplex=False)
        self.stdout, theirs_out = context.Pipe(duplex=False)
        theirs_err = Connection(os.dup(errors.fileno()), readable=False)
        theirs = (theirs_in, theirs_out, theirs_err)
        ensure_server()
        self._process = context.Process(target=_serve, args=(arguments, *theirs), daemon=True)
        self._process.start()
        self.pid = self._process.pid
        for end in theirs:
            end.close()

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("sandbox", timeout or 0)
        return code


def ensure_server() -> None:
    """Start the fork server, if it does not run.

    It imports what is preloaded from its own path, which is not this process's, and says nothing when it cannot.
    """
    given = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{_HERE}{os.pathsep}{given}" if given else _HERE
    try:
        forkserver.ensure_running()
    finally:
        if given is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = given


def _serve(arguments: list[str], *standard: Connection) -> None:
    assert "sandbox_preloaded" in sys.modules, "the fork server has not imported what it should have"
    os.setsid()
    for number, end in enumerate(standard):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin, sys.stdout, sys.stderr = (open(number, "w" if number else "r") for number in range(3))  # noqa: SIM115, PTH123
    sys.exit(main(["serve", *arguments]))


def fork_sandboxes() -> None:
    """Have `SandboxProcess` fork in this process, instead of starting Python."""
    process.launch = Child
