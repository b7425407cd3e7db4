"""The real ledger on a SQLite file, its model, and the processes that work on both.

Belongs here: what every operation needs (clock, owners, claims, files, the dump). The operations are in `ledger_sends`,
`ledger_ends` and `ledger_people`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ledger_model import Batch, Bucket, Caps, Model
from sqlalchemy import event, select

from pipeline import process
from pipeline.errors import EnrichError
from pipeline.ledger import batches, manifest, schema
from pipeline.ledger.batches import NewBatch
from pipeline.ledger.claims import Claim
from pipeline.ledger.credits import BucketSize
from pipeline.ledger.db import Ledger
from pipeline.ledger.manifest import NewFile
from pipeline.ledger.sending import Intent, Limits
from pipeline.ledger.states import State

START = datetime(2026, 1, 30, 23, 0)
PROBE_SECONDS = 60
_COMPILED: dict[Any, Any] = {}
"""Compiled statements of all ledgers: each has its own otherwise, and compiling took a fifth of the time."""

CLAIM_SECONDS = 60


@dataclass
class Owner:
    """One process. Of one on another host nobody can prove that it is dead."""

    tag: str
    process: subprocess.Popen[bytes] | None
    lives: bool = True

    @property
    def is_provably_dead(self) -> bool:
        return not self.lives and self.process is not None

    def die(self) -> None:
        self.lives = False
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Op:
    """One thing that somebody may try: to what, when it is allowed, and how it is refused.

    `candidates` are tuples that begin with a batch key, where it concerns one. `act` does it to ledger and model.
    `refuse` tries what is not allowed: it must raise one of `errors`, or give back nothing.
    """

    name: str
    candidates: Callable[[World], Iterable[tuple[Any, ...]]]
    allowed: Callable[..., bool]
    act: Callable[..., Any]
    refuse: Callable[..., Any] | None = None
    errors: tuple[type[Exception], ...] = (EnrichError,)


@dataclass
class World:
    """Ledger, model, clock, processes."""

    ledger: Ledger
    model: Model
    limits: Limits
    now: datetime = START
    owners: list[Owner] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    flights: list[Intent] = field(default_factory=list)
    """Released and not answered: the answer may come at any time while the process lives."""
    written: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Every file that was ever written, to its items."""
    batch_of: dict[str, str | None] = field(default_factory=dict)
    """The same, to its batch."""
    looks: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    """What planners have seen: revision and files of waiting rows."""
    items: int = 0
    allowed_attempts: int = 2
    outage_after: int = 2
    may_overfill: bool = False
    """The latest step was a person's, or took in a batch that turned up: the API has it, with or without a place."""

    @property
    def batches(self) -> dict[str, Batch]:
        return self.model.batches

    def living(self) -> list[Owner]:
        return [owner for owner in self.owners if owner.lives]

    def acts(self, tag: str) -> bool:
        return any(owner.tag == tag for owner in self.living())

    def my_claims(self) -> list[tuple[str, Claim]]:
        """Claims ever handed out, lost ones too, of processes that live."""
        return [(claim.batch_key, claim) for claim in self.claims if self.acts(claim.owner)]

    def holds(self, claim: Claim, *states: State) -> bool:
        batch = self.batches[claim.batch_key]
        return (batch.owner, batch.fence) == (claim.owner, claim.fence) and batch.state in states

    def is_free(self, batch: Batch) -> bool:
        if batch.owner is None or batch.expires is None or batch.expires <= self.now:
            return True
        return any(owner.tag == batch.owner and owner.is_provably_dead for owner in self.owners)

    def start_owner(self) -> None:
        """A process of this host, or for every third one of another."""
        n = len(self.owners)
        if n % 3 == 2:
            self.owners.append(Owner(f"other-host/boot/{n}/1#{n}", None))
            return
        child = subprocess.Popen(["sleep", "600"])
        tag = process.ProcessTag(process._host(), process._boot_id(), child.pid, process._start_time(child.pid) or "0")
        self.owners.append(Owner(f"{tag}#{n}", child))

    def write_file(
        self, kind: str, items: Sequence[int], key: str | None = None, version: int | None = None
    ) -> NewFile:
        path = f"{kind}/{len(self.written)}.parquet"
        self.written[path], self.batch_of[path] = tuple(items), key
        return NewFile(kind, path, len(items), 100, "0" * 64, batch_key=key, version=version)

    def live_path(self, key: str) -> list[str]:
        """Paths of the live files of a batch, as the manifest has them."""
        with self.ledger.read() as conn:
            return [row.path for row in manifest.live(conn, batch_key=key)]

    def cut(
        self, parent: Batch | None, parts: Sequence[Sequence[int]], reason: str, states: Sequence[State] = ()
    ) -> tuple[list[NewBatch], list[NewFile]]:
        """New batches of these items and their plan files; `born` takes them into the model."""
        with self.ledger.read() as conn:
            seq = batches.next_plan_seq(conn)
        new, files = [], []
        for n, part in enumerate(parts, start=seq):
            key = f"{n:08d}-{len(self.written):08x}"
            files.append(self.write_file("plan", part, key))
            state = states[n - seq] if states else State.PLANNED
            new.append(
                NewBatch(
                    key, n, f"hash-{key}", len(part), str(part[0]), str(part[-1]), self.allowed_attempts,
                    generation=parent.generation + 1 if parent else 0, parent_key=parent.key if parent else None,
                    root_key=parent.root if parent else None, state=state, next_reason=reason, document=f"plan-{key}",
                )
            )  # fmt: skip
        return new, files

    def born(self, new: Sequence[NewBatch], files: Sequence[NewFile], removed: Iterable[str]) -> None:
        """Take a commit of the manifest into the model."""
        for b, file in zip(new, files, strict=True):
            self.batches[b.batch_key] = Batch(
                b.batch_key, self.written[file.path], b.attempts_allowed, b.next_reason, b.state, b.generation,
                b.parent_key, b.root_key or b.batch_key,
            )  # fmt: skip
        for path in removed:
            self.model.live.pop(path)
        self.add_live(files)

    def add_live(self, files: Iterable[NewFile]) -> None:
        self.model.live |= {file.path: self.written[file.path] for file in files}

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table."""
        with self.ledger.read() as conn:
            return {t.name: sorted(map(tuple, conn.execute(select(t))), key=repr) for t in schema.ALL_TABLES}

    def later(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)

    def close(self) -> None:
        """End every process and connection."""
        for owner in self.owners:
            owner.die()
        self.ledger.close()


def open_world(url: str, *, capacity: int, max_in_flight: int, caps: Caps, allowed: int) -> World:
    """A world over a ledger that has been created at `url`."""
    ledger = Ledger(url)
    if ledger.one_host:
        # The file is real, the disk's patience is not what is tested: 2,000 commits of a run with fsync took a minute.
        event.listen(ledger.engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA synchronous = OFF"))
    ledger.engine = ledger.engine.execution_options(compiled_cache=_COMPILED)
    limits = Limits(BucketSize(capacity, 1), max_in_flight, PROBE_SECONDS, caps.run, caps.day, caps.month)
    model = Model(Bucket(capacity, START, capacity), max_in_flight, caps)
    world = World(ledger, model, limits, allowed_attempts=allowed)
    ledger.clock = lambda: world.now
    for _ in range(2):
        world.start_owner()
    return world
