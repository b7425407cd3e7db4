"""Breadth-first search over the model: every state within the bounds, and the shortest trace that breaks a property.

Safety is a step that breaks something (`All.broken`). "Never lost, never stuck" is that from every state there is a way
to the end, where all is landed and nobody has the lock. A slot that leaked would be in the way of the other batch.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from model import steps
from model_parts import IDLE, All, Rules, Step, World, start

from pipeline.ledger.states import State

NO_WAY_OUT = "no way to the end any more"


@dataclass(frozen=True, slots=True)
class Explored:
    """What was found: `broken` and the shortest `trace` that leads to it, or nothing and every state there is."""

    states: int
    steps: int
    broken: str = ""
    trace: list[str] = field(default_factory=list)
    moves: frozenset[tuple[State, State]] = frozenset()
    """Changes of a batch's state that were seen."""


@dataclass(slots=True)
class _Graph:
    """States by number, in the order in which they were found. `into`: from where each can be reached in one step."""

    number: dict[All, int] = field(default_factory=dict)
    parent: list[int] = field(default_factory=list)
    into: list[list[int]] = field(default_factory=list)
    steps: int = 0

    def add(self, s: All, parent: int) -> int:
        self.number[s] = len(self.parent)
        self.parent.append(parent)
        self.into.append([])
        return len(self.parent) - 1


@cache  # several tests ask for the same
def explore(rules: Rules | None = None, world: World | None = None, *, only: str | None = None) -> Explored:
    """Explore until a property is broken or there is nothing new. With `only`, no other property counts."""
    gc.disable()  # nothing here forms a cycle; looking for some takes a tenth of the time
    try:
        return _explore(rules or Rules(), world or World(), only)
    finally:
        gc.enable()


def _explore(rules: Rules, world: World, only: str | None) -> Explored:
    graph, moves = _Graph(), set()
    queue = deque([_canonical(start(world))])
    graph.add(queue[0], -1)
    while queue:
        s = queue.popleft()
        here = graph.number[s]
        for _, after in steps(s, rules, world):
            new = _canonical(after if only in {None, after.broken} else after._replace(broken=""))
            graph.steps += 1
            if new.own is not s.own:
                moves.update((a.state, b.state) for a, b in zip(s.own, new.own, strict=True) if a.state is not b.state)
            if (there := graph.number.get(new)) is None:
                there = graph.add(new, here)
                if new.broken:
                    return _explored(graph, new.broken, _trace(graph, there, rules, world), moves)
                queue.append(new)
            graph.into[there].append(here)
    stuck = _stuck(graph)
    return _explored(
        graph, *((NO_WAY_OUT, _trace(graph, stuck, rules, world)) if stuck is not None else ("", [])), moves
    )


def _explored(graph: _Graph, broken: str, trace: list[str], moves: set[tuple[State, State]]) -> Explored:
    return Explored(len(graph.parent), graph.steps, broken, trace, frozenset(moves))


def _canonical(s: All) -> All:
    """Two processes that swap their roles are the same state: which is which matters to nobody."""
    ordered = tuple(sorted(s.processes))
    return s if ordered == s.processes else s._replace(processes=ordered)


def is_end(s: All) -> bool:
    """All is landed (which takes no slot) and nobody is at anything."""
    return all(own.state is State.LANDED for own in s.own) and all(process.at == IDLE for process in s.processes)


def _stuck(graph: _Graph) -> int | None:
    """The state found first from which no end can be reached."""
    reaches = [False] * len(graph.parent)
    queue = deque(i for s, i in graph.number.items() if is_end(s))
    for i in queue:
        reaches[i] = True
    while queue:
        for i in graph.into[queue.popleft()]:
            if not reaches[i]:
                reaches[i] = True
                queue.append(i)
    return next((i for i, way in enumerate(reaches) if not way), None)


def _trace(graph: _Graph, there: int, rules: Rules, world: World) -> list[str]:
    """The steps to a state. Played again from the start, so that each process keeps its number."""
    path = [there]
    while graph.parent[path[-1]] >= 0:
        path.append(graph.parent[path[-1]])
    wanted = set(path)
    by_number = {i: s for s, i in graph.number.items() if i in wanted}
    s, lines = start(world), []
    for number in reversed(path[:-1]):
        step, s = next((step, new) for step, new in steps(s, rules, world) if _canonical(new) == by_number[number])
        lines.append(str(step))
    return lines


def replay(trace: Sequence[str], rules: Rules, world: World) -> Iterator[tuple[All, Step, All]]:
    """A trace's steps, each with the states around it."""
    s = start(world)
    for line in trace:
        (step, new) = next((step, new) for step, new in steps(s, rules, world) if str(step) == line)
        yield s, step, new
        s = new
