"""Each rule, and each assumption of the promise, is needed: without it the model finds the shortest way to a breach."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from explore import NO_WAY_OUT, explore
from model_parts import CHARGED_TWICE, UNEXPLAINED, WRONG_LANDING, Rules, World

from pipeline.ledger.states import State

ONE, THEIRS, TWO = World(), World(theirs=1), World(ours=2, faults=1, processes=1)


@dataclass(frozen=True)
class Weakening:
    rules: Rules
    world: World
    breaks: str
    length: int
    turning: str
    """The step of the trace in which it goes wrong."""
    only: bool = field(default=False)
    """Whether a breach of another property comes earlier, and is passed over."""


LEASE = Rules(lock="lease")
TOTAL = Rules(adoption="total")

WEAKENINGS = {
    # -- assumptions: the world
    "a request that arrives beyond the grace": Weakening(
        Rules(), World(late=3, lag=0, faults=1), CHARGED_TWICE, 15, "process 1: proves absent A"
    ),
    "a list that lags beyond the grace": Weakening(
        Rules(), World(late=0, lag=3, faults=1), CHARGED_TWICE, 15, "process 1: proves absent A"
    ),
    "each within the grace, their sum beyond it": Weakening(
        Rules(), World(late=2, lag=1, faults=1), CHARGED_TWICE, 15, "process 1: proves absent A"
    ),
    # -- sending
    "the last byte is not held back": Weakening(
        Rules(holds_back_last_byte=False), ONE, CHARGED_TWICE, 7, "process 1: is killed while it sends A"
    ),
    "a lease instead of a lock": Weakening(LEASE, ONE, CHARGED_TWICE, 16, "process 2: tidies up after dead senders"),
    "a time-out taken for not sent": Weakening(
        Rules(unknown_fate=State.PLANNED), ONE, CHARGED_TWICE, 9, "process 1: gives up waiting for the answer to A"
    ),
    "nobody tidies up after dead senders": Weakening(
        Rules(tidies_up=False), ONE, NO_WAY_OUT, 2, "process 1: is killed while it sends A"
    ),
    # -- absence
    "the grace counted from the intent": Weakening(
        Rules(grace_from="intent"), ONE, CHARGED_TWICE, 15, "process 1: proves absent A"
    ),
    "absence tested when the answer is used": Weakening(
        Rules(absence_at="use"), ONE, CHARGED_TWICE, 16, "process 1: walks the list"
    ),
    "the list walked before the intents are read": Weakening(
        Rules(walk="full, before the intents"), ONE, CHARGED_TWICE, 16, "process 1: walks the list"
    ),
    "a walk that ends after its first page": Weakening(
        Rules(walk="first page"), ONE, CHARGED_TWICE, 16, "process 1: walks the first page of the list"
    ),
    "a window that begins late": Weakening(
        Rules(window="begun late"), ONE, CHARGED_TWICE, 16, "process 1: walks the list"
    ),
    "one in error is taken for ours, at once": Weakening(
        Rules(error_is="ours"), THEIRS, CHARGED_TWICE, 14, "process 1: finds one in error that may be A"
    ),
    # -- adoption
    "adopting by total, theirs completes": Weakening(
        TOTAL, THEIRS, WRONG_LANDING, 11, "process 1: adopts by its total A"
    ),
    "adopting by total, theirs ends in error": Weakening(
        TOTAL, THEIRS, CHARGED_TWICE, 16, "process 1: adopts by its total A", only=True
    ),
    "adopting by total, two of ours": Weakening(TOTAL, TWO, WRONG_LANDING, 15, "process 1: adopts by its total A"),
    "adopting by total, two of ours, one in error": Weakening(
        TOTAL, TWO, CHARGED_TWICE, 22, "process 1: adopts by its total B", only=True
    ),
    "adopting by total, waiting where there are several": Weakening(
        TOTAL, World(ours=2, faults=0, processes=1), NO_WAY_OUT, 12, "API: lists B", only=True
    ),
    # -- two recoverers, two of ours
    "a recoverer's write that does not name the attempt": Weakening(
        Rules(writes_name_attempt=False), ONE, CHARGED_TWICE, 22, "process 2: proves absent A"
    ),
    "what another process is sending is disowned": Weakening(
        Rules(foreign_if="no ids of the intents"), World(ours=2, faults=1), CHARGED_TWICE, 23,
        "process 2: disowns by its ids A",
    ),
    "one in error is disowned": Weakening(
        Rules(errored_is_disowned=True), World(ours=2, faults=2, processes=1), UNEXPLAINED, 24,
        "process 1: finds one in error that may be A",
    ),
}  # fmt: skip


@pytest.mark.parametrize("weak", WEAKENINGS.values(), ids=list(WEAKENINGS))
def test_is_needed(weak):
    found = explore(weak.rules, weak.world, only=weak.breaks if weak.only else None)
    told = "\n".join(found.trace)
    assert found.broken == weak.breaks, told
    assert len(found.trace) == weak.length, told
    assert weak.turning in found.trace, told
    assert found.trace[0] in {"process 1: reserves A", "process 1: reserves B"}


@pytest.mark.whole
def test_with_the_rule_the_same_world_is_safe():
    """Where the world is within the promise; or the weakenings would show nothing."""
    safe = {weak.world for weak in WEAKENINGS.values() if weak.world.late + weak.world.lag <= Rules().grace}
    assert len(safe) == 6
    assert {explore(world=world).broken for world in safe} == {""}


def test_a_trace_reads_as_a_story():
    found = explore(Rules(holds_back_last_byte=False))
    assert found.trace == [
        "process 1: reserves A",
        "process 1: hands over the last byte of A",
        "process 1: is killed while it sends A",
        "process 1: reserves A",
        "process 1: hands over the last byte of A",
        "API: accepts A",
        "API: accepts A",
    ]


def test_a_lease_fails_however_long_it_is_for_a_pause_is_longer():
    assert explore(Rules(lock="lease", lease=3)).broken == CHARGED_TWICE
