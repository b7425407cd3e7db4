"""The composition root: which assets, jobs, sensors, schedules and resources make up the project."""

from __future__ import annotations

import dagster as dg

from assets import analytics, checks, holders, plan, raw, results, submissions, warehouse
from pipeline.jobs import JOBS, SCHEDULES
from pipeline.operator_jobs import OPERATOR_JOBS
from pipeline.resources import EnrichResource
from pipeline.sensors import SENSORS


def build_defs(resource: EnrichResource | None = None) -> dg.Definitions:
    """The project's definitions; tests and the command line hand over a resource of their own."""
    return dg.Definitions(
        assets=[
            raw.raw_transactions,
            plan.batch_plan,
            holders.account_holders,
            submissions.batch_submissions,
            results.collected_batches,
            analytics.recurrence_groups,
            analytics.category_sets,
            warehouse.warehouse,
        ],
        asset_checks=checks.CHECKS,
        jobs=[*JOBS, *OPERATOR_JOBS],
        sensors=SENSORS,
        schedules=SCHEDULES,
        resources={"enrich": resource or EnrichResource()},
        # Five steps cost five times as much in the multiprocess executor; ours have one each.
        executor=dg.in_process_executor,
    )


defs = build_defs()
