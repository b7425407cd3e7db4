"""What a person may do to a batch, beyond what the ledger alone can do. Every action is recorded with who and why."""

from __future__ import annotations

from pipeline.flow.workspace import Workspace
from pipeline.lake import files, tables
from pipeline.ledger import holders, manifest
from pipeline.ledger import operating as ledger_operating
from pipeline.ledger.states import State


def retry(ws: Workspace, batch_key: str, *, who: str, why: str) -> State:
    """Grant a held batch another attempt, and its unusable account holders another look.

    Raises EnrichError for a batch that is not held.
    """
    state = ledger_operating.retry(ws.ledger, batch_key, who=who, why=why)
    with ws.ledger.read() as conn:
        plans = [row.path for row in manifest.live(conn, "plan", batch_key=batch_key)]
    named = files.read_table(ws.lake, plans, ["account_holder_id"], table=tables.PLAN)["account_holder_id"]
    for holder, known in holders.unconfirmed(ws.ledger, set(named.drop_nulls())).items():
        if known == holders.MISMATCH:
            holders.settle(ws.ledger, holder, holders.WANTED)
    return state
