"""Connections on which a whole answer has a deadline.

Belongs here: what httpx has no switch for. Its read time-out is for each silence, so a server that sends a byte now and
then, be it of the head, holds its client for good.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl

_IDLE_SECONDS = 5
"""How long a connection is kept for the next request, as httpx does."""


class DeadlineTransport(httpx.HTTPTransport):
    """httpx's transport; an answer that takes more than `seconds` after the request was sent is a `ReadTimeout`."""

    def __init__(self, ssl_context: ssl.SSLContext | None, seconds: float) -> None:
        super().__init__(verify=ssl_context or False, trust_env=False)
        self._pool.close()
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context, keepalive_expiry=_IDLE_SECONDS, network_backend=_Backend(seconds)
        )


class _Backend(httpcore.NetworkBackend):
    def __init__(self, seconds: float) -> None:
        self._inner = httpcore.SyncBackend()
        self._seconds = seconds

    def connect_tcp(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
        return _Stream(self._inner.connect_tcp(*args, **options), self._seconds)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)
        self._deadline = time.monotonic() + self._seconds

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._deadline - time.monotonic()
        if left <= 0:
            msg = f"the answer took more than {self._seconds} s"
            raise httpcore.ReadTimeout(msg)
        return self._inner.read(max_bytes, left if timeout is None else min(left, timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout), self._seconds)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
