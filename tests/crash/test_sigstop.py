"""A process that is paused for longer than its claims last, and then goes on as if nothing had happened.

Laptops are closed, containers frozen, virtual machines migrated. A lease would have run out by then; the sender's lock
has not, and a landing that comes too late finds its plan file gone.
"""

from __future__ import annotations

import os
import signal
import time

import pytest
from end_state import attempts_of, check_all, credits_level_of, tables_of
from places import BATCH, TIME_SCALE, Place, kill, wait_until

from pipeline.ledger.states import Attempt
from pipeline.sandbox.books import Books

CLAIM_SECONDS = 1.0
PAUSE = 2 * CLAIM_SECONDS

_STOPS = """
import signal, sys
signal.SIGKILL = signal.SIGSTOP
from pipeline.cli import app
app()
"""
"""`enrich` whose crash points stop the process where they would kill it."""


def start_stopping_at(place: Place, point: str, *files):
    """An `enrich run` that has stopped itself at this point, and whose claims have run out since."""
    options = ("--batch-size", str(BATCH), "--time-scale", str(TIME_SCALE), "--data-dir", "data")
    child = place.start(
        "python", "-c", _STOPS, "run", *(file.name for file in files), *options,
        ENRICH_CRASH_AT=point, ENRICH_CLAIM_SECONDS=str(CLAIM_SECONDS),
    )  # fmt: skip
    look = os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT
    wait_until(
        lambda: os.waitid(os.P_PID, child.pid, look) is not None, f"stopped at {point}", log=lambda: place.output(child)
    )
    seen = os.waitid(os.P_PID, child.pid, look)
    assert seen is not None
    assert (seen.si_code, seen.si_status) == (os.CLD_STOPPED, signal.SIGSTOP), place.output(child)
    time.sleep(PAUSE)
    return child


def start_beside(place: Place, *files):
    """A second `enrich run` that has read the file, and had two seconds to do what it should not."""
    child = place.start_run(*files, ENRICH_CLAIM_SECONDS=str(CLAIM_SECONDS))
    wait_until(lambda: "accepted" in place.output(child), "the file is read", log=lambda: place.output(child))
    time.sleep(2)
    assert child.poll() is None, place.output(child)
    return child


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("submit.after_reserve", marks=pytest.mark.whole),
        pytest.param("submit.after_release", marks=pytest.mark.whole),
        "submit.after_answer",
    ],
)
def test_a_paused_sender_goes_on(place, undisturbed, point):
    file = place.write("bank.csv", 0, 60, bad=2)
    paused = start_stopping_at(place, point, file)
    beside = start_beside(place, file)
    assert len(attempts_of(place)) == 1
    assert len(Books(place.settings.home / "sandbox-api").batches()) == (point == "submit.after_answer")
    paused.send_signal(signal.SIGCONT)
    for child in (paused, beside):
        done = place.wait(child)
        assert done.code == 0, done.output
    check_all(place)
    assert tables_of(place) == undisturbed
    assert {row.state for row in attempts_of(place)} == {Attempt.COMPLETED}
    # The pause is no request of a million credits: what it refilled beyond the rim was once taken off the bucket.
    assert credits_level_of(place) >= place.settings.credits_capacity - 60


def test_a_paused_sender_that_dies_is_followed_by_the_one_that_waits(place, undisturbed):
    file = place.write("bank.csv", 0, 60, bad=2)
    paused = start_stopping_at(place, "submit.after_reserve", file)
    beside = start_beside(place, file)
    kill(paused)
    done = place.wait(beside)
    assert done.code == 0, done.output
    check_all(place)
    assert tables_of(place) == undisturbed
    assert sorted(row.state for row in attempts_of(place)) == [*[Attempt.COMPLETED] * 3, Attempt.NOT_SENT]


def test_a_paused_landing_is_done_by_another_and_comes_too_late(place, undisturbed):
    file = place.write("bank.csv", 0, 60, bad=2)
    paused = start_stopping_at(place, "collect.after_write:2", file)
    beside = place.run(file)
    assert beside.code == 0, beside.output
    check_all(place, open_runs=1)
    paused.send_signal(signal.SIGCONT)
    done = place.wait(paused)
    assert done.code == 0, done.output
    check_all(place)
    assert tables_of(place) == undisturbed
