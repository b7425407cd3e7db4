"""The account holder routes (fact sheet, section 4)."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from pipeline.sandbox import validation
from pipeline.sandbox.call import Call, answer
from pipeline.sandbox.errors import ApiError, not_found
from pipeline.sandbox.life import stamp
from pipeline.sandbox.paging import page, window
from pipeline.sandbox.store import now_us

DEFAULT_LIMIT = 10
_COLUMNS = "seq, id, type, name, category_id, created_at"


def create(call: Call) -> Response:
    """POST /v3/account_holders: 400 if the id exists, whatever its type."""
    given = validation.holder(call.body)
    now = now_us() + call.skew
    sql = (
        "INSERT INTO holders (owner, id, type, name, category_id, created_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING"
    )
    with call.store.write() as con:
        values = (call.owner, given.id, given.type, given.name, given.category_id, now)
        created = con.execute(sql, values).rowcount == 1
    if not created:
        raise ApiError(400, "An account holder with this id already exists")
    return answer(_shape((0, given.id, given.type, given.name, given.category_id, now)))


def list_(call: Call) -> Response:
    """GET /v3/account_holders, newest first."""
    part = window(call, DEFAULT_LIMIT)
    sql = (
        f"SELECT {_COLUMNS} FROM holders WHERE owner = ? AND seq < ? AND created_at BETWEEN ? AND ?"  # noqa: S608
        " ORDER BY seq DESC LIMIT ?"
    )
    given = (call.owner, part.before[0], part.oldest, part.newest, part.limit + 1)
    rows = call.store.connection().execute(sql, given)
    return answer(page([((row[0], 0), _shape(row)) for row in rows], part.limit))


def read(call: Call) -> Response:
    """GET /v3/account_holders/{id}."""
    sql = f"SELECT {_COLUMNS} FROM holders WHERE owner = ? AND id = ?"  # noqa: S608
    row = call.store.connection().execute(sql, (call.owner, call.path["id"])).fetchone()
    if row is None:
        raise not_found("Account holder")
    return answer(_shape(row))


def delete(call: Call) -> Response:
    """DELETE /v3/account_holders/{id}: 204; its transactions go with it, what they cost stays in the books."""
    with call.store.write() as con:
        key = (call.owner, call.path["id"])
        if con.execute("DELETE FROM holders WHERE owner = ? AND id = ?", key).rowcount == 0:
            raise not_found("Account holder")
        con.execute("UPDATE items SET gone = 1 WHERE owner = ? AND holder = ?", key)
    return Response(status_code=204)


def _shape(row: tuple[Any, ...]) -> dict[str, Any]:
    _, identity, type_, name, category_id, created_at = row
    return {
        "id": identity,
        "type": type_,
        "name": name,
        "category_id": category_id,
        "created_at": stamp(created_at),
    }
