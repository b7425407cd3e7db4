"""Batches whose fate is unknown: adopted by their ids, or proved absent and planned again, or held.

The rules are design.md's "Recovery", checked there by an exhaustive model. The grace is counted from the fence (the
commit that declared the batch unconfirmed) to the *start* of a full list walk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from msgspec import structs
from sqlalchemy import insert, select

from pipeline.api.client import ApiClient
from pipeline.api.errors import ApiError, BadAnswer, NotFound, NotReady
from pipeline.api.models import Batch, classify
from pipeline.api.results import decode_item, read_results
from pipeline.crashpoints import point
from pipeline.errors import IntegrityError
from pipeline.flow.plan_files import planned_ids, read_plan
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches, schema, sending
from pipeline.ledger.batches import LostClaimError
from pipeline.ledger.states import State

WINDOW_MARGIN = timedelta(minutes=10)
"""How much before the intent the window of candidates begins: extra candidates only cost waiting."""


@dataclass(slots=True)
class RecoveryReport:
    """Outcome by batch key."""

    adopted: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Intent:
    row: Any
    attempt: Any
    ids: frozenset[str]

    @property
    def window(self) -> datetime:
        """When the earliest candidate may have been created, on the server's clock (naive UTC)."""
        begun: datetime = self.attempt.server_clock or self.attempt.reserved_at
        return begun - WINDOW_MARGIN

    @property
    def latest(self) -> datetime:
        """When the last may have been, but for the grace: the fence on the server's clock, with a margin."""
        # The server's clock is that of its last answer, hours old after a pause; too late an end costs waiting only.
        begun: datetime = max(self.attempt.server_clock or self.attempt.reserved_at, self.attempt.reserved_at)
        return begun + self._sending + WINDOW_MARGIN

    @property
    def _sending(self) -> timedelta:
        """From reservation to fence by our clock, which may have been put back in between."""
        # Not clamped, it moved the end of the window to before our own batch: not seen, and bought again.
        took: timedelta = self.attempt.unconfirmed_at - self.attempt.reserved_at
        return max(took, timedelta(0))

    def fence_age(self, began: datetime, server: datetime | None) -> timedelta:
        """How long the fence lies before a walk that `began` on our clock, and at `server` on the API's (naive UTC).

        The smaller of what both say: with our clock alone, put ahead by hours, the grace was over at once.
        """
        own: timedelta = began - self.attempt.unconfirmed_at
        if server is None or self.attempt.server_clock is None:
            return own
        theirs: timedelta = server + DATE_ERROR - self.attempt.server_clock - self._sending
        return min(own, theirs)


DATE_ERROR = timedelta(seconds=2)
"""Two `Date` headers have whole seconds. It keeps a healthy clock from waiting for longer than the grace."""


NOT_READ = "listed in error, and not to be had by GET"
"""A status that the API does not have: it counts as waiting."""

UNREADABLE_FOR = timedelta(days=1)
"""How long after the grace a candidate may stay undecided before a person has to look."""


def recover(ws: Workspace, client: ApiClient) -> RecoveryReport:
    """Look for every unconfirmed batch in the API's list and decide where that is possible.

    Raises ApiError when the list cannot be walked: then nothing is decided.
    """
    report = RecoveryReport()
    intents = _intents(ws)
    if not intents:
        return report
    walk_started = ws.ledger.now()
    grace = timedelta(seconds=ws.settings.scaled(ws.settings.grace))
    pages = client.iter_batches()
    newest = next(pages, None)
    server = client.server_time.replace(tzinfo=None) if client.server_time is not None else None
    listed = _since([] if newest is None else chain([newest], pages), min(intent.window for intent in intents))
    claimed = claimed_ids(ws)
    candidates = [
        as_it_is(client, batch) if _plausible(batch, intents, grace) else batch
        for batch in listed
        if batch.id not in claimed
    ]
    open_intents = {intent.row.batch_key: intent for intent in intents}
    for batch in candidates:
        if classify(batch.status) == "done" and _plausible(batch, list(open_intents.values()), grace):
            _adopt_or_disown(ws, client, batch, open_intents, report)
    known = claimed_ids(ws)
    for key, intent in open_intents.items():
        mine = [batch for batch in candidates if batch.id not in known and _plausible(batch, [intent], grace)]
        try:
            _decide(ws, client, intent, mine, (walk_started, intent.fence_age(walk_started, server)), report)
        except LostClaimError as lost:  # another process has decided meanwhile
            report.waiting[key] = str(lost)
    return report


def _intents(ws: Workspace) -> list[_Intent]:
    found = []
    for row in batches.in_states(ws.ledger, State.UNCONFIRMED):
        a = schema.attempts
        (attempt,) = ws.ledger.rows(select(a).where(a.c.batch_key == row.batch_key, a.c.sequence == row.sequence))
        found.append(_Intent(row, attempt, _sent_ids(ws, row.batch_key)))
    return found


def _sent_ids(ws: Workspace, key: str) -> frozenset[str]:
    """From the plan file, or the archive where that is damaged: one such batch stopped the look for all others."""
    try:
        return frozenset(read_plan(ws, key, ["transaction_id"])["transaction_id"])
    except IntegrityError:
        if ids := planned_ids(ws, key):
            return ids
        raise


def walk(client: ApiClient, since: datetime) -> list[Batch]:
    """Every batch created since, newest first. The filters on time are described back to front, so none is used."""
    return _since(client.iter_batches(), since)


def _since(newest_first: Iterable[Batch], since: datetime) -> list[Batch]:
    listed = []
    for batch in newest_first:
        if batch.created_at.replace(tzinfo=None) < since:
            break
        listed.append(batch)
    return listed


def as_it_is(client: ApiClient, listed: Batch) -> Batch:
    """A batch that the list has in error as a GET shows it: listed so, one that had completed was bought again.

    Where no GET can be had it has not ended, as far as anybody knows.
    """
    if classify(listed.status) != "failed":
        return listed
    try:
        return client.get_batch(listed.id)
    except ApiError:
        return structs.replace(listed, status=NOT_READ)


def claimed_ids(ws: Workspace) -> set[str]:
    """The API's batches that the ledger knows: of our attempts, and foreign ones."""
    a, f = schema.attempts, schema.foreign_batches
    ours = ws.ledger.rows(select(a.c.vendor_batch_id).where(a.c.vendor_batch_id.is_not(None)))
    foreign = ws.ledger.rows(select(f.c.vendor_batch_id))
    return {row.vendor_batch_id for row in [*ours, *foreign]}


def _plausible(batch: Batch, intents: list[_Intent], grace: timedelta) -> bool:
    created = batch.created_at.replace(tzinfo=None)
    return any(
        batch.total == intent.row.rows and intent.window <= created <= intent.latest + grace for intent in intents
    )


def _adopt_or_disown(
    ws: Workspace, client: ApiClient, batch: Batch, intents: dict[str, _Intent], report: RecoveryReport
) -> None:
    """By ids only: a batch that completed with an intent's ids is that intent's; with others it is foreign for good."""
    ids = ids_of(ws, client, batch.id)
    if not ids:
        return  # nothing is proved: it stays a candidate, and a person decides in the end
    for key, intent in intents.items():
        if ids <= intent.ids:  # an item may be missing or unreadable; a foreign batch has other ids
            point("recover.before_adopt")
            sending.adopt(ws.ledger, key, intent.row.sequence, batch.id)
            point("recover.after_adopt")
            report.adopted[key] = batch.id
            del intents[key]
            return
    if not any(ids & intent.ids for intent in intents.values()) and not on_its_way(ws, batch, ids):
        disown(ws, batch.id, "completed with other ids")


def on_its_way(ws: Workspace, batch: Batch, ids: frozenset[str]) -> bool:
    """Whether it is ours: another process is sending it, or it became unconfirmed since the intents were read.

    Asked after its results were read. Disowned for good, it was proved absent once its answer was lost: bought again.
    """
    rows = batches.in_states(ws.ledger, State.SENDING, State.UNCONFIRMED)
    same_size = [row.batch_key for row in rows if row.rows == batch.total]
    return any(ids & planned_ids(ws, key) for key in same_size)


def ids_of(ws: Workspace, client: ApiClient, vendor_id: str) -> frozenset[str] | None:
    """Ids in a batch's results; None where they cannot be read now, which decides nothing."""
    with ws.scratch() as scratch:
        path = scratch / "results.json"
        try:
            client.download_results(vendor_id, path)
            items = read_results(path).items
        except (NotReady, NotFound, BadAnswer):
            return None
    return frozenset(item.id for item in map(decode_item, items) if item.id is not None)


def disown(ws: Workspace, vendor_id: str, reason: str) -> None:
    """Note for good that a batch of the API is not ours, or nothing that we could use."""
    with ws.ledger.write() as conn:
        f = schema.foreign_batches
        if conn.execute(select(f).where(f.c.vendor_batch_id == vendor_id)).first() is None:
            conn.execute(insert(f).values(vendor_batch_id=vendor_id, reason=reason, seen_at=ws.ledger.now()))


def _decide(
    ws: Workspace, client: ApiClient, intent: _Intent, mine: list[Batch], walk: tuple[datetime, timedelta],
    report: RecoveryReport,
) -> None:  # fmt: skip
    """`walk`: when it began, and how old the fence was then."""
    walk_started, age = walk
    key = intent.row.batch_key
    live = [batch for batch in mine if classify(batch.status) != "failed"]
    errored = [batch for batch in mine if classify(batch.status) == "failed"]
    grace = timedelta(seconds=ws.settings.scaled(ws.settings.grace))
    if live:
        why = f"{len(live)} batch(es) of its size, such as {live[0].id}, have not ended or cannot be read; ids decide"
        if age <= grace + timedelta(seconds=ws.settings.scaled(UNREADABLE_FOR.total_seconds())):
            report.waiting[key] = why
            return
        report.held[key] = why
        sending.undecided(ws.ledger, key, intent.row.sequence, evidence=why)
        return
    if age <= grace:
        grace_over = walk_started + grace - age
        report.waiting[key] = f"not in the list so far; proved absent after {grace_over:%Y-%m-%d %H:%M:%S} UTC"
        return
    evidence = f"a full list walk begun at {walk_started:%Y-%m-%d %H:%M:%S} UTC found no live batch of its size"
    # Items that were sent before, in the batch that this one comes from, are there whatever became of this one.
    if not errored and intent.attempt.reason == "first" and _first_item_exists(client, intent):
        report.held[key] = "its first transaction exists at the API, though no batch of its size is listed"
        sending.undecided(ws.ledger, key, intent.row.sequence, evidence=report.held[key])
        return
    hold = ws.settings.resend == "never" or (bool(errored) and intent.row.attempts >= intent.row.attempts_allowed)
    point("recover.before_absent")
    sending.absent(
        ws.ledger, key, intent.row.sequence, evidence=evidence, hold=hold, errored=bool(errored),
        vendor_batch_id=_only_candidate(ws, intent, errored),
    )  # fmt: skip
    point("recover.after_absent")
    (report.held if hold else report.absent)[key] = evidence


def _only_candidate(ws: Workspace, intent: _Intent, errored: list[Batch]) -> str | None:
    """The batch in error, if there is one and it can be no other attempt of ours. It has no ids to prove it by."""
    rows = batches.in_states(ws.ledger, State.SENDING, State.UNCONFIRMED)
    others = [row for row in rows if row.batch_key != intent.row.batch_key and row.rows == intent.row.rows]
    return errored[0].id if len(errored) == 1 and not others else None


def _first_item_exists(client: ApiClient, intent: _Intent) -> bool:
    """A transaction that exists is a veto on sending again; a 404 proves nothing."""
    try:
        client.get_transaction(intent.row.first_id)
    except NotFound:
        return False
    except ApiError as error:
        if error.fate == "permanent":
            return False
        raise
    return True
