"""Account holders: created at the API before their transactions are sent."""

import dagster as dg

from pipeline.flow.holder_sync import sync_holders
from pipeline.resources import Enrich
from pipeline.runs import known_troubles, mark_run


@dg.asset(
    group_name="batches",
    kinds={"api"},
    owners=["team:data-engineering"],
    deps=["raw_transactions"],
    description=(
        "Account holders that the files name, created at the API. A batch is sent once all of its holders are"
        " confirmed. Without a holder the API gives no category."
    ),
)
def account_holders(context: dg.AssetExecutionContext, enrich: Enrich) -> dg.MaterializeResult:  # type: ignore[type-arg]
    mark_run(context)
    with known_troubles(), enrich.workspace() as ws, enrich.client(ws) as client:
        report = sync_holders(ws, client)
    context.log.info("created %d, there already %d, left %d", report.created, report.existed, report.left)
    return dg.MaterializeResult(
        metadata={
            "created": report.created,
            "existed": report.existed,
            "mismatched": report.mismatched,
            "left": report.left,
        }
    )
