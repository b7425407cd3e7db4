"""What must be true of a data folder when everything is done, however often its processes were killed.

Reads what is left on disk: the published warehouse, the ledger, the sandbox's books, the Dagster instance.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import dagster as dg
from places import Place
from sqlalchemy import select

from pipeline.instance import open_instance
from pipeline.lake.warehouse import query
from pipeline.ledger import batches, category_sets, holders, manifest, recurrence, schema
from pipeline.ledger.db import Ledger
from pipeline.ledger.states import CHARGED_ATTEMPTS, OPEN_STATES, Attempt, State
from pipeline.partitions import BATCHES, LANDED_ASSETS
from pipeline.sandbox.books import Books

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

_OWN_TO_A_RUN = {"ingested_at", "enriched_at", "version", "error_history"}
"""Columns in which two runs over the same file may differ."""


@dataclass(frozen=True, slots=True)
class Tables:
    """What analysts see, without times and versions."""

    transactions: list[dict[str, Any]]
    intermediaries: list[dict[str, Any]]
    rejected: list[tuple[Any, ...]]
    items_hashes: list[str]

    def must_equal(self, other: Tables) -> None:
        """Raise AssertionError that names table and first rows that differ."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            apart = [pair for pair in zip(mine, theirs, strict=False) if pair[0] != pair[1]]
            _must(not apart and len(mine) == len(theirs), f"{field.name}: {len(mine)}, {len(theirs)} rows; {apart[:2]}")


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


def check_all(
    place: Place,
    *,
    books: Path | None = None,
    absent: int | None = 0,
    open_runs: int = 0,
    reasons: frozenset[str] = frozenset(),
    states: dict[str, int] | None = None,
) -> Counter[str]:
    """Nothing stuck, nothing paid twice without a reason, nothing lost on the way to Dagster.

    Returns the charges beyond an item's first, by their reason.

    `absent`: attempts that were proved not to exist (None: any number); `open_runs`: runs of processes that are merely
    paused; `reasons`: those that charges beyond an item's first may have; `states`: rows that are not enriched.
    """
    check_nothing_stuck(place, states or {})
    extra = check_charges(place, books or place.settings.home / "sandbox-api", absent=absent, reasons=reasons)
    check_dagster(place, open_runs=open_runs)
    return extra


def check_nothing_stuck(place: Place, states: dict[str, int]) -> None:
    """No batch under way, every row in a landed file, every holder confirmed, the newest revision published."""
    with _ledger(place) as ledger:
        rows = ledger.rows(select(schema.batches))
        stuck = {row.batch_key: (row.state, row.reason) for row in rows if row.state in {*OPEN_STATES, State.HELD}}
        _must(stuck == {}, f"stuck: {stuck}")
        with ledger.read() as conn:
            left = Counter(row.kind for row in manifest.live(conn, "waiting", "plan"))
        quarantined = [row.state for row in rows].count(State.QUARANTINED)
        _must(left == Counter(plan=quarantined) - Counter(), f"live files besides the landed ones: {left}")
        head = manifest.head(ledger)
        _must(head.published_revision == head.revision, f"published is {head.published_revision} of {head.revision}")
        people = holders.counts(ledger)
        _must(set(people) == {holders.CONFIRMED}, f"account holders: {people}")
    found = dict(query(place.settings.home, "SELECT state, count(*) FROM transactions GROUP BY 1").rows)
    found.pop("enriched")
    _must(found == states, f"rows that are not enriched: {found}")


def check_charges(
    place: Place, books_folder: Path, *, absent: int | None = 0, reasons: frozenset[str] = frozenset()
) -> Counter[str]:
    """Each item charged once but for the reasons named, and ledger and API agree on every batch and every credit.

    Returns the further charges, by their reason.
    """
    books = Books(books_folder)
    charges = books.charges()
    accepted = {row[0] for row in query(place.settings.home, "SELECT transaction_id FROM transactions").rows}
    # An item that is refused before it is charged is quarantined; every other accepted row was charged.
    charged = {charge.id for charge in charges}
    refused = accepted - charged
    _must(charged <= accepted, f"{len(charged - accepted)} items were charged that were never accepted here")
    attempts = attempts_of(place)
    why = {row.vendor_batch_id: row.reason for row in attempts if row.vendor_batch_id is not None}
    ours = {row.vendor_batch_id: row.credits for row in attempts if row.vendor_batch_id is not None}
    known_to_api = {batch.id: batch.charged for batch in books.batches()}
    _must(ours.items() <= known_to_api.items(), "the ledger names batches that the API does not have")
    # Of two lost answers of one size and one batch in error nobody can tell whose it was: both count as charged.
    unnamed = Counter(row.credits for row in attempts if row.vendor_batch_id is None and row.state == Attempt.ERRORED)
    strangers = Counter(charged for batch, charged in known_to_api.items() if batch not in ours)
    _must(strangers <= unnamed, f"the API has charged for batches of {dict(strangers)} that the ledger lacks")
    first = {"first", "batch_error", None} if unnamed else {"first"}
    for charge in charges:
        known = [why.get(batch) for batch in charge.submissions]
        good = known[0] in first and set(known[1:]) <= reasons | ({None} if unnamed else set())
        _must(good, f"{charge.id} was charged {charge.times} times, for: {known}")
    spent = sum(row.credits for row in attempts if row.state in CHARGED_ATTEMPTS)
    owed = sum(known_to_api.values()) + sum((unnamed - strangers).elements())
    _must(spent == owed, f"{spent} credits here, {owed} at the API")
    (published,) = query(place.settings.home, "SELECT sum(credits) FROM batch_attempts").rows[0]
    _must(published == spent, f"batch_attempts says {published} credits, the ledger {spent}")
    found = [row.state for row in attempts].count(Attempt.ABSENT)
    _must(absent is None or found == absent, f"{found} attempts were proved absent, not {absent}")
    quarantined = query(place.settings.home, "SELECT transaction_id FROM transactions WHERE state = 'quarantined'").rows
    _must({(i,) for i in refused} <= set(quarantined), f"{len(refused)} accepted items were never charged")
    return Counter(why.get(batch, "unnamed") for charge in charges for batch in charge.submissions[1:])


def check_dagster(place: Place, *, open_runs: int = 0) -> None:
    """No other run is left open; every batch that has landed or was split is a partition of a landing's assets."""
    rows = batches_of(place)
    settled = {row.batch_key for row in rows if row.state in {State.LANDED, State.SPLIT}}
    sent = {row.batch_key for row in rows if row.vendor_batch_id is not None}
    with _ledger(place) as ledger:
        late = [row.batch_key for row in (*batches.unreported(ledger), *batches.unreported_submissions(ledger))]
    _must(late == [], f"Dagster was not told of {late}")
    with open_instance(place.folder) as instance:
        unfinished = [(run.job_name, run.status) for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))]
        _must(len(unfinished) == open_runs, f"runs left open: {unfinished}")
        partitions = set(instance.get_dynamic_partitions(BATCHES))
        _must(settled | sent <= partitions, f"no partition: {(settled | sent) - partitions}")
        _must(partitions <= {row.batch_key for row in rows}, "partitions of no batch")
        for asset, keys in [*((name, settled) for name in LANDED_ASSETS), ("batch_submissions", sent)]:
            done = set(instance.get_materialized_partitions(dg.AssetKey(asset)))
            _must(keys <= done, f"{asset}: not materialised: {keys - done}")
            _must(asset == "batch_submissions" or done == keys, f"{asset}: materialised, not landed: {done - keys}")


def attempts_of(place: Place) -> list[Any]:
    """Every attempt in the ledger, oldest first."""
    with _ledger(place) as ledger:
        return ledger.rows(select(schema.attempts).order_by(schema.attempts.c.reserved_at))


def batches_of(place: Place) -> list[Any]:
    """Every batch in the ledger."""
    with _ledger(place) as ledger:
        return ledger.rows(select(schema.batches))


def is_published(place: Place) -> bool:
    """Whether the warehouse shows the newest revision, and nothing is left to be asked for that would make another."""
    with _ledger(place) as ledger:
        head = manifest.head(ledger)
        asked = not recurrence.is_wanted(ledger) and not category_sets.missing_on(ledger, ledger.now().date())
    return bool(head.published_revision == head.revision and asked)


def credits_level_of(place: Place) -> float:
    """What the ledger's credit bucket held when it was last written."""
    with _ledger(place) as ledger:
        ((level,),) = ledger.rows(select(schema.credit_bucket.c.level))
    return float(level)


def _must(true: object, otherwise: str) -> None:
    """Also used outside of pytest, which would otherwise say what the values were."""
    assert true, otherwise


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


def wrongs(place: Place, books_folder: Path, rows: int, reasons: frozenset[str]) -> dict[str, int]:
    """Charges without a recorded reason, and items that are not in the warehouse as enriched; for what went wrong."""
    why = {row.vendor_batch_id: row.reason for row in attempts_of(place) if row.vendor_batch_id is not None}
    submissions = [charge.submissions[1:] for charge in Books(books_folder).charges(at_least=2)]
    double = sum(why.get(batch) not in reasons for some in submissions for batch in some)
    ((enriched,),) = query(place.settings.home, "SELECT count(*) FROM transactions WHERE state = 'enriched'").rows
    return {"double": double, "lost": rows - enriched}
