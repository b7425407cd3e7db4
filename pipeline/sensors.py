"""Sensors: they look at the ledger and the API, and ask for runs. Edge: may import Dagster.

A tick decides nothing of its own: what is due is asked of the ledger, how it is grouped of `pipeline.dispatch`. No run
key is used, since one blocks its value for ever; instead the ledger notes until when a requested run may start.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import dagster as dg

from pipeline import dispatch
from pipeline.alert_sensor import alerts
from pipeline.api.client import ApiClient
from pipeline.crashpoints import point
from pipeline.errors import EnrichError
from pipeline.flow.cadence import poll_seconds
from pipeline.flow.choosing import may_call, sendable_now
from pipeline.flow.inbox import newest_of, settled_files
from pipeline.flow.planning import plan_is_due
from pipeline.flow.publishing import publication_is_due
from pipeline.flow.recovering import recover
from pipeline.flow.sweeping import recover_senders
from pipeline.flow.watching import take_events, watch
from pipeline.flow.workspace import Workspace
from pipeline.jobs import collect_job, holders_job, ingest_job, plan_job, submit_job, warehouse_job
from pipeline.ledger import batches as ledger_batches
from pipeline.ledger import claims, holders, manifest, outcomes
from pipeline.ledger import inbox as inbox_events
from pipeline.ledger.due import is_due
from pipeline.ledger.states import State
from pipeline.partitions import (
    BATCHES,
    ensure_partitions,
    landed_events,
    materialization,
    progress_metadata,
    settled_metadata,
    submission_metadata,
)
from pipeline.refresh_sensor import refreshes
from pipeline.resources import Enrich
from pipeline.runs import RANGE_END, RANGE_START, failures, is_under_way, reap_dead_runs, to_start

_RUNNING = dg.DefaultSensorStatus.RUNNING

TICK_SECONDS = 15.0
"""After these a tick begins no further lookup; one takes 10 s at most, and a tick is killed at 60 s."""

MOST_KILLS = 20
"""Processes that may die at one batch, out of memory say, before it is held: a daemon has used them up in minutes."""


def range_request(job: str, keys: Sequence[str]) -> dg.RunRequest:
    """A run over one partition, or over a contiguous range of them."""
    if len(keys) == 1:
        return dg.RunRequest(job_name=job, partition_key=keys[0])
    return dg.RunRequest(job_name=job, tags={RANGE_START: keys[0], RANGE_END: keys[-1]})


@dg.sensor(
    job=ingest_job,
    minimum_interval_seconds=5,
    default_status=_RUNNING,
    description="Reads a file as soon as it lies still in the inbox; its mapping is the .toml beside it.",
)
def inbox(context: dg.SensorEvaluationContext, enrich: Enrich) -> Iterator[dg.RunRequest | dg.SkipReason]:
    files = settled_files(enrich.settings().inbox_dir)
    if not files:
        yield dg.SkipReason("the inbox is empty")
    elif is_under_way(context.instance, ingest_job.name):
        yield dg.SkipReason("the inbox is being read")
    elif dispatch.inbox_rests(newest_of(files), *failures(context.instance, ingest_job.name), time.time()):
        yield dg.SkipReason(f"{len(files)} file(s) stay in the inbox, see the last run: tried again later, or by hand")
    else:
        yield dg.RunRequest()


@dg.sensor(
    jobs=[plan_job, holders_job, submit_job],
    minimum_interval_seconds=5,
    default_status=_RUNNING,
    description=(
        "Cuts batches that are due, creates the account holders they name, and sends as many as the API has places"
        " and credits for. Nothing is sent while the circuit is open."
    ),
)
def submissions(context: dg.SensorEvaluationContext, enrich: Enrich) -> Iterator[dg.RunRequest | dg.SkipReason]:
    with enrich.workspace() as ws:
        requests = submission_requests(ws, context.instance)
    yield from requests
    if not requests:
        yield dg.SkipReason("nothing to plan or to send, or no place for it")


def submission_requests(ws: Workspace, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """Runs that would move planned work towards the API now."""
    requests = []
    if plan_is_due(ws) and not is_under_way(instance, plan_job.name):
        requests.append(dg.RunRequest(job_name=plan_job.name))
    if may_call(ws) and holders.wanted(ws.ledger, limit=1) and not is_under_way(instance, holders_job.name):
        requests.append(dg.RunRequest(job_name=holders_job.name))
    if recover_senders(ws) is None:
        return requests  # somebody is sending: a run would only find that out and go
    forget_the_dead(ws, State.PLANNED)
    return requests + _dispatched(ws, instance, submit_job.name, sendable_now(ws))


def forget_the_dead(ws: Workspace, *states: State) -> None:
    """Free the batches of processes that died; one at which too many did waits for a person."""
    if claims.forget_lost_claims(ws.ledger, *states):
        outcomes.hold_deadly(ws.ledger, kills=MOST_KILLS)


def _dispatched(ws: Workspace, instance: dg.DagsterInstance, job: str, keys: Sequence[str]) -> list[dg.RunRequest]:
    """Requests for these keys, noted in the ledger before they are made; not for those whose run has yet to start.

    Runs that waited for longer than `dispatch_seconds` were asked for again and again, each making the queue longer:
    80 batches had 60 runs waiting, and never came to an end (seen in the week in compressed time).
    """
    if not keys:
        return []
    ensure_partitions(instance, keys)
    partitions = instance.get_dynamic_partitions(BATCHES)
    asked = dispatch.keys_of(to_start(instance, job), partitions)
    keys = [key for key in keys if key not in asked]
    if not keys:
        return []
    grouped = dispatch.ranges(keys, partitions)
    point("dispatch.before_commit")
    ledger_batches.dispatch(ws.ledger, keys, seconds=ws.settings.dispatch_seconds)
    point("dispatch.after_commit")
    return [range_request(job, group) for group in grouped]


@dg.sensor(
    job=collect_job,
    minimum_interval_seconds=5,
    default_status=_RUNNING,
    description=(
        "Asks for the batches that ended. Webhook events come first: each is a hint to look at one batch. Then one list"
        " call watches all open ones: every 15 s without webhooks or when one was missed, every 2 min while each end"
        " comes by webhook, every 5 min when only overdue ones are open. A tick begins no lookup after 15 s;"
        " the next goes on."
    ),
)
def completions(context: dg.SensorEvaluationContext, enrich: Enrich) -> Iterator[dg.RunRequest | dg.SkipReason]:
    until = time.monotonic() + TICK_SECONDS
    reap_dead_runs(context.instance)
    trouble = ""
    with enrich.workspace() as ws:
        report_landed(ws, context.instance)
        is_time = _is_open(ws) and dispatch.is_time(context.cursor, time.time(), poll_seconds(ws))
        if is_time or inbox_events.waiting(ws.ledger, 1):
            with enrich.client(ws, patient=False) as client:
                seen = look(ws, client, until=until, everything=is_time)
            report_progress(ws, context.instance, seen.progressed)
            trouble = seen.trouble
            if is_time and not seen.left:  # otherwise the next tick goes on where this one stopped
                context.update_cursor(str(time.time()))
        requests = completion_requests(ws, context.instance)
    if trouble and not requests:
        raise dg.Failure(description=trouble)
    if trouble:
        context.log.warning(trouble)
    yield from requests
    if not requests:
        yield dg.SkipReason("no batch has ended")


def _is_open(ws: Workspace) -> bool:
    return bool(ledger_batches.in_states(ws.ledger, State.SUBMITTED, State.UNCONFIRMED))


@dataclass(slots=True)
class Look:
    """What went wrong, batches that made progress, and how many were left for the next look."""

    trouble: str = ""
    progressed: list[str] = field(default_factory=list)
    left: int = 0


def look(ws: Workspace, client: ApiClient, *, until: float | None = None, everything: bool = True) -> Look:
    """One look at the API: batches that events name, and then, for `everything`, all open and all lost ones.

    The open batches come first: an unconfirmed one that cannot be decided must not blind the watch over the others.
    """
    seen, troubles, strangers = Look(), [], 0
    for step in (take_events, watch) if everything else (take_events,):
        try:
            report = step(ws, client, until=until)
        except EnrichError as error:
            troubles.append(str(error))
        else:
            seen.progressed += report.progressed
            seen.left += report.left
            strangers += report.strangers
    # A stranger may be the batch whose answer was lost. Where there was no time for all open ones the next tick, which
    # comes at once, has none left to look for the lost ones either, until it has.
    if (everything or strangers) and not seen.left:
        try:
            recover(ws, client)
        except EnrichError as error:
            troubles.append(str(error))
    seen.trouble = " ".join(troubles)
    return seen


def report_progress(ws: Workspace, instance: dg.DagsterInstance, keys: Sequence[str]) -> None:
    """An observation for each open batch that has passed another tenth: ten at most in a batch's life (7 ms each)."""
    for key, row in ledger_batches.by_keys(ws.ledger, keys).items():
        observation = dg.AssetObservation("batch_submissions", partition=key, metadata=progress_metadata(ws, row))
        instance.report_runless_asset_event(observation)


def completion_requests(ws: Workspace, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """Runs for the batches that completed or ended in error."""
    forget_the_dead(ws, State.COMPLETED, State.ERRORED)
    keys = [row.batch_key for row in ledger_batches.collectable(ws.ledger)]
    return _dispatched(ws, instance, collect_job.name, keys)


def report_landed(ws: Workspace, instance: dg.DagsterInstance) -> int:
    """The outbox: tell Dagster of what the ledger committed and no run has said, since its process died or had no run.

    Landings, splits and rewritten versions; and attempts that the API has, such as adopted ones.
    """
    now = ws.ledger.now()
    free = partial(claims.is_free, now=now, one_host=ws.ledger.one_host)
    rows = [row for row in ledger_batches.unreported(ws.ledger) if free(row)]
    sent = [row for row in ledger_batches.unreported_submissions(ws.ledger) if free(row)]
    ensure_partitions(instance, [row.batch_key for row in (*rows, *sent)])
    if rows or sent:
        point("outbox.before_event")
    for row in rows:
        for event in landed_events(row.batch_key, settled_metadata(ws, row)):
            instance.report_runless_asset_event(event)
    for row in sent:
        event = materialization("batch_submissions", row.batch_key, submission_metadata(row))
        instance.report_runless_asset_event(event)
    if rows or sent:
        point("outbox.after_event")
    ledger_batches.mark_reported(ws.ledger, {row.batch_key: row.landed_version or 1 for row in rows})
    ledger_batches.mark_submissions_reported(ws.ledger, {row.batch_key: row.sequence for row in sent})
    return len(rows) + len(sent)


@dg.sensor(
    job=warehouse_job,
    minimum_interval_seconds=5,
    default_status=_RUNNING,
    description="Publishes when the manifest is newer than the warehouse that analysts see.",
)
def publications(context: dg.SensorEvaluationContext, enrich: Enrich) -> Iterator[dg.RunRequest | dg.SkipReason]:
    with enrich.workspace() as ws:
        due = publication_may_be_asked_for(ws) and not is_under_way(context.instance, warehouse_job.name)
        if due:
            manifest.dispatch_publish(ws.ledger, ws.ledger.now() + timedelta(seconds=ws.settings.dispatch_seconds))
    yield dg.RunRequest() if due else dg.SkipReason("the published warehouse is up to date, or being made")


def publication_may_be_asked_for(ws: Workspace) -> bool:
    """Whether it is due, and no run was asked for lately."""
    asked_until = manifest.head(ws.ledger).publish_dispatched_until
    return publication_is_due(ws) and is_due(asked_until, ws.ledger.now(), ws.ledger.longest.dispatch)


SENSORS = [inbox, submissions, completions, refreshes, publications, alerts]
