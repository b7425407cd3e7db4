"""Serving the receiver: socket, readiness, draining.

Belongs here: how the process begins and ends. What is answered is in `app`.
"""

from __future__ import annotations

import logging
import math
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from pipeline.errors import ConfigError
from pipeline.ledger.db import Ledger, impatient
from pipeline.settings import Settings
from pipeline.webhooks.app import PATH, Receiver, build_app
from pipeline.webhooks.guard import guard_for
from pipeline.webhooks.tally import Tally

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 500
"""More are answered 503: each may hold a body of up to ENRICH_WEBHOOK_MAX_BODY."""


HEAD_SECONDS = 10.0
"""A connection that has brought no request's head for so long is closed.

uvicorn has a time-out for what follows an answer only: 500 connections on which nobody ever said a whole head kept
everybody else out (503) for as long as they were held, with one line in the log for each delivery that was lost.
"""
_TICKS = 10  # uvicorn's ticks are 0.1 s


class _Server(uvicorn.Server):
    """uvicorn that says when connections are accepted, and ends those that say nothing."""

    on_started: Callable[[], None]

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._silent_since: dict[Any, float] = {}

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS == 0:
            self._close_silent()
        return await super().on_tick(counter)

    def _close_silent(self) -> None:
        now, before = time.monotonic(), self._silent_since
        silent = [connection for connection in self.server_state.connections if _brought_no_head(connection)]
        self._silent_since = {connection: before.get(connection, now) for connection in silent}
        for connection, since in self._silent_since.items():
            if now - since > HEAD_SECONDS:
                connection.transport.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_started()


_ANSWERED = {"Invalid HTTP request received.": 400, "Exceeded concurrency limit.": 503}
_ODD_UPGRADES = ("Unsupported upgrade request.", "No supported WebSocket library detected.")


class _Counted(logging.Filter):
    """Counts what uvicorn answers by itself, where it has a line for each: anybody may send 1,000 a second."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if said in _ANSWERED:
            self._tally.count(_ANSWERED[said], said.rstrip("."))
            return False
        return not said.startswith(_ODD_UPGRADES)  # such a request is answered like any other


@contextmanager
def _counting() -> Iterator[None]:
    tally, logger = Tally(log), logging.getLogger("uvicorn.error")
    counted = _Counted(tally)
    logger.addFilter(counted)
    try:
        yield
    finally:
        logger.removeFilter(counted)
        tally.flush()


def _brought_no_head(connection: Any) -> bool:
    """Whether uvicorn waits for a request's head on it, with no time-out of its own: the one after an answer."""
    cycle = connection.cycle
    return (cycle is None or cycle.response_complete) and connection.timeout_keep_alive_task is None


def serve(
    settings: Settings, ledger: Ledger, *, host: str, port: int, on_ready: Callable[[str], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is under way and return.

    `port` 0 takes a free one; `on_ready` is called with the receiver's URL. Raises ConfigError when the port is taken,
    or when the token's settings do not allow to start (`guard.guard_for`).
    """
    guard = guard_for(settings)
    seconds = settings.webhook_answer_seconds
    listener = _listen(host, port)
    # The ledger's own 30 s would keep one writer busy three times as long as the sender waits.
    hasty = impatient(ledger, seconds)
    receiver = Receiver(hasty, guard, answer_seconds=seconds, max_body=settings.webhook_max_body)
    server = _Server(_options(receiver, seconds))
    url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}{PATH}"
    server.on_started = lambda: on_ready(url) if on_ready else None
    # uvicorn raises the signal again once it has stopped; by then all is answered and no reason to die of it.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with _counting():
            server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        listener.close()
        hasty.close()


def _options(receiver: Receiver, seconds: float) -> uvicorn.Config:
    return uvicorn.Config(
        build_app(receiver),
        log_config=None,
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        # A request has its answer within `seconds` or a 503, so this is how long draining may take.
        timeout_graceful_shutdown=math.ceil(seconds) + 1,
        timeout_keep_alive=75,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="Choose another --port or --host."
        ) from error
    return listener
