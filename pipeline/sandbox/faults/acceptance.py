"""Faults that are decided when a batch or an item is accepted, and stored with it.

Belongs here: what the rules of batches and items do. All of it is decided in the transaction that accepts, so that
whoever serves the state file next gives the same answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.sandbox.errors import invalid, problem
from pipeline.sandbox.faults import rules
from pipeline.sandbox.life import EVER, SECOND

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from pipeline.sandbox.call import Call
    from pipeline.sandbox.config import SandboxConfig
    from pipeline.sandbox.life import Submission
    from pipeline.sandbox.schema import Item


def refuse_items(call: Call, items: list[Item]) -> None:
    """Raise a 422 that names every item which a rule makes invalid. Counted even when a limit refuses it after that."""
    if call.visit is None:
        return
    fields: dict[str, str] = {}
    for fired in call.visit.ask(rules.ItemInvalid):
        fields.update(dict.fromkeys(fired.ids, fired.rule.field))
    if not fields:
        return
    alone = call.visit.call != "POST /v3/batches"
    raise invalid(
        *(
            problem(
                ["body", fields[item.id]] if alone else ["body", "data", at, fields[item.id]],
                "value_error",
                "Value error, a fault of the plan",
            )
            for at, item in enumerate(items)
            if item.id in fields
        )
    )


def item_faults(con: sqlite3.Connection, call: Call) -> dict[str, bytes]:
    """The `error` of each item that gets one this time, as JSON by id; the first rule that fires for an item counts."""
    found: dict[str, bytes] = {}
    for fired in call.visit.ask(rules.ItemError, con) if call.visit else ():
        error = msgspec.json.encode({"code": fired.rule.code, "message": fired.rule.message})
        for identity in fired.ids:
            found.setdefault(identity, error)
    return found


def batch_faults(con: sqlite3.Connection, call: Call) -> list[rules.BatchRule]:
    """The rules that fire for the batch that is being accepted."""
    return [fired.rule for fired in call.visit.ask(rules.BatchRule, con)] if call.visit else []


def ends_in_error(faults: Sequence[rules.BatchRule]) -> bool:
    """Whether one of them lets the batch end in error."""
    return any(isinstance(rule, rules.BatchError) for rule in faults)


def marred(made: Submission, faults: Sequence[rules.BatchRule], config: SandboxConfig) -> Submission:
    """The batch that is about to be stored, with its end and the times at which it is shown as the rules want them."""
    # Expiry counts from the end, so whatever moves the end goes first.
    for rule in sorted(faults, key=lambda rule: isinstance(rule, rules.BatchExpires)):
        match rule:
            case rules.BatchSlow():
                takes = int((made.finish_at - made.created_at) * rule.factor)
                made = made._replace(finish_at=min(EVER, made.created_at + max(1, takes)))
            case rules.BatchNeverEnds():
                made = made._replace(finish_at=EVER)
            case rules.BatchHidden():
                since = made.created_at + _us(config, rule.seconds)
                made = made._replace(listed_from=since, found_from=since if rule.by_id else made.found_from)
            case rules.BatchExpires(what="results"):
                made = made._replace(results_until=min(EVER, made.finish_at + _us(config, rule.seconds)))
            case rules.BatchExpires():
                made = made._replace(found_until=min(EVER, made.finish_at + _us(config, rule.seconds)))
    return made


def _us(config: SandboxConfig, seconds: float) -> int:
    return min(EVER, round(config.scaled(seconds) * SECOND))
