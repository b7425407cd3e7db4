"""The end of a batch: its results fetched, archived and landed, or its error counted and planned again.

Landing is one ledger commit. Everything before it writes files that no reader sees; a killed landing leaves no trace,
and landing twice is the same as once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pipeline.api.client import ApiClient
from pipeline.api.results import read_results
from pipeline.crashpoints import point
from pipeline.errors import EnrichError
from pipeline.flow.landing import Landing, Stamp, build
from pipeline.flow.submitting import backoff
from pipeline.flow.workspace import Workspace
from pipeline.lake import archive, files, tables
from pipeline.ledger import batches, manifest, outcomes
from pipeline.ledger.batches import Claim, LostClaimError
from pipeline.ledger.manifest import NewFile
from pipeline.ledger.states import State

COLLECT_TRIES = 5
"""Times that results are fetched before their batch is held."""


@dataclass(frozen=True, slots=True)
class Landed:
    """One landed batch. Rows, credits (one per item), seconds from its last submission, bytes of the response."""

    rows: int
    version: int
    counts: dict[str, int]
    intermediaries: int
    seconds: float
    response_bytes: int
    problems: list[str]


@dataclass(slots=True)
class CollectReport:
    """What became of each batch of one step, by key."""

    landed: dict[str, Landed] = field(default_factory=dict)
    retried: dict[str, str] = field(default_factory=dict)
    """Ended in error and planned again."""
    held: dict[str, str] = field(default_factory=dict)
    """A person decides."""
    failed: dict[str, str] = field(default_factory=dict)
    """Results could not be had; tried again later."""
    skipped: dict[str, str] = field(default_factory=dict)


def collect(ws: Workspace, client: ApiClient, keys: Sequence[str]) -> CollectReport:
    """Finish those of `keys` that completed or ended in error. One that fails does not stop the others."""
    report = CollectReport()
    with ws.claimed(keys, {State.COMPLETED, State.ERRORED}) as claims:
        report.skipped = {key: "nothing to collect, or another step has it" for key in keys if key not in claims}
        for key, claim in claims.items():
            row = batches.by_keys(ws.ledger, [key])[key]
            if row.state == State.ERRORED:
                _count_error(ws, claim, row.attempts, report)
                continue
            _collect_one(ws, client, claim, report)
    batches.undispatch(ws.ledger, [*report.skipped, *report.failed])
    return report


def _count_error(ws: Workspace, claim: Claim, attempts: int, report: CollectReport) -> None:
    s = ws.settings
    wait = s.scaled(backoff(s.backoff_base, attempts, s.backoff_max))
    now_is = outcomes.after_error(ws.ledger, claim, retry_at=_in(ws, wait))
    reason = batches.by_keys(ws.ledger, [claim.batch_key])[claim.batch_key].reason
    (report.held if now_is is State.HELD else report.retried)[claim.batch_key] = reason


def _collect_one(ws: Workspace, client: ApiClient, claim: Claim, report: CollectReport) -> None:
    key = claim.batch_key
    try:
        report.landed[key] = land(ws, client, claim)
    except LostClaimError as lost:
        report.skipped[key] = str(lost)
    except Exception as error:  # noqa: BLE001 - one batch that cannot be landed must not stop the others of its range
        # Only our own errors are quoted: a library's may hold a value of the document.
        text = str(error) if isinstance(error, EnrichError) else f"its results cannot be landed: {type(error).__name__}"
        s = ws.settings
        tries = batches.by_keys(ws.ledger, [key])[key].collect_tries + 1
        retry_at = _in(ws, s.scaled(backoff(s.backoff_base / 4, tries, s.backoff_max)))
        state = outcomes.collect_failed(ws.ledger, claim, error=text, tries_allowed=COLLECT_TRIES, retry_at=retry_at)
        (report.held if state is State.HELD else report.failed)[key] = text


def land(ws: Workspace, client: ApiClient, claim: Claim) -> Landed:
    """Fetch, archive, join with the plan, write, commit.

    Raises ApiError when the results cannot be had or read, LostClaimError when the batch is another's by now.
    """
    key = claim.batch_key
    row = batches.by_keys(ws.ledger, [key])[key]
    with ws.scratch() as scratch:
        path = scratch / "results.json"
        download = client.download_results(row.vendor_batch_id, path)
        point("collect.after_download")
        archived = archive.archive_file(ws.archive, path, name=f"results-{key}-{row.sequence}.json")
        point("collect.after_archive")
        document = read_results(path)
    with ws.ledger.read() as conn:
        (plan_file,) = manifest.live(conn, "plan", batch_key=key)
    plan = files.read_table(ws.lake, [plan_file.path])
    version = (row.landed_version or 0) + 1
    landing = build(plan, document.items, Stamp(key, version, ws.settings.source, ws.ledger.now()))
    added = _write(ws, key, version, landing)
    point("collect.after_write")
    outcomes.land(ws.ledger, claim, add=added, remove=[plan_file.path], version=version, archive_path=archived.path)
    point("collect.after_commit")
    waited = (ws.ledger.now() - outcomes.submitted_at(ws.ledger, key, row.sequence)).total_seconds()
    return Landed(
        plan.height, version, landing.counts, landing.intermediaries.height, waited, download.bytes, landing.problems
    )


def _write(ws: Workspace, key: str, version: int, landing: Landing) -> list[NewFile]:
    parts = ((tables.TRANSACTIONS, landing.transactions), (tables.INTERMEDIARIES, landing.intermediaries))
    added = []
    for table, frame in parts:
        if frame.height:
            w = files.write_table(ws.lake, table, frame, stem=f"{key}-v{version}")
            files.validate_file(ws.lake, table, w.path)
            added.append(NewFile(table.name, w.path, w.rows, w.bytes, w.sha256, batch_key=key, version=version))
    return added


def _in(ws: Workspace, seconds: float) -> datetime:
    return ws.ledger.now() + timedelta(seconds=seconds)
