"""Jobs and schedules. Edge: may import Dagster. What the steps do is in `pipeline/flow`."""

from typing import Any

import dagster as dg

from pipeline.flow.choosing import may_call
from pipeline.flow.inbox import settled_files
from pipeline.flow.recurrence import is_wanted
from pipeline.flow.retention import forget_events, remove_replaced
from pipeline.flow.sweeping import sweep
from pipeline.partitions import LANDED_ASSETS
from pipeline.resources import Enrich
from pipeline.retiring import retire
from pipeline.runs import is_under_way, known_troubles, mark_run, reap_dead_runs

ingest_job = dg.define_asset_job(
    "ingest", selection=["raw_transactions"], description="Read the files in the inbox, or those given in the config."
)
plan_job = dg.define_asset_job("plan", selection=["batch_plan"], description="Cut the waiting rows into batches.")
holders_job = dg.define_asset_job(
    "account_holder_sync", selection=["account_holders"], description="Create the account holders that files name."
)
submit_job = dg.define_asset_job(
    "submit", selection=["batch_submissions"], description="Send planned batches, one or a range of them."
)
collect_job = dg.define_asset_job(
    "collect",
    selection=list(LANDED_ASSETS),
    description="Fetch, archive and land the results of finished batches; plan those in error again.",
)
CHECKED = ("warehouse", "batch_submissions", "batch_results", "transactions")

warehouse_job = dg.define_asset_job(
    "publish",
    selection=dg.AssetSelection.assets("warehouse") | dg.AssetSelection.checks_for_assets(*CHECKED),
    description="Check that nothing is lost or twice, then swap in a new warehouse.duckdb.",
)


@dg.op
def sweep_up(context: dg.OpExecutionContext, enrich: Enrich) -> None:
    """End runs of dead processes, decide unconfirmed batches, and remove files that no revision refers to."""
    mark_run(context)
    reaped = reap_dead_runs(context.instance)
    with known_troubles(), enrich.workspace() as ws, enrich.client(ws) as client:
        report = sweep(ws, client)
    context.log.info("ended %d dead runs; %s", len(reaped), report)


@dg.job(name="sweep", description="Tidy up: dead runs, unconfirmed batches, files of discarded attempts.")
def sweep_job() -> None:
    sweep_up()


@dg.op
def remove_old(context: dg.OpExecutionContext, enrich: Enrich) -> None:
    """Delete replaced files, and take old partitions and runs out of the instance."""
    mark_run(context)
    with known_troubles(), enrich.workspace() as ws:
        files, events = remove_replaced(ws), forget_events(ws)
        retired = retire(ws, context.instance)
    figures = {"files": files, "events": events, "partitions": retired.partitions, "runs": retired.runs}
    context.log.info(
        "removed %(files)d replaced files, %(events)d events, %(partitions)d partitions, %(runs)d runs", figures
    )


@dg.job(
    name="retention",
    description=(
        "Delete what is kept no longer: Parquet files that were replaced, partitions of batches that landed long ago,"
        " old runs. The archive and the tables stay whole. How long: ENRICH_KEEP_REPLACED_DAYS,"
        " ENRICH_KEEP_PARTITIONS_DAYS, ENRICH_KEEP_RUNS_DAYS."
    ),
)
def retention_job() -> None:
    remove_old()


recurrence_job = dg.define_asset_job(
    "recurrence",
    selection=["recurrence_groups"],
    description="Ask what recurs in the histories of the account holders of whom something was landed since.",
)
categories_job = dg.define_asset_job(
    "categories", selection=["category_sets"], description="Fetch the sets of categories and keep them for today."
)

health_job = dg.define_asset_job(
    "health",
    selection=dg.AssetSelection.checks_for_assets(
        "batch_submissions", "batch_results", "transactions", "recurrence_groups", "category_sets"
    ),
    description="Is anything overdue, held, incomplete, stale or unknown? Looks only; changes nothing.",
)

JOBS: list[Any] = [
    ingest_job,
    plan_job,
    holders_job,
    submit_job,
    collect_job,
    warehouse_job,
    recurrence_job,
    categories_job,
    health_job,
    sweep_job,
    retention_job,
]


@dg.schedule(
    job=ingest_job,
    cron_schedule="*/15 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Reads what lies in the inbox, in case that the inbox sensor is off.",
)
def ingest_schedule(context: dg.ScheduleEvaluationContext, enrich: Enrich) -> dg.RunRequest | dg.SkipReason:
    if not settled_files(enrich.settings().inbox_dir):
        return dg.SkipReason("the inbox is empty")
    if is_under_way(context.instance, ingest_job.name):
        return dg.SkipReason("the inbox is being read")
    return dg.RunRequest()


plan_schedule = dg.ScheduleDefinition(
    name="plan_schedule",
    job=plan_job,
    cron_schedule="0 2 * * *",
    run_config={"ops": {"batch_plan": {"config": {"flush": True}}}},
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once a night, cuts whatever still waits, however little it is.",
)

sweep_schedule = dg.ScheduleDefinition(
    name="sweep_schedule",
    job=sweep_job,
    cron_schedule="*/10 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every ten minutes: dead runs, unconfirmed batches, files of discarded attempts.",
)

retention_schedule = dg.ScheduleDefinition(
    name="retention_schedule",
    job=retention_job,
    cron_schedule="30 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Nightly: replaced files after 7 days, partitions after 90, runs after 30, all by settings.",
)

health_schedule = dg.ScheduleDefinition(
    name="health_schedule",
    job=health_job,
    cron_schedule="5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Hourly, so that the checks speak up when nothing moves and nothing is published.",
)


@dg.schedule(
    job=recurrence_job,
    cron_schedule="20 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Hourly, whatever is still under way: the sensor `refreshes` waits until no batch is. Only holders of whom"
        " something was landed since are asked about."
    ),
)
def recurrence_schedule(context: dg.ScheduleEvaluationContext, enrich: Enrich) -> dg.RunRequest | dg.SkipReason:
    with enrich.workspace() as ws:
        wanted = may_call(ws) and is_wanted(ws)
    if not wanted:
        return dg.SkipReason("no history has grown since it was asked about")
    if is_under_way(context.instance, recurrence_job.name):
        return dg.SkipReason("it is being asked")
    return dg.RunRequest()


categories_schedule = dg.ScheduleDefinition(
    name="categories_schedule",
    job=categories_job,
    cron_schedule="10 0 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once a day: two calls, and one for each own set of a holder.",
)

SCHEDULES = [
    ingest_schedule,
    plan_schedule,
    sweep_schedule,
    retention_schedule,
    health_schedule,
    recurrence_schedule,
    categories_schedule,
]
