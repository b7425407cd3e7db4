"""Running the sandbox in the foreground: socket, readiness, and every way to stop.

Belongs here: `serve`. Starting it as a child process is `process.SandboxProcess`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import uuid
from email.utils import formatdate
from typing import TYPE_CHECKING

import uvicorn

from pipeline.sandbox.app import build_app
from pipeline.sandbox.call import answer
from pipeline.sandbox.deliverer import Deliverer
from pipeline.sandbox.errors import SandboxError
from pipeline.sandbox.faults.wire import TransportInScope, end_waits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.sandbox.config import SandboxConfig

DRAIN_SECONDS = 5
"""How long open answers may take after a stop was asked for; the process is gone a second later at most."""
PARENT_CHECK_SECONDS = 0.5


class _Server(uvicorn.Server):
    """uvicorn that says when connections are accepted."""

    on_started: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        end_waits()
        await super().shutdown(sockets)


class _Http(TransportInScope):
    """uvicorn's HTTP protocol, whose answer to what is no HTTP has the headers and the form of any other."""

    def send_400_response(self, msg: str) -> None:
        made = answer({"detail": msg}, 400, {"X-Request-ID": uuid.uuid4().hex, "Connection": "close"})
        made.headers["Date"] = formatdate(usegmt=True)
        head = b"".join(name + b": " + value + b"\r\n" for name, value in made.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head + b"\r\n" + bytes(made.body))
        self.transport.close()


def serve(config: SandboxConfig, *, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM, SIGINT, or what the config says; `on_ready` is called with the URL, once.

    Raises `SandboxError` when the port is taken or the state file cannot be used.
    """
    listener = _listen(config)
    port = listener.getsockname()[1]
    url = f"http://{config.host if ':' not in config.host else f'[{config.host}]'}:{port}"
    server = _Server(_options(config))
    deliverer = Deliverer(config)

    def started() -> None:
        # Not before: who is told of a batch asks for it at once.
        deliverer.start()
        _ready(config, url, on_ready)

    server.on_started = started
    _watch(config, server)
    # uvicorn raises the signal again once it has stopped; by then the stop is done and no reason to die of it.
    before = _ignore_repeated_signals()
    try:
        server.run(sockets=[listener])
    finally:
        deliverer.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
        listener.close()


def _options(config: SandboxConfig) -> uvicorn.Config:
    return uvicorn.Config(
        build_app(config),
        log_level="warning",
        access_log=False,
        lifespan="off",
        http=_Http,
        ws="none",
        server_header=False,
        # The application tells the date: a fault may put its clock wrong.
        date_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        # A poll every 15 s keeps its connection; at the default of 5 s each one would race with its closing.
        timeout_keep_alive=75,
    )


def _listen(config: SandboxConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        msg = f"cannot listen on {config.host}:{config.port}: {error.strerror}"
        raise SandboxError(msg) from error
    return listener


def _ready(config: SandboxConfig, url: str, on_ready: Callable[[str], None] | None) -> None:
    if config.ready_file is not None:
        _write_atomically(config.ready_file, url)
    if on_ready is not None:
        on_ready(url)


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _ignore_repeated_signals() -> dict[int, signal.Handlers | Callable[..., object] | int | None]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    stops = (signal.SIGTERM, signal.SIGINT)
    return {int(number): signal.signal(number, lambda *_: None) for number in stops}


def _watch(config: SandboxConfig, server: uvicorn.Server) -> None:
    """Start the watchers that stop the server when whoever started it is gone."""
    if config.exit_on_stdin_eof:
        threading.Thread(target=_until_stdin_closes, args=(server,), daemon=True).start()
    if config.exit_with_parent is not None:
        threading.Thread(target=_while_parent_lives, args=(config.exit_with_parent, server), daemon=True).start()


def _until_stdin_closes(server: uvicorn.Server) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    _stop(server)


def _while_parent_lives(parent: int, server: uvicorn.Server) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    _stop(server)


def _stop(server: uvicorn.Server) -> None:
    server.should_exit = True
    time.sleep(DRAIN_SECONDS + 1)
    # An answer that nobody reads must not keep an orphan alive. What was answered is durable, so nothing is lost.
    os._exit(0)
