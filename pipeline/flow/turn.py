"""Whose turn it is to send: one process at a time for a data folder, on whatever host.

Belongs here: getting, keeping and losing the turn. What is done in it is `submitting`, `sweeping` and `reconciling`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from filelock import FileLock, Timeout
from sqlalchemy import Connection

from pipeline.flow.workspace import Workspace
from pipeline.ledger import lease as leases
from pipeline.ledger.db import Ledger, LedgerError
from pipeline.ledger.lease import Lease, LostLeaseError
from pipeline.ledger.postgres import since_boot
from pipeline.process import this_process

_CERTAIN = 0.9
"""Part of a lease in which nobody else can have it: clocks of hosts run at slightly different speeds."""


@dataclass(slots=True)
class Turn:
    """The right to send. `lease` is None where a file lock is it."""

    ledger: Ledger
    lease: Lease | None = None
    _renewed: float = field(default_factory=since_boot)

    def renew(self) -> None:
        """Heartbeat. Raises LostLeaseError, LedgerError."""
        began = since_boot()
        with self.ledger.write() as conn:
            leases.renew(conn, self.lease, now=self.ledger.now())
        self.renewed_at(began)

    def check(self, conn: Connection) -> None:
        """Raise LostLeaseError, inside a transaction of what only the sender may do, when another one is it."""
        leases.renew(conn, self.lease, now=self.ledger.now())

    def renewed_at(self, began: float) -> None:
        """A renewal that began at this moment (`since_boot`) has passed."""
        self._renewed = max(self._renewed, began)

    def require_certain(self) -> None:
        """Raise LostLeaseError unless nobody else can be the sender at this moment. Asks nobody.

        For the moment between the transaction that lets a request go and its last byte: a process that was stopped
        there sent the byte hours later, when the batch had been proved absent and was sent by another.
        """
        if self.lease is not None and since_boot() - self._renewed > self.lease.seconds * _CERTAIN:
            raise LostLeaseError("this process was stopped for too long before the last byte: it was withheld")


@contextmanager
def sender(ws: Workspace) -> Iterator[Turn | None]:
    """Be the only sender of this data folder, or learn by None that another process is.

    A file lock is held until its process dies: it survives SIGSTOP and is freed by SIGKILL, where a lease would not.
    But it is seen on one host only, so a ledger that several hosts may share has a lease with a fence.
    """
    with _locked(ws) if ws.ledger.one_host else _leased(ws) as turn:
        yield turn


@contextmanager
def _locked(ws: Workspace) -> Iterator[Turn | None]:
    lock = FileLock(ws.home / "ledger" / "sender.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield None
        return
    try:
        yield Turn(ws.ledger)
    finally:
        lock.release()


@contextmanager
def _leased(ws: Workspace) -> Iterator[Turn | None]:
    began = since_boot()
    lease = leases.take(ws.ledger, f"{this_process()}#{uuid.uuid4().hex[:8]}", seconds=ws.settings.claim_seconds)
    if lease is None:
        yield None
        return
    turn = Turn(ws.ledger, lease, began)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(turn, lease.seconds, stop), daemon=True)
    beat.start()
    try:
        yield turn
    finally:
        stop.set()
        beat.join()
        with suppress(LedgerError):  # it runs out; the error before says more
            leases.give_up(ws.ledger, lease)


def _beat(turn: Turn, seconds: float, stop: threading.Event) -> None:
    while not stop.wait(seconds / 3):
        try:
            turn.renew()
        except LedgerError:  # the next beat may pass
            continue
        except LostLeaseError:  # the sender finds out before it lets anything go
            return
