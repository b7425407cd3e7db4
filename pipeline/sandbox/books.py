"""The books: what was asked for, what was accepted, what was charged.

Belongs here: reading them from the state file, by the server's `/sandbox/` routes or by a test when every server is
gone. Every item of every accepted batch is charged once each time it is sent, and so is a single transaction.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from pipeline.sandbox.deliveries import recorded
from pipeline.sandbox.errors import SandboxError
from pipeline.sandbox.faults.engine import firings
from pipeline.sandbox.item_error import error_code
from pipeline.sandbox.life import Submission, stamp
from pipeline.sandbox.store import SCHEMA_VERSION, connect, now_us, state_file

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

_SUBMISSION = ", ".join(Submission._fields)


class Summary(msgspec.Struct, frozen=True):
    """Totals over every key."""

    requests: dict[str, int]
    """Requests that arrived whole, by "METHOD /route"."""
    posts: dict[str, int]
    """The same for POST only."""
    answers: dict[str, dict[int, int]]
    """Answers by "METHOD /route" and status code."""
    refused: dict[int, int]
    """Answers of 400 and above by status code."""
    batches_accepted: int
    batches_by_status: dict[str, int]
    items_charged: int
    """Charges; an item sent twice counts twice."""
    distinct_items_charged: int
    items_charged_more_than_once: int
    faults: dict[str, int]
    """What the fault plans did, by the rule's `do`."""


class BatchRecord(msgspec.Struct, frozen=True):
    """One accepted batch."""

    id: str
    nth: int
    total: int
    charged: int
    outcome: str
    """completed or error, decided at creation."""
    status: str
    """What GET /v3/batches/{id} says now."""
    created_at: str


class ChargeRecord(msgspec.Struct, frozen=True):
    """One transaction id and every submission that charged it, oldest first."""

    id: str
    times: int
    submissions: list[str]
    """Ids of batches; a single POST /v3/transactions has an id of its own."""


class ItemRecord(msgspec.Struct, frozen=True):
    """One charge of one transaction: an item of a batch, or a single transaction."""

    id: str
    submission: str
    """The batch's id; a single POST /v3/transactions has an id of its own."""
    nth: int
    """The batch's number, counted from 1; 0 for a single transaction."""
    position: int
    outcome: str
    """completed or error, of the batch."""
    error: str | None
    """Code of the item's own `error`, for the outcome completed."""


class FaultRecord(msgspec.Struct, frozen=True):
    """One firing of a rule of a fault plan."""

    plan: int
    """Number of the plan, counted from 1 over the state."""
    rule: int
    """Number of the rule in its plan, from 1."""
    do: str
    call: str
    about: str
    """Id of the route, or the item's; empty if the call is about none."""
    nth: int
    """The rule's own number of the call."""
    fired_at: str


class DeliveryRecord(msgspec.Struct, frozen=True):
    """One event for one webhook. An event that no webhook wanted, or that a fault lost, has none."""

    event_id: str
    event_type: str
    batch: str
    """Id of the batch, or of the report or bank statement."""
    webhook_id: str
    copy: int
    """From 1; more than one by a fault only."""
    state: str
    """waiting, delivered, given_up (after 24 h) or dropped (its webhook was deleted)."""
    attempts: int
    last_status: int | None
    """None: not tried, or no answer in time."""
    attempted_at: str | None


class Books:
    """The books of a state folder (or file). Reads only; needs no server, and does not disturb one."""

    def __init__(self, path: Path) -> None:
        self._path = state_file(path)
        if not self._path.exists():
            msg = f"there are no books at {self._path}"
            raise SandboxError(msg)

    def summary(self) -> Summary:
        """Totals."""
        with self._open() as con:
            arrived = con.execute("SELECT method || ' ' || route, arrived FROM requests ORDER BY 1").fetchall()
            answered = con.execute("SELECT method || ' ' || route, status, sent FROM answers ORDER BY 1, 2").fetchall()
            by_id = (
                "SELECT coalesce(sum(n), 0), count(*), coalesce(sum(n > 1), 0)"
                " FROM (SELECT count(*) AS n FROM items GROUP BY owner, id)"
            )
            charged, distinct, repeated = con.execute(by_id).fetchone()
            statuses = self._statuses(con)
            faults = dict(con.execute("SELECT do, count(*) FROM fault_log GROUP BY do"))
        answers: dict[str, dict[int, int]] = {}
        refused: dict[int, int] = {}
        for route, status, sent in answered:
            answers.setdefault(route, {})[status] = sent
            if status >= 400:  # noqa: PLR2004
                refused[status] = refused.get(status, 0) + sent
        posts = {route: count for route, count in arrived if route.startswith("POST ")}
        accepted = sum(statuses.values())
        return Summary(dict(arrived), posts, answers, refused, accepted, statuses, charged, distinct, repeated, faults)

    def batches(self) -> list[BatchRecord]:
        """Every accepted batch, in the order of creation."""
        now = now_us()
        with self._open() as con:
            sql = f"SELECT {_SUBMISSION} FROM submissions WHERE kind = 'batch' ORDER BY seq"  # noqa: S608
            found = [Submission._make(row) for row in con.execute(sql)]
            charged = dict(con.execute("SELECT seq, count(*) FROM items GROUP BY seq"))
        return [
            BatchRecord(
                one.id,
                one.nth or 0,
                one.total,
                charged.get(one.seq, 0),
                one.outcome,
                one.status(now),
                stamp(one.created_at),
            )
            for one in found
        ]

    def charges(self, at_least: int = 1) -> list[ChargeRecord]:
        """Transaction ids charged at least so often. With 1 that is every id: one record each, in memory."""
        sql = (
            "SELECT i.id, s.id FROM items i JOIN submissions s ON s.seq = i.seq JOIN"
            " (SELECT owner, id FROM items GROUP BY owner, id HAVING count(*) >= ?) r"
            " ON r.owner = i.owner AND r.id = i.id ORDER BY i.owner, i.id, i.seq, i.position"
        )
        grouped: dict[str, list[str]] = {}
        with self._open() as con:
            for identity, submission in con.execute(sql, (at_least,)):
                grouped.setdefault(identity, []).append(submission)
        return [ChargeRecord(identity, len(where), where) for identity, where in grouped.items()]

    def items(self, identity: str | None = None) -> list[ItemRecord]:
        """Every charge in the order of acceptance, or those of one transaction id, with what its batch came to."""
        sql = (
            "SELECT i.id, s.id, coalesce(s.nth, 0), i.position, s.outcome, coalesce(i.first_kind, i.holder_kind),"
            " i.flawed, i.fault FROM items i JOIN submissions s ON s.seq = i.seq WHERE :id IS NULL OR i.id = :id"
            " ORDER BY i.seq, i.position"
        )
        with self._open() as con:
            return [
                ItemRecord(one, submission, nth, position, outcome, error_code(*stored))
                for one, submission, nth, position, outcome, *stored in con.execute(sql, {"id": identity})
            ]

    def faults(self) -> list[FaultRecord]:
        """Every firing of a rule, oldest first, also of plans that have been replaced."""
        with self._open() as con:
            return [
                FaultRecord(plan, rule, do, call, about, nth, stamp(fired_at))
                for plan, rule, do, call, about, nth, fired_at in firings(con)
            ]

    def deliveries(self) -> list[DeliveryRecord]:
        """Every delivery to a webhook, in the order of queueing. One under way counts as not tried yet."""
        with self._open() as con:
            return [DeliveryRecord(*row) for row in recorded(con)]

    def _statuses(self, con: sqlite3.Connection) -> dict[str, int]:
        sql = (
            "SELECT CASE WHEN finish_at > ? THEN 'processing' ELSE outcome END, count(*) FROM submissions"
            " WHERE kind = 'batch' GROUP BY 1"
        )
        return dict(con.execute(sql, (now_us(),)).fetchall())

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        con = connect(self._path, synchronous="NORMAL")
        try:
            con.execute("PRAGMA query_only = 1")
            con.execute("BEGIN")
            found = con.execute("PRAGMA user_version").fetchone()[0]
            if found != SCHEMA_VERSION:
                msg = f"{self._path} has version {found}, these books read {SCHEMA_VERSION}"
                raise SandboxError(msg)
            yield con
        finally:
            con.close()
