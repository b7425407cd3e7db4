"""The end of a batch: its results fetched, archived and landed, or its error counted and answered.

Landing is one ledger commit. Everything before it writes files that no reader sees; a killed landing leaves no trace
but archived answers, and landing twice is the same as once. What is fetched and when is in `answers`, what an error
batch becomes is in `erring`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.api.client import ApiClient
from pipeline.api.errors import ApiError, BadAnswer
from pipeline.crashpoints import point
from pipeline.errors import EnrichError
from pipeline.flow.answers import Answers, Later, fetch
from pipeline.flow.backoff import backoff
from pipeline.flow.erring import answer_error
from pipeline.flow.landing import Landing, Stamp, build
from pipeline.flow.plan_files import Made, Part, plan_file, with_children
from pipeline.flow.workspace import Workspace
from pipeline.lake import files, tables
from pipeline.lake.durable import StorageError
from pipeline.ledger import batches, documents, outcomes
from pipeline.ledger.batches import LostClaimError
from pipeline.ledger.claims import Claim
from pipeline.ledger.manifest import NewFile
from pipeline.ledger.states import State

COLLECT_TRIES = 5
"""Times that a batch may fail to land for a reason that waiting does not cure, before it is held."""


@dataclass(frozen=True, slots=True)
class Landed:
    """One landed batch. Rows, seconds from its last submission, bytes of the response, rows that go on elsewhere."""

    rows: int
    version: int
    counts: dict[str, int]
    intermediaries: int
    seconds: float
    response_bytes: int
    problems: list[str]
    again: dict[str, int]
    """Keys of the batches of items that are sent again, with their number."""


@dataclass(slots=True)
class CollectReport:
    """What became of each batch of one step, by key."""

    landed: dict[str, Landed] = field(default_factory=dict)
    retried: dict[str, str] = field(default_factory=dict)
    """Ended in error and planned again."""
    split: dict[str, str] = field(default_factory=dict)
    """Ended in error too often, and looked into by parts."""
    quarantined: dict[str, str] = field(default_factory=dict)
    """An item that makes its batch fail, alone by now."""
    held: dict[str, str] = field(default_factory=dict)
    """A person decides."""
    failed: dict[str, str] = field(default_factory=dict)
    """Results could not be had, or not all of them; tried again later."""
    skipped: dict[str, str] = field(default_factory=dict)
    disk: str | None = None
    """What the disk did not take, if anything: no trouble of a batch."""


def collect(ws: Workspace, client: ApiClient, keys: Sequence[str]) -> CollectReport:
    """Finish those of `keys` that completed or ended in error. One that fails does not stop the others."""
    report = CollectReport()
    with ws.claimed(keys, {State.COMPLETED, State.ERRORED}) as claims:
        report.skipped = {key: "nothing to collect, or another step has it" for key in keys if key not in claims}
        for key, claim in claims.items():
            _finish(ws, client, claim, batches.by_keys(ws.ledger, [key])[key], report)
    batches.undispatch(ws.ledger, [*report.skipped, *report.failed])
    return report


def _finish(ws: Workspace, client: ApiClient, claim: Claim, row: Any, report: CollectReport) -> None:
    key = claim.batch_key
    try:
        if row.state == State.ERRORED:
            became, reason = answer_error(ws, claim, row)
            by_state = {State.PLANNED: report.retried, State.SPLIT: report.split, State.HELD: report.held}
            by_state.get(became, report.quarantined)[key] = reason
            return
        landed = land(ws, client, claim)
    except LostClaimError as lost:
        report.skipped[key] = str(lost)
    except Exception as error:  # noqa: BLE001 - one batch that cannot be landed must not stop the others of its range
        _failed(ws, claim, row, error, report)
    else:
        if isinstance(landed, Later):
            report.failed[key] = landed.reason
        else:
            report.landed[key] = landed


def _failed(ws: Workspace, claim: Claim, row: Any, error: Exception, report: CollectReport) -> None:
    # Only our own errors are quoted: a library's may hold a value of the document.
    text = str(error) if isinstance(error, EnrichError) else f"its results cannot be landed: {type(error).__name__}"
    if row.state == State.ERRORED:
        report.failed[row.batch_key] = text  # it stays in error, and is looked at again
        return
    s = ws.settings
    transient = isinstance(error, ApiError) and error.fate == "transient" and not isinstance(error, BadAnswer)
    if transient or isinstance(error, StorageError):  # a full disk is no trouble of the batch, and a person sees it
        # It passes by itself, in minutes or in a day: a wait in proportion to how long it lasts already, for ever.
        waited = (ws.ledger.now() - row.state_since).total_seconds()
        wait = min(s.scaled(s.backoff_max), max(s.scaled(s.backoff_base / 4), waited / 4))
        outcomes.collect_later(ws.ledger, claim, error=text, retry_at=ws.later(wait), counts=False)
        report.failed[row.batch_key] = text
        report.disk = text if isinstance(error, StorageError) else report.disk
    elif row.collect_tries + 1 >= COLLECT_TRIES:
        outcomes.hold_completed(ws.ledger, claim, reason=text)
        report.held[row.batch_key] = text
    else:
        wait = s.scaled(backoff(s.backoff_base / 4, row.collect_tries + 1, s.backoff_max))
        outcomes.collect_later(ws.ledger, claim, error=text, retry_at=ws.later(wait))
        report.failed[row.batch_key] = text


def land(ws: Workspace, client: ApiClient, claim: Claim) -> Landed | Later:
    """Fetch, archive, join with the plan, write, commit; `Later` when a part of the results is asked for again.

    Raises ApiError when the results cannot be had or read, LostClaimError when the batch is another's by now, and
    EnrichError when nothing in the results is one of its items.
    """
    key = claim.batch_key
    row = batches.by_keys(ws.ledger, [key])[key]
    plan = plan_file(ws, key)
    rows = files.read_table(ws.lake, [plan.path])
    answers = fetch(ws, client, claim, row, set(rows["transaction_id"]))
    if isinstance(answers, Later):
        return answers
    version = (row.landed_version or 0) + 1
    stamp = Stamp(key, version, ws.settings.source, ws.ledger.now())
    landing = build(rows, answers.items, stamp, item_attempts=ws.settings.item_attempts)
    added = _write(ws, key, version, landing)
    point("collect.after_write")
    made = _commit(ws, claim, row, landing, added, plan.path, stamp, answers)
    point("collect.after_commit")
    problems = [*answers.problems, *landing.problems, *_first_seen(ws, key, landing)]
    waited = (ws.ledger.now() - outcomes.submitted_at(ws.ledger, key, row.sequence)).total_seconds()
    return Landed(
        landing.transactions.height, version, landing.counts, landing.intermediaries.height, waited, answers.bytes,
        problems, {child.batch_key: child.rows for child in made.batches},
    )  # fmt: skip


def _commit(
    ws: Workspace, claim: Claim, row: Any, landing: Landing, added: list[NewFile], plan: str, stamp: Stamp,
    answers: Answers,
) -> Made:  # fmt: skip
    def commit(made: Made) -> Made:
        outcomes.land(
            ws.ledger, claim, add=[*added, *made.files], remove=[plan], version=stamp.version, at=stamp.enriched_at,
            children=made.batches, lost_holders=landing.lost_holders if made.batches else (),
            document=answers.unrecorded,
        )  # fmt: skip
        return made

    return with_children(ws, row, _again(ws, landing), commit)


def _again(ws: Workspace, landing: Landing) -> list[Part]:
    """The items whose own error may pass, as a batch of their own after a back-off that grows with their tries."""
    rows, s = landing.again, ws.settings
    if rows.is_empty():
        return []
    tries = int(rows["failed_tries"].max() or 1)  # type: ignore[arg-type]
    wait = s.scaled(backoff(s.backoff_base, tries, s.backoff_max))
    reason = f"{rows.height} items had an error of their own, try {tries} of {s.item_attempts}"
    return [Part(rows, "item_error", s.max_attempts, reason=reason, next_attempt_at=ws.later(wait))]


def _first_seen(ws: Workspace, key: str, landing: Landing) -> list[str]:
    """Fields that the API sends and this version does not know: said once, and kept in `extra` each time."""
    new = documents.first_seen(ws.ledger, sorted(landing.unknown_fields), key) if landing.unknown_fields else []
    return [
        f"{path}: a field that this version does not know; it is kept in `extra`, and this is said once" for path in new
    ]


def _write(ws: Workspace, key: str, version: int, landing: Landing) -> list[NewFile]:
    parts = ((tables.TRANSACTIONS, landing.transactions), (tables.INTERMEDIARIES, landing.intermediaries))
    added = []
    for table, frame in parts:
        if frame.height:
            w = files.write_table(ws.lake, table, frame, stem=f"{key}-v{version}")
            files.validate_file(ws.lake, table, w.path)
            added.append(NewFile(table.name, w.path, w.rows, w.bytes, w.sha256, batch_key=key, version=version))
    return added
