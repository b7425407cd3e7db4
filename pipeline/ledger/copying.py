"""The rows of a ledger in a SQLite file, and back: how a ledger on a PostgreSQL server is backed up and moved.

Belongs here: rows only. Which files they refer to, and when one ledger may take another's place, is `pipeline.flow`'s.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, delete, insert, select, update

from pipeline.ledger import schema
from pipeline.ledger.db import make_engine, migrate

SIDE_FILES = ("-wal", "-shm", "-journal")
"""Beside a SQLite file. One that stayed there would be replayed onto another that is put in its place."""

_CHUNK = 1_000
_TABLES = tuple(table for table in schema.ALL_TABLES if table is not schema.sender_lease)
"""Who is the sender is no part of a copy: a fence that went back would let an old sender go on."""


def to_file(conn: Connection, path: Path) -> None:
    """Write every row that this transaction sees into a new SQLite file. Raises the database's errors."""
    for ending in ("", *SIDE_FILES):  # of a process that was killed
        path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
    url = f"sqlite:///{path}"
    migrate(url)
    engine = make_engine(url)
    try:
        with engine.begin() as target:
            for table in _TABLES:
                for rows in conn.execute(select(table)).partitions(_CHUNK):
                    target.execute(insert(table), [dict(row._mapping) for row in rows])  # noqa: SLF001
    finally:
        engine.dispose()


def unchanging(path: Path) -> Engine:
    """An engine for a file to which nobody writes. The ledger's own makes it a WAL file: its hash is another then."""
    uri = f"{path.as_uri()}?mode=ro&immutable=1"
    return create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True), poolclass=NullPool)


def from_file(conn: Connection, path: Path) -> None:
    """Replace every row by those of a SQLite file, inside the caller's write transaction.

    Nobody works on any batch then, and the whole journal is to be compared: this may be another one.
    """
    for table in reversed(_TABLES):
        conn.execute(delete(table))
    with unchanging(path).connect() as source:
        for table in _TABLES:
            # The number of an action is the server's to give: it would give those of the file once more.
            columns = [c for c in table.c if c is not schema.operator_actions.c.id]
            for rows in source.execute(select(*columns).order_by(*table.primary_key)).partitions(_CHUNK):
                conn.execute(insert(table), [dict(row._mapping) for row in rows])  # noqa: SLF001
    conn.execute(update(schema.batches).values(claim_owner=None, claim_expires_at=None))
    conn.execute(update(schema.data_folder).values(journal_seen=0))
