"""The one ruleset of a key: stored as versions, of which the last counts.

Belongs here: reading and writing it in the state file.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import sqlite3

Rules = list[dict[str, Any]]


def current(con: sqlite3.Connection, owner: int) -> Rules:
    """The rules that count now."""
    row = _last(con, owner)
    return [] if row is None else rules(row[1])


def current_seq(con: sqlite3.Connection, owner: int) -> int | None:
    """Number of the ruleset that counts now; None if there are no rules."""
    row = _last(con, owner)
    return None if row is None or not rules(row[1]) else int(row[0])


def of_seq(con: sqlite3.Connection, seq: int) -> Rules:
    """The ruleset of this number: treat it as read-only."""
    return rules(con.execute("SELECT body FROM rulesets WHERE seq = ?", (seq,)).fetchone()[0])


def put(con: sqlite3.Connection, owner: int, body: bytes) -> None:
    """Make this the ruleset that counts."""
    con.execute("INSERT INTO rulesets (owner, body) VALUES (?, ?)", (owner, body))


@lru_cache(maxsize=64)
def rules(body: bytes) -> Rules:
    """The rules of a stored body."""
    return msgspec.json.decode(body, type=Rules)


def _last(con: sqlite3.Connection, owner: int) -> tuple[int, bytes] | None:
    sql = "SELECT seq, body FROM rulesets WHERE owner = ? ORDER BY seq DESC LIMIT 1"
    row: tuple[int, bytes] | None = con.execute(sql, (owner,)).fetchone()
    return row
