"""Checks that an operator reads: is anything overdue, held, or stopped?"""

import dagster as dg

from pipeline.flow.health import health, results_missing, unknown_categories
from pipeline.ledger import recurrence
from pipeline.resources import Enrich

FRESH_HOURS = 24
SHOWN = 20


@dg.asset_check(
    asset="batch_submissions", description="No batch is under way for longer than ENRICH_OVERDUE_AFTER (6 h)."
)
def nothing_overdue(enrich: Enrich) -> dg.AssetCheckResult:
    with enrich.workspace() as ws:
        report = health(ws)
    return dg.AssetCheckResult(
        passed=not report.overdue,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"overdue": len(report.overdue), "batches": ", ".join(report.overdue[:20]) or "none"},
    )


@dg.asset_check(
    asset="batch_submissions", description="Nothing waits for a person: no batch held or quarantined, circuit closed."
)
def nothing_held(enrich: Enrich) -> dg.AssetCheckResult:
    with enrich.workspace() as ws:
        report = health(ws)
    waiting = [*report.held.items(), *report.quarantined.items()]
    return dg.AssetCheckResult(
        passed=not report.held and not report.quarantined and report.circuit is None,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "held": len(report.held),
            "quarantined": len(report.quarantined),
            "batches": "\n".join(f"{key}: {why}" for key, why in waiting[:20]) or "none",
            "circuit": report.circuit or "closed",
        },
    )


@dg.asset_check(asset="batch_results", description="Every item that was sent has a readable result of its own.")
def results_complete(enrich: Enrich) -> dg.AssetCheckResult:
    with enrich.workspace() as ws:
        missing = results_missing(ws)
    return dg.AssetCheckResult(
        passed=missing == 0, severity=dg.AssetCheckSeverity.WARN, metadata={"items_without_result": missing}
    )


@dg.asset_check(asset="transactions", description="No accepted row waits longer than a day for its enrichment.")
def fresh(enrich: Enrich) -> dg.AssetCheckResult:
    with enrich.workspace() as ws:
        hours = health(ws).oldest_unfinished * ws.settings.speed / 3600
    return dg.AssetCheckResult(
        passed=hours <= FRESH_HOURS, severity=dg.AssetCheckSeverity.WARN, metadata={"oldest_hours": round(hours, 2)}
    )


@dg.asset_check(
    asset="recurrence_groups",
    description="The recurring groups of every holder could be had and read; the last ones stay where they could not.",
)
def recurrence_complete(enrich: Enrich) -> dg.AssetCheckResult:
    with enrich.workspace() as ws:
        counts = recurrence.counts(ws.ledger)
    return dg.AssetCheckResult(
        passed=counts.failing == 0 and counts.unreadable == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "holders": counts.holders,
            "due": counts.due,
            "failing": counts.failing,
            "unreadable": counts.unreadable,
        },
    )


@dg.asset_check(
    asset="category_sets",
    description=(
        "Every category in the tables is in a list of its set: see the view `unknown_categories`. Looks at what is"
        " published."
    ),
)
def categories_known(enrich: Enrich) -> dg.AssetCheckResult:
    unknown = unknown_categories(enrich.settings().home)
    return dg.AssetCheckResult(
        passed=not unknown,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "unknown": len(unknown),
            "transactions": sum(row.transactions for row in unknown),
            "categories": "\n".join(f"{row.category_set}, {row.direction}: {row.category}" for row in unknown[:SHOWN])
            or "none",
        },
    )


CHECKS = [nothing_overdue, nothing_held, results_complete, fresh, recurrence_complete, categories_known]
