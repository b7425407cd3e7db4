"""Taking items in: one transaction of the state file makes the submission, its charges and its outcome.

Belongs here: what is decided when a batch or a single transaction is accepted. It is all decided then, and nothing
later, so that whoever serves the state file next gives the same answers.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import msgspec

from pipeline.sandbox.chance import digest, draw
from pipeline.sandbox.events import announced, store_event
from pipeline.sandbox.faults.acceptance import batch_faults, ends_in_error, item_faults, marred, refuse_items
from pipeline.sandbox.life import Submission, duration_us
from pipeline.sandbox.limits import take_credits, take_slot
from pipeline.sandbox.personal import category_sets, rulesets
from pipeline.sandbox.store import now_us

if TYPE_CHECKING:
    import sqlite3

    from pipeline.sandbox.call import Call
    from pipeline.sandbox.config import SandboxConfig
    from pipeline.sandbox.events import Event
    from pipeline.sandbox.schema import Item

NO_HOLDER = "none"
UNKNOWN_HOLDER = "unknown"
"""`holder_kind` besides consumer and business."""

_ENCODER = msgspec.msgpack.Encoder()


def accept_batch(call: Call, items: list[Item], priority: str) -> Submission:
    """Store a batch and charge its items; raises 423, 429, and 422 by the fault plan. Committed when it returns."""
    refuse_items(call, items)
    bodies = [encoded(item) for item in items]
    with call.store.write() as con:
        now = now_us()
        take_slot(con, call.config, call.owner, now)
        take_credits(con, call.config, call.owner, len(items), now)
        new, event = _new_batch(con, call, items, priority, now)
        made = _insert(con, call, new, items, bodies)
        store_event(con, made.seq, event)
        return made


def encoded(item: Item) -> bytes:
    """An item as it is stored."""
    return _ENCODER.encode(item)


def _new_batch(
    con: sqlite3.Connection, call: Call, items: list[Item], priority: str, now: int
) -> tuple[Submission, Event]:
    """What becomes of the batch, all of it, and what webhooks are told of it."""
    config, total = call.config, len(items)
    nth = con.execute("SELECT coalesce(max(nth), 0) + 1 FROM submissions").fetchone()[0]
    faults = batch_faults(con, call)
    fails = _fails(con, config, call.owner, items, nth) or ends_in_error(faults)
    share = 0.2 + 0.6 * draw(config.seed, "stop", nth) if fails else 1.0
    full = duration_us(config, nth, total, priority)
    made = Submission(
        seq=0,
        id=str(uuid.uuid4()),
        owner=call.owner,
        kind="batch",
        nth=nth,
        priority=priority,
        total=total,
        outcome="error" if fails else "completed",
        created_at=now,
        finish_at=now + max(1, int(full * share)),
        stop_at=int(total * share),
        skew=call.skew,
        ruleset=rulesets.current_seq(con, call.owner),
    )
    return announced(marred(made, faults, config), faults, config)


def accept_one(call: Call, item: Item) -> Submission:
    """Store a single transaction and charge it; raises 423, 429, and 422 by the fault plan."""
    refuse_items(call, [item])
    owner = call.owner
    with call.store.write() as con:
        now = now_us()
        take_credits(con, call.config, owner, 1, now)
        made = Submission(0, str(uuid.uuid4()), owner, "sync", None, "default", 1, "completed", now, now, 1, call.skew)
        made = made._replace(ruleset=rulesets.current_seq(con, owner))
        return _insert(con, call, made, [item], [encoded(item)])


def _insert(
    con: sqlite3.Connection, call: Call, made: Submission, items: list[Item], bodies: list[bytes]
) -> Submission:
    marks = ", ".join("?" * (len(made) - 1))
    columns = ", ".join(Submission._fields[1:])
    cursor = con.execute(f"INSERT INTO submissions ({columns}) VALUES ({marks})", made[1:])  # noqa: S608
    seq = cursor.lastrowid or 0
    kinds, sets = _holders(con, made.owner, items)
    flawed = _flawed(con, call.config, made.owner, items)
    faults = item_faults(con, call)
    rows = (
        (
            seq,
            at,
            made.owner,
            item.id,
            item.account_holder_id,
            kinds[item.account_holder_id],
            item.id in flawed,
            0,
            body,
            faults.get(item.id),
            sets[item.account_holder_id],
        )
        for at, (item, body) in enumerate(zip(items, bodies, strict=True))
    )
    names = "seq, position, owner, id, holder, holder_kind, flawed, gone, body, fault, category_set"
    con.executemany(f"INSERT INTO items ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608
    return made._replace(seq=seq)


def _holders(
    con: sqlite3.Connection, owner: int, items: list[Item]
) -> tuple[dict[str | None, str], dict[str | None, int | None]]:
    """Kind and own category set of each holder of these items."""
    kinds: dict[str | None, str] = {None: NO_HOLDER}
    sets: dict[str | None, int | None] = {None: None}
    for holder in {item.account_holder_id for item in items}:
        if holder is not None:
            kinds[holder], sets[holder] = holder_now(con, owner, holder)
    return kinds, sets


def holder_now(con: sqlite3.Connection, owner: int, holder: str) -> tuple[str, int | None]:
    """Kind of the holder, and number of the key's own category set for it."""
    row = con.execute("SELECT type, category_id FROM holders WHERE owner = ? AND id = ?", (owner, holder)).fetchone()
    return (UNKNOWN_HOLDER, None) if row is None else (row[0], category_sets.of_holder(con, owner, *row))


def _fails(con: sqlite3.Connection, config: SandboxConfig, owner: int, items: list[Item], nth: int) -> bool:
    """Whether this batch ends in error. Its first item tells how often its items have met that before."""
    if nth in config.error_batch_nth:
        return True
    if config.batch_error_share <= 0:
        return False
    sql = (
        "SELECT count(DISTINCT s.seq) FROM items i JOIN submissions s ON s.seq = i.seq"
        " WHERE i.owner = ? AND i.id = ? AND s.outcome = 'error'"
    )
    met = con.execute(sql, (owner, items[0].id)).fetchone()[0]
    content = digest(item.id for item in items)
    return met < config.batch_error_attempts and draw(config.seed, "batch", content, met) < config.batch_error_share


def _flawed(con: sqlite3.Connection, config: SandboxConfig, owner: int, items: list[Item]) -> set[str]:
    """Ids that get `internal_error` this time."""
    share = config.item_error_share
    if share <= 0:
        return set()
    drawn = {item.id for item in items if draw(config.seed, "item", item.id) < share}
    allowed = config.item_error_attempts
    if allowed is None:
        return drawn
    sql = "SELECT coalesce(sum(flawed), 0) FROM items WHERE owner = ? AND id = ?"
    return {one for one in drawn if con.execute(sql, (owner, one)).fetchone()[0] < allowed}
