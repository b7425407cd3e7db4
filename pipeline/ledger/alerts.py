"""What a person was told, and is to be told: the table `alerts`. What is an alert is `pipeline.flow.alerting`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from pipeline.ledger import schema
from pipeline.ledger.db import Ledger

_t = schema.alerts

AGAIN_AFTER = timedelta(days=1)
"""Real time after which an alert that lasts is told again: on a person's clock, not on the API's."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert that is to be told now. Times are naive UTC; `cleared_at` is set when it is over."""

    key: str
    text: str
    first_at: datetime
    cleared_at: datetime | None


def refresh(ledger: Ledger, current: Mapping[str, str]) -> list[Notice]:
    """Record what is so now, sentence by key, and return what is to be told of it, oldest first.

    That is what nobody was told yet, what was told a day ago and lasts, and the end of what was told. An alert that
    ended before it was told is forgotten. Nothing counts as told before `told` says so.
    """
    now = ledger.now()
    with ledger.write() as conn:
        known = {row.key: row for row in conn.execute(select(_t))}
        for key, text in current.items():
            row, values = known.get(key), {"text": text}
            if row is None:
                conn.execute(insert(_t).values(key=key, first_at=now, **values))
            elif row.cleared_at is not None:  # it came back
                again = {**values, "first_at": now, "told_at": None, "cleared_at": None}
                conn.execute(update(_t).where(_t.c.key == key).values(**again))
            elif row.text != text:
                conn.execute(update(_t).where(_t.c.key == key).values(**values))
        over = [key for key, row in known.items() if key not in current and row.cleared_at is None]
        for key in over:
            conn.execute(update(_t).where(_t.c.key == key).values(cleared_at=now))
        conn.execute(delete(_t).where(_t.c.told_at.is_(None), _t.c.cleared_at.is_not(None)))
        rows = conn.execute(select(_t).order_by(_t.c.first_at, _t.c.key)).all()
    return [Notice(row.key, row.text, row.first_at, row.cleared_at) for row in rows if _is_due(row, now)]


def _is_due(row: Row[Any], now: datetime) -> bool:
    if row.told_at is None or row.cleared_at is not None:
        return True
    return bool(row.told_at <= now - AGAIN_AFTER)


def told(ledger: Ledger, notice: Notice) -> None:
    """Note that somebody was told of this; the end of an alert is then forgotten."""
    where = (_t.c.key == notice.key, _t.c.first_at == notice.first_at)
    with ledger.write() as conn:
        if notice.cleared_at is not None:
            conn.execute(delete(_t).where(*where, _t.c.cleared_at.is_not(None)))
        else:
            conn.execute(update(_t).where(*where).values(told_at=ledger.now()))
