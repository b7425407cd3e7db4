"""Raw transactions: bank files into the lake."""

from pathlib import Path
from typing import Any

import dagster as dg

from pipeline.columns import column_schema
from pipeline.flow.inbox import Ingestion, ingest_files, ingest_inbox
from pipeline.lake.tables import RAW_TRANSACTIONS
from pipeline.resources import Enrich
from pipeline.runs import FAILED_FILES, known_troubles, mark_run


class IngestConfig(dg.Config):
    """Which files to read. No files: whatever lies in the inbox, each with its mapping beside it."""

    files: list[str] = []
    mapping: str | None = None


@dg.asset(
    group_name="ingest",
    kinds={"polars", "parquet"},
    owners=["team:data-engineering"],
    description=(
        "Every accepted record of every bank file, with an id of its own. Records that cannot be accepted are in"
        " `rejected_rows` with file, record number and every reason: accepted + rejected = records in the file."
    ),
    metadata=column_schema(RAW_TRANSACTIONS),
)
def raw_transactions(context: dg.AssetExecutionContext, config: IngestConfig, enrich: Enrich) -> dg.MaterializeResult:  # type: ignore[type-arg]
    mark_run(context)
    with known_troubles(), enrich.workspace() as ws:
        if config.files:
            mapping = Path(config.mapping) if config.mapping else None
            done = ingest_files(ws, [Path(name) for name in config.files], mapping)
        else:
            done = ingest_inbox(ws)
    _report(context, done)
    return dg.MaterializeResult(metadata=_metadata(done))


def _report(context: dg.AssetExecutionContext, done: Ingestion) -> None:
    for file in done.reports:
        context.log.info(
            "%s: %d records, %d accepted (%d known before), %d rejected",
            file.source_file, file.records, file.accepted, file.repeats, file.rejected,
        )  # fmt: skip
        for warning in file.warnings:
            context.log.warning("%s: %s", file.source_file, warning)
    if done.failed:
        context.log_event(dg.AssetMaterialization("raw_transactions", metadata=_metadata(done)))
        raise dg.Failure(
            description=f"{_files(len(done.failed))} could not be read, {_files(len(done.reports))} could.\n"
            + "\n".join(done.failed.values()),
            metadata={"files_failed": len(done.failed), FAILED_FILES: dg.MetadataValue.json(sorted(done.failed))},
            allow_retries=False,
        )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _metadata(done: Ingestion) -> dict[str, Any]:
    return {
        "read_as": dg.MetadataValue.json({file.source_file: file.facts for file in done.reports}),
        "files": len(done.reports),
        "records": sum(file.records for file in done.reports),
        "accepted": sum(file.accepted for file in done.reports),
        "new": sum(0 if file.known_before else file.new for file in done.reports),
        "rejected": sum(file.rejected for file in done.reports),
    }
