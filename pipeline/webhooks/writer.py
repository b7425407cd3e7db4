"""Many requests, one transaction: events that arrive while one commit runs are written by the next.

Belongs here: the queue in front of the ledger. A commit costs an fsync (`synchronous=FULL`) whether it has one row or a
hundred; and a lock that another process holds stops this one thread, not the event loop that answers everybody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from pipeline.errors import EnrichError
from pipeline.ledger import inbox
from pipeline.ledger.db import Ledger
from pipeline.ledger.inbox import Event

MOST_WAITING = 2_000
"""Events that may wait: at 200 a second, ten seconds, which is when the sender has given up anyway."""
MOST_AT_ONCE = 500


class TooManyWaitingError(EnrichError):
    """The ledger has taken nothing for so long that no more is kept in memory."""


class Writer:
    """Writes events in the order of their arrival. `run` is a task of the event loop, ended by `close`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[tuple[Event, asyncio.Future[bool]]] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="webhook-inbox")

    async def put(self, event: Event) -> bool:
        """Store an event; returns whether it is new, after the commit that has it.

        Raises TooManyWaitingError, or what the ledger raised for the whole transaction: then the event is not stored.
        Given up by the caller before its turn, it is not written.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise TooManyWaitingError(f"{MOST_WAITING} events wait for the ledger")
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, stored))
        self._wake.set()
        return await stored

    async def probe(self) -> None:
        """Write and commit something, after the transaction that runs. Raises LedgerError."""
        await asyncio.get_running_loop().run_in_executor(self._thread, inbox.probe, self._ledger)

    async def run(self) -> None:
        """Write until `close`, and what is left then."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while group := self._next():
                await self._write(group)
            if self._closing:
                break
        self._thread.shutdown(wait=False)

    def close(self) -> None:
        """Let `run` end once nothing waits."""
        self._closing = True
        self._wake.set()

    def _next(self) -> list[tuple[Event, asyncio.Future[bool]]]:
        group: list[tuple[Event, asyncio.Future[bool]]] = []
        while self._waiting and len(group) < MOST_AT_ONCE:
            event, stored = self._waiting.popleft()
            if not stored.done():  # its request has been answered with 503
                group.append((event, stored))
        return group

    async def _write(self, group: list[tuple[Event, asyncio.Future[bool]]]) -> None:
        loop = asyncio.get_running_loop()
        events = [event for event, _ in group]
        try:
            new = await loop.run_in_executor(self._thread, inbox.receive_all, self._ledger, events)
        except Exception as error:  # noqa: BLE001 - whatever it is, the requests are told; the task lives on
            for _, stored in group:
                if not stored.done():
                    stored.set_exception(error)
            return
        for event, stored in group:
            if not stored.done():
                stored.set_result(event.event_id in new)
            new.discard(event.event_id)  # the same event twice in one transaction is new once
