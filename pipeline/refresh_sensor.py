"""Sensor for what is asked of the API besides enrichment: recurring groups, and the sets of categories. Edge."""

import json
import time
from collections.abc import Iterator

import dagster as dg

from pipeline.flow.category_sets import outgrown
from pipeline.flow.choosing import may_call
from pipeline.flow.recurrence import is_wanted
from pipeline.flow.workspace import Workspace
from pipeline.jobs import categories_job, recurrence_job
from pipeline.ledger import batches, category_sets, manifest
from pipeline.ledger.states import OPEN_STATES, State
from pipeline.resources import Enrich
from pipeline.runs import is_under_way

_REFRESH_GAPS = {recurrence_job.name: 120.0, categories_job.name: 3_600.0}
"""Seconds between two requests: one that fails at once, say for a set that the API does not have, is not asked for in
each tick."""
_JUDGED = "published"
"""In the cursor: the revision whose categories were looked through, which costs a query on the warehouse."""


@dg.sensor(
    jobs=[recurrence_job, categories_job],
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Asks what recurs once everything is landed, since the API computes it over whole histories; while batches are"
        " under way the schedule does it hourly. Fetches the categories if today's are not there, and again when a"
        " result names one that they lack."
    ),
)
def refreshes(context: dg.SensorEvaluationContext, enrich: Enrich) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One look at the ledger; the cursor has when each job was asked for last, and what was looked through."""
    asked: dict[str, float] = json.loads(context.cursor or "{}")
    now = time.time()
    with enrich.workspace() as ws:
        due = refreshes_due(ws)
        head = manifest.head(ws.ledger)
        if categories_job.name not in due and head.revision == head.published_revision != asked.get(_JUDGED):
            asked[_JUDGED] = head.published_revision
            due += [categories_job.name] if due_for_unknown(ws) else []
    jobs = [
        name
        for name in due
        if abs(now - asked.get(name, 0)) >= _REFRESH_GAPS[name] and not is_under_way(context.instance, name)
    ]
    if categories_job.name in due and categories_job.name not in jobs:
        asked.pop(_JUDGED, None)  # looked at again when it may be asked for
    context.update_cursor(json.dumps(asked | dict.fromkeys(jobs, now)))
    yield from (dg.RunRequest(job_name=name) for name in jobs)
    if not jobs:
        yield dg.SkipReason("nothing has changed, or something is still under way")


def due_for_unknown(ws: Workspace) -> bool:
    """Whether results that were published name a category that may have been added to its set since it was fetched."""
    return may_call(ws) and bool(outgrown(ws))


def refreshes_due(ws: Workspace) -> list[str]:
    """Jobs that would bring what is asked besides enrichment up to date; none before anything was landed."""
    if not may_call(ws) or batches.in_states(ws.ledger, *OPEN_STATES):
        return []
    jobs = [recurrence_job.name] if is_wanted(ws) else []
    landed = batches.counts_by_state(ws.ledger).get(State.LANDED)
    if landed and category_sets.missing_on(ws.ledger, ws.ledger.now().date()):
        jobs.append(categories_job.name)
    return jobs
