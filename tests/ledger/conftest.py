from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from pipeline.ledger import batches, claims
from pipeline.ledger.batches import NewBatch
from pipeline.ledger.credits import BucketSize
from pipeline.ledger.db import open_ledger
from pipeline.ledger.sending import Limits


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(new_ledger, clock):
    opened = open_ledger(new_ledger(), clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def limits():
    return Limits(BucketSize(capacity=100, per_second=1), max_in_flight=3, probe_seconds=60)


@pytest.fixture
def planned(ledger, clock):
    """Insert planned batches of 10 rows and return their keys."""

    def add(n=1, *, rows=10, attempts_allowed=3):
        with ledger.write() as conn:
            seq = batches.next_plan_seq(conn)
            new = [
                NewBatch(f"{seq + i:08d}-abcdef00", seq + i, f"hash-{seq + i}", rows, "first", "last", attempts_allowed)
                for i in range(n)
            ]
            batches.insert_batches(conn, new, now=clock.now)
        return [b.batch_key for b in new]

    return add


@pytest.fixture
def claim(ledger):
    def take(key, states, owner="other-host/boot/1/1#a"):
        return claims.claim_batches(ledger, [key], states, owner=owner, seconds=60)[key]

    return take
