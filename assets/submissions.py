"""Batches sent to the API. A run holds one batch or a range of them, and records each partition by itself."""

from collections.abc import Iterator

import dagster as dg

from pipeline.flow.submitting import SubmitReport, submit
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches as ledger_batches
from pipeline.partitions import batches, materialization, submission_metadata
from pipeline.resources import Enrich
from pipeline.runs import CONCERNS_ALL, SESSION_TAG, known_troubles, mark_run


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "batch_submissions",
            deps=["batch_plan", "account_holders"],
            partitions_def=batches,
            skippable=True,
            group_name="batches",
            kinds={"api"},
            owners=["team:data-engineering"],
            description=(
                "Batches sent to the Batches API, one item one credit. The intent is in the ledger before anything is"
                " sent; a batch whose fate is unknown is looked for in the API's list, never blindly sent again."
            ),
        )
    ],
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def batch_submissions(context: dg.AssetExecutionContext, enrich: Enrich) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
    mark_run(context)
    keys = list(context.partition_keys)
    with known_troubles(), enrich.workspace() as ws, enrich.client(ws) as client:
        report = submit(ws, client, keys, run_id=context.run.tags.get(SESSION_TAG, context.run.run_id))
        _log_submitted(context, ws, keys, report)
    _raise_failures(context, report)
    yield from ()


def _log_submitted(context: dg.AssetExecutionContext, ws: Workspace, keys: list[str], report: SubmitReport) -> None:
    rows = ledger_batches.by_keys(ws.ledger, keys)
    for key, row in rows.items():
        # Keys that were sent before are logged again: a failed range run would paint them red otherwise.
        if key in report.submitted or (report.failed and row.vendor_batch_id):
            context.log_event(materialization("batch_submissions", key, submission_metadata(row)))
    sequences = {key: rows[key].sequence for key in report.submitted}
    ledger_batches.mark_submissions_reported(ws.ledger, sequences)


def _raise_failures(context: dg.AssetExecutionContext, report: SubmitReport) -> None:
    for key, why in report.skipped.items():
        context.log.info("%s left for later: %s", key, why)
    if report.failed:
        raise dg.Failure(
            description=f"{len(report.failed)} of {len(report.submitted) + len(report.failed)} batches were not"
            " submitted; the ledger decides what follows, nothing has to be done by hand unless a batch is held. "
            + " ".join(f"{key}: {why}." for key, why in report.failed.items()),
            metadata={
                "failed": len(report.failed),
                "submitted": len(report.submitted),
                **({CONCERNS_ALL: True} if report.disk else {}),
            },
            allow_retries=False,
        )
