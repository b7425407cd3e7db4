"""Whether a rule can be applied: a type check, as the docs say that one is made when a ruleset is changed.

Belongs here: the language of rules (fact sheet, section 7) and what is wrong with a rule, named by its place in it.
A rule is an action, or a conditional with actions and conditionals under `then` and `else`. An expression is a value or
an object of one operator. What the sheet leaves open, the order of the operands of `is_substring`, `starts_with` and
`ends_with` among it, is ours: the part comes first in `is_substring`, and second in the others.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

Kind = Literal["text", "number", "boolean", "nothing"]
READABLE: dict[str, Kind] = {
    **dict.fromkeys(("logo", "website", "merchant", "description", "merchant_id", "location", "person"), "text"),
    **dict.fromkeys(("transaction_type", "entry_type", "country"), "text"),
    **dict.fromkeys(("account_holder_type", "account_holder_id", "account_holder_name"), "text"),
    "amount": "number",
}
SETTABLE = ("logo", "website", "merchant", "merchant_id", "location", "person", "transaction_type")
_DEEPEST = 50


class Operator(NamedTuple):
    """Least and most operands, of which kind they are (None: any, but all alike), and the kind of the answer."""

    least: int
    most: float
    takes: Kind | None
    gives: Kind | None


OPERATORS = {
    "&&": Operator(2, math.inf, "boolean", "boolean"),
    "||": Operator(2, math.inf, "boolean", "boolean"),
    "!": Operator(1, 1, "boolean", "boolean"),
    "==": Operator(2, 2, None, "boolean"),
    "+": Operator(2, math.inf, None, None),
    "-": Operator(2, 2, "number", "number"),
    "*": Operator(2, math.inf, "number", "number"),
    "/": Operator(2, 2, "number", "number"),
    "//": Operator(2, 2, "number", "number"),
    "<": Operator(2, 2, "number", "boolean"),
    "<=": Operator(2, 2, "number", "boolean"),
    ">": Operator(2, 2, "number", "boolean"),
    ">=": Operator(2, 2, "number", "boolean"),
    "is_substring": Operator(2, 2, "text", "boolean"),
    "starts_with": Operator(2, 2, "text", "boolean"),
    "ends_with": Operator(2, 2, "text", "boolean"),
    "to_lower": Operator(1, 1, "text", "text"),
    "to_upper": Operator(1, 1, "text", "text"),
    "has_label": Operator(1, 1, "text", "boolean"),
    "has_mcc": Operator(1, 1, "number", "boolean"),
}
ACTIONS: dict[str, Kind] = {
    "add_label": "text",
    "remove_label": "text",
    "set_labels": "text",
    "add_mcc": "number",
    "remove_mcc": "number",
    "set_mcc": "number",
}
"""Actions of one operand, and its kind. `set_labels` and `set_mcc` take a list as well."""
_LISTS = ("set_labels", "set_mcc")
LARGEST_MCC = 9999


class RuleError(Exception):
    """A rule that cannot be applied; the message says where and why, without any value of it."""


def check(rule: Any, where: str = "rule", depth: int = 0) -> None:
    """Raise `RuleError` unless `rule` is an action or a conditional whose parts have the kinds they should have."""
    if depth > _DEEPEST:
        raise RuleError(f"{where}: more than {_DEEPEST} levels deep")
    if not isinstance(rule, dict):
        raise RuleError(f"{where}: should be an object")
    if "if" in rule:
        _conditional(rule, where, depth)
    elif "set" in rule:
        _only(rule, where, {"set", "to"})
        if rule["set"] not in SETTABLE:
            raise RuleError(f"{where}.set: should be one of {', '.join(SETTABLE)}")
        _expect("text", _part(rule, "to", where), f"{where}.to", depth, empty=True)
    else:
        _labels_or_mccs(rule, where, depth)


def _conditional(rule: dict[str, Any], where: str, depth: int) -> None:
    _only(rule, where, {"if", "then", "else"})
    _expect("boolean", rule["if"], f"{where}.if", depth)
    for branch in ("then", "else"):
        actions = rule.get(branch)
        if actions is None and branch == "else":
            continue
        if not isinstance(actions, list):
            raise RuleError(f"{where}.{branch}: should be a list of rules")
        for at, action in enumerate(actions):
            check(action, f"{where}.{branch}[{at}]", depth + 1)


def _labels_or_mccs(rule: dict[str, Any], where: str, depth: int) -> None:
    names = [name for name in rule if name in ACTIONS]
    if len(names) != 1:
        raise RuleError(f"{where}: should have if, set, or one of {', '.join(ACTIONS)}")
    (name,) = names
    _only(rule, where, {name})
    operands = rule[name] if name in _LISTS and isinstance(rule[name], list) else [rule[name]]
    for operand in operands:
        _expect(ACTIONS[name], operand, f"{where}.{name}", depth)
        if name.endswith("mcc") and isinstance(operand, int | float) and not is_mcc(operand):
            raise RuleError(f"{where}.{name}: should be a whole number from 0 to {LARGEST_MCC}")


def is_mcc(number: float) -> bool:
    """Whether a number may be a merchant category code, which has four digits."""
    return 0 <= number <= LARGEST_MCC and number == int(number)


def _only(rule: dict[str, Any], where: str, allowed: set[str]) -> None:
    if not rule.keys() <= allowed:
        raise RuleError(f"{where}: may have {', '.join(sorted(allowed))} only")


def _part(rule: dict[str, Any], name: str, where: str) -> Any:
    if name not in rule:
        raise RuleError(f"{where}.{name}: is missing")
    return rule[name]


def _expect(kind: Kind, expression: Any, where: str, depth: int, *, empty: bool = False) -> None:
    found = _kind(expression, where, depth + 1)
    if found != kind and not (empty and found == "nothing"):
        raise RuleError(f"{where}: should be of kind {kind}, is {found}")


def _kind(expression: Any, where: str, depth: int) -> Kind:
    if depth > _DEEPEST:
        raise RuleError(f"{where}: more than {_DEEPEST} levels deep")
    if expression is None:
        return "nothing"
    if isinstance(expression, bool):
        return "boolean"
    if isinstance(expression, str):
        return "text"
    if isinstance(expression, int | float):
        return "number"
    if not isinstance(expression, dict) or len(expression) != 1:
        raise RuleError(f"{where}: should be a value or an object of one operator")
    ((name, operands),) = expression.items()
    if name == "get":
        if not isinstance(operands, str) or operands not in READABLE:
            raise RuleError(f"{where}.get: should be one of {', '.join(READABLE)}")
        return READABLE[operands]
    if name not in OPERATORS:
        raise RuleError(f"{where}: no operator of this name; there are get, {', '.join(OPERATORS)}")
    return _kind_of_operation(name, operands if isinstance(operands, list) else [operands], f"{where}.{name}", depth)


def _kind_of_operation(name: str, operands: list[Any], where: str, depth: int) -> Kind:
    operator = OPERATORS[name]
    if not operator.least <= len(operands) <= operator.most:
        raise RuleError(f"{where}: wrong number of operands")
    kinds = {_kind(operand, f"{where}[{at}]", depth + 1) for at, operand in enumerate(operands)}
    if operator.takes is not None:
        if kinds != {operator.takes}:
            raise RuleError(f"{where}: operands should be of kind {operator.takes}")
    elif len(kinds - {"nothing"} if name == "==" else kinds) > 1:
        raise RuleError(f"{where}: operands should be of one kind")
    if operator.gives is not None:
        return operator.gives
    (kind,) = kinds
    if kind not in ("text", "number"):
        raise RuleError(f"{where}: operands should be text or numbers")
    return kind
