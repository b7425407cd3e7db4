"""Counting calls and choosing the rules that fire, over the state file.

Belongs here: the plan in force, its counters, its log. Each question is one transaction, so that servers on one state
never both see the third call. What a rule that fired does is elsewhere.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from pipeline.sandbox.chance import draw
from pipeline.sandbox.errors import SandboxError
from pipeline.sandbox.faults.plan import ANY, OF_ONE_BATCH, POST_BATCHES, Plan, read_plan
from pipeline.sandbox.faults.rules import ItemRule, Rule
from pipeline.sandbox.store import now_us

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.sandbox.store import Store

R = TypeVar("R", bound=Rule)


@dataclass(frozen=True, slots=True)
class Fired(Generic[R]):
    """A rule that applies now, and the ids for which it does when it counts each id by itself."""

    rule: R
    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Ready:
    version: int
    plan: Plan

    def rules(self, kind: type[R], call: str) -> list[tuple[int, R]]:
        return [
            (number, rule)
            for number, rule in enumerate(self.plan.rules, 1)
            if isinstance(rule, kind) and rule.call in (ANY, call)
        ]


class _Id(msgspec.Struct):
    id: Any = None


class _Data(msgspec.Struct):
    data: list[_Id]


class Faults:
    """The fault plan of one state file."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._seed = seed
        self._ready: _Ready | None = None

    def put(self, text: bytes) -> None:
        """Replace the plan and count from zero; raises `FaultPlanError`."""
        read_plan(text)
        with self._store.write() as con:
            _replace(con, text)

    def end(self) -> None:
        """No plan any more. What it did stays in the log."""
        with self._store.write() as con:
            _replace(con, None)

    def take_file(self, path: Path) -> None:
        """Put the plan of a file, unless it was the last file that was taken; raises `SandboxError`."""
        try:
            text = path.read_bytes()
        except OSError as error:
            raise SandboxError(f"cannot read the fault plan {path}: {error.strerror}") from error
        read_plan(text)
        digest = hashlib.sha256(text).hexdigest()
        with self._store.write() as con:
            if con.execute("SELECT 1 FROM fault_plan WHERE file_digest = ?", (digest,)).fetchone() is None:
                _replace(con, text)
                con.execute("UPDATE fault_plan SET file_digest = ?", (digest,))

    def view(self) -> dict[str, Any]:
        """The plan, and how many calls each rule has seen and changed; by id where it counts each by itself."""
        with self._store.counting() as con:
            ready = self._current(con)
            counts = con.execute("SELECT rule, scope, seen, fired FROM fault_counts ORDER BY rule, scope").fetchall()
        if ready is None:
            return {"version": None, "plan": None, "rules": []}
        shown = []
        for number, rule in enumerate(ready.plan.rules, 1):
            mine = [(scope, seen, fired) for at, scope, seen, fired in counts if at == number]
            total = {"seen": sum(seen for _, seen, _ in mine), "fired": sum(fired for _, _, fired in mine)}
            by_id = {scope: {"seen": seen, "fired": fired} for scope, seen, fired in mine if scope}
            tag = rule.__struct_config__.tag
            shown.append({"rule": number, "call": rule.call, "do": tag, **total, "by_id": by_id})
        return {"version": ready.version, "plan": ready.plan, "rules": shown}

    def visit(self, call: str, thing: str, body: bytes) -> Visit | None:
        """The faults' view of a call, or None when there is no plan. `thing` is the {id} of the route, or empty.

        Without a plan this is one read of an empty table: 2 µs beside a request's 600.
        """
        if self._current(self._store.connection()) is None:
            return None
        return Visit(self, call, thing, body)

    def ask(self, con: sqlite3.Connection | None, kind: type[R], visit: Visit) -> list[Fired[R]]:
        """Count the visit for every rule of the kind and return those that fire, in their order."""
        held = self._ready
        if held is None or not held.rules(kind, visit.call):
            return []
        with nullcontext(con) if con is not None else self._store.counting() as counting:
            # The plan may have been replaced since: what is counted belongs to the plan of this transaction.
            ready = self._current(counting)
            if ready is None:
                return []
            found = []
            for number, rule in ready.rules(kind, visit.call):
                scopes = self._scopes(counting, rule, visit)
                fired = [one for one in scopes if self._counts(counting, ready.version, number, rule, one, visit)]
                if fired:
                    found.append(Fired(rule, frozenset(fired)))
            return found

    def _current(self, con: sqlite3.Connection) -> _Ready | None:
        row = con.execute("SELECT version FROM fault_plan WHERE plan IS NOT NULL").fetchone()
        # Worker threads share the cached plan: take it once, and return what was taken.
        ready = self._ready
        if row is None:
            ready = None
        elif ready is None or ready.version != row[0]:
            version, text = con.execute("SELECT version, plan FROM fault_plan").fetchone()
            ready = _Ready(version, read_plan(text)) if text is not None else None
        self._ready = ready
        return ready

    def _scopes(self, con: sqlite3.Connection, rule: Rule, visit: Visit) -> Sequence[str]:
        """What the rule counts this visit under: nothing, "" for all calls together, or ids."""
        wanted = None if rule.ids is None else set(rule.ids)
        if visit.call in OF_ONE_BATCH:
            if not _of_batch(con, visit.thing, rule):
                return ()
            return (visit.thing,) if rule.each else ("",)
        about = (visit.thing,) if visit.thing else tuple(dict.fromkeys(visit.sent)) if wanted is not None else ()
        if wanted is not None:
            about = tuple(one for one in about if one in wanted)
            if not about:
                return ()
        return about if rule.each or isinstance(rule, ItemRule) else ("",)

    def _counts(self, con: sqlite3.Connection, version: int, number: int, rule: Rule, scope: str, visit: Visit) -> bool:
        """Count one call of a scope; True if the rule fires for it."""
        sql = "INSERT INTO fault_counts VALUES (?, ?, 1, 0) ON CONFLICT DO UPDATE SET seen = seen + 1"
        con.execute(sql, (number, scope))
        sql = "SELECT seen, fired FROM fault_counts WHERE rule = ? AND scope = ?"
        seen, fired = con.execute(sql, (number, scope)).fetchone()
        if not self._picks(number, rule, scope, seen) or (rule.times is not None and fired >= rule.times):
            return False
        con.execute("UPDATE fault_counts SET fired = fired + 1 WHERE rule = ? AND scope = ?", (number, scope))
        con.execute(
            "INSERT INTO fault_log (version, rule, do, call, about, nth, fired_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (version, number, rule.__struct_config__.tag, visit.call, scope or visit.thing, seen, now_us()),
        )
        return True

    def _picks(self, number: int, rule: Rule, scope: str, seen: int) -> bool:
        return (
            (rule.nth is None or seen in rule.nth)
            and (rule.from_ or 1) <= seen <= (rule.to or seen)
            and (rule.every is None or seen % rule.every == 0)
            and (rule.share is None or draw(self._seed, "fault", number, scope, seen) < rule.share)
        )


@dataclass(frozen=True)
class Visit:
    """One call as the faults see it."""

    faults: Faults
    call: str
    thing: str
    body: bytes

    def ask(self, kind: type[R], con: sqlite3.Connection | None = None) -> list[Fired[R]]:
        """The rules of a kind that fire now, each counted; inside the caller's write transaction if `con` is given."""
        return self.faults.ask(con, kind, self)

    @cached_property
    def sent(self) -> list[str]:
        """Ids in the request's body, in order; none if it cannot be read."""
        try:
            if self.call == POST_BATCHES:
                found: list[_Id] = msgspec.json.decode(self.body, type=_Data).data
            else:
                found = [msgspec.json.decode(self.body, type=_Id)]
        except msgspec.DecodeError:
            return []
        return [one.id for one in found if isinstance(one.id, str)]


def _replace(con: sqlite3.Connection, text: bytes | None) -> None:
    sql = "INSERT INTO fault_plan VALUES (1, 1, ?, NULL) ON CONFLICT DO UPDATE SET version = version + 1, plan = ?"
    con.execute(sql, (text, text))
    con.execute("DELETE FROM fault_counts")


def _of_batch(con: sqlite3.Connection, identity: str, rule: Rule) -> bool:
    """Whether the rule is about this batch: every one that exists, or those it names by number, id or items."""
    if rule.ids is None and rule.batches is None:
        return True
    row = con.execute("SELECT seq, nth FROM submissions WHERE id = ? AND kind = 'batch'", (identity,)).fetchone()
    if row is None:
        return False
    if rule.batches is not None and row[1] not in rule.batches and identity not in rule.batches:
        return False
    if rule.ids is None:
        return True
    sql = "SELECT 1 FROM items WHERE seq = ? AND id IN (SELECT value FROM json_each(?)) LIMIT 1"
    return con.execute(sql, (row[0], msgspec.json.encode(rule.ids).decode())).fetchone() is not None


def firings(con: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Every firing, oldest first, as stored."""
    yield from con.execute("SELECT version, rule, do, call, about, nth, fired_at FROM fault_log ORDER BY seq")
