"""What must be true of a data folder when everything is done, however often its processes were killed.

Reads what is left on disk: the published warehouse, the ledger, the sandbox's books, the Dagster instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from places import Place
from sqlalchemy import select

from pipeline.instance import open_instance
from pipeline.lake.warehouse import query
from pipeline.ledger import holders, manifest, schema
from pipeline.ledger.db import Ledger
from pipeline.ledger.states import CHARGED_ATTEMPTS, Attempt, State
from pipeline.partitions import BATCHES, LANDED_ASSETS
from pipeline.sandbox.books import Books

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

_OWN_TO_A_RUN = {"ingested_at", "enriched_at", "version"}
"""Columns in which two runs over the same file may differ."""


@dataclass(frozen=True, slots=True)
class Tables:
    """What analysts see, without times and versions."""

    transactions: list[dict[str, Any]]
    intermediaries: list[dict[str, Any]]
    rejected: list[tuple[Any, ...]]
    items_hashes: list[str]


def tables_of(place: Place, *, plan: bool = True) -> Tables:
    """Read them. Without `plan`, what depends on how rows were cut into batches is left out."""
    home = place.settings.home
    drop = _OWN_TO_A_RUN | (set() if plan else {"batch_key", "position", "file_id", "source_file", "record_number"})
    # An intermediary's position is its place in the API's answer.
    drop_intermediaries = drop - {"position"}
    with _ledger(place) as ledger:
        hashes = sorted(row.items_hash for row in ledger.rows(select(schema.batches.c.items_hash)))
    return Tables(
        _rows(home, "transactions", "transaction_id", drop),
        _rows(home, "intermediaries", "transaction_id, position", drop_intermediaries),
        query(home, "SELECT source_file, record_number, reasons FROM rejected_rows ORDER BY ALL").rows,
        hashes if plan else [],
    )


def check_all(place: Place, *, books: Path | None = None, absent: int = 0, open_runs: int = 0) -> None:
    """Nothing stuck, nothing paid twice, nothing lost on the way to Dagster.

    `absent`: attempts that were proved not to exist; `open_runs`: runs of processes that are merely paused.
    """
    check_nothing_stuck(place)
    check_charges(place, books or place.settings.home / "sandbox-api", absent=absent)
    check_dagster(place, open_runs=open_runs)


def check_nothing_stuck(place: Place) -> None:
    """Every batch landed, every row in a landed file, every holder confirmed, the newest revision published."""
    with _ledger(place) as ledger:
        batches = ledger.rows(select(schema.batches))
        assert {row.batch_key: (row.state, row.reason) for row in batches if row.state != State.LANDED} == {}
        with ledger.read() as conn:
            assert [row.path for row in manifest.live(conn, "waiting", "plan")] == []
        head = manifest.head(ledger)
        assert head.published_revision == head.revision
        assert holders.counts(ledger) == {holders.CONFIRMED: 3}
        waiting = {State.RESERVED, State.SENDING, State.UNCONFIRMED, State.SUBMITTED}
        assert not waiting & {row.state for row in batches}
    states = query(place.settings.home, "SELECT state, count(*) FROM transactions GROUP BY 1").rows
    assert [state for state, _ in states] == ["enriched"]


def check_charges(place: Place, books_folder: Path, *, absent: int = 0) -> None:
    """Each item charged once, and ledger and API agree on every batch and every credit."""
    books = Books(books_folder)
    (accepted,) = query(place.settings.home, "SELECT count(*) FROM transactions").rows[0]
    assert books.charges(at_least=2) == []
    assert books.summary().items_charged == accepted
    with _ledger(place) as ledger:
        attempts = ledger.rows(select(schema.attempts))
    known = {row.vendor_batch_id: row.credits for row in attempts if row.vendor_batch_id is not None}
    assert known == {batch.id: batch.charged for batch in books.batches()}
    assert sum(row.credits for row in attempts if row.state in CHARGED_ATTEMPTS) == accepted
    assert [row.state for row in attempts].count(Attempt.ABSENT) == absent
    (published,) = query(place.settings.home, "SELECT sum(credits) FROM batch_attempts").rows[0]
    assert published == accepted


def check_dagster(place: Place, *, open_runs: int = 0) -> None:
    """No other run is left open, and every landed batch is a partition of the three assets of a landing."""
    with _ledger(place) as ledger:
        landed = {row.batch_key for row in ledger.rows(select(schema.batches.c.batch_key))}
        unreported = ledger.rows(
            select(schema.batches.c.batch_key).where(
                schema.batches.c.landed_version > schema.batches.c.reported_version
            )
        )
    assert unreported == []
    with open_instance(place.folder) as instance:
        unfinished = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        assert len(unfinished) == open_runs, [(run.job_name, run.status) for run in unfinished]
        assert set(instance.get_dynamic_partitions(BATCHES)) == landed
        for asset in LANDED_ASSETS:
            assert set(instance.get_materialized_partitions(dg.AssetKey(asset))) == landed, asset


def attempts_of(place: Place) -> list[Any]:
    """Every attempt in the ledger, oldest first."""
    with _ledger(place) as ledger:
        return ledger.rows(select(schema.attempts).order_by(schema.attempts.c.reserved_at))


def batches_of(place: Place) -> list[Any]:
    """Every batch in the ledger."""
    with _ledger(place) as ledger:
        return ledger.rows(select(schema.batches))


def is_published(place: Place) -> bool:
    """Whether the warehouse shows the newest revision."""
    with _ledger(place) as ledger:
        head = manifest.head(ledger)
    return bool(head.published_revision == head.revision)


def credits_level_of(place: Place) -> float:
    """What the ledger's credit bucket held when it was last written."""
    with _ledger(place) as ledger:
        ((level,),) = ledger.rows(select(schema.credit_bucket.c.level))
    return float(level)


def _rows(home: Path, table: str, order: str, drop: set[str]) -> list[dict[str, Any]]:
    found = query(home, f"SELECT * FROM {table} ORDER BY {order}")
    return [{k: v for k, v in zip(found.columns, row, strict=True) if k not in drop} for row in found.rows]


class _ledger:  # noqa: N801 - a context manager, used like a function
    """The ledger of a place, opened without migrating it: what is there is what the processes left."""

    def __init__(self, place: Place) -> None:
        self._ledger = Ledger(place.settings.ledger)

    def __enter__(self) -> Ledger:
        return self._ledger

    def __exit__(self, *_: object) -> None:
        self._ledger.close()
