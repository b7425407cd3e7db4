"""The transaction routes (fact sheet, section 2.3)."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from pipeline.sandbox import validation
from pipeline.sandbox.batches import COLUMNS
from pipeline.sandbox.call import Call, answer
from pipeline.sandbox.enriched import PARTS, decoded, enriched, transaction
from pipeline.sandbox.errors import ApiError, not_found
from pipeline.sandbox.life import Submission
from pipeline.sandbox.named import note, parties
from pipeline.sandbox.paging import Window, page, window
from pipeline.sandbox.personal.lens import Lens
from pipeline.sandbox.store import now_us
from pipeline.sandbox.submit import NO_HOLDER, UNKNOWN_HOLDER, accept_one, encoded, holder_now

DEFAULT_LIMIT = 25


def create(call: Call) -> Response:
    """POST /v3/transactions: one object in, enriched at once; an unknown holder is an `error` in a 200 (Q11)."""
    item = validation.transaction(call.body)
    made = accept_one(call, item)
    row = call.store.connection().execute(f"SELECT {PARTS} FROM items WHERE seq = ?", (made.seq,)).fetchone()  # noqa: S608
    return answer(_noted(call, [enriched(row, made.made, _lens(call, made))])[0])


def read(call: Call) -> Response:
    """GET /v3/transactions/{id}: the latest version that has been processed."""
    found, position = latest(call, call.path["id"], now_us())
    sql = f"SELECT {PARTS} FROM items WHERE seq = ? AND position = ?"  # noqa: S608
    row = call.store.connection().execute(sql, (found.seq, position)).fetchone()
    return answer(_noted(call, [transaction(row, found.made, _lens(call, found))])[0])


def assign(call: Call) -> Response:
    """POST /v3/transactions/{id}/assign: 404 for either id; 400 (a guess) unless both holders are of one type.

    One without a holder, or with one that does not exist, may go to any. The transaction is seen as its new holder's
    from then on; the results of the batch that it came with stay what they were.
    """
    holder = validation.assignment(call.body)
    with call.store.write() as con:
        found, position = latest(call, call.path["id"], now_us())
        kind, category_set = holder_now(con, call.owner, holder)
        if kind == UNKNOWN_HOLDER:
            raise not_found("Account holder")
        where = (found.seq, position)
        sql = "SELECT body, holder_kind FROM items WHERE seq = ? AND position = ?"
        body, before = con.execute(sql, where).fetchone()
        if before not in (kind, NO_HOLDER, UNKNOWN_HOLDER):
            raise ApiError(400, "The account holders must be of the same type")
        item = msgspec.structs.replace(decoded(body), account_holder_id=holder)
        con.execute(
            "UPDATE items SET first_body = body, first_kind = holder_kind, first_set = category_set"
            " WHERE seq = ? AND position = ? AND first_kind IS NULL",
            where,
        )
        sql = "UPDATE items SET holder = ?, holder_kind = ?, category_set = ?, body = ? WHERE seq = ? AND position = ?"
        con.execute(sql, (holder, kind, category_set, encoded(item), *where))
    return read(call)


def delete(call: Call) -> Response:
    """DELETE /v3/transactions/{id}: 204; what it cost stays in the books."""
    with call.store.write() as con:
        found, position = latest(call, call.path["id"], now_us())
        con.execute(
            "UPDATE items SET gone = 1 WHERE owner = ? AND id = ? AND (seq, position) <= (?, ?)",
            (call.owner, call.path["id"], found.seq, position),
        )
    return Response(status_code=204)


def list_(call: Call) -> Response:
    """GET /v3/transactions, newest first, by holder, even one with an empty id, and time of creation."""
    part = window(call, DEFAULT_LIMIT)
    holder = call.query.get("account_holder_id")
    now = now_us()
    rows: list[tuple[tuple[int, int], Any]] = []
    con = call.store.connection()
    sql = (
        f"SELECT {COLUMNS} FROM submissions WHERE owner = ? AND outcome = 'completed' AND seq <= ?"  # noqa: S608
        " AND created_at + skew BETWEEN ? AND ? ORDER BY seq DESC"
    )
    for found in con.execute(sql, (call.owner, part.before[0], part.oldest, part.newest)):
        wanted = part.limit + 1 - len(rows)
        if wanted <= 0:
            break
        rows += _of_submission(call, Submission._make(found), part, holder, wanted, now)
    return answer(page(rows, part.limit))


def _of_submission(
    call: Call, found: Submission, part: Window, holder: str | None, wanted: int, now: int
) -> list[tuple[tuple[int, int], Any]]:
    """Up to `wanted` of its transactions, last first, without those that a later visible version replaced."""
    sql = (
        f"SELECT position, {PARTS} FROM items i WHERE seq = :seq AND position < :before AND gone = 0"  # noqa: S608
        " AND (:holder IS NULL OR holder = :holder) AND NOT EXISTS ("
        "  SELECT 1 FROM items l JOIN submissions s ON s.seq = l.seq WHERE l.owner = i.owner AND l.id = i.id"
        "  AND (l.seq, l.position) > (i.seq, i.position) AND s.outcome = 'completed'"
        "  AND (s.finish_at <= :now OR l.position < s.stop_at * (:now - s.created_at) / (s.finish_at - s.created_at)))"
        " ORDER BY position DESC LIMIT :limit"
    )
    before = found.visible(now)
    if found.seq == part.before[0]:
        before = min(before, part.before[1])
    given = {"seq": found.seq, "before": before, "holder": holder, "now": now, "limit": wanted}
    lens = _lens(call, found)
    rows = call.store.connection().execute(sql, given).fetchall()
    shown = _noted(call, [transaction(row[1:], found.made, lens) for row in rows])
    return [((found.seq, row[0]), one) for row, one in zip(rows, shown, strict=True)]


def _noted(call: Call, shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    note(call.store, call.owner, parties(shown))
    return shown


def _lens(call: Call, found: Submission) -> Lens:
    return Lens(call.store, found.owner, found.ruleset)


def latest(call: Call, identity: str, now: int) -> tuple[Submission, int]:
    """Submission and position of the version that counts; raises 404."""
    sql = (
        f"SELECT i.position, i.gone, {', '.join('s.' + name for name in Submission._fields)}"  # noqa: S608
        " FROM items i JOIN submissions s ON s.seq = i.seq WHERE i.owner = ? AND i.id = ?"
        " ORDER BY i.seq DESC, i.position DESC"
    )
    for position, gone, *columns in call.store.connection().execute(sql, (call.owner, identity)):
        found = Submission._make(columns)
        if position < found.visible(now):
            if gone:
                break
            return found, position
    raise not_found("Transaction")
