"""Runs in the Dagster instance: named by their process, and ended when that process is dead.

Edge: may import Dagster. A killed in-process run stays STARTED and blocks `max_concurrent_runs` for good (measured).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from pipeline.errors import EnrichError
from pipeline.process import ProcessTag, this_process

PROCESS_TAG = ".dagster/enrich-process"  # hidden in the UI by its prefix

SESSION_TAG = "enrich/session"
"""One `enrich run` is many runs; spending caps per run count them as one by this tag."""

_UNFINISHED = [
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.CANCELING,
]


def mark_run(context: Any) -> None:
    """Name the process in the run's tags, so that others can tell when it has died."""
    context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: str(this_process())})


def reap_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs of processes that are provably dead on this host; returns their ids."""
    reaped = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        tag = ProcessTag.parse(run.tags.get(PROCESS_TAG, ""))
        if tag is not None and tag.is_dead():
            instance.report_run_failed(
                run, f"its process ({tag.pid}) died; what it did not finish is done by another run"
            )
            reaped.append(run.run_id)
    return reaped


@contextmanager
def known_troubles() -> Iterator[None]:
    """Show a trouble that is understood as what happened and what to do, not as a traceback."""
    try:
        yield
    except EnrichError as error:
        retry = getattr(error, "fate", None) == "transient"
        hint = error.hint or ("It is tried again by itself." if retry else "")
        raise dg.Failure(description=f"{error}. {hint}".strip(), allow_retries=False) from error
