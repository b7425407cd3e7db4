"""The Starlette application: routing, keys, call rates, error bodies, request ids, and the count of requests.

Belongs here: what is the same for every route. What a route does is in the module of its resource.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import uuid
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.sandbox.call import Call, Sandbox, answer, owner_of
from pipeline.sandbox.errors import ApiError
from pipeline.sandbox.limits import CallRates
from pipeline.sandbox.routes import OPEN, V3, Operation
from pipeline.sandbox.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pipeline.sandbox.config import SandboxConfig

logger = logging.getLogger(__name__)
MAX_BODY = 64 * 1024 * 1024
"""24,960 items with descriptions of 1,024 characters are some 32 MB."""


def build_app(config: SandboxConfig) -> ASGIApp:
    """The application over `config.state`, whose tables are created if need be."""
    sandbox = Sandbox(config, Store(config.state), CallRates(config))
    routes = [_v3_route(sandbox, path, operations) for path, operations in V3]
    for path, handler in OPEN:
        routes.append(Route(path, _open_endpoint(sandbox, path, handler), methods=["GET"]))
    handlers: dict[int | type[Exception], Callable[[Request, Exception], Response]] = {
        HTTPException: _on_http_exception,
        Exception: _on_defect,
    }
    return _RequestIds(Starlette(routes=routes, exception_handlers=handlers))


def _v3_route(sandbox: Sandbox, path: str, operations: dict[str, Operation]) -> Route:
    label = re.sub(r":path\}", "}", path)

    async def endpoint(request: Request) -> Response:
        try:
            body = await _body(request)
        except ClientDisconnect:
            # A request that never arrived whole is none: it is not counted, and nobody is left to read an answer.
            return Response(status_code=400)
        return await run_in_threadpool(_serve, sandbox, label, operations, request, body)

    # Every method comes here, so that a wrong one is counted and answered like any other request.
    return Route(path, endpoint, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])


def _serve(sandbox: Sandbox, label: str, operations: dict[str, Operation], request: Request, body: bytes) -> Response:
    """Count, authenticate, limit, handle, count the answer. Runs in a worker thread."""
    store = sandbox.store
    store.count_request(request.method, label)
    try:
        response = _handle(sandbox, operations, request, body)
    except ApiError as error:
        response = _refusal(error)
    except Exception:
        store.count_answer(request.method, label, 500)
        raise
    store.count_answer(request.method, label, response.status_code)
    return response


def _handle(sandbox: Sandbox, operations: dict[str, Operation], request: Request, body: bytes) -> Response:
    operation = operations.get("GET" if request.method == "HEAD" else request.method)
    if operation is None:
        raise ApiError(405, "Method Not Allowed", headers={"Allow": ", ".join(operations)})
    owner = owner_of(sandbox, request.headers.get("x-api-key"))
    sandbox.rates.take(owner, operation.rate)
    if len(body) > MAX_BODY:
        raise ApiError(413, "Request body too large")
    return operation.handler(Call(sandbox, owner, request.path_params, request.query_params, body))


def _open_endpoint(
    sandbox: Sandbox, path: str, handler: Callable[[Call], Response]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if path.startswith("/sandbox/") and not _is_loopback(request):
            return _refusal(ApiError(403, "The books are open to callers on this machine only"))
        call = Call(sandbox, 0, request.path_params, request.query_params, b"")
        try:
            return await run_in_threadpool(handler, call)
        except ApiError as error:
            return _refusal(error)

    return endpoint


async def _body(request: Request) -> bytes:
    """The whole body, but not more than a little over the limit: `_handle` refuses that."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= MAX_BODY:
            parts.append(part)
    return b"".join(parts) if size <= MAX_BODY else bytes(MAX_BODY + 1)


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


class _RequestIds:
    """Puts `X-Request-ID` on every answer: the caller's own (a guess, open question), or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), None)
        identity = given or uuid.uuid4().hex.encode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", identity)]
            await send(message)

        await self._app(scope, receive, send_with_id)
