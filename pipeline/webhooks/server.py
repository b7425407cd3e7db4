"""Serving the receiver: socket, readiness, draining.

Belongs here: how the process begins and ends. What is answered is in `app`.
"""

from __future__ import annotations

import math
import signal
import socket
from collections.abc import Callable

import uvicorn

from pipeline.errors import ConfigError
from pipeline.ledger.db import Ledger, impatient
from pipeline.settings import Settings
from pipeline.webhooks.app import PATH, Receiver, build_app
from pipeline.webhooks.guard import guard_for

MOST_CONNECTIONS = 500
"""More are answered 503: each may hold a body of up to ENRICH_WEBHOOK_MAX_BODY."""


class _Server(uvicorn.Server):
    """uvicorn that says when connections are accepted."""

    on_started: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_started()


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
