"""The route of recurrence (fact sheet, section 4.1).

Belongs here: a holder's transactions out of the state file, its recurring groups out. What makes a group is in
`engine.recurrence`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.sandbox.call import Call, answer
from pipeline.sandbox.engine.recurrence import recurring_groups
from pipeline.sandbox.engine.series import Payment
from pipeline.sandbox.enriched import transaction
from pipeline.sandbox.errors import not_found
from pipeline.sandbox.life import stamp
from pipeline.sandbox.named import note
from pipeline.sandbox.personal.lens import Lens
from pipeline.sandbox.store import now_us

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.responses import Response

# Of each transaction the last version that has been processed, as in GET /v3/transactions.
_VISIBLE = "(s.finish_at <= :now OR {item}.position < s.stop_at * (:now - s.created_at) / (s.finish_at - s.created_at))"
_TRANSACTIONS = (
    "SELECT s.ruleset, s.created_at + s.skew, i.body, i.holder_kind, i.flawed, i.fault, i.category_set"  # noqa: S608
    " FROM items i JOIN submissions s ON s.seq = i.seq"
    " WHERE i.owner = :owner AND i.holder = :holder AND i.gone = 0 AND s.outcome = 'completed'"
    f" AND {_VISIBLE.format(item='i')} AND NOT EXISTS ("
    "  SELECT 1 FROM items l JOIN submissions s ON s.seq = l.seq WHERE l.owner = i.owner AND l.id = i.id"
    f"  AND (l.seq, l.position) > (i.seq, i.position) AND s.outcome = 'completed' AND {_VISIBLE.format(item='l')})"
)


def groups(call: Call) -> Response:
    """POST /v3/account_holders/{id}/recurring_groups: a bare array, computed when asked for; no body is needed."""
    key = (call.owner, call.path["id"])
    if call.store.connection().execute("SELECT 1 FROM holders WHERE owner = ? AND id = ?", key).fetchone() is None:
        raise not_found("Account holder")
    found = recurring_groups(_payments(call))
    note(call.store, call.owner, (group["counterparty"] for group in found))
    return answer(found)


def _payments(call: Call) -> Iterator[Payment]:
    given = {"owner": call.owner, "holder": call.path["id"], "now": now_us()}
    lenses: dict[int | None, Lens] = {}
    for row in call.store.connection().execute(_TRANSACTIONS, given).fetchall():
        ruleset, created_at = row[:2]
        if ruleset not in lenses:
            lenses[ruleset] = Lens(call.store, call.owner, ruleset)
        found = transaction(row[2:], stamp(created_at), lenses[ruleset])
        if found["error"] is None:
            yield Payment(
                found["id"],
                found["date"],
                found["amount"],
                found["entry_type"],
                found["currency"],
                found["entities"]["counterparty"],
                found["categories"],
            )
