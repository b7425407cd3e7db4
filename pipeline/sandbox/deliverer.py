"""Sending webhooks, in one thread of the server process with an event loop of its own: the API never waits for it.

Belongs here: the thread, the POST, and who of several processes delivers. What is due is in `deliveries`.

Of all processes over one state folder a single one delivers, the holder of a file lock. The lock goes with its process,
however that ends, and the next one takes over within a tick. What was under way then is sent once more: an attempt
is written down after its answer, so a crash between the two can double a delivery (same `event_id`) and lose none.
A process that is suspended keeps the lock: deliveries wait for it and are not doubled.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from pipeline.sandbox import deliveries
from pipeline.sandbox.store import Store

if TYPE_CHECKING:
    from collections.abc import Collection

    import httpx

    from pipeline.sandbox.config import SandboxConfig
    from pipeline.sandbox.deliveries import Job

logger = logging.getLogger(__name__)
TICK_SECONDS = 0.1
"""Real ones. An idle tick is one read of an empty table."""
TROUBLE_SECONDS = 1.0
STOP_SECONDS = 2.0


class Deliverer:
    """The deliveries of one server process: one at a time per webhook, in the order they are due, all side by side."""

    def __init__(self, config: SandboxConfig) -> None:
        """Over the state folder of `config`; raises `SandboxError` when its file cannot be used."""
        self._config = config
        self._store = Store(config.state)
        # Not thread-local: the worker thread that takes it is not the thread that lets go of it.
        self._lock = FileLock(config.state / "deliveries.lock", thread_local=False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._deliver()), name="webhooks", daemon=True)
        # A thread of its own for the state file: one connection, and waiting for SQLite's lock stops no time-out.
        self._files = ThreadPoolExecutor(1, "webhook-files")

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """Break off what is under way, as a crash would, and let another process deliver."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        self._files.shutdown()
        self._lock.release()

    async def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        sending: dict[asyncio.Task[None], str] = {}
        client: httpx.AsyncClient | None = None
        while not self._stopping.is_set():
            jobs = await loop.run_in_executor(self._files, self._jobs, frozenset(sending.values()))
            for job in jobs:
                client = client or _client()
                sending[asyncio.create_task(self._attempt(client, job))] = job.webhook
            if sending:
                await asyncio.wait(sending, timeout=TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(TICK_SECONDS)
            sending = {task: webhook for task, webhook in sending.items() if not task.done()}
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        if client is not None:
            await client.aclose()

    def _jobs(self, busy: Collection[str]) -> list[Job]:
        """What to send now; nothing while another process delivers."""
        try:
            if not self._lock.is_locked:
                self._lock.acquire(blocking=False)
            deliveries.queue_events(self._store, self._config)
            return deliveries.due(self._store, busy)
        except Timeout:
            return []
        except (sqlite3.Error, OSError) as error:
            logger.warning("webhooks wait: %s", type(error).__name__)
            self._stopping.wait(TROUBLE_SECONDS)
            return []

    async def _attempt(self, client: httpx.AsyncClient, job: Job) -> None:
        status = await _post(client, job, self._config.webhook_timeout_seconds)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._files, deliveries.record, self._store, self._config, job, status)
        except sqlite3.Error as error:
            logger.warning("a delivery is not recorded and will be made again: %s", type(error).__name__)
            await asyncio.sleep(TROUBLE_SECONDS)


def _client() -> httpx.AsyncClient:
    # Imported when there is something to send: it costs a start-up 0.1 s of 0.35 s, and most have no webhooks.
    import httpx  # noqa: PLC0415

    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=None, limits=limits)  # noqa: S113


async def _post(client: httpx.AsyncClient, job: Job, seconds: float) -> int | None:
    """The status that is answered, whose body is not read; None for none within `seconds`."""
    import httpx  # noqa: PLC0415

    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if job.token is not None:
        headers.append((b"x-ntropy-token", job.token.encode()))
    try:
        async with (
            asyncio.timeout(seconds),
            client.stream("POST", job.url, content=job.body, headers=headers) as answer,
        ):
            return answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
        # ValueError: what httpx makes of an address or a token that no request can carry.
        return None
