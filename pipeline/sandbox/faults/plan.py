"""Reading a fault plan: JSON in, checked rules out, or every problem by rule number and field.

Belongs here: what the shape of a single rule cannot say, such as which fault goes with which call.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pipeline.sandbox.errors import SandboxError
from pipeline.sandbox.faults.kinds import FAULTS, AnyRule
from pipeline.sandbox.faults.rules import (
    BatchRule,
    ItemInvalid,
    ItemRule,
    ItemsRule,
    Rule,
    Status,
    WrongTotal,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ANY = "*"
RESULTS = "GET /v3/batches/{id}/results"
POST_BATCHES = "POST /v3/batches"
POST_TRANSACTIONS = "POST /v3/transactions"
OF_ONE_BATCH = ("GET /v3/batches/{id}", RESULTS)
LISTS = (
    "GET /v3/batches",
    "GET /v3/account_holders",
    "GET /v3/transactions",
    "GET /v3/webhooks",
    "GET /v3/reports",
    "GET /v3/bank_statements",
)
POSTS = (POST_BATCHES, POST_TRANSACTIONS, "POST /v3/account_holders")
OF_ONE_THING = (
    "GET /v3/account_holders/{id}",
    "DELETE /v3/account_holders/{id}",
    "POST /v3/account_holders/{id}/recurring_groups",
    "GET /v3/transactions/{id}",
    "DELETE /v3/transactions/{id}",
    "POST /v3/transactions/{id}/assign",
    "GET /v3/webhooks/{id}",
    "PATCH /v3/webhooks/{id}",
    "DELETE /v3/webhooks/{id}",
    "GET /v3/reports/{id}",
    "DELETE /v3/reports/{id}",
    "GET /v3/bank_statements/{id}",
    "GET /v3/bank_statements/{id}/results",
    "POST /v3/bank_statements/{id}/verify",
    "DELETE /v3/bank_statements/{id}",
)
PERSONAL = (
    "GET /v3/categories/{id}",
    "POST /v3/categories/{id}",
    "POST /v3/categories/{id}/reset",
    "GET /v3/rules",
    "POST /v3/rules",
    "POST /v3/rules/replace",
    "PATCH /v3/rules/{id}",
    "DELETE /v3/rules/{id}",
    "GET /v3/entities/{id}",
    "POST /v3/entities/resolve",
)
OTHER_POSTS = ("POST /v3/webhooks", "POST /v3/reports", "POST /v3/bank_statements")
CALLS = (*POSTS, *LISTS, *OF_ONE_BATCH, *OF_ONE_THING, *PERSONAL, *OTHER_POSTS)
_NO_BODY = (204, 205, 304)
_FIELD = re.compile(r"field `(\w+)`")
_WHERE = re.compile(r" - at `\$\.?(\w+)")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a plan. `rule` counts from 1; 0 is the plan itself."""

    rule: int
    field: str
    message: str

    @property
    def loc(self) -> list[str | int]:
        """Where it is in the JSON."""
        rule: list[str | int] = ["rules", self.rule - 1] if self.rule else []
        return ["body", *rule, *([self.field] if self.field else [])]

    def __str__(self) -> str:
        """For a person."""
        where = f"rule {self.rule}" if self.rule else "the plan"
        return f"{where}, {self.field}: {self.message}" if self.field else f"{where}: {self.message}"


class FaultPlanError(SandboxError):
    """A plan that cannot be taken, with every problem."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("fault plan: " + "; ".join(map(str, problems)))
        self.problems = problems


class Plan(msgspec.Struct, frozen=True):
    """A checked plan; rule n of a message is `rules[n - 1]`."""

    rules: tuple[AnyRule, ...]


class _Raw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rules: list[msgspec.Raw]


_RULE = msgspec.json.Decoder(AnyRule)


def read_plan(text: bytes) -> Plan:
    """Decode and check a plan; raises `FaultPlanError`."""
    try:
        raw = msgspec.json.decode(text, type=_Raw)
    except msgspec.DecodeError as error:
        raise FaultPlanError([_told(0, error)]) from error
    problems: list[Problem] = []
    rules: list[AnyRule] = []
    for number, part in enumerate(raw.rules, 1):
        try:
            rule = _RULE.decode(part)
        except msgspec.DecodeError as error:
            problems.append(_told(number, error))
            continue
        problems += [Problem(number, field, message) for field, message in _checks(rule)]
        rules.append(rule)
    if problems:
        raise FaultPlanError(problems)
    return Plan(tuple(rules))


def _told(number: int, error: msgspec.DecodeError) -> Problem:
    text = str(error)
    found = _WHERE.search(text) or _FIELD.search(text)
    message = text.partition(" - at ")[0]
    field = found[1] if found else ""
    if field == "do" and "Invalid value" in message:
        message += f", it should be one of {', '.join(FAULTS)}"
    return Problem(number, field, message)


def _checks(rule: Rule) -> Iterator[tuple[str, str]]:
    """Field and message of everything that does not go together."""
    if rule.call not in (ANY, *CALLS):
        yield "call", f"no such call, it should be * or one of {', '.join(CALLS)}"
        return
    if rule.ids is not None and rule.call not in (*POSTS, *OF_ONE_BATCH, *OF_ONE_THING):
        yield "ids", f"{rule.call} is about no id"
    if rule.batches is not None and rule.call not in OF_ONE_BATCH:
        yield "batches", f"goes with {' and '.join(OF_ONE_BATCH)} only"
    if rule.each and rule.ids is None and "{id}" not in rule.call:
        yield "each", f"{rule.call} needs ids for that"
    if rule.to is not None and (rule.from_ or 1) > rule.to:
        yield "to", "is smaller than from"
    yield from _of_the_fault(rule)


def _of_the_fault(rule: Rule) -> Iterator[tuple[str, str]]:
    name = str(rule.__struct_config__.tag)
    if isinstance(rule, BatchRule) and rule.call != POST_BATCHES:
        yield "call", f"{name} goes with {POST_BATCHES} only"
    if isinstance(rule, ItemRule):
        if rule.call not in (POST_BATCHES, POST_TRANSACTIONS):
            yield "call", f"{name} goes with {POST_BATCHES} and {POST_TRANSACTIONS} only"
        if rule.ids is None:
            yield "ids", f"{name} needs them"
    if isinstance(rule, ItemsRule) and rule.call not in (RESULTS, *LISTS):
        yield "call", f"{name} goes with answers that have items: {', '.join((RESULTS, *LISTS))}"
    if isinstance(rule, WrongTotal) and rule.call not in (RESULTS, POST_BATCHES, *OF_ONE_BATCH):
        yield "call", f"{name} goes with answers about one batch"
    if isinstance(rule, Status) and rule.status in _NO_BODY:
        yield "status", f"{rule.status} has no body"
    if isinstance(rule, ItemInvalid) and not rule.field:
        yield "field", "is empty"
