"""The Starlette application: routing, keys, call rates, error bodies, common headers, and the count of requests.

Belongs here: what is the same for every route. What a route does is in the module of its resource.
"""

from __future__ import annotations

import ipaddress
import logging
import uuid
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.sandbox.call import Call, Sandbox, answer, owner_of, whole
from pipeline.sandbox.errors import ApiError
from pipeline.sandbox.faults.documents import damage
from pipeline.sandbox.faults.engine import Faults
from pipeline.sandbox.faults.rules import AnswerRule, DocumentRule, Skew
from pipeline.sandbox.faults.wire import FaultyAnswer
from pipeline.sandbox.keys import places
from pipeline.sandbox.life import SECOND
from pipeline.sandbox.limits import CallRates
from pipeline.sandbox.paths import keep_encoded, plain
from pipeline.sandbox.routes import OPEN, V3, Operation
from pipeline.sandbox.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pipeline.sandbox.config import SandboxConfig
    from pipeline.sandbox.faults.engine import Visit

logger = logging.getLogger(__name__)
OK = 200


def build_app(config: SandboxConfig) -> ASGIApp:
    """The application over `config.state`, whose tables are created if need be; raises `SandboxError`."""
    keys = places(config)
    store = Store(config.state)
    faults = Faults(store, config.seed)
    if config.fault_plan is not None:
        faults.take_file(config.fault_plan)
    sandbox = Sandbox(config, store, CallRates(config), faults, keys)
    routes = [_v3_route(sandbox, path, operations) for path, operations in V3]
    for path, handlers in OPEN:
        routes.append(Route(path, _open_endpoint(sandbox, path, handlers), methods=list(handlers)))
    troubles: dict[int | type[Exception], Callable[[Request, Exception], Response]] = {
        HTTPException: _on_http_exception,
        Exception: _on_defect,
    }
    return _Outermost(Starlette(routes=routes, exception_handlers=troubles))


def _v3_route(sandbox: Sandbox, path: str, operations: dict[str, Operation]) -> Route:
    label = plain(path)

    async def endpoint(request: Request) -> Response:
        try:
            body = await _body(request, sandbox.config.max_body_bytes)
        except ClientDisconnect:
            # A request that never arrived whole is none: it is not counted, and nobody is left to read an answer.
            return Response(status_code=400)
        return await run_in_threadpool(_Serving(sandbox, label, operations, request, body).answer)

    route = Route(path, endpoint)
    # Every method comes here, so that a wrong one is counted and answered like any other request.
    route.methods = None
    return route


@dataclass(slots=True)
class _Serving:
    """One whole request: counted, looked at for faults, processed, its answer counted. All of it in worker threads."""

    sandbox: Sandbox
    label: str
    operations: dict[str, Operation]
    request: Request
    body: bytes | None
    """None: larger than is taken."""
    visit: Visit | None = None
    skew: float = 0.0

    def answer(self) -> Response:
        """The answer, or one that will process the request when the rules that fired allow."""
        method, thing = self.request.method, self.request.path_params.get("id", "")
        self.sandbox.store.count_request(method, self.label)
        self.visit = self.sandbox.faults.visit(f"{method} {self.label}", thing, self.body or b"")
        fired = [one.rule for one in self.visit.ask(AnswerRule)] if self.visit else []
        if fired:
            self.skew = sum(rule.seconds for rule in fired if isinstance(rule, Skew))
            return FaultyAnswer(fired, self.process, self.count)
        response = self.process()
        self.count(response.status_code)
        return response

    def process(self) -> Response:
        """Do what was asked for; an answer of 200 may get damaged by the plan."""
        try:
            response = self._handle()
        except ApiError as error:
            return _refusal(error)
        except Exception:
            self.count(500)
            raise
        if self.visit is None or response.status_code != OK:
            return response
        changes = [one.rule for one in self.visit.ask(DocumentRule)]
        return Response(damage(whole(response), changes), OK, None, "application/json") if changes else response

    def count(self, status: int) -> None:
        """Count the answer that is about to be sent."""
        self.sandbox.store.count_answer(self.request.method, self.label, status)

    def _handle(self) -> Response:
        sandbox, request = self.sandbox, self.request
        operation = self.operations.get("GET" if request.method == "HEAD" else request.method)
        if operation is None:
            raise ApiError(405, "Method Not Allowed", headers={"Allow": ", ".join(self.operations)})
        owner = owner_of(sandbox, request.headers.get("x-api-key"))
        sandbox.rates.take(owner, operation.rate)
        if self.body is None:
            raise _too_large()
        skew = round(self.skew * SECOND)
        kind = request.headers.get("content-type", "")
        call = Call(sandbox, owner, request.path_params, request.query_params, self.body, self.visit, skew, kind)
        return operation.handler(call)


def _open_endpoint(
    sandbox: Sandbox, path: str, handlers: dict[str, Callable[[Call], Response]]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if path.startswith("/sandbox/") and not _is_loopback(request):
            return _refusal(ApiError(403, "The books are open to callers on this machine only"))
        try:
            body = b"" if request.method == "GET" else await _body(request, sandbox.config.max_body_bytes)
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            return _refusal(_too_large())
        handler = handlers["GET" if request.method == "HEAD" else request.method]
        call = Call(sandbox, 0, request.path_params, request.query_params, body)
        try:
            return await run_in_threadpool(handler, call)
        except ApiError as error:
            return _refusal(error)

    return endpoint


async def _body(request: Request, most: int) -> bytes | None:
    """The whole body; None for one of more than `most` bytes, which is read to its end and not kept."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= most:
            parts.append(part)
        else:
            parts.clear()
    return b"".join(parts) if size <= most else None


def _too_large() -> ApiError:
    return ApiError(413, "Request body too large")


def _is_loopback(request: Request) -> bool:
    return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback


def _refusal(error: ApiError) -> Response:
    return answer({"detail": error.detail}, error.status, error.headers)


def _on_http_exception(_: Request, error: Exception) -> Response:
    """Unknown routes, and methods of routes without a key."""
    if not isinstance(error, HTTPException):
        raise error
    return answer({"detail": error.detail}, error.status_code, error.headers)


def _on_defect(_: Request, error: Exception) -> Response:
    logger.error("internal error: %s", type(error).__name__)
    return answer({"detail": "Internal Server Error"}, 500)


class _Outermost:
    """Keeps encoded slashes apart; puts `Date` and `X-Request-ID`, the caller's (a guess) or a new one, on answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), None)
        identity = given or uuid.uuid4().hex.encode()

        async def send_with_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (b"x-request-id", identity)]
                if not any(name == b"date" for name, _ in headers):
                    headers.append((b"date", formatdate(usegmt=True).encode()))
                message["headers"] = headers
            await send(message)

        await self._app(keep_encoded(scope), receive, send_with_more)
