"""The category route (fact sheet, section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.sandbox.call import Call, answer
from pipeline.sandbox.engine.categories import SETS
from pipeline.sandbox.errors import not_found

if TYPE_CHECKING:
    from starlette.responses import Response


def read(call: Call) -> Response:
    """GET /v3/categories/{id}: the default set of a holder type. 404 for another id is a guess, none is documented."""
    found = SETS.get(call.path["id"])
    if found is None:
        raise not_found("Category set")
    return answer(found)
