"""Which planned batches may be sent now. Reads only; what is chosen is decided by the pure functions of `dispatch`."""

from __future__ import annotations

from typing import Any

from pipeline import dispatch
from pipeline.flow.submitting import waits_for_holders
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches, circuit, sending
from pipeline.ledger import credits as bucket
from pipeline.ledger.states import State


def may_call(ws: Workspace) -> bool:
    """False while the circuit is open: a refused key is refused for holders as well."""
    with ws.ledger.read() as conn:
        opened = circuit.opened(conn)
    return opened is None or circuit.probe_is_due(opened, ws.ledger.now(), longest=ws.ledger.longest.probe)


def sendable_now(ws: Workspace) -> list[str]:
    """Planned batches for which there are places and credits, oldest first; none while the circuit is open.

    An open circuit lets one batch through as a probe when its time has come.
    """
    now = ws.ledger.now()
    with ws.ledger.read() as conn:
        opened = circuit.opened(conn)
    rows = batches.sendable(ws.ledger) if opened is None else _probes(ws, opened)
    with ws.ledger.read() as conn:
        if not rows or sending.obstacle(conn, ws.limits, rows[0].rows, now=now, run_id=None):
            return []
        free = ws.settings.max_in_flight - batches.slots_in_use(conn)
        patience = bucket.not_before(conn, now=now, longest=ws.ledger.longest.retry)
        level = bucket.level(conn, ws.bucket, now=now) if patience is None else 0
    if opened is not None:
        free = min(free, 1)
    if free <= 0:
        return []
    # Lazily, since each look reads a plan file: as many as there are places, not as many as wait.
    ready = ((row.batch_key, row.rows) for row in rows if not waits_for_holders(ws, row.batch_key))
    return dispatch.affordable(ready, slots=free, level=level)


def _probes(ws: Workspace, opened: Any) -> list[Any]:
    """Candidates for the one that tries first, the cheapest in front.

    In an outage the cheapest is waited for while it backs off: the next best may cost a thousand times as much.
    """
    rows = batches.sendable(ws.ledger) if opened.kind != circuit.OUTAGE else batches.in_states(ws.ledger, State.PLANNED)
    rows = sorted(rows, key=dispatch.cost_as_probe)
    due = {row.batch_key for row in batches.sendable(ws.ledger)}
    return rows if rows and rows[0].batch_key in due else []
