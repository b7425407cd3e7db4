"""Category sets in the ledger: which lists a set had on which day. A list is kept once, however many days it lasts."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from pipeline.ledger import holders, kept_answers, schema
from pipeline.ledger.db import Ledger

_l = schema.category_lists
_d = schema.category_days

DEFAULTS = ("consumer", "business")
"""The API's own sets, one for each type of holder."""


def in_use(ledger: Ledger) -> list[str]:
    """The default sets, and every own set that the API has for a holder of ours."""
    with ledger.read() as conn:
        own = holders.category_sets(conn)
    return [*DEFAULTS, *(name for name in own if name not in DEFAULTS)]


def missing_on(ledger: Ledger, day: date) -> list[str]:
    """Sets in use that were not fetched on this day."""
    there = {row.category_set for row in ledger.rows(select(_d.c.category_set).where(_d.c.day == day))}
    return [name for name in in_use(ledger) if name not in there]


def older_than_results(ledger: Ledger) -> list[str]:
    """Sets whose latest fetch was before the latest results were landed."""
    latest = select(func.max(schema.batches.c.landed_at)).scalar_subquery()
    query = select(_d.c.category_set).group_by(_d.c.category_set).having(func.max(_d.c.fetched_at) < latest)
    return [row.category_set for row in ledger.rows(query)]


def path_of(conn: Connection, content_id: str) -> str | None:
    """Where the answer with this content is archived; None for one that was never seen."""
    return conn.execute(select(_l.c.path).where(_l.c.content_id == content_id)).scalar_one_or_none()


def add_list(
    conn: Connection, content_id: str, category_set: str, incoming: list[str], outgoing: list[str], path: str, *,
    now: datetime,
) -> None:  # fmt: skip
    """Keep an answer that differs from those before, with the path of its archived document."""
    kept_answers.add(conn, kept_answers.CATEGORIES, path, len(incoming) + len(outgoing), now=now)
    conn.execute(
        insert(_l).values(
            content_id=content_id, category_set=category_set, incoming=incoming, outgoing=outgoing, path=path
        )
    )


def note(conn: Connection, category_set: str, content_id: str, *, now: datetime) -> bool:
    """Note what a set is today. False when that was known; the last answer of a day is the day's."""
    day = now.date()
    where = (_d.c.category_set == category_set, _d.c.day == day)
    known = conn.execute(select(_d.c.content_id).where(*where)).scalar_one_or_none()
    if known is None:
        conn.execute(insert(_d).values(category_set=category_set, day=day, content_id=content_id, fetched_at=now))
    else:
        conn.execute(update(_d).where(*where).values(content_id=content_id, fetched_at=now))
    return known != content_id


def days(conn: Connection) -> list[Row[Any]]:
    """Every day of every set with its lists, in the columns of the warehouse's `category_days`."""
    query = (
        select(_d.c.day, _d.c.category_set, _d.c.fetched_at, _l.c.incoming, _l.c.outgoing)
        .join(_l, _l.c.content_id == _d.c.content_id)
        .order_by(_d.c.category_set, _d.c.day)
    )
    return list(conn.execute(query))


def lists(conn: Connection) -> list[Row[Any]]:
    """Every list that was ever fetched: content_id, category_set, incoming, outgoing, path."""
    return list(conn.execute(select(_l).order_by(_l.c.category_set, _l.c.content_id)))
