"""What is asked of the API besides enrichment: recurring groups of the holders, and the sets of categories."""

import dagster as dg

from pipeline.columns import column_schema
from pipeline.flow.category_sets import CategoryReport, fetch_category_sets
from pipeline.flow.recurrence import REFRESH_SECONDS, refresh
from pipeline.lake.tables import RECURRENCE_GROUPS
from pipeline.lake.views import CATEGORY_SETS
from pipeline.resources import Enrich
from pipeline.runs import known_troubles, mark_run


class RefreshConfig(dg.Config):
    """`seconds`: how long one run asks; holders that are left are for the next."""

    seconds: float = REFRESH_SECONDS


@dg.asset(
    group_name="analytics",
    kinds={"api", "parquet"},
    owners=["team:analytics"],
    deps=["transactions", "account_holders"],
    description=(
        "What recurs in each account holder's history, as the API finds it. Asked again for the holders of whom"
        " something was landed since; one that cannot be had is tried again later and keeps its last groups. The"
        " warehouse has it as `recurrence_groups`, `recurrence_transactions` and `subscriptions`."
    ),
    metadata=column_schema(RECURRENCE_GROUPS),
)
def recurrence_groups(context: dg.AssetExecutionContext, config: RefreshConfig, enrich: Enrich) -> dg.MaterializeResult:  # type: ignore[type-arg]
    mark_run(context)
    with known_troubles(), enrich.workspace() as ws, enrich.client(ws) as client:
        report = refresh(ws, client, seconds=config.seconds)
    context.log.info(
        "refreshed %d holders with %d groups, %d failed, %d left",
        *(report.refreshed, report.groups, report.failed, report.left),
    )
    return dg.MaterializeResult(
        metadata={
            "holders": report.refreshed,
            "groups": report.groups,
            "failed": report.failed,
            "unreadable": report.unreadable,
            "left": report.left,
            **({"trouble": report.trouble} if report.trouble else {}),
        }
    )


@dg.asset(
    group_name="analytics",
    kinds={"api"},
    owners=["team:analytics"],
    deps=["account_holders"],
    description=(
        "The sets of categories that the API may give, `consumer`, `business` and each own set of a holder, fetched and"
        " kept by day. A set that cannot be had does not keep the others from being fetched."
    ),
    metadata=column_schema(CATEGORY_SETS),
)
def category_sets(context: dg.AssetExecutionContext, enrich: Enrich) -> dg.MaterializeResult:  # type: ignore[type-arg]
    mark_run(context)
    with known_troubles(), enrich.workspace() as ws, enrich.client(ws) as client:
        report = fetch_category_sets(ws, client)
    context.log.info(
        "fetched %d sets, %d not as known, %d failed", *map(len, (report.fetched, report.changed, report.failed))
    )
    _raise_failures(report)
    return dg.MaterializeResult(
        metadata={
            "sets": len(report.fetched),
            "categories": sum(report.fetched.values()),
            "changed": ", ".join(report.changed) or "none",
        }
    )


def _raise_failures(report: CategoryReport) -> None:
    if report.failed:
        raise dg.Failure(
            description=f"{len(report.failed)} of {len(report.failed) + len(report.fetched)} category sets could not be"
            " had; the others were kept. " + " ".join(f"{name}: {why}." for name, why in report.failed.items()),
            metadata={"failed": len(report.failed), "sets": len(report.fetched)},
            allow_retries=False,
        )
