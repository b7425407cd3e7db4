"""The rule routes (fact sheet, section 7).

Belongs here: the ruleset as the API shows it. A rule's id is its position, from 0: no source has another, and one that
does not exist is documented as 400. It is text, as the SDK's model requires, where the OpenAPI document has a number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pipeline.sandbox.call import Call, answer, encode
from pipeline.sandbox.errors import ApiError, invalid, problem
from pipeline.sandbox.personal import rulesets
from pipeline.sandbox.personal.rule_check import RuleError, check
from pipeline.sandbox.validation import loads, not_an_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

Rule = dict[str, Any]


def list_(call: Call) -> Response:
    """GET /v3/rules: a bare array."""
    rules = rulesets.current(call.store.connection(), call.owner)
    return answer([_shape(at, rule) for at, rule in enumerate(rules)])


def append(call: Call) -> Response:
    """POST /v3/rules: one more rule, after the others."""
    rule = _rule(loads(call.body), ["body"])
    rules = _change(call, lambda rules: [*rules, rule])
    return answer(_shape(len(rules) - 1, rule))


def replace(call: Call) -> Response:
    """POST /v3/rules/replace: all rules at once."""
    raw = loads(call.body)
    if not isinstance(raw, list):
        raise invalid(problem(["body"], "list_type", "Input should be a valid list"))
    given = [_rule(one, ["body", at]) for at, one in enumerate(raw)]
    return answer([_shape(at, rule) for at, rule in enumerate(_change(call, lambda _: given))])


def change(call: Call) -> Response:
    """PATCH /v3/rules/{id}: the rule is replaced whole."""
    rule = _rule(loads(call.body), ["body"])
    at = _position(call)
    _change(call, lambda rules: [*rules[: _known(at, rules)], rule, *rules[at + 1 :]])
    return answer(_shape(at, rule))


def delete(call: Call) -> Response:
    """DELETE /v3/rules/{id}: 200, not 204; the rules after it move up."""
    at = _position(call)
    _change(call, lambda rules: [*rules[: _known(at, rules)], *rules[at + 1 :]])
    return answer(None)


def _change(call: Call, new: Callable[[list[Rule]], list[Rule]]) -> list[Rule]:
    """Store the rules that `new` makes of those that count; raises 413."""
    with call.store.write() as con:
        rules = new(rulesets.current(con, call.owner))
        body = encode(rules)
        if len(body) > call.config.max_ruleset_bytes:
            raise ApiError(413, f"A ruleset may have {call.config.max_ruleset_bytes} bytes")
        rulesets.put(con, call.owner, body)
    return rules


def _rule(raw: Any, loc: list[str | int]) -> Rule:
    """One checked rule without its id; raises 422 for what is no object, 400 for what cannot be applied."""
    if not isinstance(raw, dict):
        raise invalid(not_an_object(loc))
    rule = {name: part for name, part in raw.items() if name != "id"}
    try:
        check(rule, "rule" if len(loc) == 1 else f"rule {loc[1]}")
    except RuleError as error:
        raise ApiError(400, str(error)) from error
    return rule


def _position(call: Call) -> int:
    text = call.path["id"]
    if not re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII):
        msg = "Input should be a valid integer, unable to parse string as an integer"
        raise invalid(problem(["path", "id"], "int_parsing", msg))
    return int(text)


def _known(at: int, rules: list[Rule]) -> int:
    if not 0 <= at < len(rules):
        raise ApiError(400, "There is no rule at this index")
    return at


def _shape(at: int, rule: Rule) -> Rule:
    return {"id": str(at), **rule}
