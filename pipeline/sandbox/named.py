"""Which entities a key has been shown, so that GET /v3/entities/{id} knows them.

Belongs here: noting what answers name, in the state file beside what was resolved. The engine makes most of what it
names up from a line, and rules change the rest, so an id does not lead back to its line. To look through the lines for
it took a second for 20,000 of them, and left the older ones out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.sandbox.call import encode
from pipeline.sandbox.engine import known_entity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.sandbox.store import Store


def note(store: Store, owner: int, shown: Iterable[dict[str, Any] | None]) -> None:
    """Note these entities and their parents before they are shown; the first of an id stays."""
    named = {one["id"]: one for party in shown if party is not None for one in (party["parent"], party) if one}
    new = [identity for identity in named if identity is not None and known_entity(identity) is None]
    if not new:
        return
    sql = "SELECT id FROM entities WHERE owner = ? AND id IN (SELECT value FROM json_each(?))"
    noted = {row[0] for row in store.connection().execute(sql, (owner, encode(new).decode()))}
    rows = [(owner, identity, encode(named[identity])) for identity in new if identity not in noted]
    if rows:
        with store.counting() as con:
            con.executemany("INSERT INTO entities (owner, id, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows)


def parties(results: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any] | None]:
    """Counterparties and intermediaries of results."""
    for one in results:
        found = one["entities"]
        if found is not None:
            yield found["counterparty"]
            yield from found["intermediaries"]
