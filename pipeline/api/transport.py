"""The connection of a batch POST: one request, never reused, and it listens while it sends.

Belongs here: what httpx has no switch for. httpcore sends a whole body before it reads a byte, so the 413 or 401 of a
server that answers early and closes is lost in the reset that follows; here a reader runs beside the writer. Looking
whether the socket is readable would not do: with TLS 1.3 it is, as soon as the server's session tickets arrive.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable, AsyncIterator

_READ = 64 * 1024


class OneShotTransport(httpx.AsyncBaseTransport):
    """A transport for exactly one request: no keep-alive, no transport retries, no HTTP/2, no proxy."""

    def __init__(self, ssl_context: ssl.SSLContext | None) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=1,
            max_keepalive_connections=0,
            retries=0,
            network_backend=_ListeningBackend(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it. Raises httpcore's exceptions as they are."""
        url = request.url
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                request.method,
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    async def aclose(self) -> None:
        """Close the connection, whatever state it is in."""
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream: AsyncIterable[bytes] = self._answer.stream  # type: ignore[assignment]
        async for part in stream:
            yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


class _ListeningBackend(httpcore.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _ListeningStream(await self._inner.connect_tcp(*args, **options))

    async def connect_unix_socket(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _ListeningStream(await self._inner.connect_unix_socket(*args, **options))

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _ListeningStream(httpcore.AsyncNetworkStream):
    """Reads once ahead while it writes. `WriteError` makes httpcore stop sending and read the answer instead."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._ahead: asyncio.Task[bytes] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._listening = True

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        if not buffer:
            return
        if self._ahead is None:
            self._ahead = asyncio.ensure_future(self._inner.read(_READ))
        # A turn of the loop, so that what has arrived is read before a write can fail and take the connection down.
        await asyncio.sleep(0)
        self._sending = asyncio.ensure_future(self._inner.write(buffer, timeout))
        if self._listening:
            await asyncio.wait({self._sending, self._ahead}, return_when=asyncio.FIRST_COMPLETED)
            if self._ahead.done() and not self._is_informational():
                # The write goes on until `aclose`: anyio calls a TLS stream broken, for reading too, once a write of
                # it was cancelled, and then the rest of the answer would be lost (5 of 60 on loopback).
                raise httpcore.WriteError("answered before the whole request was sent")
        await self._sending

    def _is_informational(self) -> bool:
        """A `100 Continue` that nobody asked for is no answer; it is kept for httpcore, and listening ends."""
        task = self._ahead
        if task is None or task.cancelled() or task.exception() is not None:
            return False
        self._listening = not task.result().startswith(b"HTTP/1.1 1")
        return not self._listening

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if self._ahead is None:
            return await self._inner.read(max_bytes, timeout)
        try:
            return await asyncio.wait_for(self._ahead, timeout)
        except TimeoutError as cause:
            raise httpcore.ReadTimeout(cause) from cause
        finally:
            self._ahead = None

    async def aclose(self) -> None:
        for task in (self._ahead, self._sending):
            if task is not None:
                await _stop(task)
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return _ListeningStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


async def _stop(task: asyncio.Task[Any]) -> None:
    """End a task and take its outcome, so that asyncio does not complain of one that nobody looked at."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
