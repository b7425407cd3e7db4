"""Which batch each accepted row is in, by the archived plans: the last one that it went on to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import polars as pl

from pipeline.errors import IntegrityError
from pipeline.flow.plan_files import PlanDocument
from pipeline.flow.rebuild.known import Known
from pipeline.flow.rebuild.store import Store
from pipeline.flow.workspace import Workspace
from pipeline.lake import archive, tables
from pipeline.ledger.states import State


def place_rows(ws: Workspace, store: Store, known: Known, recounted: Sequence[str]) -> None:
    """Put every row into its batch. `recounted`: names of the source files that give other rows now.

    Raises IntegrityError, with the name of the file, when a plan is missing or damaged, when it and the ledger disagree
    on the number of rows, or when the source files do not have its rows.
    """
    for number, batch in enumerate(known.batches):
        if batch.state == State.SPLIT:  # its rows are all in its children
            continue
        plan = _read_plan(ws, known, batch.batch_key)
        children = known.children.get(batch.batch_key, ())
        gone = {i for child in children for i in _read_plan(ws, known, child).ids}
        rows = store.add_places(number, plan.ids, gone, plan.failed_tries, plan.error_history)
        if rows != batch.rows - batch.rows_moved:
            raise IntegrityError(
                f"batch {batch.batch_key}: by its archived plan {known.plans[batch.batch_key]} and those of its"
                f" children it has {rows} rows, where the ledger says {batch.rows - batch.rows_moved}"
            )
    _check(store, known, recounted)


def planned(store: Store, known: Known) -> Iterator[tuple[Any, pl.DataFrame]]:
    """Each batch but the split ones, with its rows in order, in the columns of `tables.PLAN`."""
    for batch, rows in zip(known.batches, store.planned(len(known.batches)), strict=True):
        if batch.state != State.SPLIT:
            yield batch, rows.with_columns(batch_key=pl.lit(batch.batch_key)).select(tables.PLAN.names)


def _read_plan(ws: Workspace, known: Known, key: str) -> PlanDocument:
    path = known.plans.get(key)
    if path is None:
        raise IntegrityError(f"batch {key}: the archive has no plan of it")
    with archive.open_archive(ws.archive, path) as stream:
        content = stream.read()
    try:
        return msgspec.json.decode(content, type=PlanDocument)
    except msgspec.DecodeError as error:
        raise IntegrityError(f"batch {key}: its archived plan {path} cannot be read: {error}") from error


def _check(store: Store, known: Known, recounted: Sequence[str]) -> None:
    for transaction_id, numbers in store.placed_twice():
        keys = ", ".join(known.batches[number].batch_key for number in sorted(numbers))
        raise IntegrityError(f"transaction {transaction_id} is in the archived plans of several batches: {keys}")
    for number, count, ids in store.unknown():
        key = known.batches[number].batch_key
        where = f" ({', '.join(recounted)} give other rows now than when they were ingested)" if recounted else ""
        raise IntegrityError(
            f"batch {key}: {count} of the rows in its archived plan {known.plans[key]} are not accepted from the source"
            f" files any more{where}, such as {', '.join(ids)}",
            hint="Rows that are in a batch cannot be dropped: read these files as this version's predecessor did.",
        )
