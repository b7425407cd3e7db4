"""Category sets of a key: stored as versions, of which the last counts.

Belongs here: reading and writing them in the state file, and which counts for a holder. A set under `consumer` or
`business` replaces the default of that holder type; one under any id counts for holders whose `category_id` names it,
and so do the two defaults (fact sheet, sections 4 and 6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import sqlite3

CategorySet = dict[str, list[str]]
"""Labels under `incoming` and `outgoing`."""
DEFAULTS = {"consumer": -1, "business": -2}
"""Numbers, which no own set has, of the default sets where a holder of the other type has named one."""


def current(con: sqlite3.Connection, owner: int, identity: str) -> CategorySet | None:
    """The key's own set of this id; None if it has none, or has reset it."""
    seq = _current_seq(con, owner, identity)
    return None if seq is None else of_seq(con, seq)


def of_holder(con: sqlite3.Connection, owner: int, holder_type: str, category_id: str | None) -> int | None:
    """Number of the set for a holder; None: the default of its type, as for a `category_id` that names no set."""
    if category_id is None and con.execute("SELECT 1 FROM category_sets WHERE owner = ?", (owner,)).fetchone() is None:
        return None
    named = None if category_id is None else _current_seq(con, owner, category_id)
    if named is None and category_id in DEFAULTS and category_id != holder_type:
        return DEFAULTS[category_id]
    return _current_seq(con, owner, holder_type) if named is None else named


def of_seq(con: sqlite3.Connection, seq: int) -> CategorySet:
    """The key's own set of this number."""
    return _stored(con, seq)[1]


def chosen(con: sqlite3.Connection, seq: int, holder_kind: str) -> tuple[str, CategorySet | None]:
    """Of the holder type whose categories are looked at, and into which own set they are put; None: they stay.

    Who names the set of the other type wants what its holders get; a set under any other id is for the holder's type.
    """
    if seq < 0:
        return next(one for one, number in DEFAULTS.items() if number == seq), None
    identity, labels = _stored(con, seq)
    return identity if identity in DEFAULTS else holder_kind, labels


def put(con: sqlite3.Connection, owner: int, identity: str, given: CategorySet | None) -> None:
    """Make a set the one that counts for this id; None resets it."""
    body = None if given is None else msgspec.json.encode(given)
    con.execute("INSERT INTO category_sets (owner, id, body) VALUES (?, ?, ?)", (owner, identity, body))


def _current_seq(con: sqlite3.Connection, owner: int, identity: str) -> int | None:
    sql = "SELECT seq, body IS NULL FROM category_sets WHERE owner = ? AND id = ? ORDER BY seq DESC LIMIT 1"
    row = con.execute(sql, (owner, identity)).fetchone()
    return None if row is None or row[1] else int(row[0])


def _stored(con: sqlite3.Connection, seq: int) -> tuple[str, CategorySet]:
    identity, body = con.execute("SELECT id, body FROM category_sets WHERE seq = ?", (seq,)).fetchone()
    return identity, msgspec.json.decode(body, type=CategorySet)
