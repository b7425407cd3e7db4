"""The webhook routes (fact sheet, section 5).

Belongs here: registering webhooks and showing them. Sending to them is in `deliveries` and `deliverer`.
Nothing is signed: no source names header, algorithm or bytes of Ntropy's signature (open question Q1), and a client
that was tested against an invented one would trust it. So `hmac_secret` is stored and never returned.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from starlette.responses import Response

from pipeline.sandbox import webhook_input
from pipeline.sandbox.call import Call, answer
from pipeline.sandbox.deliveries import DROPPED, forget_past
from pipeline.sandbox.errors import ApiError, not_found
from pipeline.sandbox.events import WAITING
from pipeline.sandbox.keys import OF_ORGANIZATION
from pipeline.sandbox.life import stamp
from pipeline.sandbox.store import now_us

_COLUMNS = "id, created_at, url, events, token, enabled"


def create(call: Call) -> Response:
    """POST /v3/webhooks: 400 beyond the limit of the organization (a guess: no source has the code)."""
    given = webhook_input.new(call.body)
    now = now_us()
    made = (str(uuid.uuid4()), now + call.skew, given["url"], _text(given["events"]), given.get("token"), 1)
    sql = (
        f"INSERT INTO webhooks ({_COLUMNS}, owner, hmac_secret, since) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?"  # noqa: S608
        f" WHERE (SELECT count(*) FROM webhooks WHERE owner IN ({OF_ORGANIZATION})) < ?"
    )
    extra = (call.owner, given.get("hmac_secret"), now, *(call.owner,) * 2, call.config.max_webhooks)
    with call.store.write() as con:
        forget_past(con, now)
        created = con.execute(sql, (*made, *extra)).rowcount == 1
    if not created:
        why = f"The limit of {call.config.max_webhooks} webhooks, over all keys of the organization, is reached"
        raise ApiError(400, why)
    return answer(_shape(made))


def list_(call: Call) -> Response:
    """GET /v3/webhooks: all of the key's, newest first, as one page. The OpenAPI document gives it no parameters.

    Whose it shows is not documented, but that data belongs to a key is; the limit alone is the organization's.
    """
    sql = f"SELECT {_COLUMNS} FROM webhooks WHERE owner = ? ORDER BY seq DESC"  # noqa: S608
    rows = call.store.connection().execute(sql, (call.owner,))
    return answer({"next_cursor": None, "data": [_shape(row) for row in rows]})


def read(call: Call) -> Response:
    """GET /v3/webhooks/{id}; 404 is listed for DELETE only, and a guess here."""
    sql = f"SELECT {_COLUMNS} FROM webhooks WHERE id = ? AND owner = ?"  # noqa: S608
    row = call.store.connection().execute(sql, (call.path["id"], call.owner)).fetchone()
    if row is None:
        raise not_found("Webhook")
    return answer(_shape(row))


def change(call: Call) -> Response:
    """PATCH /v3/webhooks/{id}: what is absent stays; `enabled: true` also starts counting failures at zero."""
    given = webhook_input.changes(call.body)
    if "events" in given:
        given["events"] = _text(given["events"])
    if given.get("enabled"):
        given["failures"] = 0
    # The names are those of `webhook_input`, never the caller's.
    sets = ", ".join([f"{name} = ?" for name in given] or ["id = id"])
    sql = f"UPDATE webhooks SET {sets} WHERE id = ? AND owner = ?"  # noqa: S608
    with call.store.write() as con:
        if con.execute(sql, (*given.values(), call.path["id"], call.owner)).rowcount == 0:
            raise not_found("Webhook")
    return read(call)


def delete(call: Call) -> Response:
    """DELETE /v3/webhooks/{id}: 204; what still waits to be sent to it is dropped."""
    with call.store.write() as con:
        key = (call.path["id"], call.owner)
        if con.execute("DELETE FROM webhooks WHERE id = ? AND owner = ?", key).rowcount == 0:
            raise not_found("Webhook")
        sql = "UPDATE deliveries SET state = ? WHERE webhook = ? AND state = ?"
        con.execute(sql, (DROPPED, call.path["id"], WAITING))
    return Response(status_code=204)


def _text(events: list[str]) -> str:
    return msgspec.json.encode(events).decode()


def _shape(row: tuple[Any, ...]) -> dict[str, Any]:
    identity, created_at, url, events, token, enabled = row
    return {
        "id": identity,
        "created_at": stamp(created_at),
        "url": url,
        "events": msgspec.json.decode(events),
        "token": token,
        "enabled": bool(enabled),
    }
