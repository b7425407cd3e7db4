"""The batch routes (fact sheet, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.sandbox import validation
from pipeline.sandbox.call import Call, Streamed, answer, encode
from pipeline.sandbox.enriched import PARTS_AT_FIRST, enriched
from pipeline.sandbox.errors import ApiError, not_found
from pipeline.sandbox.life import Submission
from pipeline.sandbox.named import note, parties
from pipeline.sandbox.paging import choice, page, window
from pipeline.sandbox.personal.lens import Lens
from pipeline.sandbox.store import now_us
from pipeline.sandbox.submit import accept_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.responses import Response

    from pipeline.sandbox.store import Store

DEFAULT_LIMIT = 10
RESULTS_PER_CHUNK = 500
COLUMNS = ", ".join(Submission._fields)
_STATUSES = ("processing", "completed", "error")


def create(call: Call) -> Response:
    """POST /v3/batches."""
    items, priority = validation.batch(call.body)
    made = accept_batch(call, items, priority)
    # As of its creation: on a fast clock it may have ended by now, but the documented answer says processing.
    return answer(made.answer(made.created_at))


def list_(call: Call) -> Response:
    """GET /v3/batches, newest first, by status and time of creation."""
    part = window(call, DEFAULT_LIMIT)
    status = choice(call, "status", _STATUSES)
    now = now_us()
    sql = (
        f"SELECT {COLUMNS} FROM submissions WHERE owner = :owner AND kind = 'batch' AND seq < :before"  # noqa: S608
        " AND created_at + skew BETWEEN :oldest AND :newest AND listed_from <= :now AND found_until > :now"
        " AND (:status IS NULL OR :status = CASE WHEN finish_at > :now THEN 'processing' ELSE outcome END)"
        " ORDER BY seq DESC LIMIT :limit"
    )
    given = part.given(call, status=status, now=now)
    found = [Submission._make(row) for row in call.store.connection().execute(sql, given)]
    return answer(page([((one.seq, 0), one.answer(now)) for one in found], part.limit))


def read(call: Call) -> Response:
    """GET /v3/batches/{id}."""
    return answer(_find(call).answer(now_us()))


def results(call: Call) -> Response:
    """GET /v3/batches/{id}/results: one body, written as it is computed; 409 unless completed (open question Q3)."""
    found, now = _find(call), now_us()
    status = found.status(now)
    if status != "completed":
        why = "is still being processed" if status == "processing" else "ended in error, it has no results"
        raise ApiError(409, f"The batch {why}")
    if now >= found.results_until:
        raise not_found("Results")
    return Streamed(_stream(call.store, found, Lens(call.store, found.owner, found.ruleset)))


def _find(call: Call) -> Submission:
    sql = f"SELECT {COLUMNS} FROM submissions WHERE id = ? AND owner = ? AND kind = 'batch'"  # noqa: S608
    row = call.store.connection().execute(sql, (call.path["id"], call.owner)).fetchone()
    found = None if row is None else Submission._make(row)
    if found is None or not found.found_from <= now_us() < found.found_until:
        raise not_found("Batch")
    return found


def _stream(store: Store, batch: Submission, lens: Lens) -> Iterator[bytes]:
    # Each chunk is read by position on the connection of whichever thread asks for it: no cursor stays open between
    # two chunks, so a reader who goes away leaves nothing behind.
    head = encode({"id": batch.id, "total": batch.total, "status": "completed"})
    yield head[:-1] + b',"results":['
    sql = (
        f"SELECT {PARTS_AT_FIRST} FROM items WHERE seq = ? AND position >= ? AND position < ?"  # noqa: S608
        " ORDER BY position"
    )
    for first in range(0, batch.total, RESULTS_PER_CHUNK):
        rows = store.connection().execute(sql, (batch.seq, first, first + RESULTS_PER_CHUNK)).fetchall()
        found = [enriched(row, batch.made, lens) for row in rows]
        note(store, batch.owner, parties(found))
        chunk = encode(found)
        yield (b"," if first else b"") + chunk[1:-1]
    yield b"]}"
