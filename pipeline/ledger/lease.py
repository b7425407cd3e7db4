"""The sender's lease: on PostgreSQL, where senders may be on several hosts, it stands for the lock on a file.

A lease alone is not enough: a sender that was stopped for longer than its lease would go on beside the next one. So it
has a fence, and the transactions that let a request go check it. Belongs here: taking, renewing and giving up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from pipeline.ledger import schema
from pipeline.ledger.batches import LostClaimError
from pipeline.ledger.claims import owner_is_dead
from pipeline.ledger.db import Ledger

_l = schema.sender_lease


class LostLeaseError(LostClaimError):
    """Another process has become the sender: this one may let nothing go any more."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to send, of the `fence`-th sender of this ledger, for `seconds` after each renewal."""

    owner: str
    fence: int
    seconds: float


def take(ledger: Ledger, owner: str, *, seconds: float) -> Lease | None:
    """Become the sender, or None while another one is: its lease has not run out, and it is not provably dead."""
    with ledger.write() as conn:
        now = ledger.now()
        row = conn.execute(select(_l)).first()
        if row is None:
            conn.execute(insert(_l).values(id=1, fence=0))
        elif row.owner is not None and row.expires_at > now and not owner_is_dead(row.owner, one_host=ledger.one_host):
            return None
        lease = Lease(owner, (row.fence if row is not None else 0) + 1, seconds)
        conn.execute(update(_l).values(owner=owner, fence=lease.fence, expires_at=now + timedelta(seconds=seconds)))
    return lease


def renew(conn: Connection, lease: Lease | None, *, now: datetime) -> None:
    """Keep it, inside the transaction of what only the sender may do. None: the sender has the lock on the file.

    One that has run out and that nobody has taken is kept. Raises LostLeaseError.
    """
    if lease is None:
        return
    mine = (_l.c.owner == lease.owner, _l.c.fence == lease.fence)
    until = now + timedelta(seconds=lease.seconds)
    if conn.execute(update(_l).where(*mine).values(expires_at=until)).rowcount != 1:
        raise LostLeaseError("another process has become the sender: this one was stopped for too long")


def give_up(ledger: Ledger, lease: Lease) -> None:
    """Let the next one send at once. The fence stays, so that it only ever grows."""
    with ledger.write() as conn:
        mine = (_l.c.owner == lease.owner, _l.c.fence == lease.fence)
        conn.execute(update(_l).where(*mine).values(owner=None, expires_at=None))
