"""The receiver as a Starlette application: what each delivery is answered.

202 stored (or known, or of no interest) · 400 malformed · 401 no or a wrong token or signature · 408 the body did not
come in time · 413 too long · 503 the ledger did not take it in time, so the sender has to come again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline.ledger.db import Ledger, LedgerError
from pipeline.ledger.inbox import Event
from pipeline.webhooks.guard import Guard
from pipeline.webhooks.reading import MalformedError, read_event
from pipeline.webhooks.tally import Tally
from pipeline.webhooks.writer import TooManyWaitingError, Writer

PATH = "/webhooks/ntropy"
RETRY_AFTER = 30
"""Seconds that a 503 asks for; whether the sender heeds it is documented nowhere."""
PROBE_SECONDS = 1.0
"""An answer of /readyz holds that long: each probe is an fsync, and anybody may ask."""

_NOT_STORED = (TimeoutError, LedgerError, SQLAlchemyError, TooManyWaitingError)
log = logging.getLogger(__name__)


class RefusedError(Exception):
    """A delivery that is answered with something other than 202."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Receiver:
    """Takes deliveries. `answer_seconds` and `max_body` are as in the settings."""

    def __init__(self, ledger: Ledger, guard: Guard, *, answer_seconds: float, max_body: int) -> None:
        self._guard = guard
        self._seconds = answer_seconds
        self._max_body = max_body
        self._ledger = ledger
        self._writer: Writer | None = None
        self._tally = Tally(log)
        self._probing = asyncio.Lock()
        self._probed: tuple[float, bool] = (float("-inf"), False)

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Run the writer; at the end, when no request is left, wait for what it still has."""
        self._writer = Writer(self._ledger)
        task = asyncio.create_task(self._writer.run())
        try:
            yield
        finally:
            self._writer.close()
            await task
            self._tally.flush()

    async def receive(self, request: Request) -> JSONResponse:
        """One delivery."""
        try:
            new = await self._take(request)
        except RefusedError as refused:
            self._tally.count(refused.status, refused.why)
            # Closed, since the rest of the body may still be under way and is not read.
            headers = {"Connection": "close"}
            if refused.status == HTTPStatus.SERVICE_UNAVAILABLE:
                headers["Retry-After"] = str(RETRY_AFTER)
            return JSONResponse({"detail": refused.why}, refused.status, headers=headers)
        return JSONResponse({"new": new}, 202)

    async def _take(self, request: Request) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        if not self._guard.knows(request.headers):
            raise RefusedError(401, "the token is missing or wrong")
        try:
            async with asyncio.timeout_at(deadline):
                body = await self._body(request)
        except TimeoutError as error:
            raise RefusedError(408, f"the body did not come within {self._seconds:g} s") from error
        if not self._guard.trusts(request.headers, body):
            raise RefusedError(401, "the signature is missing or wrong")
        try:
            event = read_event(body)
        except MalformedError as error:
            raise RefusedError(400, str(error)) from error
        return await self._store(event, deadline)

    async def _body(self, request: Request) -> bytes:
        """The body, read no further than the limit: a length that is announced is refused before anything is read."""
        too_long = RefusedError(413, f"a delivery has {self._max_body} bytes at most")
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_body:
            raise too_long
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                if len(body) > self._max_body:
                    raise too_long
        except ClientDisconnect as error:
            raise RefusedError(400, "the connection ended within the body") from error
        return bytes(body)

    async def _store(self, event: Event, deadline: float) -> bool:
        try:
            async with asyncio.timeout_at(deadline):
                new = await self._running().put(event)
        except _NOT_STORED as error:
            # Its own words may name the database and its parameters: the class is enough for a log.
            raise RefusedError(503, f"not stored ({type(error).__name__}), deliver it again") from error
        log.debug("%s %s %s", "stored" if new else "known", event.event_type, event.event_id)
        return new

    async def alive(self, _request: Request) -> JSONResponse:
        """The process answers."""
        return JSONResponse({"alive": True})

    async def ready(self, _request: Request) -> JSONResponse:
        """The ledger can be written: really written, so that a full disk and a read-only one show as well."""
        async with self._probing:
            loop = asyncio.get_running_loop()
            when, ready = self._probed
            if loop.time() - when > PROBE_SECONDS:
                ready = await self._probe()
                self._probed = (loop.time(), ready)
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def _probe(self) -> bool:
        try:
            async with asyncio.timeout(self._seconds):
                await self._running().probe()
        except _NOT_STORED as error:
            self._tally.count(503, f"not ready ({type(error).__name__})")
            return False
        return True

    def _running(self) -> Writer:
        if self._writer is None:
            msg = "the receiver's lifespan has not begun"
            raise RuntimeError(msg)
        return self._writer


def build_app(receiver: Receiver) -> Starlette:
    """The application: deliveries, liveness and readiness."""
    routes = [
        Route(PATH, receiver.receive, methods=["POST"]),
        Route("/healthz", receiver.alive),
        Route("/readyz", receiver.ready),
    ]
    app = Starlette(routes=routes, lifespan=receiver.lifespan)
    app.router.redirect_slashes = False  # a sender need not follow redirects: a wrong path is better told
    return app
