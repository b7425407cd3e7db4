"""Answers that come late, in pieces, cut off, or not at all.

Belongs here: what the rules of answers do to the one connection that asked. The connection's transport is put into the
ASGI scope by `TransportInScope`: ASGI itself knows no way to close a connection without an answer.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from email.utils import formatdate
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from pipeline.sandbox.call import answer, whole
from pipeline.sandbox.errors import problem
from pipeline.sandbox.faults import rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import Receive, Scope, Send

_KEY = "sandbox_transport"
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: closing sends RST."""
_PAGE = "<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center><hr>proxy</body></html>\n"
# Either of uvicorn's implementations: which one is there depends on whether httptools is installed.
_Base: Any = AutoHTTPProtocol


class TransportInScope(_Base):  # type: ignore[misc]
    """uvicorn's HTTP protocol, which also tells the application the connection's transport."""

    app_state: dict[str, Any]

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Remember the transport in what uvicorn copies into `scope["state"]` of every request."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, _KEY: transport}


class _StoppedError(Exception):
    """The server stops in the middle of a wait."""


_WAITS: set[asyncio.Future[None]] = set()


def end_waits() -> None:
    """End every wait of a rule, as a crash would: what was not processed never is. Else a stop takes seconds."""
    for wait in _WAITS:
        if not wait.done():
            wait.set_exception(_StoppedError)


async def _sleep(seconds: float) -> None:
    wait: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    _WAITS.add(wait)
    try:
        async with asyncio.timeout(seconds):
            await wait
    except TimeoutError:
        pass
    finally:
        _WAITS.discard(wait)


class FaultyAnswer(Response):
    """The answer of one call under the rules that fired; processes the call itself, at the time the rules say."""

    def __init__(
        self,
        fired: Sequence[rules.AnswerRule],
        process: Callable[[], Response],
        count_answer: Callable[[int], None],
    ) -> None:
        """`process` and `count_answer` are called in a worker thread; the latter with the status that is sent."""
        super().__init__()
        self._fired = fired
        self._process = process
        self._count_answer = count_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, process, wait, and answer as well as the rules let it; a stop ends it where it is."""
        try:
            await self._serve(scope, receive, send)
        except _StoppedError:
            await _close(scope, receive)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._wait("before")
        ending = next((rule for rule in self._fired if isinstance(rule, rules.Drop | rules.Status)), None)
        made: Response | None = None
        if ending is None or ending.when == "after":
            made = await run_in_threadpool(self._process)
        await self._wait("after")
        if isinstance(ending, rules.Drop):
            await _close(scope, receive, reset=ending.how == "reset")
            return
        if ending is not None:
            made = _status(ending)
        if made is None:  # pragma: no cover - for the type checker: without an ending the call was processed
            return
        await run_in_threadpool(self._count_answer, made.status_code)
        for rule in self._fired:
            if isinstance(rule, rules.Skew):
                made.headers["date"] = formatdate(time.time() + rule.seconds, usegmt=True)
        await self._send(made, scope, receive, send)

    async def _wait(self, when: rules.When) -> None:
        for rule in self._fired:
            if isinstance(rule, rules.Delay) and rule.when == when:
                await _sleep(rule.seconds)

    async def _send(self, made: Response, scope: Scope, receive: Receive, send: Send) -> None:
        slow = next((rule for rule in self._fired if isinstance(rule, rules.Dribble)), None)
        short = next((rule for rule in self._fired if isinstance(rule, rules.Truncate)), None)
        if slow is None and short is None:
            await made(scope, receive, send)
            return
        body = await run_in_threadpool(whole, made)
        kept = body if short is None else body[: int(len(body) * short.keep)]
        how = None if short is None else short.how
        headers = [(name, value) for name, value in made.raw_headers if name != b"content-length"]
        if how != "chunked":
            length = len(kept) if how == "json" else len(body)
            headers.append((b"content-length", str(length).encode()))
        await send({"type": "http.response.start", "status": made.status_code, "headers": headers})
        cut = how in ("length", "chunked")
        for piece in _pieces(kept, slow):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if slow is not None:
                await _sleep(slow.seconds / slow.pieces)
        if cut:
            await _close(scope, receive)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _pieces(body: bytes, slow: rules.Dribble | None) -> list[bytes]:
    if slow is None:
        return [body]
    edges = [len(body) * at // slow.pieces for at in range(slow.pieces + 1)]
    return [body[start:end] for start, end in pairwise(edges)]


def _status(rule: rules.Status) -> Response:
    headers = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
    if rule.page:
        return HTMLResponse(_PAGE.format(status=rule.status), rule.status, headers)
    detail: Any = rule.detail
    if rule.items is not None:
        detail = [
            problem(["body", "data", at, rule.field], "value_error", f"Value error, {rule.detail}") for at in rule.items
        ]
    return answer({"detail": detail}, rule.status, headers)


async def _close(scope: Scope, receive: Receive, *, reset: bool = False) -> None:
    """Close the connection under the answer; what was written before goes out first unless it is reset."""
    transport: asyncio.Transport = scope["state"][_KEY]
    if reset:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    else:
        transport.close()
    # Until uvicorn has seen it: an application that returns earlier is answered for with a 500.
    while (await receive())["type"] != "http.disconnect":
        pass
