"""Telling a person of alerts: to the log of whoever calls, and to the receiver at ENRICH_ALERT_URL.

Belongs here: who was told what. What is an alert is `alerting`'s. The receiver's address is never logged: such
addresses are often the secret themselves.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx

from pipeline.flow.alerting import alerts
from pipeline.flow.workspace import Workspace
from pipeline.ledger import alerts as told_alerts
from pipeline.ledger.alerts import Notice

TIMEOUT = 10.0
"""Seconds for one alert, from connecting to the answer's head: httpx's own time-out begins anew with each byte.

A receiver that sent its head a byte a second kept the sensor's tick for ever, and one thread of the code server more
each minute.
"""

TELLING_SECONDS = 30.0
"""After these no further request is begun: a sensor's tick is killed at 60 s. The rest is told at the next."""


def tell(ws: Workspace, log: logging.Logger) -> int:
    """Log each alert that is new, lasts for another day, or is over, and POST it; returns how many were told.

    One that the receiver did not take (anything but 2xx) is logged and posted again at the next call. Raises nothing
    because of the receiver.
    """
    notices = told_alerts.refresh(ws.ledger, alerts(ws))
    for notice in notices:
        if notice.cleared_at is None:
            log.warning("alert %s: %s", notice.key, notice.text)
        else:
            log.info("alert %s is over", notice.key)
    told = 0
    for notice in _taken(ws, notices, log):
        told_alerts.told(ws.ledger, notice)
        told += 1
    return told


def _taken(ws: Workspace, notices: list[Notice], log: logging.Logger) -> Iterator[Notice]:
    """Those that the receiver took, one after the other; all of them when there is none."""
    address = ws.settings.alert_url
    if address is None or not notices:
        yield from notices
        return
    until = time.monotonic() + TELLING_SECONDS
    with _unlogged():
        for notice in notices:
            if time.monotonic() > until:
                log.warning("the receiver of alerts is slow: the rest is told at the next tick")
                return
            try:
                status = asyncio.run(_post(address.get_secret_value(), _message(ws, notice)))
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
                # Its class only: its text may have the address. With nobody there the others need not be tried.
                log.warning("the receiver of alerts cannot be reached: %s", type(error).__name__)
                return
            if httpx.codes.is_success(status):
                yield notice
            else:
                log.warning("the receiver of alerts answered %d to %s", status, notice.key)


async def _post(address: str, message: dict[str, Any]) -> int:
    """The status of the answer, whose body is of no use and not waited for. Raises TimeoutError and httpx's errors."""
    async with (
        asyncio.timeout(TIMEOUT),
        httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client,
        client.stream("POST", address, json=message) as response,
    ):
        return response.status_code


def _message(ws: Workspace, notice: Notice) -> dict[str, Any]:
    return {
        "source": ws.settings.source,
        "account": ws.settings.account,
        "alert": notice.key,
        "text": notice.text,
        "since": _utc(notice.first_at),
        "cleared": None if notice.cleared_at is None else _utc(notice.cleared_at),
    }


def _utc(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='seconds')}Z"


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep this thread's requests out of httpx's own log, which has the whole address of each at INFO."""
    thread = threading.get_ident()

    def of_others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger = logging.getLogger("httpx")
    logger.addFilter(of_others)
    try:
        yield
    finally:
        logger.removeFilter(of_others)
