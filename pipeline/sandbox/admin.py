"""The sandbox's own routes under /sandbox/: settings, books, faults. No key needed, loopback callers only."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from starlette.responses import Response

from pipeline.sandbox.books import Books
from pipeline.sandbox.call import Call, answer
from pipeline.sandbox.errors import invalid, problem
from pipeline.sandbox.faults.plan import FaultPlanError

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
    # Nine digits: SQLite could not hold every number.
    if not re.fullmatch(r"\d{1,9}", least, re.ASCII) or int(least) < 1:
        raise invalid(problem(["query", "min"], "int_parsing", "Input should be a valid integer of 1 or more"))
    return answer(Books(call.store.path).charges(int(least)))


def items(call: Call) -> Response:
    """GET /sandbox/books/items?id=tx-1: every charge, or those of one transaction id."""
    return answer(Books(call.store.path).items(call.query.get("id")))


def fired_faults(call: Call) -> Response:
    """GET /sandbox/books/faults."""
    return answer(Books(call.store.path).faults())


def deliveries(call: Call) -> Response:
    """GET /sandbox/books/deliveries: what was or is to be POSTed to webhooks, in the order it was queued."""
    return answer(Books(call.store.path).deliveries())


def faults(call: Call) -> Response:
    """GET /sandbox/faults: the plan, and what each rule has seen and done."""
    return answer(call.sandbox.faults.view())


def put_faults(call: Call) -> Response:
    """PUT /sandbox/faults: replaces the plan and counts from zero; 422 names rule (loc counts from 0) and field."""
    try:
        call.sandbox.faults.put(call.body)
    except FaultPlanError as error:
        raise invalid(*(problem(found.loc, "value_error", str(found)) for found in error.problems)) from error
    return answer(call.sandbox.faults.view())


def end_faults(call: Call) -> Response:
    """DELETE /sandbox/faults: 204."""
    call.sandbox.faults.end()
    return Response(status_code=204)


def health(_: Call) -> Response:
    """GET /health."""
    return answer({"status": "ok"})


def _version() -> str:
    try:
        return version("enrich")
    except PackageNotFoundError:
        # Run from a folder that was copied, not installed.
        return "unknown"
