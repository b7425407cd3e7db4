"""The report routes (fact sheet, section 7): a person says that something about a transaction is wrong.

Belongs here: taking reports in and showing how far they are. Nobody reads them: open, then pending, then resolved or
rejected come by the clock, what it will be is drawn from what the report says, and the transaction stays as it is.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from starlette.responses import Response

from pipeline.sandbox.call import Call, answer
from pipeline.sandbox.chance import draw
from pipeline.sandbox.errors import not_found
from pipeline.sandbox.events import event_of, forget_other_events, store_other_event
from pipeline.sandbox.life import SECOND, stamp
from pipeline.sandbox.paging import choice, page, window
from pipeline.sandbox.report_input import ReportInput, report
from pipeline.sandbox.store import now_us
from pipeline.sandbox.transactions import latest

if TYPE_CHECKING:
    from pipeline.sandbox.config import SandboxConfig

DEFAULT_LIMIT = 10
STATUSES = ("open", "pending", "resolved", "rejected")
_REASON = "The transaction was found to be right as it is"


class _Report(NamedTuple):
    """A row. Times are microseconds since 1970."""

    id: str
    transaction_id: str
    description: str
    fields: str
    created_at: int
    pending_at: int
    decided_at: int
    outcome: str

    def status(self, now: int) -> str:
        if now < self.pending_at:
            return "open"
        return "pending" if now < self.decided_at else self.outcome

    def answer(self, now: int) -> dict[str, Any]:
        """The Report object."""
        status = self.status(now)
        return {
            "id": self.id,
            "transaction_id": self.transaction_id,
            "description": self.description,
            "fields": msgspec.json.decode(self.fields),
            "created_at": stamp(self.created_at),
            "status": status,
            "rejection_reason": _REASON if status == "rejected" else None,
        }


_COLUMNS = ", ".join(_Report._fields)


def create(call: Call) -> Response:
    """POST /v3/reports: open at first; 404 for a transaction that is not there (a guess)."""
    given = report(call.body)
    now = now_us()
    latest(call, given.transaction_id, now)
    made = _new(call, given, now)
    marks = ", ".join("?" * (len(made) + 1))
    with call.store.write() as con:
        con.execute(f"INSERT INTO reports ({_COLUMNS}, owner) VALUES ({marks})", (*made, call.owner))  # noqa: S608
        for moment in (made.pending_at, made.decided_at):
            told = event_of(call.owner, f"reports.{made.status(moment)}", made.answer(moment), moment)
            store_other_event(con, made.id, told)
    return answer(made.answer(now))


def list_(call: Call) -> Response:
    """GET /v3/reports, newest first, by status and time of creation."""
    part = window(call, DEFAULT_LIMIT)
    status = choice(call, "status", STATUSES)
    now = now_us()
    sql = (
        f"SELECT seq, {_COLUMNS} FROM reports WHERE owner = :owner AND seq < :before"  # noqa: S608
        " AND created_at BETWEEN :oldest AND :newest AND (:status IS NULL OR :status ="
        " CASE WHEN :now < pending_at THEN 'open' WHEN :now < decided_at THEN 'pending' ELSE outcome END)"
        " ORDER BY seq DESC LIMIT :limit"
    )
    given = part.given(call, status=status, now=now)
    rows = call.store.connection().execute(sql, given)
    return answer(page([((row[0], 0), _Report._make(row[1:]).answer(now)) for row in rows], part.limit))


def read(call: Call) -> Response:
    """GET /v3/reports/{id}: the report and how far it is."""
    sql = f"SELECT {_COLUMNS} FROM reports WHERE id = ? AND owner = ?"  # noqa: S608
    row = call.store.connection().execute(sql, (call.path["id"], call.owner)).fetchone()
    if row is None:
        raise not_found("Report")
    return answer(_Report._make(row).answer(now_us()))


def delete(call: Call) -> Response:
    """DELETE /v3/reports/{id}: 204; no more is told of it."""
    with call.store.write() as con:
        key = (call.path["id"], call.owner)
        if con.execute("DELETE FROM reports WHERE id = ? AND owner = ?", key).rowcount == 0:
            raise not_found("Report")
        forget_other_events(con, call.path["id"])
    return Response(status_code=204)


def _new(call: Call, given: ReportInput, now: int) -> _Report:
    config = call.config
    pending_at = now + _us(config, config.report_pending_seconds)
    fails = draw(config.seed, "report", given.transaction_id, *given.fields) < config.report_rejected_share
    return _Report(
        id=str(uuid.uuid4()),
        transaction_id=given.transaction_id,
        description=given.description,
        fields=msgspec.json.encode(given.fields).decode(),
        created_at=now + call.skew,
        pending_at=pending_at,
        decided_at=pending_at + _us(config, config.report_decision_seconds),
        outcome="rejected" if fails else "resolved",
    )


def _us(config: SandboxConfig, seconds: float) -> int:
    return max(1, round(config.scaled(seconds) * SECOND))
