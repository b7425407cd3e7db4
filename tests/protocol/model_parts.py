"""What the model of the protocol consists of: its rules, the bounds of its world, and the state of everything.

Here are data and how one thing is put in its place. What can happen is in `model`, the search in `explore`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pipeline.ledger.states import State

NAMES = "AB"
THEIRS = -1
"""Our batches are 0 and 1, and so named in traces; somebody else's on the same account is this."""

NETWORK, PROCESSING, DONE, ERROR = "in the network", "processing", "done", "in error"
ACCEPTED = frozenset({PROCESSING, DONE, ERROR})

IDLE, RESERVED, RELEASED, WAITING = "idle", "reserved", "released", "waiting"
BEGUN, READING, DECIDING = "begun", "reading", "deciding"
SENDING_STEPS = frozenset({RESERVED, RELEASED, WAITING})

ATTEMPT, FOREIGN = "attempt", "foreign"

CHARGED_TWICE = "charged twice"
UNEXPLAINED = "charged again without its reason"
WRONG_LANDING = "landed another's results"


@dataclass(frozen=True, slots=True)
class Rules:
    """The protocol. The defaults are the design's rules; every other value is a weakening that is shown to fail."""

    lock: str = "until death"  # or "lease": anybody's after `lease` ticks without a step of its holder
    lease: int = 1
    holds_back_last_byte: bool = True
    tidies_up: bool = True  # else nobody looks after what a dead sender left
    unknown_fate: State = State.UNCONFIRMED  # or PLANNED: a time-out taken for "not sent"
    grace: int = 2  # ticks
    grace_from: str = "fence"  # or "intent"
    absence_at: str = "walk's start"  # or "use" of its answer
    walk: str = "full, after the intents"  # or "full, before the intents", or "first page"
    window: str = "begun early"  # or "begun late": what was accepted before the fence is no candidate
    adoption: str = "ids"  # or "total"
    error_is: str = "gone"  # or "ours": sent again at once
    writes_name_attempt: bool = True  # else a recoverer's write is guarded by the batch's state alone
    foreign_if: str = "no ids of ours"  # or "no ids of the intents": disowns what another process is sending
    errored_is_disowned: bool = False  # else one in error that may have been ours stays a candidate for the others


@dataclass(frozen=True, slots=True)
class World:
    """Bounds of the exploration. The promise asks for late + lag <= grace.

    `faults`: how often something may go wrong on one path: a sender killed, a request lost or refused, an error batch.
    """

    ours: int = 1
    theirs: int = 0
    processes: int = 2
    faults: int = 2
    late: int = 1
    lag: int = 1
    slots: int = 2


Key = tuple[int, int]
"""Batch and attempt of a request: its id in the model. The processes see it as the API's id, which tells neither."""


class Own(NamedTuple):
    """A batch of ours in the ledger. `clock`: ticks that the grace is counted in; `sent`: its batch at the API."""

    state: State = State.PLANNED
    attempt: int = 0
    after_error: bool = False
    clock: int = 0
    sent: Key | None = None


class Sent(NamedTuple):
    """A request whose last byte is out, and the batch that it becomes. A lost one is simply not there any more.

    `after_error`: its charge is recorded with the reason batch_error. `age`: ticks in the network, or accepted and not
    listed. `book`: what the ledger has it for, if anything.
    """

    of: int
    attempt: int
    after_error: bool = False
    place: str = NETWORK
    listed: bool = False
    age: int = 0
    book: str | None = None
    before_fence: bool = False

    @property
    def key(self) -> Key:
        return self.of, self.attempt

    @property
    def ages(self) -> bool:
        """Whether the world must do something with it in a bounded time."""
        return self.place == NETWORK or not self.listed


class Intent(NamedTuple):
    """What a recoverer has read of an unconfirmed batch. `over`: its walk began more than the grace after the fence."""

    batch: int
    attempt: int
    over: bool


class Process(NamedTuple):
    """A process. `stale`: ticks since its last step, counted for a lease. `seen`: candidates, as they were listed."""

    at: str = IDLE
    batch: int = -1
    attempt: int = 0
    stale: int = 0
    intents: tuple[Intent, ...] = ()
    seen: tuple[tuple[Key, str], ...] = ()


class All(NamedTuple):
    """Everything there is. `broken` names the property that the last step broke."""

    own: tuple[Own, ...]
    sent: tuple[Sent, ...]
    processes: tuple[Process, ...]
    faults: int
    theirs: int
    broken: str = ""

    def find(self, key: Key | None) -> Sent | None:
        return next((sent for sent in self.sent if sent.key == key), None)

    def with_own(self, k: int, own: Own) -> All:
        return self._replace(own=(*self.own[:k], own, *self.own[k + 1 :]))

    def with_process(self, i: int, process: Process) -> All:
        return self._replace(processes=(*self.processes[:i], process, *self.processes[i + 1 :]))

    def with_sent(self, sent: Sent) -> All:
        """A new request, or what became of one. Sorted: in which order they were sent matters to nobody."""
        return self._replace(sent=tuple(sorted([*(v for v in self.sent if v.key != sent.key), sent], key=_order)))

    def without(self, key: Key) -> All:
        return self._replace(sent=tuple(v for v in self.sent if v.key != key))

    def booked(self, key: Key, book: str) -> All:
        """The ledger knows an id; what is foreign, or was, is of no further interest."""
        sent = self.find(key)
        if sent is None or sent.book is not None:
            return self
        if sent.of == THEIRS and book == FOREIGN:
            return self.without(key)
        return self.with_sent(sent._replace(book=book, listed=True, age=0))

    def fault(self) -> All:
        return self._replace(faults=self.faults - 1)


def _order(sent: Sent) -> Key:
    return sent.key


class Step(NamedTuple):
    """Who did what, and to which batch."""

    who: str
    what: str
    batch: int | None = None

    def __str__(self) -> str:
        if self.batch is None:
            return f"{self.who}: {self.what}"
        return f"{self.who}: {self.what} {'theirs' if self.batch == THEIRS else NAMES[self.batch]}"


def start(world: World) -> All:
    return All((Own(),) * world.ours, (), (Process(),) * world.processes, world.faults, world.theirs)
