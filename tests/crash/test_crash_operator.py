"""What a person does, killed before and after its commit: it is done or not, and doing it again does no harm."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest
from end_state import batches_of, check_all, tables_of
from places import BATCH, TIME_SCALE, Place
from scenes import POST

from pipeline.ledger.states import State
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess

KILLED = -signal.SIGKILL
BEFORE, AFTER = "operator.before_commit", "operator.after_commit"
RULES = [{"call": POST, "ids": ["tx-3", "tx-4"], "to": 1, "do": "item_error"}]


@pytest.fixture
def sandbox(place) -> Iterator[SandboxProcess]:
    """An API that fails two items once, and outlives its clients."""
    plan = place.folder / "faults.json"
    plan.write_text(json.dumps({"rules": RULES}))
    with SandboxProcess(place.folder / "api", SandboxConfig(time_scale=TIME_SCALE, fault_plan=plan)) as process:
        yield process


@pytest.fixture
def settings(sandbox):
    """Each item is sent once: what fails waits for a person."""
    return {
        "ENRICH_BASE_URL": sandbox.url,
        "ENRICH_TIME_SCALE": str(TIME_SCALE),
        "ENRICH_DATA_DIR": "data",
        "ENRICH_BATCH_SIZE": str(BATCH),
        "ENRICH_ITEM_ATTEMPTS": "1",
    }


def operate(place: Place, settings, *words, at: str = ""):
    """A command of a person's, killed at a point or not."""
    done = place.wait(place.start("enrich", *words, **settings, **({"ENRICH_CRASH_AT": at} if at else {})))
    assert (done.code == KILLED) == bool(at), done.output
    assert "Traceback" not in done.output
    return done


def states(place):
    return {row.batch_key: row.state for row in batches_of(place)}


@pytest.mark.whole
def test_hold_and_release(place, settings):
    file = place.write("bank.csv", 0, 60, bad=2)
    assert place.run(file, ENRICH_CRASH_AT="submit.before_reserve", **settings).code == KILLED
    key = min(states(place))
    operate(place, settings, "hold", key, at=BEFORE)
    assert states(place)[key] == State.PLANNED
    operate(place, settings, "hold", key, at=AFTER)
    assert states(place)[key] == State.HELD
    operate(place, settings, "release", key, at=BEFORE)
    assert states(place)[key] == State.HELD
    operate(place, settings, "release", key, at=AFTER)
    assert states(place)[key] == State.PLANNED
    done = place.run(file, **settings)
    assert done.code == 0, done.output
    assert set(states(place).values()) == {State.LANDED}


def test_items_that_are_sent_again(place, settings, undisturbed):
    file = place.write("bank.csv", 0, 60, bad=2)
    done = place.run(file, **settings)
    assert done.code == 0, done.output
    failed = {row["batch_key"] for row in tables_of(place).transactions if row["state"] == "item_error"}
    assert len(failed) == 2
    one, other = sorted(failed)
    operate(place, settings, "retry", one, at=BEFORE)
    assert len(states(place)) == 3
    operate(place, settings, "retry", one, at=AFTER)
    assert len(states(place)) == 4
    # Whoever saw the command die gives it again: its items are on their way already, and are not sent twice.
    assert operate(place, settings, "retry", one).code == 1
    operate(place, settings, "retry", other, at="children.after_write")
    assert operate(place, settings, "retry", other).code == 0
    assert len(states(place)) == 5
    done = place.run(file, **settings)
    assert done.code == 0, done.output
    extra = check_all(place, books=place.folder / "api", reasons=frozenset({"operator"}))
    assert extra == {"operator": 2}
    plain = [{k: v for k, v in row.items() if k in {"transaction_id", "category"}} for row in undisturbed.transactions]
    assert [{k: v for k, v in row.items() if k in {"transaction_id", "category"}} for row in
            tables_of(place).transactions] == plain  # fmt: skip
