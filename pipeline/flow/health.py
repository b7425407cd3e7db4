"""What an operator has to know: overdue, held, stopped, incomplete. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.flow.landing import RESULT_MISSING, RESULT_UNREADABLE
from pipeline.flow.workspace import Workspace
from pipeline.lake.snapshot import reader
from pipeline.lake.warehouse import current, query
from pipeline.ledger import batches, circuit, manifest
from pipeline.ledger.states import SLOT_STATES, State


@dataclass(frozen=True, slots=True)
class Health:
    """Batch keys that are overdue, held and quarantined ones with the reason, the open circuit's reason."""

    overdue: list[str]
    held: dict[str, str]
    quarantined: dict[str, str]
    circuit: str | None
    oldest_unfinished: float
    """Age in seconds of the oldest accepted row that is not enriched and waits for no person; 0 when there is none."""


def health(ws: Workspace) -> Health:
    """Look at the ledger. Overdue is a flag and no state: such a batch is watched on, and landed when it ends."""
    limit = ws.later(-ws.settings.scaled(ws.settings.overdue_after))
    under_way = batches.in_states(ws.ledger, *SLOT_STATES)
    held, quarantined = (_reasons(ws, state) for state in (State.HELD, State.QUARANTINED))
    with ws.ledger.read() as conn:
        open_circuit = circuit.opened(conn)
        unfinished = [
            row for row in manifest.live(conn, "waiting", "plan") if row.batch_key not in {*held, *quarantined}
        ]
    return Health(
        overdue=[row.batch_key for row in under_way if row.state_since < limit],
        held=held,
        quarantined=quarantined,
        circuit=open_circuit.reason if open_circuit else None,
        oldest_unfinished=max(((ws.ledger.now() - row.added_at).total_seconds() for row in unfinished), default=0.0),
    )


def _reasons(ws: Workspace, state: State) -> dict[str, str]:
    return {row.batch_key: row.reason or "" for row in batches.in_states(ws.ledger, state)}


def results_missing(ws: Workspace) -> int:
    """Landed rows whose item was missing or unreadable in the API's answer; looks into every landed file."""
    with ws.ledger.read() as conn:
        landed = [ws.lake / row.path for row in manifest.live(conn, "transactions")]
    if not landed:
        return 0
    with duckdb.connect() as con:
        query = f"SELECT count(*) FROM {reader(landed)} WHERE error_code IN ($missing, $unreadable)"  # noqa: S608
        ((count,),) = con.execute(query, {"missing": RESULT_MISSING, "unreadable": RESULT_UNREADABLE}).fetchall()
    return int(count)


@dataclass(frozen=True, slots=True)
class UnknownCategory:
    """A row of the view `unknown_categories`, without its dates."""

    category_set: str
    direction: str
    category: str
    transactions: int


def unknown_categories(home: Path) -> list[UnknownCategory]:
    """Categories of enriched rows that no day's list of their set has, as published; none before the first time."""
    if current(home) is None:
        return []
    found = query(home, "SELECT category_set, direction, category, transactions FROM unknown_categories")
    return [UnknownCategory(*row) for row in found.rows]
