"""Rules at work: what the engine has found, changed by a key's ruleset.

Belongs here: evaluating checked rules, one after the other, each on what the ones before have made of a transaction.
An expression that meets a property without a value, or a division by zero, has no value itself, nor has an MCC that is
none, nor a text of more than 10,000 characters (our own limit: rules may double a text again and again): a condition
without one does not hold, an action without one is not taken. The properties have v2 names; what they are of a v3
answer, and that its one general category is the last label, is our reading.
"""

from __future__ import annotations

import copy
import operator
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.sandbox.engine import enrich
from pipeline.sandbox.personal.matching import NOT_ENOUGH
from pipeline.sandbox.personal.rule_check import is_mcc

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.sandbox.schema import Item

HOLDER_TYPES = ("consumer", "business")
LONGEST_TEXT = 10_000


class _NoValueError(Exception):
    """The expression has no value."""


@dataclass(slots=True)
class Subject:
    """A transaction that rules are applied to. `found` is copied first: its parts are shared by equal lines."""

    item: Item
    holder_type: str | None
    holder_name: Callable[[], str | None]
    found: dict[str, Any]
    type: str | None = None
    labels: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.found = copy.deepcopy(self.found)
        self.type = self.holder_type
        general = self.found["categories"]["general"]
        self.labels = [general] if general else []


def apply(rules: list[dict[str, Any]], subject: Subject) -> dict[str, Any]:
    """`entities`, `categories` and `location` after all rules."""
    before = list(subject.labels)
    for rule in rules:
        _act(rule, subject)
    if subject.labels != before:
        subject.found["categories"]["general"] = subject.labels[-1] if subject.labels else NOT_ENOUGH
    return subject.found


def _act(rule: dict[str, Any], subject: Subject) -> None:
    if "if" in rule:
        for action in rule["then"] if _holds(rule["if"], subject) else rule.get("else") or ():
            _act(action, subject)
        return
    try:
        if "set" in rule:
            _SETTERS[rule["set"]](subject, _value(rule["to"], subject, nothing=True))
        else:
            ((name, operand),) = rule.items()
            operands = operand if isinstance(operand, list) else [operand]
            values = [_value(one, subject) for one in operands]
            _CHANGES[name](subject, values if name.endswith(("label", "labels")) else [_code(one) for one in values])
    except _NoValueError:
        return


def _code(number: float) -> int:
    """An MCC that a rule has computed."""
    if not is_mcc(number):
        raise _NoValueError
    return int(number)


def _holds(condition: Any, subject: Subject) -> bool:
    try:
        return bool(_value(condition, subject))
    except _NoValueError:
        return False


def _value(expression: Any, subject: Subject, *, nothing: bool = False) -> Any:
    if not isinstance(expression, dict):
        value = expression
    else:
        ((name, given),) = expression.items()
        operands = given if isinstance(given, list) else [given]
        value = _SPECIAL[name](subject, operands) if name in _SPECIAL else _computed(name, subject, operands)
    if value is None and not nothing:
        raise _NoValueError
    return _bounded(value)


def _bounded(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise _NoValueError
    return value


def _computed(name: str, subject: Subject, operands: list[Any]) -> Any:
    first, *others = [_value(one, subject) for one in operands]
    try:
        for other in others:
            first = _bounded(_BINARY[name](first, other))
        return first if others else _UNARY[name](first)
    except (ZeroDivisionError, OverflowError) as error:
        raise _NoValueError from error


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "is_substring": lambda part, text: part in text,
    "starts_with": lambda text, part: text.startswith(part),
    "ends_with": lambda text, part: text.endswith(part),
}
_UNARY: dict[str, Callable[[Any], Any]] = {"!": operator.not_, "to_lower": str.lower, "to_upper": str.upper}


def _equal(subject: Subject, operands: list[Any]) -> bool:
    """The one operator that takes a property without a value: it equals null."""
    one, other = (_value(operand, subject, nothing=True) for operand in operands)
    return bool(one == other)


def _has_label(subject: Subject, operands: list[Any]) -> bool:
    label = _value(operands[0], subject).casefold()
    return any(one.casefold() == label for one in subject.labels)


def _get(subject: Subject, operands: list[Any]) -> Any:
    return _READERS[operands[0]](subject)


_SPECIAL: dict[str, Callable[[Subject, list[Any]], Any]] = {
    "&&": lambda subject, operands: all(_holds(one, subject) for one in operands),
    "||": lambda subject, operands: any(_holds(one, subject) for one in operands),
    "==": _equal,
    "get": _get,
    "has_label": _has_label,
    "has_mcc": lambda subject, operands: _value(operands[0], subject) in (_party(subject).get("mccs") or []),
}


def _party(subject: Subject) -> dict[str, Any]:
    """The counterparty, or an empty object to look into."""
    found: dict[str, Any] = subject.found["entities"]["counterparty"] or {}
    return found


def _person(subject: Subject) -> str | None:
    party = _party(subject)
    return party["name"] if party.get("type") == "person" else None


def _place(subject: Subject) -> str | None:
    found: str | None = (subject.found["location"] or {}).get("raw_address")
    return found


_READERS: dict[str, Callable[[Subject], Any]] = {
    "merchant": lambda subject: _party(subject).get("name"),
    "merchant_id": lambda subject: _party(subject).get("id"),
    "website": lambda subject: _party(subject).get("website"),
    "logo": lambda subject: _party(subject).get("logo"),
    "person": _person,
    "location": _place,
    "country": lambda subject: subject.item.location.country if subject.item.location else None,
    "description": lambda subject: subject.item.description,
    "amount": lambda subject: subject.item.amount,
    "entry_type": lambda subject: subject.item.entry_type,
    "transaction_type": lambda subject: subject.type,
    "account_holder_type": lambda subject: subject.holder_type,
    "account_holder_id": lambda subject: subject.item.account_holder_id,
    "account_holder_name": lambda subject: subject.holder_name(),
}


def _made(subject: Subject, name: str | None) -> dict[str, Any]:
    """The counterparty to change; one of that name where there was none."""
    entities = subject.found["entities"]
    if entities["counterparty"] is None:
        empty = ("name", "website", "logo", "phone_number", "tax_number", "naics2017", "parent")
        identity = str(uuid.uuid3(uuid.NAMESPACE_DNS, (name or "").lower()))
        made: dict[str, Any] = {"id": identity, **dict.fromkeys(empty), "mccs": [], "type": "organization"}
        entities["counterparty"] = made
    found: dict[str, Any] = entities["counterparty"]
    return found


def _set_of_party(name: str) -> Callable[[Subject, str | None], None]:
    def change(subject: Subject, value: str | None) -> None:
        _made(subject, value)[name] = value

    return change


def _set_person(subject: Subject, value: str | None) -> None:
    party = _made(subject, value)
    party["name"] = value
    party["type"] = "organization" if value is None else "person"


def _set_place(subject: Subject, value: str | None) -> None:
    subject.found["location"] = {"structured": None, **(subject.found["location"] or {}), "raw_address": value}


def _set_type(subject: Subject, value: str | None) -> None:
    """Categories are those of that holder type; the holder stays what it is."""
    if subject.holder_type is None or value not in HOLDER_TYPES:
        return
    subject.type = value
    subject.found["categories"] = dict(enrich(subject.item, value)["categories"])
    subject.labels[:] = [subject.found["categories"]["general"]]


_SETTERS: dict[str, Callable[[Subject, str | None], None]] = {
    "merchant": _set_of_party("name"),
    "merchant_id": _set_of_party("id"),
    "website": _set_of_party("website"),
    "logo": _set_of_party("logo"),
    "person": _set_person,
    "location": _set_place,
    "transaction_type": _set_type,
}


def _add_labels(subject: Subject, labels: list[str]) -> None:
    subject.labels[:] = [one for one in subject.labels if one not in labels] + labels


def _remove_labels(subject: Subject, labels: list[str]) -> None:
    gone = {label.casefold() for label in labels}
    subject.labels[:] = [one for one in subject.labels if one.casefold() not in gone]


def _set_labels(subject: Subject, labels: list[str]) -> None:
    subject.labels[:] = labels


def _change_mccs(subject: Subject, mccs: list[int]) -> None:
    if subject.found["entities"]["counterparty"] is not None:
        _party(subject)["mccs"] = mccs


def _known_mccs(subject: Subject) -> list[int]:
    return list(_party(subject).get("mccs") or [])


_CHANGES: dict[str, Callable[[Subject, list[Any]], None]] = {
    "add_label": _add_labels,
    "remove_label": _remove_labels,
    "set_labels": _set_labels,
    "add_mcc": lambda subject, mccs: _change_mccs(subject, list(dict.fromkeys([*_known_mccs(subject), *mccs]))),
    "remove_mcc": lambda subject, mccs: _change_mccs(subject, [one for one in _known_mccs(subject) if one not in mccs]),
    "set_mcc": _change_mccs,
}
