"""The sandbox as a child process of whoever needs one.

Belongs here: starting, waiting for readiness, stopping. The child never outlives its parent, however that dies: its
standard input is a pipe whose other end closes with the parent, and it looks at its parent's process id as well,
since a forked sibling may hold the pipe open.
"""

from __future__ import annotations

import dataclasses
import os
import selectors
import subprocess
import sys
import tempfile
import time
from typing import IO, TYPE_CHECKING, Self

from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

STOP_SECONDS = 8.0
_READY = b"sandbox ready on "


def launch(config: SandboxConfig, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the server, with pipes for its input and output."""
    # A session of its own: Ctrl-C in the terminal must not stop the server under a client that is finishing up.
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "pipeline.sandbox", "serve", *config.to_args()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
    )


class SandboxProcess:
    """A running sandbox over `state_dir`. Use as a context manager, or `start()` and `stop()` it.

    Any number of them may run over one `state_dir` at the same time, from any number of processes.
    """

    def __init__(self, state_dir: Path, config: SandboxConfig | None = None, *, startup_timeout: float = 30.0) -> None:
        """Take the settings; `config.state` and the ways to exit are replaced. Time-out in real seconds."""
        self.config = dataclasses.replace(
            config or SandboxConfig(),
            state=state_dir.resolve(),
            exit_on_stdin_eof=True,
            exit_with_parent=os.getpid(),
        )
        self._startup_timeout = startup_timeout
        self._child: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Base URL, without /v3."""
        if not self._url:
            msg = "the sandbox has not been started"
            raise SandboxError(msg)
        return self._url

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._child is None:
            msg = "the sandbox has not been started"
            raise SandboxError(msg)
        return self._child.pid

    def start(self) -> Self:
        """Start the server and wait until it accepts connections; raises `SandboxError` with the end of its stderr."""
        if self._child is not None:
            msg = "the sandbox is running already"
            raise SandboxError(msg)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._child = launch(self.config, self._errors)
        try:
            self._url = self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Stop gracefully, then by force. Does nothing when it is not running."""
        child = self._child
        if child is None:
            return
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
        self._close()

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        if self._child is not None:
            self._child.kill()
            self._close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_ready(self) -> str:
        child = self._child
        if child is None or child.stdout is None:
            msg = "the sandbox has not been started"
            raise SandboxError(msg)
        deadline = time.monotonic() + self._startup_timeout
        said = b""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while not said.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise self._failure(f"was not ready within {self._startup_timeout:g} s")
                more = os.read(child.stdout.fileno(), 4096)
                if not more:
                    raise self._failure(f"ended with exit code {child.wait()} before it was ready")
                said += more
        if not said.startswith(_READY):
            raise self._failure("did not announce its address")
        return said.removeprefix(_READY).strip().decode()

    def _failure(self, what: str) -> SandboxError:
        tail = ""
        if self._errors is not None:
            self._errors.seek(0, os.SEEK_END)
            self._errors.seek(max(0, self._errors.tell() - 2000))
            tail = self._errors.read().decode(errors="replace").strip()
        return SandboxError(f"the sandbox {what}" + (f": {tail}" if tail else ""))

    def _close(self) -> None:
        child, self._child, self._url = self._child, None, ""
        if child is not None:
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        if self._errors is not None:
            self._errors.close()
            self._errors = None
