"""The bank statement routes (fact sheet, section 7).

Belongs here: taking a PDF in and showing what was found on it. It is read before the upload is answered, in a process
of its own, so that what becomes of the statement is stored with it, as with batches; it is shown after the time that
reading is said to take. The file itself is not kept. What is on it is not enriched: that is a batch's business.
"""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from starlette.responses import Response

from pipeline.sandbox.call import Call, answer
from pipeline.sandbox.errors import ApiError, not_found, too_many
from pipeline.sandbox.events import event_of, forget_other_events, store_other_event
from pipeline.sandbox.life import SECOND, stamp
from pipeline.sandbox.paging import choice, page, window
from pipeline.sandbox.statements.child import extract
from pipeline.sandbox.statements.shapes import Extracted
from pipeline.sandbox.statements.upload import read_upload
from pipeline.sandbox.store import now_us

if TYPE_CHECKING:
    from pipeline.sandbox.statements.upload import Upload

DEFAULT_LIMIT = 10
STATUSES = {
    "processing": "processing",
    "completed": "completed",
    "error": "error",
    "queued": "queued",
    "processed": "completed",
    "failed": "error",
}
"""What a list may be asked for: the client's words and those of the OpenAPI document. Nothing here is ever queued."""
_UPLOADS = threading.BoundedSemaphore(8)
"""Of the 40 threads that answer, so many may be busy with statements: the other routes go on under a flood of them."""
_READERS = threading.BoundedSemaphore(2)
"""Processes at once; the other uploads wait for their turn."""


class _Statement(NamedTuple):
    """A row. Times are microseconds since 1970; `error` is the message of one that could not be read."""

    id: str
    name: str | None
    pages: int
    size: int
    created_at: int
    finish_at: int
    error: str | None

    def status(self, now: int) -> str:
        if now < self.finish_at:
            return "processing"
        return "completed" if self.error is None else "error"

    def answer(self, now: int) -> dict[str, Any]:
        """The BankStatement object."""
        status = self.status(now)
        error = {"code": "invalid_bank_statement", "message": self.error} if status == "error" else None
        return {
            "id": self.id,
            "name": self.name,
            "status": status,
            "created_at": stamp(self.created_at),
            "file": {"no_pages": self.pages, "size": self.size},
            "error": error,
        }


_COLUMNS = ", ".join(_Statement._fields)


def create(call: Call) -> Response:
    """POST /v3/bank_statements: a form with the PDF as `file`; what cannot be read ends in error.

    The currency is what is printed, or else that of the bank's country; one that the API does not have is an error.
    Where neither tells it, USD is taken, and `verify` shows none; but a statement that writes the day first is refused,
    and so is one whose dates may be read either way. With US dollars such dates have the month first, with any other
    currency they are read so that they are closer together.
    """
    given = read_upload(call.content_type, call.body)
    if len(given.content) > call.config.max_statement_bytes:
        raise ApiError(413, "The file is too large")
    found = _extract(call, given)
    read_well = isinstance(found, Extracted)
    overview = msgspec.json.encode(found.overview) if isinstance(found, Extracted) else None
    results = msgspec.json.encode(found.results) if isinstance(found, Extracted) else None
    now = now_us()
    made = _Statement(
        id=str(uuid.uuid4()),
        name=given.name,
        pages=found.pages,
        size=len(given.content),
        created_at=now + call.skew,
        finish_at=now + max(1, round(call.config.scaled(call.config.statement_seconds) * SECOND)),
        error=None if isinstance(found, Extracted) else found.reason,
    )
    told = event_of(
        call.owner,
        f"bank_statements.{'completed' if read_well else 'error'}",
        made.answer(made.finish_at),
        made.finish_at,
    )
    marks = ", ".join("?" * (len(made) + 3))
    sql = f"INSERT INTO bank_statements ({_COLUMNS}, owner, overview, results) VALUES ({marks})"  # noqa: S608
    with call.store.write() as con:
        con.execute(sql, (*made, call.owner, overview, results))
        store_other_event(con, made.id, told)
    return answer(made.answer(now))


def list_(call: Call) -> Response:
    """GET /v3/bank_statements, newest first, by status and time of creation."""
    part = window(call, DEFAULT_LIMIT)
    asked = choice(call, "status", STATUSES)
    now = now_us()
    sql = (
        f"SELECT seq, {_COLUMNS} FROM bank_statements WHERE owner = :owner AND seq < :before"  # noqa: S608
        " AND created_at BETWEEN :oldest AND :newest AND (:status IS NULL OR :status ="
        " CASE WHEN finish_at > :now THEN 'processing' WHEN error IS NULL THEN 'completed' ELSE 'error' END)"
        " ORDER BY seq DESC LIMIT :limit"
    )
    given = part.given(call, status=None if asked is None else STATUSES[asked], now=now)
    rows = call.store.connection().execute(sql, given)
    return answer(page([((row[0], 0), _Statement._make(row[1:]).answer(now)) for row in rows], part.limit))


def read(call: Call) -> Response:
    """GET /v3/bank_statements/{id}: the statement and how far it is."""
    return answer(_find(call).answer(now_us()))


def results(call: Call) -> Response:
    """GET /v3/bank_statements/{id}/results: accounts and transactions; 409 unless completed (a guess)."""
    status = _find(call).status(now_us())
    if status != "completed":
        why = "is still being processed" if status == "processing" else "ended in error, it has no results"
        raise ApiError(409, f"The bank statement {why}")
    return answer(msgspec.Raw(_column(call, "results")))


def verify(call: Call) -> Response:
    """POST /v3/bank_statements/{id}/verify: what the first page tells, at once; 409 if it tells nothing (a guess)."""
    found = _find(call)
    if found.error is not None:
        raise ApiError(409, found.error)
    return answer(msgspec.Raw(_column(call, "overview")))


def delete(call: Call) -> Response:
    """DELETE /v3/bank_statements/{id}: 204; no more is told of it."""
    with call.store.write() as con:
        key = (call.path["id"], call.owner)
        if con.execute("DELETE FROM bank_statements WHERE id = ? AND owner = ?", key).rowcount == 0:
            raise not_found("Bank statement")
        forget_other_events(con, call.path["id"])
    return Response(status_code=204)


def _extract(call: Call, given: Upload) -> Any:
    """What is on it, within the limits; raises 429 when too many are being read already."""
    config = call.config
    if not _UPLOADS.acquire(blocking=False):
        raise too_many("Rate limit exceeded: too many bank statements are being read")
    try:
        with _READERS:
            return extract(given.content, most_pages=config.max_statement_pages, seconds=config.statement_read_seconds)
    finally:
        _UPLOADS.release()


def _find(call: Call) -> _Statement:
    sql = f"SELECT {_COLUMNS} FROM bank_statements WHERE id = ? AND owner = ?"  # noqa: S608
    row = call.store.connection().execute(sql, (call.path["id"], call.owner)).fetchone()
    if row is None:
        raise not_found("Bank statement")
    return _Statement._make(row)


def _column(call: Call, name: str) -> bytes:
    sql = f"SELECT {name} FROM bank_statements WHERE id = ? AND owner = ?"  # noqa: S608
    row = call.store.connection().execute(sql, (call.path["id"], call.owner)).fetchone()
    if row is None:
        # Deleted since it was found.
        raise not_found("Bank statement")
    return bytes(row[0])
