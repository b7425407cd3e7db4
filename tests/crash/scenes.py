"""What the API does in a play, and which bank file is read: sound, and with each kind of trouble that has crash points.

Rules go by ids, not by the number of a call: a process that dies must not move the trouble to another batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

POST = "POST /v3/batches"
RESULTS = "GET /v3/batches/{id}/results"

TIME_SCALE = 600
"""A batch (15 s) takes 25 ms."""


@dataclass(frozen=True, slots=True)
class Scene:
    """`reasons`: those that a charge beyond an item's first may have. `states`: rows that are not enriched at the end.

    The file has holder-0, 1 and 2 in turn, and batches are cut by holder: tx-0, tx-1 and tx-2 begin one each.
    """

    name: str
    rules: tuple[dict[str, Any], ...] = ()
    rows: int = 12
    batch: int = 4
    settings: dict[str, str] = field(default_factory=dict)
    reasons: frozenset[str] = frozenset()
    states: dict[str, int] = field(default_factory=dict)
    absent: int = 0
    """Attempts that are let go and never arrive."""

    @property
    def environment(self) -> dict[str, str]:
        """Settings of every process, but for the address of the API."""
        return {
            "ENRICH_TIME_SCALE": str(TIME_SCALE),
            "ENRICH_DATA_DIR": "data",
            "ENRICH_BATCH_SIZE": str(self.batch),
            # A second. On loopback nothing is late, and the sandbox lists a batch from its commit on.
            "ENRICH_GRACE": "600",
            # A run that was asked for by a process that died then is asked for again after this time, which is real.
            "ENRICH_DISPATCH_SECONDS": "0.3",
            **self.settings,
        }


PLAIN = Scene("plain", rows=60, batch=20)
LOST = Scene(
    "lost",
    (
        {"call": POST, "ids": ["tx-0"], "nth": [1], "do": "drop", "when": "after"},
        {"call": POST, "ids": ["tx-1"], "nth": [1], "do": "drop", "when": "before"},
    ),
    absent=1,
)
GONE = Scene(
    "gone",
    (
        {"call": POST, "ids": ["tx-2"], "nth": [1], "do": "drop", "when": "after"},
        {"call": POST, "ids": ["tx-2"], "to": 1, "do": "batch_error"},
    ),
    reasons=frozenset({"batch_error"}),
)
ERRORS = Scene(
    "errors",
    ({"call": POST, "ids": ["tx-1"], "do": "batch_error"},),
    rows=6,
    batch=2,
    settings={"ENRICH_MAX_ATTEMPTS": "2", "ENRICH_PROBE_BUDGET": "20"},
    reasons=frozenset({"batch_error", "split"}),
    states={"quarantined": 1},
)
ITEMS = Scene(
    "items",
    (
        {"call": POST, "ids": ["tx-3"], "to": 1, "do": "item_error"},
        {"call": RESULTS, "do": "missing_items", "ids": ["tx-4"]},
    ),
    reasons=frozenset({"item_error"}),
)
REFUSED = Scene(
    "refused",
    (
        {"call": POST, "ids": ["tx-0"], "nth": [1], "do": "status", "status": 429},
        {"call": POST, "ids": ["tx-4"], "do": "item_invalid"},
        {"call": POST, "ids": ["tx-2"], "nth": [1], "do": "status", "status": 413},
    ),
    states={"quarantined": 1},
)
SCENES = {scene.name: scene for scene in (PLAIN, LOST, GONE, ERRORS, ITEMS, REFUSED)}
