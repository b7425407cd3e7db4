"""The category routes (fact sheet, section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.sandbox.call import Call, answer
from pipeline.sandbox.engine.categories import SETS
from pipeline.sandbox.errors import ApiError, invalid, not_found, problem
from pipeline.sandbox.personal import category_sets
from pipeline.sandbox.validation import Problems, loads, not_an_object

if TYPE_CHECKING:
    from starlette.responses import Response

_HALVES = ("incoming", "outgoing")


def read(call: Call) -> Response:
    """GET /v3/categories/{id}: the key's own set, or the default of a holder type.

    404 for another id is a guess, none is documented.
    """
    identity = call.path["id"]
    found = category_sets.current(call.store.connection(), call.owner, identity) or SETS.get(identity)
    if found is None:
        raise not_found("Category set")
    return answer(found)


def change(call: Call) -> Response:
    """POST /v3/categories/{id}: counts for what is accepted from now on."""
    given = _set(loads(call.body))
    with call.store.write() as con:
        category_sets.put(con, call.owner, call.path["id"], given)
    return answer(given)


def reset(call: Call) -> Response:
    """POST /v3/categories/{id}/reset: the default set again, or null where there is none."""
    with call.store.write() as con:
        if category_sets.current(con, call.owner, call.path["id"]) is not None:
            category_sets.put(con, call.owner, call.path["id"], None)
    return answer(SETS.get(call.path["id"]))


def _set(raw: object) -> category_sets.CategorySet:
    if not isinstance(raw, dict):
        raise invalid(not_an_object(["body"]))
    problems: Problems = []
    for half in _HALVES:
        labels = raw.get(half)
        if half not in raw:
            problems.append(problem(["body", half], "missing", "Field required"))
        elif not isinstance(labels, list):
            problems.append(problem(["body", half], "list_type", "Input should be a valid list"))
        else:
            wrong = [at for at, label in enumerate(labels) if not isinstance(label, str)]
            text = "Input should be a valid string"
            problems += [problem(["body", half, at], "string_type", text) for at in wrong]
    if problems:
        raise ApiError(422, problems)
    return {half: raw[half] for half in _HALVES}
