"""The sandbox's own routes under /sandbox/: settings and books. No key needed, loopback callers only."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from pipeline.sandbox.books import Books
from pipeline.sandbox.call import Call, answer
from pipeline.sandbox.errors import invalid, problem

if TYPE_CHECKING:
    from starlette.responses import Response

API_VERSION = "v3"


def info(call: Call) -> Response:
    """GET /sandbox/info."""
    settings = call.config.public()
    return answer(
        {"version": _version(), "api": API_VERSION, "time_scale": call.config.time_scale, "settings": settings}
    )


def summary(call: Call) -> Response:
    """GET /sandbox/books."""
    return answer(Books(call.store.path).summary())


def batches(call: Call) -> Response:
    """GET /sandbox/books/batches."""
    return answer(Books(call.store.path).batches())


def charges(call: Call) -> Response:
    """GET /sandbox/books/charges?min=2."""
    least = call.query.get("min", "1")
    if not least.isdecimal() or int(least) < 1:
        raise invalid(problem(["query", "min"], "int_parsing", "Input should be a valid integer of 1 or more"))
    return answer(Books(call.store.path).charges(int(least)))


def health(_: Call) -> Response:
    """GET /health."""
    return answer({"status": "ok"})


def _version() -> str:
    try:
        return version("enrich")
    except PackageNotFoundError:
        # Run from a folder that was copied, not installed.
        return "unknown"
