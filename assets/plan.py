"""The batch plan: waiting rows cut into batches, each a partition."""

import dagster as dg

from pipeline.flow.planning import plan
from pipeline.partitions import ensure_partitions
from pipeline.resources import Enrich
from pipeline.runs import known_troubles, mark_run


class PlanConfig(dg.Config):
    """`flush`: cut a small remainder at once instead of waiting for more rows."""

    flush: bool = False


@dg.asset(
    group_name="batches",
    kinds={"polars", "parquet"},
    owners=["team:data-engineering"],
    deps=["raw_transactions"],
    description=(
        "Waiting rows cut into batches: at the batch size, or when the oldest waits too long. Each batch is a file of"
        " exactly the items that are sent, and a partition of the assets below."
    ),
)
def batch_plan(context: dg.AssetExecutionContext, config: PlanConfig, enrich: Enrich) -> dg.MaterializeResult:  # type: ignore[type-arg]
    mark_run(context)
    with known_troubles(), enrich.workspace() as ws:
        report = plan(ws, flush=config.flush)
    ensure_partitions(context.instance, report.batches)
    rows = sum(report.batches.values())
    context.log.info("cut %d batches with %d rows; %d rows wait", len(report.batches), rows, report.waiting)
    return dg.MaterializeResult(metadata={"batches": len(report.batches), "rows": rows, "rows_waiting": report.waiting})
