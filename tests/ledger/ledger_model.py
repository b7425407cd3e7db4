"""What the ledger ought to hold, in plain Python: batches, attempts, credits, circuit and files.

Belongs here: the model and what follows from it. It reads no database; `ledger_world` moves it in step with the real
ledger, and `ledger_checks` compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pipeline.ledger.states import CHARGED_ATTEMPTS, SLOT_STATES, Attempt, State

PROGRESS = {State.SUBMITTED, State.COMPLETED, State.LANDED}
LONG_AGO = datetime(2000, 1, 1)
IDLE = {State.PLANNED, State.COMPLETED, State.ERRORED}
"""States in which a step claims a batch."""


@dataclass
class Try:
    """One attempt."""

    sequence: int
    reason: str
    credits: int
    run_id: str | None
    at: datetime
    level_before: float
    state: Attempt = Attempt.RESERVED
    vendor: str | None = None
    double: bool = False
    finished: datetime | None = None

    @property
    def charged(self) -> bool:
        return self.state in CHARGED_ATTEMPTS

    @property
    def given_up(self) -> bool:
        """Proved absent, or given to a person without a proof."""
        return self.state is Attempt.ABSENT or (self.state is Attempt.UNCONFIRMED and self.finished is not None)


@dataclass
class Batch:
    """One batch, with the items that it was cut with."""

    key: str
    items: tuple[int, ...]
    allowed: int
    next_reason: str = "first"
    state: State = State.PLANNED
    generation: int = 0
    parent: str | None = None
    root: str | None = None
    tries: list[Try] = field(default_factory=list)
    attempts: int = 0
    held_from: State | None = None
    vendor: str | None = None
    kills: int = 0
    moved: int = 0
    version: int | None = None
    collect_tries: int = 0
    retry_at: datetime | None = None
    owner: str | None = None
    fence: int = 0
    expires: datetime | None = None

    @property
    def last(self) -> Try:
        return self.tries[-1]

    def charges(self, after: int = 0) -> int:
        """Attempts later than this one that were charged or may have been."""
        return sum(attempt.charged for attempt in self.tries[after:])

    def is_at(self, sequence: int, *states: State) -> bool:
        """In one of these states, and this attempt is the latest."""
        return self.state in states and bool(self.tries) and self.last.sequence == sequence

    def goto(self, state: State, **values: object) -> None:
        self.state = state
        if state in PROGRESS:
            self.kills = 0
        for name, value in values.items():
            setattr(self, name, value)


@dataclass
class Bucket:
    """The credits, refilled with one each second."""

    capacity: int
    at: datetime
    stored: float
    not_before: datetime | None = None
    throttled: int = 0
    touched: bool = False

    def level(self, now: datetime) -> float:
        return min(self.capacity, self.stored + (now - self.at).total_seconds())

    def put(self, level: float, now: datetime) -> None:
        self.stored, self.at, self.touched = level, now, True

    def settle(self, attempt: Try, now: datetime) -> None:
        """The refill that ran over the rim of the server's bucket, at most the request's own items."""
        over = attempt.level_before + (now - attempt.at).total_seconds() - self.capacity
        if over > 0:
            self.put(self.level(now) - min(over, attempt.credits), now)

    def put_off(self, seconds: int, longest: int, now: datetime) -> None:
        if not self.touched:
            self.put(0, now)
        self.not_before = now + timedelta(seconds=min(longest, seconds * 2**self.throttled))
        self.throttled += 1


@dataclass
class Circuit:
    """An open circuit."""

    kind: str
    probe_after: datetime
    probes: int = 0

    def is_due(self, now: datetime) -> bool:
        return self.kind != "restored" and self.probe_after <= now

    def begin_probe(self, now: datetime, seconds: int) -> None:
        wait = seconds * 2 ** min(self.probes, 6) if self.kind == "outage" else seconds
        self.probe_after, self.probes = now + timedelta(seconds=wait), self.probes + 1


@dataclass(frozen=True)
class Caps:
    """Spending caps in credits."""

    run: int | None = None
    day: int | None = None
    month: int | None = None


@dataclass
class Model:
    """Everything that the ledger ought to hold."""

    bucket: Bucket
    max_in_flight: int
    caps: Caps
    batches: dict[str, Batch] = field(default_factory=dict)
    circuit: Circuit | None = None
    live: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Live files with rows, to their items."""
    waiting_changed: int = 0
    """Revision in which a file of waiting rows last came or went."""

    def tries(self) -> list[tuple[Batch, Try]]:
        return [(batch, attempt) for batch in self.batches.values() for attempt in batch.tries]

    def slots(self) -> int:
        return sum(batch.state in SLOT_STATES for batch in self.batches.values())

    def spent(self, *, run_id: str | None = None, since: datetime = LONG_AGO) -> int:
        return sum(
            attempt.credits
            for _, attempt in self.tries()
            if attempt.charged and attempt.at >= since and run_id in {None, attempt.run_id}
        )

    def has_room(self, rows: int, run_id: str, now: datetime) -> bool:
        """Whether a batch of so many rows may be reserved now."""
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        caps = (
            (self.caps.run, self.spent(run_id=run_id)),
            (self.caps.day, self.spent(since=day)),
            (self.caps.month, self.spent(since=day.replace(day=1))),
        )
        return (
            (self.circuit is None or self.circuit.is_due(now))
            and all(cap is None or spent + rows <= cap for cap, spent in caps)
            and (self.bucket.not_before is None or self.bucket.not_before <= now)
            and self.slots() < self.max_in_flight
            and rows <= self.bucket.level(now)
        )

    def errors_in_a_row(self) -> int:
        """Batches with an error since the last that completed, but for those whose errors are explained."""
        ends = [t.finished for _, t in self.tries() if t.state is Attempt.COMPLETED and t.finished is not None]
        since = max(ends, default=LONG_AGO)
        return len(
            {
                batch.key
                for batch, t in self.tries()
                if t.state is Attempt.ERRORED
                and t.finished is not None
                and t.finished > since
                and batch.state not in {State.SPLIT, State.QUARANTINED}
            }
        )

    def close(self, *kinds: str) -> None:
        if self.circuit is not None and self.circuit.kind in kinds:
            self.circuit = None

    def open(self, kind: str, probe_after: datetime) -> None:
        if self.circuit is None:
            self.circuit = Circuit(kind, probe_after)
        elif self.circuit.kind != "restored":
            self.circuit.kind, self.circuit.probe_after = kind, probe_after
