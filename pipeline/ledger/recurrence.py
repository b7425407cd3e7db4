"""What the ledger knows of each holder's recurring groups: is the history newer than the last answer, and whose turn.

Belongs here: one row per account holder with an enriched transaction. The groups themselves are in the lake.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, insert, select, update

from pipeline.ledger import schema
from pipeline.ledger.db import Ledger, chunks
from pipeline.ledger.due import due, is_due

_r = schema.recurrence
_seen = schema.recurrence_seen
_m = schema.manifest_files

BUCKETS = 32
"""Holders are spread over so many files of the lake; a refresh rewrites those of its buckets."""

CLAIM_SECONDS = 300.0
"""Real seconds after which the holders of a process that died are anybody's; asking twice changes nothing."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """An answer about one holder: when it was asked for, how many groups, and what could not be read in it."""

    account_holder_id: str
    asked_at: datetime
    groups: int
    error: str | None


def bucket_of(account_holder_id: str) -> int:
    """Which of the buckets a holder is in, for good."""
    return hashlib.sha256(account_holder_id.encode()).digest()[0] % BUCKETS


def seen_revision(conn: Connection) -> int:
    """The manifest's revision up to which landed files were searched."""
    return int(conn.execute(select(func.coalesce(func.max(_seen.c.revision), 0))).scalar_one())


def note_histories(conn: Connection, newest: Mapping[str, datetime], *, revision: int, now: datetime) -> int:
    """Note when each holder's newest row was landed; returns how many histories are newer than was known."""
    known: dict[str, datetime] = {}
    for ids in chunks(sorted(newest)):
        query = select(_r.c.account_holder_id, _r.c.history_at).where(_r.c.account_holder_id.in_(ids))
        known |= {row.account_holder_id: row.history_at for row in conn.execute(query)}
    new = [
        {"account_holder_id": i, "bucket": bucket_of(i), "history_at": at, "due_since": now, "group_count": 0,
         "failures": 0}
        for i, at in newest.items() if i not in known
    ]  # fmt: skip
    grown = [{"holder": i, "at": at} for i, at in newest.items() if i in known and at > known[i]]
    if new:
        conn.execute(insert(_r), new)
    if grown:
        conn.execute(
            update(_r)
            .where(_r.c.account_holder_id == bindparam("holder"))
            .values(history_at=bindparam("at"), due_since=func.coalesce(_r.c.due_since, now)),
            grown,
        )
    if not conn.execute(update(_seen).values(revision=revision)).rowcount:
        conn.execute(insert(_seen).values(id=1, revision=revision, failures=0))
    return len(new) + len(grown)


def is_wanted(ledger: Ledger) -> bool:
    """Whether a refresh would find something to do now: landed files nobody has looked at, or holders that are due."""
    with ledger.read() as conn:
        if not _may_ask(conn, ledger):
            return False
        unseen = select(_m.c.path).where(
            _m.c.kind == "transactions", _m.c.removed_revision.is_(None), _m.c.added_revision > seen_revision(conn)
        )
        if conn.execute(unseen.limit(1)).first() is not None:
            return True
        return conn.execute(select(_r.c.account_holder_id).where(*_due(ledger)).limit(1)).first() is not None


def claim(ledger: Ledger, limit: int) -> list[Row[Any]]:
    """Take holders whose histories are newer than their groups, bucket by bucket; nobody else takes them meanwhile."""
    with ledger.write() as conn:
        if not _may_ask(conn, ledger):
            return []
        order = (_r.c.failures, _r.c.bucket, _r.c.due_since, _r.c.account_holder_id)
        rows = list(conn.execute(select(_r).where(*_due(ledger)).order_by(*order).limit(limit)))
        _claim_until(conn, [row.account_holder_id for row in rows], ledger.now() + timedelta(seconds=CLAIM_SECONDS))
    return rows


def release(conn: Connection, ids: Collection[str]) -> None:
    """Give holders back, asked about or not."""
    _claim_until(conn, ids, None)


def refreshed(conn: Connection, rows: Mapping[str, Row[Any]], done: Sequence[Refreshed], path: str) -> None:
    """Note answers. `rows`: as they were claimed; a holder whose history grew since then stays due."""
    for one in done:
        asked_about = rows[one.account_holder_id].history_at
        still_due = func.coalesce(_r.c.due_since, one.asked_at)
        conn.execute(
            update(_r)
            .where(_r.c.account_holder_id == one.account_holder_id)
            .values(
                due_since=case((_r.c.history_at == asked_about, None), else_=still_due),
                refreshed_at=one.asked_at, path=path, group_count=one.groups, failures=0, error=one.error,
                not_before=None,
            )
        )  # fmt: skip
    if done:
        conn.execute(update(_seen).values(failures=0, not_before=None))


def failed(conn: Connection, account_holder_id: str, error: str, *, retry_at: datetime) -> None:
    """Note that no answer could be had about one holder; its last groups stay."""
    conn.execute(
        update(_r)
        .where(_r.c.account_holder_id == account_holder_id)
        .values(failures=_r.c.failures + 1, error=error, not_before=retry_at)
    )


def pause(conn: Connection, *, retry_at: datetime) -> None:
    """Ask about nobody for a while: whoever is next would meet the same."""
    conn.execute(update(_seen).values(failures=_seen.c.failures + 1, not_before=retry_at))


def pauses(conn: Connection) -> int:
    """How often in a row it was paused, with no answer in between."""
    return int(conn.execute(select(_seen.c.failures)).scalar_one_or_none() or 0)


@dataclass(frozen=True, slots=True)
class Counts:
    """Holders with an enriched transaction; those whose groups are not up to date; of these, those in trouble."""

    holders: int
    due: int
    failing: int
    unreadable: int
    """Holders with a group that could not be read in the last answer."""


def counts(ledger: Ledger) -> Counts:
    """How up to date the groups are."""
    failing = func.coalesce(func.sum(case((_r.c.failures > 0, 1), else_=0)), 0)
    unreadable = func.coalesce(func.sum(case(((_r.c.failures == 0) & _r.c.error.is_not(None), 1), else_=0)), 0)
    ((holders, due_, failing_, unreadable_),) = ledger.rows(
        select(func.count(), func.count(_r.c.due_since), failing, unreadable)
    )
    return Counts(int(holders), int(due_), int(failing_), int(unreadable_))


def answered(conn: Connection) -> list[Row[Any]]:
    """Holders that the API was asked about, by bucket and id: the rows that the lake's files are made of."""
    return list(conn.execute(select(_r).where(_r.c.path.is_not(None)).order_by(_r.c.bucket, _r.c.account_holder_id)))


def _may_ask(conn: Connection, ledger: Ledger) -> bool:
    until = conn.execute(select(_seen.c.not_before)).scalar_one_or_none()
    return is_due(until, ledger.now(), ledger.longest.retry)


def _due(ledger: Ledger) -> tuple[Any, ...]:
    now = ledger.now()
    return (
        _r.c.due_since.is_not(None),
        due(_r.c.not_before, now, ledger.longest.retry),
        due(_r.c.claim_expires_at, now, CLAIM_SECONDS),
    )


def _claim_until(conn: Connection, ids: Collection[str], moment: datetime | None) -> None:
    for some in chunks(sorted(ids)):
        conn.execute(update(_r).where(_r.c.account_holder_id.in_(some)).values(claim_expires_at=moment))
