"""The warehouse: what analysts open. Its own job, asked for when the manifest is newer than what is published."""

from collections.abc import Iterator

import dagster as dg

from pipeline.columns import list_of
from pipeline.flow.publishing import PublishReport, publish_warehouse
from pipeline.lake.views import PUBLISHED
from pipeline.ledger import api_calls
from pipeline.ledger.api_calls import Calls
from pipeline.resources import Enrich
from pipeline.runs import known_troubles, mark_run


@dg.multi_asset(
    name="warehouse",
    specs=[
        dg.AssetSpec(
            "warehouse",
            deps=[
                *("transactions", "intermediaries", "raw_transactions", "account_holders"),
                *("recurrence_groups", "category_sets"),
            ],
            skippable=True,
            group_name="warehouse",
            kinds={"duckdb"},
            owners=["team:analytics"],
            description=(
                "What analysts open: `warehouse.duckdb`, replaced as a whole and read-only, so readers neither block it"
                " nor are blocked."
                " Its tables, each column with a comment of its own:\n\n" + list_of(PUBLISHED)
            ),
        )
    ],
    check_specs=[
        dg.AssetCheckSpec(
            "identity",
            asset="warehouse",
            blocking=True,
            description=(
                "Nothing lost, nothing twice: records in the files = accepted + rejected; every accepted id in exactly"
                " one live file; ids landed = ids in the archived answers. When it fails the old revision stays."
            ),
        )
    ],
)
def warehouse(
    context: dg.AssetExecutionContext, enrich: Enrich
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
    mark_run(context)
    with known_troubles(), enrich.workspace() as ws:
        report = publish_warehouse(ws)
        with ws.ledger.read() as conn:
            calls = api_calls.counted(conn)
    if not report.violations:
        yield dg.MaterializeResult(asset_key="warehouse", metadata=_metadata(report, calls))
    yield dg.AssetCheckResult(
        check_name="identity",
        asset_key="warehouse",
        passed=not report.violations,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={**report.counts, "violations": "\n".join(report.violations) or "none"},
    )
    if report.violations:
        raise dg.Failure(
            description="The tables contradict each other, so nothing was published and the old revision stays. "
            + " ".join(report.violations),
            allow_retries=False,
        )


def _metadata(report: PublishReport, calls: Calls) -> dict[str, int | float | str]:
    metadata: dict[str, int | float | str] = {
        "revision": report.revision,
        "seconds": round(report.seconds, 3),
        "path": str(report.path),
        **report.counts,
        "api_calls": calls.total,
    }
    if calls.per_landed is not None:
        metadata["api_calls_per_landed_batch"] = round(calls.per_landed, 2)
    return metadata
