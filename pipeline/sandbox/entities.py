"""The entity routes (fact sheet, section 7).

Belongs here: finding an entity by id, name or website. The engine knows companies and names others; the state file
keeps those that were resolved, or shown in a result (`named`), so that their ids are known from then on.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.sandbox import validation
from pipeline.sandbox.call import Call, answer, encode
from pipeline.sandbox.engine import enrich, known_entity
from pipeline.sandbox.errors import ApiError, invalid, not_found
from pipeline.sandbox.limits import take_credits
from pipeline.sandbox.schema import Item, Location
from pipeline.sandbox.store import now_us

if TYPE_CHECKING:
    from starlette.responses import Response

_FIELDS = ("id", "name", "website", "logo", "phone_number", "tax_number", "naics2017", "mccs", "parent")
_SITE = re.compile(r"(?:https?://)?(?:www\.)?([a-z0-9-]+(?:\.[a-z0-9-]+)+)(?:[/?#].*)?", re.IGNORECASE)


def read(call: Call) -> Response:
    """GET /v3/entities/{id}: one that is known, was resolved, or was shown in a result; 400 for no UUID (a guess).

    A rule may have given it an id that is none.
    """
    asked = call.path["id"]
    found = _kept(call, asked)
    if found is None:
        try:
            identity = str(uuid.UUID(asked))
        except ValueError as error:
            raise ApiError(400, "The id of an entity is a UUID") from error
        found = _kept(call, identity) or known_entity(identity)
    if found is None:
        raise not_found("Entity")
    return answer(_shape(found))


def _kept(call: Call, identity: str) -> dict[str, Any] | None:
    sql = "SELECT body FROM entities WHERE owner = ? AND id = ?"
    row = call.store.connection().execute(sql, (call.owner, identity)).fetchone()
    return msgspec.json.decode(row[0]) if row else None


def resolve(call: Call) -> Response:
    """POST /v3/entities/resolve: by name, which costs a credit, or by website; 400 for both, neither, or no entity.

    The credit is taken from bucket and balance; the books list the charges of items only.
    """
    given = _given(call.body)
    name, website = given["name"], given["website"]
    if (name is None) == (website is None):
        raise ApiError(400, "Give either name or website")
    site = _SITE.fullmatch(website.strip()) if website is not None else None
    if website is not None and site is None:
        raise ApiError(400, "The website is no domain")
    text = site[1].lower() if site else str(name)
    place = Location(given["location"]) if given["location"] else None
    item = Item("", text, dt.date(2024, 1, 1), 1.0, "outgoing", "USD", None, place)
    found = enrich(item, "consumer")["entities"]["counterparty"]
    if found is None:
        raise ApiError(400, "No entity could be told from this")
    with call.store.write() as con:
        if name is not None:
            take_credits(con, call.config, call.owner, 1, now_us())
        sql = "INSERT INTO entities (owner, id, body) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
        con.execute(sql, (call.owner, found["id"], encode(found)))
    return answer(_shape(found))


def _given(body: bytes) -> dict[str, str | None]:
    raw = validation.loads(body)
    if not isinstance(raw, dict):
        raise invalid(validation.not_an_object(["body"]))
    problems: validation.Problems = []
    names = ("name", "website", "location")
    given = {one: validation.text_field(raw, one, ["body"], problems, required=False) or None for one in names}
    if problems:
        raise ApiError(422, problems)
    return given


def _shape(found: dict[str, Any]) -> dict[str, Any]:
    """An EntityResponse. A parent has fewer fields than an entity; nothing is known of where an entity is."""
    return {**dict.fromkeys(_FIELDS), "mccs": [], **{name: found[name] for name in _FIELDS if name in found}} | {
        "location": None
    }
