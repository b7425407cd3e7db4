"""Throttle and back-off, on a clock of their own: waits are added up, not slept."""

from __future__ import annotations

import pytest

from pipeline.api import limits
from pipeline.api.limits import RATES, Backoff, Throttle


class Clock:
    """Stands in for `time` in `limits`: sleeping moves it on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(limits, "time", made)
    return made


@pytest.mark.parametrize("group", RATES)
@pytest.mark.parametrize("time_scale", [1, 50])
def test_never_over_the_share_in_any_second(clock: Clock, group: str, time_scale: float) -> None:
    throttle = Throttle(share=0.5, time_scale=time_scale)
    moments = []
    for _ in range(200):
        throttle.wait(group)
        moments.append(clock.now)
    rate = RATES[group] * 0.5 * time_scale
    second = 1 / time_scale
    for start in moments:
        assert sum(start <= moment < start + second for moment in moments) <= RATES[group] * 0.5 * 1.2 + 1
    assert (moments[-1] - moments[0]) == pytest.approx(200 / rate, rel=0.2)


def test_groups_do_not_wait_for_each_other(clock: Clock) -> None:
    throttle = Throttle(share=0.5, time_scale=1)
    assert throttle.wait("results") == 0
    assert throttle.wait("results") > 0
    assert throttle.wait("batches") == 0
    assert clock.now > 1_000


def test_a_pause_does_not_save_up_more_than_the_burst(clock: Clock) -> None:
    throttle = Throttle(share=0.5, time_scale=1)
    throttle.wait("create_holder")
    clock.now += 3_600
    free = sum(throttle.wait("create_holder") < 1e-6 for _ in range(50))
    assert free == 10


def test_back_off_grows_within_its_bounds() -> None:
    backoff = Backoff(base=0.5, cap=20)
    for attempt, most in enumerate([0.5, 1, 2, 4, 8, 16, 20, 20]):
        waits = [backoff.delay(attempt, None) for _ in range(300)]
        assert 0 <= min(waits) < most / 4
        assert most * 0.75 < max(waits) <= most


def test_retry_after_is_never_undercut() -> None:
    assert all(30 <= Backoff(base=0.5).delay(0, 30) <= 30.5 for _ in range(100))


def test_waits_run_on_the_scaled_clock(clock: Clock) -> None:
    Backoff(time_scale=10).sleep(5)
    assert clock.now == pytest.approx(1_000.5)
