"""The partition per batch, and how events are logged for it. Edge: may import Dagster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
from sqlalchemy.exc import IntegrityError

from pipeline.flow.progress import progress
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches as ledger_batches
from pipeline.ledger.db import chunks

BATCHES = "batches"
_TRIES = 5
batches = dg.DynamicPartitionsDefinition(name=BATCHES)

LANDED_ASSETS = ("batch_results", "transactions", "intermediaries")
"""Assets of which a landed batch is a partition, in one step."""


def ensure_partitions(instance: dg.DagsterInstance, keys: Iterable[str]) -> list[str]:
    """Add the keys that are no partition yet, in bulk (1,000 keys take 20 ms), and return them.

    A run and a sensor may add the same ones at once: Dagster looks first and then inserts.
    """
    wanted = list(dict.fromkeys(keys))
    existing = set(instance.get_dynamic_partitions(BATCHES)) if wanted else set()
    new = [key for key in wanted if key not in existing]
    for some in chunks(new):
        for again in range(_TRIES):
            try:
                instance.add_dynamic_partitions(BATCHES, some)
            except IntegrityError:
                if again + 1 == _TRIES:
                    raise
            else:
                break
    return new


def materialization(asset: str, key: str, metadata: Mapping[str, Any]) -> dg.AssetMaterialization:
    """The event that a batch's partition of an asset is there."""
    return dg.AssetMaterialization(asset, partition=key, metadata=metadata)


def landed_events(key: str, metadata: Mapping[str, Any]) -> Sequence[dg.AssetMaterialization]:
    """The events of one landed batch."""
    return [materialization(asset, key, metadata) for asset in LANDED_ASSETS]


def submission_metadata(row: Any) -> dict[str, Any]:
    """Figures of a batch that the API has taken, from its row in the ledger."""
    return {
        "rows": row.rows, "credits": row.rows, "attempt": row.attempts, "vendor_batch_id": row.vendor_batch_id,
        "reason": row.next_reason, "generation": row.generation,
        **({"parent": row.parent_key} if row.parent_key else {}),
    }  # fmt: skip


def progress_metadata(ws: Workspace, row: Any) -> dict[str, Any]:
    """How far an open batch is: items, items a second since it was accepted, seconds that the rest will take."""
    going = progress(row, ws.ledger.now())
    return {
        "items_done": going.done, "items": row.rows,
        **({} if going.rate is None else {"items_per_second": round(going.rate, 1)}),
        **({} if going.seconds_left is None else {"seconds_left": round(going.seconds_left)}),
    }  # fmt: skip


def settled_metadata(ws: Workspace, row: Any) -> dict[str, Any]:
    """Figures of a batch that has landed or was split, from the ledger: rows that stayed, and where the others went."""
    figures: dict[str, Any] = {"rows": row.rows - row.rows_moved, "version": row.landed_version or 0}
    if row.rows_moved:
        with ws.ledger.read() as conn:
            children = ledger_batches.children(conn, row.batch_key)
        figures["split_into" if row.landed_version is None else "items_sent_again_in"] = ", ".join(children)
    return figures
