"""The circuit of the account: open means that nothing is submitted until a probe or a person closes it.

Opened by answers that another try cannot cure (`refusal`: no credits left, key refused), by batches that end in error
one after the other with none that completes (`outage`): a transient outage must not be taken for bad items; and by a
ledger that is older than what was sent (`restored`): no probe finds out what was, so only reconciling closes it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from pipeline.ledger import schema
from pipeline.ledger.db import Ledger
from pipeline.ledger.due import FOREVER, is_due

_circuit = schema.circuit

REFUSAL = "refusal"
OUTAGE = "outage"
RESTORED = "restored"

MOST_DOUBLINGS = 6
"""Probes of an outage come ever later, up to 64 times the first wait."""


def opened(conn: Connection) -> Row[Any] | None:
    """The open circuit's row (kind, opened_at, status, reason, probe_after, probes), or None when it is closed."""
    return conn.execute(select(_circuit)).first()


def open_circuit(conn: Connection, *, status: int | None, reason: str, now: datetime, probe_seconds: float) -> None:
    """Open the circuit after a refusal, or put off the next probe of an open one."""
    _open(conn, REFUSAL, status=status, reason=reason, probe_after=now + timedelta(seconds=probe_seconds), now=now)


def open_for_outage(conn: Connection, *, reason: str, now: datetime, probe_seconds: float) -> None:
    """Open the circuit after errors in a row. One that is open stays as it is: its next probe is not put off."""
    if opened(conn) is None:
        probe_after = now + timedelta(seconds=probe_seconds)
        _open(conn, OUTAGE, status=None, reason=reason, probe_after=probe_after, now=now)


def open_restored(conn: Connection, *, reason: str, now: datetime) -> None:
    """Open it for a ledger that is older than what was sent. Replaces any other kind; an open one gets the reason."""
    if conn.execute(update(_circuit).where(_circuit.c.kind == RESTORED).values(reason=reason)).rowcount == 0:
        conn.execute(delete(_circuit))
        _open(conn, RESTORED, status=None, reason=reason, probe_after=now, now=now)


def _open(conn: Connection, kind: str, *, now: datetime, **values: Any) -> None:
    open_ = opened(conn)
    if open_ is None:
        conn.execute(insert(_circuit).values(id=1, kind=kind, opened_at=now, probes=0, **values))
    elif open_.kind != RESTORED:
        conn.execute(update(_circuit).values(kind=kind, **values))


def probe_is_due(row: Row[Any], now: datetime, *, longest: float = FOREVER) -> bool:
    """Whether one batch may try whether an open circuit can be closed; never for a restored ledger.

    `longest`: seconds that a probe is ever put off.
    """
    return bool(row.kind != RESTORED and is_due(row.probe_after, now, longest))


def begin_probe(conn: Connection, row: Row[Any], *, now: datetime, probe_seconds: float) -> None:
    """Let exactly one batch through: the next probe is put off in the transaction that reserves this one."""
    doublings = min(row.probes, MOST_DOUBLINGS) if row.kind == OUTAGE else 0
    later = now + timedelta(seconds=probe_seconds * 2**doublings)
    conn.execute(update(_circuit).values(probe_after=later, probes=row.probes + 1))


def probe_now(ledger: Ledger) -> None:
    """Let an open circuit's probe through at once: a person has come. A restored ledger has none."""
    with ledger.write() as conn:
        conn.execute(update(_circuit).where(_circuit.c.kind != RESTORED).values(probe_after=ledger.now()))


def closed_by_acceptance(conn: Connection) -> None:
    """The API took a batch, so no refusal holds any more. Inside the caller's transaction."""
    conn.execute(delete(_circuit).where(_circuit.c.kind == REFUSAL))


def closed_by_completion(conn: Connection) -> None:
    """A batch completed, or its errors are explained: the outage is over. Inside the caller's transaction."""
    conn.execute(delete(_circuit).where(_circuit.c.kind == OUTAGE))


def closed_by_reconciling(conn: Connection) -> None:
    """The ledger knows again what was sent. Inside the caller's transaction."""
    conn.execute(delete(_circuit).where(_circuit.c.kind == RESTORED))


def close(conn: Connection) -> bool:
    """Close it, unless the ledger was restored; returns whether it was closed. Inside the caller's transaction."""
    return conn.execute(delete(_circuit).where(_circuit.c.kind != RESTORED)).rowcount > 0
