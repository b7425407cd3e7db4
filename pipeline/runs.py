"""Runs in the Dagster instance: named by their process, and ended when that process is dead.

Edge: may import Dagster. A killed in-process run stays STARTED and blocks `max_concurrent_runs` for good (measured).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import dagster as dg

from pipeline.errors import EnrichError
from pipeline.process import ProcessTag, this_process

PROCESS_TAG = ".dagster/enrich-process"  # hidden in the UI by its prefix

SESSION_TAG = "enrich/session"
"""One `enrich run` is many runs; spending caps per run count them as one by this tag."""

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"

FAILED_FILES = "failed_files"
"""Metadata of a failed ingestion: names of the files."""

CONCERNS_ALL = "concerns_all"
"""Metadata of a failure that the next run would meet as well, such as a full disk."""

_ALIVE = [
    dg.DagsterRunStatus.NOT_STARTED,  # an in-process run that is killed before its first event stays so for ever
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.CANCELING,
]


_PENDING = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


_TO_START = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING]
"""Without NOT_STARTED: one that is killed there stays so for ever. STARTING ends by `start_timeout_seconds`."""


_MOST_FAILURES = 8
_QUEUE_DAEMON = "QUEUED_RUN_COORDINATOR"
_HEARTBEAT_SECONDS = 120
"""Dagster's daemon beats every 30 s."""


def mark_run(context: Any) -> None:
    """Name the process in the run's tags, so that others can tell when it has died."""
    context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: str(this_process())})


def reap_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs of processes that are provably dead on this host; returns their ids."""
    reaped = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_ALIVE)):
        tag = ProcessTag.parse(run.tags.get(PROCESS_TAG, ""))
        if tag is None or not tag.is_dead() or _is_inherited(instance, run):
            continue
        now = instance.get_run_by_id(run.run_id)
        if now is not None and not now.is_finished:  # it may have ended well between the first look and its death
            instance.report_run_failed(
                run, f"its process ({tag.pid}) died; what it did not finish is done by another run"
            )
            reaped.append(run.run_id)
    return reaped


def is_under_way(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether a run of this job waits or works: one at a time is enough for the unpartitioned ones."""
    return instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=_PENDING)) > 0


def failures(instance: dg.DagsterInstance, job: str) -> tuple[int, float, float]:
    """How many runs of this job failed last, one after the other (some at most), and when the newest began and ended.

    Times as `time.time`; zeros where the newest did not fail.
    """
    records = instance.get_run_records(dg.RunsFilter(job_name=job), limit=_MOST_FAILURES)
    failed = list(takewhile(lambda record: record.dagster_run.status is dg.DagsterRunStatus.FAILURE, records))
    if not failed:
        return 0, 0.0, 0.0
    created = failed[0].create_timestamp.timestamp()
    return len(failed), failed[0].start_time or created, failed[0].end_time or created


def to_start(instance: dg.DagsterInstance, job: str) -> list[tuple[str, str]]:
    """First and last partition of each run of this job that waits in the queue, or whose process is just starting.

    None where no daemon lives: `enrich run` must not wait for a queue that nobody takes anything from.
    """
    found: list[tuple[str, str]] = []
    if not _daemon_lives(instance):
        return found
    for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=_TO_START)):
        one = run.tags.get(PARTITION)
        first, last = run.tags.get(RANGE_START, one), run.tags.get(RANGE_END, one)
        if first is not None and last is not None:
            found.append((first, last))
    return found


def _daemon_lives(instance: dg.DagsterInstance) -> bool:
    beat = instance.get_daemon_heartbeats().get(_QUEUE_DAEMON)
    return beat is not None and time.time() - beat.timestamp < _HEARTBEAT_SECONDS


def _is_inherited(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the process is its parent's: Dagster copies a run's tags to its retry, which has named none of its own.

    Such a retry was ended 0.3 s after its start, as if it had died itself.
    """
    parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return parent is not None and parent.tags.get(PROCESS_TAG) == run.tags.get(PROCESS_TAG)


@contextmanager
def known_troubles() -> Iterator[None]:
    """Show a trouble that is understood as what happened and what to do, not as a traceback."""
    try:
        yield
    except EnrichError as error:
        retry = getattr(error, "fate", None) == "transient"
        hint = error.hint or ("It is tried again by itself." if retry else "")
        raise dg.Failure(
            description=error.in_full if error.hint else f"{error}. {hint}".strip(),
            metadata={CONCERNS_ALL: True} if error.concerns_all else None,
            allow_retries=False,
        ) from error
