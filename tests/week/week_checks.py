"""What must be true of a data folder at any moment of a week, while everything is under way, and at its end.

Reads ledger, lake, warehouse, the sandbox's books and the Dagster instance; each reader at its own moment, so each
comparison says in which order it reads.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from end_state import UNFINISHED, check_charges, check_nothing_stuck
from places import Place
from sqlalchemy import select
from week_cargo import Cargo

from pipeline.flow.publishing import check_now
from pipeline.flow.retention import settled_before
from pipeline.flow.workspace import Workspace
from pipeline.instance import open_instance
from pipeline.lake.identity import STATES
from pipeline.lake.warehouse import current, query
from pipeline.ledger import batches, manifest, recurrence, schema
from pipeline.ledger.states import CHARGED_ATTEMPTS, OPEN_STATES, Attempt, State
from pipeline.partitions import BATCHES
from pipeline.sandbox.books import Books

REASONS = frozenset({"batch_error", "item_error", "split"})
"""Those that charges beyond an item's first may have here: nobody asks for `operator`."""

_UNKNOWN = frozenset({Attempt.RESERVED, Attempt.SENDING, Attempt.UNCONFIRMED})
"""The API may have these, or not."""


@dataclass(slots=True)
class Found:
    """Figures of a checkpoint, and what is wrong."""

    counts: dict[str, int]
    files: int
    batches: int
    open: int
    credits: int
    charged: int
    unknown: int
    wrongs: list[str] = field(default_factory=list)

    def line(self) -> str:
        states = ", ".join(f"{self.counts[state]} {state}" for state in STATES if self.counts[state])
        return (
            f"{self.files} files, {self.counts['records']} records, {self.batches} batches ({self.open} open);"
            f" {states or 'no rows'}; credits {self.credits} here, {self.charged} in the books,"
            f" {self.unknown} of unknown fate"
        )


def check(ws: Workspace, books: Books, cargo: Cargo) -> Found:
    """At any moment."""
    identity = check_now(ws)
    files = ws.ledger.rows(select(schema.source_files))
    rows = ws.ledger.rows(select(schema.batches.c.state))
    found = Found(
        identity.counts, len(files), len(rows), sum(row.state in OPEN_STATES for row in rows), 0, 0, 0,
        list(identity.violations),
    )  # fmt: skip
    found.wrongs += _files(files, cargo) + _counts(identity.counts) + _published(ws)
    _credits(ws, books, found)
    return found


def _files(files: list[Any], cargo: Cargo) -> list[str]:
    """Each as it was made, and none twice."""
    made = {file.name: file.counts for file in cargo.files}
    read = [(row.name, (row.records, row.accepted, row.rejected)) for row in files]
    found = [f"{name}: {counts}, not {made.get(name)}" for name, counts in read if counts != made.get(name)]
    return found + [f"{name} was read twice" for name, times in Counter(name for name, _ in read).items() if times > 1]


def _counts(counts: dict[str, int]) -> list[str]:
    """Records are accepted or rejected; what is accepted and no repeat is in one state."""
    found = []
    if counts["records"] != counts["accepted"] + counts["rejected"]:
        found.append(f"{counts['records']} records, {counts['accepted']} accepted, {counts['rejected']} rejected")
    distinct, states = counts["accepted"] - counts["repeats"], sum(counts[state] for state in STATES)
    if not distinct == states == counts["transactions"]:
        found.append(f"{distinct} distinct ids, {states} in a state, {counts['transactions']} transactions")
    return found


def _published(ws: Workspace) -> list[str]:
    """What analysts see: each accepted id once."""
    if current(ws.home) is None:
        return []
    ((rows, ids),) = query(ws.home, "SELECT count(*), count(DISTINCT transaction_id) FROM transactions").rows
    ((accepted,),) = query(ws.home, "SELECT count(DISTINCT transaction_id) FROM raw_transactions").rows
    # Two versions of the warehouse may have answered; the later one never has fewer.
    good = rows == ids <= accepted
    return [] if good else [f"published: {rows} rows, {ids} ids, {accepted} accepted"]


def _credits(ws: Workspace, books: Books, found: Found) -> None:
    """The books, the ledger, and the books again: what the first know, the ledger knows or holds for unknown.

    Everything that the ledger names must be in the second.
    """
    before = {batch.id: batch.charged for batch in books.batches()}
    attempts = ws.ledger.rows(select(schema.attempts))
    after = {batch.id: batch.charged for batch in books.batches()}
    ours = {row.vendor_batch_id: row.credits for row in attempts if row.vendor_batch_id is not None}
    charged = [row for row in attempts if row.state in CHARGED_ATTEMPTS]
    found.credits = sum(row.credits for row in charged)
    found.charged = sum(after.values())
    found.unknown = sum(row.credits for row in charged if row.state in _UNKNOWN)
    apart = {batch for batch, some in ours.items() if after.get(batch) != some}
    if apart:
        found.wrongs.append(f"the books do not say so of {len(apart)} batches: {sorted(apart)[:5]}")
    # Of two lost answers of one size and one batch in error nobody can tell whose it was: it stays unnamed.
    unnamed = Counter(row.credits for row in charged if row.vendor_batch_id is None)
    strangers = Counter(some for batch, some in before.items() if batch not in ours)
    if not strangers <= unnamed:
        found.wrongs.append(f"charged for batches of {dict(strangers - unnamed)} that the ledger lacks")
    named = sum(ours.values())
    if found.credits != named + sum(unnamed.elements()):
        found.wrongs.append(f"{found.credits} credits, but {named} of named batches and {dict(unnamed)}")
    double = _again(books, {row.vendor_batch_id: row.reason for row in attempts if row.vendor_batch_id is not None})
    if double:
        found.wrongs.append(f"charged again for {dict(double)}")


def is_drained(ws: Workspace, place: Place, cargo: Cargo) -> bool:
    """Whether nothing is left to do: all files read, all batches settled, all published, no run open."""
    if len(ws.ledger.rows(select(schema.source_files.c.file_id))) < len(cargo.files):
        return False
    with ws.ledger.read() as conn:
        waiting = manifest.live(conn, "waiting")
    head = manifest.head(ws.ledger)
    if waiting or batches.in_states(ws.ledger, *OPEN_STATES) or head.published_revision != head.revision:
        return False
    if recurrence.is_wanted(ws.ledger):  # would make another revision
        return False
    with open_instance(place.folder) as instance:
        return not instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))


def check_end(ws: Workspace, place: Place, cargo: Cargo) -> list[str]:
    """When it is drained: each batch came to what was planned, each item and credit is accounted for."""
    folder, found = place.folder / "api", []
    for each in (
        lambda: check_nothing_stuck(place, cargo.states),
        lambda: check_charges(place, folder, absent=None, reasons=REASONS),
    ):
        try:
            each()
        except AssertionError as error:
            found.append(str(error))
    for state, ids in (
        ("quarantined", {*cargo.poison, *cargo.invalid}), ("item_error", set(cargo.failing_items)),
    ):  # fmt: skip
        rows = query(ws.home, f"SELECT transaction_id FROM transactions WHERE state = '{state}'").rows
        if {id_ for (id_,) in rows} != ids:
            found.append(f"{len(rows)} rows are {state}, and not those that should be")
    ((ids,),) = query(ws.home, "SELECT count(*) FROM transactions").rows
    if ids != cargo.rows:
        found.append(f"{ids} transactions of {cargo.rows}")
    settled = {State.LANDED, State.SPLIT, State.QUARANTINED}
    states = Counter(row.state for row in ws.ledger.rows(select(schema.batches.c.state)))
    if not set(states) <= settled:
        found.append(f"batches: {dict(states)}")
    return found + _events(ws, Books(folder)) + _partitions(ws, place)


def _events(ws: Workspace, books: Books) -> list[str]:
    """A delivery that was answered with 202 is on disk, whatever happened to the receiver."""
    heard = {row.event_id for row in ws.ledger.rows(select(schema.webhook_inbox.c.event_id))}
    delivered = {one.event_id for one in books.deliveries() if one.state == "delivered"}
    return [f"{len(delivered - heard)} events were acknowledged and are lost"] if delivered - heard else []


def _partitions(ws: Workspace, place: Place) -> list[str]:
    """Each batch that was sent or has landed, and has not been retired, is a partition, and Dagster was told of it."""
    late = [*batches.unreported(ws.ledger), *batches.unreported_submissions(ws.ledger)]
    found = [f"Dagster was not told of {len(late)} batches"] if late else []
    old = settled_before(ws, days=ws.settings.keep_partitions_days)
    rows = ws.ledger.rows(select(schema.batches))
    keys = {row.batch_key for row in rows}
    done = {row.batch_key for row in rows if row.state in {State.LANDED, State.SPLIT} or row.vendor_batch_id}
    with open_instance(place.folder) as instance:
        partitions = set(instance.get_dynamic_partitions(BATCHES))
    if not done - old <= partitions <= keys:
        found.append(f"{len(done - old - partitions)} batches are no partition, {len(partitions - keys)} are no batch")
    return found


def double_and_lost(ws: Workspace, books: Books, cargo: Cargo) -> tuple[int, int]:
    """Charges without one of the reasons, and items that are not enriched though they should be."""
    a = schema.attempts
    found = ws.ledger.rows(select(a.c.vendor_batch_id, a.c.reason).where(a.c.vendor_batch_id.is_not(None)))
    double = sum(_again(books, {row.vendor_batch_id: row.reason for row in found}).values())
    ((enriched,),) = query(ws.home, "SELECT count(*) FROM transactions WHERE state = 'enriched'").rows
    return double, cargo.rows - sum(cargo.states.values()) - enriched


def _again(books: Books, why: dict[str, str]) -> Counter[str]:
    """Charges beyond an item's first whose attempt was made for another reason; unnamed ones are counted elsewhere."""
    again = [batch for charge in books.charges(at_least=2) for batch in charge.submissions[1:]]
    return Counter(why[batch] for batch in again if batch in why and why[batch] not in REASONS)
