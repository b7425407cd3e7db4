"""Batches whose sender died, told apart by the journal: provably unsent, or perhaps sent.

Belongs here: asking the journal before the ledger decides. What follows for those that may be at the API is
`recovering`'s.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.flow import journal
from pipeline.flow.turn import Turn
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches, sending
from pipeline.ledger.states import State


def recover_dead_senders(ws: Workspace, turn: Turn) -> int:
    """In the sender's turn: what is reserved or sending lost its process. Returns how many batches that were.

    Raises StorageError when the journal cannot be read, LostLeaseError when another process has become the sender.
    """
    # The journal is read as a whole, some 400 bytes a batch, but only after a death between two commits.
    let_go = _let_go(ws.archive) if batches.in_states(ws.ledger, State.RESERVED) else frozenset()
    return sum(sending.recover_dead_senders(ws.ledger, ws.bucket, turn.lease, let_go=let_go))


def _let_go(archive: Path) -> frozenset[tuple[str, int]]:
    lines, _ = journal.read(archive)
    return frozenset((line.batch_key, line.sequence) for _, line in lines if line.let_go)
