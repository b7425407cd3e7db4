"""Refusals in the log: the first of a kind at once, then one line a minute with how many there were.

Anybody can send to an open port: a line for each would let a stranger fill the disk.
"""

from __future__ import annotations

import logging
import time
from collections import Counter

EVERY_SECONDS = 60.0
MOST_KINDS = 50
"""Kinds that are told apart: a malformed delivery's place is the sender's choice."""


class Tally:
    """Counts refusals by status and reason. For one thread."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._since: Counter[tuple[int, str]] = Counter()
        self._said: dict[tuple[int, str], float] = {}

    def count(self, status: int, why: str) -> None:
        """Note one, and say so when it is time."""
        kind = (status, why)
        if kind not in self._said and len(self._said) >= MOST_KINDS:
            kind = (status, "other reasons")
        self._since[kind] += 1
        if time.monotonic() - self._said.get(kind, float("-inf")) >= EVERY_SECONDS:
            self._say(kind)

    def flush(self) -> None:
        """Say what was counted and not said yet."""
        for kind in list(self._since):
            self._say(kind)

    def _say(self, kind: tuple[int, str]) -> None:
        status, why = kind
        self._log.warning("answered %d: %s (%d since the last such line)", status, why, self._since.pop(kind))
        self._said[kind] = time.monotonic()
