"""The sandbox's description of itself at /openapi.json and /sandbox/openapi.json.

Belongs here: the routes. It is derived from the route table that it stands in, so that is read when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.sandbox.call import Call, answer

if TYPE_CHECKING:
    from starlette.responses import Response


def read(_: Call) -> Response:
    """GET /openapi.json: this document."""
    from pipeline.sandbox.openapi.document import document  # noqa: PLC0415

    return answer(document())


def read_own(_: Call) -> Response:
    """GET /sandbox/openapi.json: this document."""
    from pipeline.sandbox.openapi.document import document  # noqa: PLC0415

    return answer(document(own=True))
