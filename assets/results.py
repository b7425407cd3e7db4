"""Results of finished batches: fetched, archived and landed in one step, a partition per batch."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pipeline.columns import column_schema
from pipeline.crashpoints import point
from pipeline.flow.collecting import CollectReport, Landed, collect
from pipeline.flow.workspace import Workspace
from pipeline.lake.tables import FILE_TABLES
from pipeline.ledger import batches as ledger_batches
from pipeline.ledger.states import State
from pipeline.partitions import LANDED_ASSETS, batches, landed_events, settled_metadata
from pipeline.resources import Enrich
from pipeline.runs import CONCERNS_ALL, known_troubles, mark_run

_DESCRIPTIONS = {
    "batch_results": "The API's answer for each batch, archived as it came (zstd), and the ids in it.",
    "transactions": "Enriched rows of each batch: counterparty, category, location, or the item's own error.",
    "intermediaries": "Who stood between payer and counterparty, a row per transaction and intermediary.",
}


def _spec(name: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        deps=["batch_submissions"] if name == "batch_results" else ["batch_results"],
        partitions_def=batches,
        skippable=True,
        group_name="results",
        kinds={"api"} if name == "batch_results" else {"polars", "parquet"},
        owners=["team:data-engineering"],
        description=_DESCRIPTIONS[name],
        metadata=column_schema(FILE_TABLES[name]) if name in FILE_TABLES else None,
    )


@dg.multi_asset(
    name="collected_batches",
    specs=[_spec(name) for name in LANDED_ASSETS],
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def collected_batches(context: dg.AssetExecutionContext, enrich: Enrich) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
    mark_run(context)
    keys = list(context.partition_keys)
    with known_troubles(), enrich.workspace() as ws, enrich.client(ws) as client:
        report = collect(ws, client, keys)
        point("collect.before_event")
        _log_landed(context, ws, keys, report)
    for word, keys_and_why in (
        ("sent again", report.retried),
        ("split", report.split),
        ("quarantined", report.quarantined),
    ):
        for key, why in keys_and_why.items():
            context.log_event(dg.AssetObservation("batch_results", partition=key, metadata={word: why}))
    _raise_failures(context, report)
    yield from ()


def _log_landed(context: dg.AssetExecutionContext, ws: Workspace, keys: list[str], report: CollectReport) -> None:
    versions = {}
    broken = bool(report.held or report.failed or report.quarantined)
    for key, row in ledger_batches.by_keys(ws.ledger, keys).items():
        # Keys that landed before are logged again where this run fails: it would paint them red otherwise (measured).
        settled = row.landed_version is not None or row.state == State.SPLIT
        if not (settled and (key in report.landed or key in report.split or broken)):
            continue
        landed = report.landed.get(key)
        for event in landed_events(key, settled_metadata(ws, row) | (landed_metadata(landed) if landed else {})):
            context.log_event(event)
        versions[key] = row.landed_version or 1
        for problem in landed.problems[:20] if landed else ():
            context.log.warning("%s: %s", key, problem)
    ledger_batches.mark_reported(ws.ledger, versions)


def landed_metadata(landed: Landed) -> dict[str, Any]:
    """Figures of one landed batch for the plots over time."""
    return {
        "rows": landed.rows,
        "credits": landed.rows + sum(landed.again.values()),
        "items_sent_again": sum(landed.again.values()),
        "seconds": round(landed.seconds, 2),
        "enriched": landed.counts.get("enriched", 0),
        "item_errors": landed.counts.get("item_error", 0),
        "error_share": round(landed.counts.get("item_error", 0) / landed.rows, 4) if landed.rows else 0.0,
        "intermediaries": landed.intermediaries,
        "response_bytes": landed.response_bytes,
        "problems": len(landed.problems),
        "version": landed.version,
    }


def _raise_failures(context: dg.AssetExecutionContext, report: CollectReport) -> None:
    for key, why in report.skipped.items():
        context.log.info("%s: %s", key, why)
    bad = {**report.held, **report.quarantined, **report.failed}
    if bad:
        raise dg.Failure(
            description=f"{len(report.held)} batches are held for a person, {len(report.quarantined)} items are"
            f" quarantined, {len(report.failed)} batches are tried again later; {len(report.landed)} landed. "
            + " ".join(f"{key}: {why}." for key, why in bad.items()),
            metadata={
                "held": len(report.held),
                "failed": len(report.failed),
                "landed": len(report.landed),
                **({CONCERNS_ALL: True} if report.disk else {}),
            },
            allow_retries=False,
        )
