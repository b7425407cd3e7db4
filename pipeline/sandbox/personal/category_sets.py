"""Category sets of a key: stored as versions, of which the last counts.

Belongs here: reading and writing them in the state file. A set under `consumer` or `business` replaces the default of
that holder type; one under another id counts for holders that name it (fact sheet, section 6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import sqlite3

CategorySet = dict[str, list[str]]
"""Labels under `incoming` and `outgoing`."""


def current(con: sqlite3.Connection, owner: int, identity: str) -> CategorySet | None:
    """The key's own set of this id; None if it has none, or has reset it."""
    seq = _current_seq(con, owner, identity)
    return None if seq is None else of_seq(con, seq)


def of_holder(con: sqlite3.Connection, owner: int, holder_type: str, category_id: str | None) -> int | None:
    """Number of the own set for a holder; None: the default of its type, as for a `category_id` that names no set."""
    if con.execute("SELECT 1 FROM category_sets WHERE owner = ? LIMIT 1", (owner,)).fetchone() is None:
        return None
    named = None if category_id is None else _current_seq(con, owner, category_id)
    return _current_seq(con, owner, holder_type) if named is None else named


def of_seq(con: sqlite3.Connection, seq: int) -> CategorySet:
    """The set of this number."""
    body = con.execute("SELECT body FROM category_sets WHERE seq = ?", (seq,)).fetchone()[0]
    return msgspec.json.decode(body, type=CategorySet)


def put(con: sqlite3.Connection, owner: int, identity: str, given: CategorySet | None) -> None:
    """Make a set the one that counts for this id; None resets it."""
    body = None if given is None else msgspec.json.encode(given)
    con.execute("INSERT INTO category_sets (owner, id, body) VALUES (?, ?, ?)", (owner, identity, body))


def _current_seq(con: sqlite3.Connection, owner: int, identity: str) -> int | None:
    sql = "SELECT seq, body IS NULL FROM category_sets WHERE owner = ? AND id = ? ORDER BY seq DESC LIMIT 1"
    row = con.execute(sql, (owner, identity)).fetchone()
    return None if row is None or row[1] else int(row[0])
