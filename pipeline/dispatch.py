"""What the sensors ask for, decided by pure functions: which batches next, and in how many runs.

Knows no Dagster: partition keys are strings in partition order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

MAX_KEYS_PER_RUN = 250

_FIRST_REST = 10.0
_LONGEST_REST = 900.0


def is_time(cursor: str | None, now: float, seconds: float) -> bool:
    """Whether `seconds` have passed since the moment in a sensor's cursor (as `time.time`), or it cannot be meant.

    A clock that was a day ahead at the last look kept the poll away for a day; a person can write anything there.
    """
    try:
        passed = now - float(cursor or 0)
    except ValueError:
        return True
    return not 0 <= passed < seconds


def inbox_rests(newest: float, failed: int, began: float, ended: float, now: float) -> bool:
    """Whether the inbox's runs failed and nothing new came since (`newest`: the newest file's), so that another waits.

    A file that cannot be read or moved, for want of a right say, stays where it is: each five seconds a run failed at
    it, thousands a day. Each failure doubles the wait, up to a quarter of an hour. Times as `time.time`.
    """
    if failed == 0 or newest > began:
        return False
    return 0 <= now - ended < min(_LONGEST_REST, _FIRST_REST * (1 << (failed - 1)))


def cost_as_probe(batch: Any) -> int:
    """Which batch tries first whether an open circuit can be closed: small ones, and not the same one for ever.

    Each failed attempt counts as four times the size, so that one item that is itself at fault gives way to others.
    """
    return int(batch.rows * 4**batch.attempts)


def affordable(planned: Iterable[tuple[str, int]], *, slots: int, level: float) -> list[str]:
    """The first planned batches, (key, rows) in order, for which slots and credits (`level`) are there.

    Stops at the first that does not fit, so that a big batch is not overtaken for ever by small ones.
    """
    chosen: list[str] = []
    for key, rows in planned:
        if len(chosen) >= slots or rows > level:
            break
        chosen.append(key)
        level -= rows
    return chosen


def ranges(ready: Iterable[str], partitions: Sequence[str], *, limit: int = MAX_KEYS_PER_RUN) -> list[list[str]]:
    """The ready keys as contiguous ranges of `partitions`, each of at most `limit` keys: a run each.

    There is no run over a set with gaps. Keys that are no partition are left out.
    """
    wanted = set(ready)
    found: list[list[str]] = []
    previous = -2
    for index, key in enumerate(partitions):
        if key not in wanted:
            continue
        if index == previous + 1 and len(found[-1]) < limit:
            found[-1].append(key)
        else:
            found.append([key])
        previous = index
    return found


def keys_of(spans: Iterable[tuple[str, str]], partitions: Sequence[str]) -> set[str]:
    """The keys of ranges, (first, last) each. A range of which an end is no partition any more has none."""
    at = {key: index for index, key in enumerate(partitions)}
    return {
        key
        for first, last in spans
        if first in at and last in at
        for key in partitions[at[first] : at[last] + 1]
    }  # fmt: skip
