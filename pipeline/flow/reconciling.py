"""A ledger that is older than what was sent, compared with the API's list: then it may send again.

Belongs here: deciding for each batch that the API lists and the ledger does not know. Proof is by ids, as in
`recovering`. Nothing is sent from here, and nothing is given up: what cannot be decided keeps the circuit open.

Batches of this ledger are watched and landed on the way, since what was sent later was often made from their ends: an
error batch sent again, halves of one, items with an error of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from pipeline.api.client import ApiClient
from pipeline.api.models import Batch, classify
from pipeline.errors import EnrichError
from pipeline.flow import journal, listing
from pipeline.flow.collecting import collect
from pipeline.flow.recovering import as_it_is, recover, walk
from pipeline.flow.recutting import Place, is_free, locate, recut
from pipeline.flow.senders import recover_dead_senders
from pipeline.flow.turn import Turn, sender
from pipeline.flow.watching import watch
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches, circuit, operating, schema
from pipeline.ledger.states import State

_ROUNDS = 20
"""Landing one batch may make the next one decidable; a chain is as long as items and batches have attempts."""

UNREAD = "hold transactions of files that were not read yet: put the files into the inbox again, then reconcile"
MISSING = "lack items in their results; they are looked at again"


@dataclass(slots=True)
class ReconcileReport:
    """What became of the batches that the ledger did not know."""

    unknown: int = 0
    """Listed by the API and not known, when it was begun."""
    adopted: dict[str, str] = field(default_factory=dict)
    """Key to the API's id: a batch of the ledger that had been sent."""
    moved: dict[str, str] = field(default_factory=dict)
    """Key to the API's id: rows that had been sent, in a batch of their own now."""
    foreign: dict[str, str] = field(default_factory=dict)
    """The API's id to why it is nobody's here."""
    waiting: dict[str, list[str]] = field(default_factory=dict)
    """What keeps some undecided, to their ids at the API."""
    unread: list[str] = field(default_factory=list)
    """Archived files, relative to the data folder, that the ledger does not know."""
    closed: bool = False
    """The circuit is closed: batches are sent again."""
    not_before: datetime | None = None
    """When the grace is over (naive UTC); a look that begins later can close the circuit."""


def reconcile(
    ws: Workspace, client: ApiClient, *, who: str, why: str = "", not_ours: Collection[str] = ()
) -> ReconcileReport:
    """Find out what was sent that this ledger does not know, and close the circuit when that is known for certain.

    `not_ours`: ids of batches at the API that a person says are somebody else's. Raises EnrichError while another
    process is sending, ApiError when the API's list cannot be had: what was decided until then stays.
    """
    with sender(ws) as turn:
        if turn is None:
            raise EnrichError("another process is sending or reconciling", hint="Run it again when it is done.")
        with ws.ledger.read() as conn:
            opened = circuit.opened(conn)
        if opened is None or opened.kind != circuit.RESTORED:
            return ReconcileReport(closed=True)
        return _Look(ws, client, turn, who, why, opened.opened_at).run(not_ours)


class _Look:
    """One look at everything, begun at one moment."""

    def __init__(self, ws: Workspace, client: ApiClient, turn: Turn, who: str, why: str, noticed: datetime) -> None:
        self.ws, self.client, self.turn, self.who, self.noticed = ws, client, turn, who, noticed
        self.why = f"compared with the API's list{f': {why}' if why else ''}"
        self.report = ReconcileReport()
        self.gap = journal.find_gap(ws.ledger, ws.archive)
        grace = timedelta(seconds=ws.settings.scaled(ws.settings.grace))
        self.not_before = max(noticed, self.gap.since) + grace
        self.is_final = ws.ledger.now() > self.not_before
        self.ids: dict[str, list[str]] = {}

    def run(self, not_ours: Collection[str]) -> ReconcileReport:
        """Decide what can be decided, and close the circuit if that is all."""
        recover_dead_senders(self.ws, self.turn)
        since = listing.unknown_since(self.ws, self.noticed)
        listed = {batch.id: batch for batch in walk(self.client, since)}
        known = listing.known_ids(self.ws, self.noticed)
        self.report.unknown = len(listed.keys() - known)
        if strange := sorted(set(not_ours) - listed.keys()):
            raise EnrichError(f"{strange[0]} is not among the batches that the API lists since the backup")
        for vendor_id in set(not_ours) - known:
            self._disown(vendor_id, f"{self.who} says that it is not ours")
        waiting: dict[str, list[str]] = {}
        for _ in range(_ROUNDS):
            self._settle()
            known = listing.known_ids(self.ws, self.noticed)
            waiting = self._decide_all([batch for batch in listed.values() if batch.id not in known])
            if listing.known_ids(self.ws, self.noticed) == known:
                break
        self._end(waiting)
        return self.report

    def _end(self, waiting: dict[str, list[str]]) -> None:
        report = self.report
        report.waiting, report.not_before = waiting, self.not_before
        report.unread = _unread(self.ws) if UNREAD in waiting else []
        report.closed = self.is_final and not waiting
        counts = f"{len(report.adopted) + len(report.moved)} adopted, {len(report.foreign)} foreign"
        with self.ws.ledger.write() as conn:
            self.turn.check(conn)
            if report.closed:
                journal.close_gap(conn, self.gap)
            why = f"{self.why}; {counts}, {sum(map(len, waiting.values()))} undecided"
            action = "reconcile and close circuit" if report.closed else "reconcile"
            operating.record(conn, self.ws.ledger.now(), self.who, action, None, why)

    def _settle(self) -> None:
        """Bring the batches that the ledger knows up to date: it costs nothing."""
        watch(self.ws, self.client)
        recover(self.ws, self.client)
        collect(self.ws, self.client, [row.batch_key for row in batches.collectable(self.ws.ledger)])

    def _decide_all(self, unknown: list[Batch]) -> dict[str, list[str]]:
        """What keeps which of them undecided."""
        waiting: dict[str, list[str]] = defaultdict(list)
        for batch in (as_it_is(self.client, listed) for listed in unknown):
            verdict = classify(batch.status)
            if verdict == "failed":
                self._disown(batch.id, "ended in error, and nobody knows which items it held")
            elif verdict == "waiting":
                waiting["are still processing: run it again when they have ended"].append(batch.id)
            elif why := self._decide(batch, self._ids_of(batch.id)):
                waiting[why].append(batch.id)
        return dict(waiting)

    def _decide(self, batch: Batch, ids: list[str]) -> str | None:
        """Decide for one completed batch by the ids in its results. Returns why not, or None."""
        if not ids:
            return "have results that cannot be read now: try later, or `enrich adopt`, or --not-ours"
        if len(ids) < batch.total and not self.is_final:
            return MISSING
        places = locate(self.ws, ids)
        if len(places) == len(ids):
            try:
                return self._take(batch, ids, places)
            except EnrichError as error:
                return f"could not be taken over: {error}"
        return self._strange(batch, ids, places)

    def _strange(self, batch: Batch, ids: list[str], places: dict[str, Place]) -> str | None:
        """Some or all of its items were never accepted here."""
        if places or self.gap.names(ids, batch.total):
            return UNREAD
        if not self.is_final:
            return "hold no transaction that is known here: after the grace they count as somebody else's"
        self._disown(batch.id, "none of its items is known here")
        return None

    def _take(self, batch: Batch, ids: list[str], places: dict[str, Place]) -> str | None:
        """All of its items were accepted here: it is a batch of the ledger, or its rows are moved into one."""
        free = [i for i in ids if places[i].kind != "transactions"]
        keys = {key for i in free if (key := places[i].batch_key) is not None}
        rows = batches.by_keys(self.ws.ledger, sorted(keys))
        if not free:
            self._disown(batch.id, "its items were landed from another batch: charged twice")
        elif (row := _whole(batch, ids, places, rows)) is not None:
            self._adopt(row, batch.id)
        elif busy := sorted(key for key, row in rows.items() if not is_free(row)):
            return f"hold items of batches that are under way or held here, such as {busy[0]}"
        else:
            listing.is_ours(self.ws, batch.id)
            key = recut(self.ws, batch, free, places, who=self.who, why=self.why)
            self.report.moved[key] = batch.id
        return None

    def _adopt(self, row: Any, vendor_id: str) -> None:
        if row.state == State.QUARANTINED:
            operating.retry(self.ws.ledger, row.batch_key, who=self.who, why=self.why)
        listing.is_ours(self.ws, vendor_id)
        operating.adopt(self.ws.ledger, row.batch_key, vendor_id, who=self.who, why=self.why)
        self.report.adopted[row.batch_key] = vendor_id

    def _disown(self, vendor_id: str, reason: str) -> None:
        listing.is_foreign(self.ws, vendor_id, reason)
        self.report.foreign[vendor_id] = reason

    def _ids_of(self, vendor_id: str) -> list[str]:
        if vendor_id not in self.ids:
            self.ids[vendor_id] = listing.ids_in_results(self.ws, self.client, vendor_id)
        return self.ids[vendor_id]


def _whole(batch: Batch, ids: list[str], places: dict[str, Place], rows: dict[str, Any]) -> Any:
    """The batch of the ledger that this is, if it is one as a whole and may be adopted; an item may be missing."""
    if len(rows) == 1 and len({places[i].path for i in ids}) == 1:
        (row,) = rows.values()
        if row.rows == batch.total and row.state in {*operating.ADOPTABLE, State.QUARANTINED}:
            return row
    return None


def _unread(ws: Workspace) -> list[str]:
    known = {row.archive_path for row in ws.ledger.rows(select(schema.source_files.c.archive_path))}
    found = sorted(ws.archive.glob("*/source-*.zst"))
    return [str(path.relative_to(ws.home)) for path in found if str(path.relative_to(ws.archive)) not in known]
