"""The circuit of the account: open means that nothing is submitted until a probe or a person closes it.

Opened by answers that another try cannot cure: no credits left (423), key refused (401, 403).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from pipeline.ledger import schema
from pipeline.ledger.db import Ledger

_circuit = schema.circuit


def opened(conn: Connection) -> Row[Any] | None:
    """The open circuit's row (opened_at, status, reason, probe_after), or None when it is closed."""
    return conn.execute(select(_circuit)).first()


def open_circuit(conn: Connection, *, status: int | None, reason: str, now: datetime, probe_seconds: float) -> None:
    """Open the circuit, or put off the next probe of an open one."""
    probe_after = now + timedelta(seconds=probe_seconds)
    values = {"status": status, "reason": reason, "probe_after": probe_after}
    if conn.execute(update(_circuit).values(**values)).rowcount == 0:
        conn.execute(insert(_circuit).values(id=1, opened_at=now, **values))


def probe_is_due(row: Row[Any], now: datetime) -> bool:
    """Whether one batch may try whether an open circuit can be closed."""
    return bool(row.probe_after <= now)


def begin_probe(conn: Connection, *, now: datetime, probe_seconds: float) -> None:
    """Let exactly one batch through: the next probe is put off in the transaction that reserves this one."""
    conn.execute(update(_circuit).values(probe_after=now + timedelta(seconds=probe_seconds)))


def probe_now(ledger: Ledger) -> None:
    """Let an open circuit's probe through at once: a person has come."""
    with ledger.write() as conn:
        conn.execute(update(_circuit).values(probe_after=ledger.now()))


def closed_by_success(conn: Connection) -> None:
    """The API took a batch, so whatever opened the circuit is over. Inside the caller's transaction."""
    conn.execute(delete(_circuit))
