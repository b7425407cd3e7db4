"""Telling a person of alerts: to the log of whoever calls, and to the receiver at ENRICH_ALERT_URL.

Belongs here: who was told what. What is an alert is `alerting`'s. The receiver's address is never logged: such
addresses are often the secret themselves.
"""

from __future__ import annotations

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
"""Seconds for each of connecting, sending and the answer's head."""

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
    with _unlogged(), httpx.Client(timeout=TIMEOUT, follow_redirects=False) as client:
        for notice in notices:
            if time.monotonic() > until:
                log.warning("the receiver of alerts is slow: the rest is told at the next tick")
                return
            try:
                # The answer's body is of no use, and is not waited for.
                with client.stream("POST", address.get_secret_value(), json=_message(ws, notice)) as response:
                    status = response.status_code
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
                # Its class only: its text may have the address. With nobody there the others need not be tried.
                log.warning("the receiver of alerts cannot be reached: %s", type(error).__name__)
                return
            if httpx.codes.is_success(status):
                yield notice
            else:
                log.warning("the receiver of alerts answered %d to %s", status, notice.key)


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
