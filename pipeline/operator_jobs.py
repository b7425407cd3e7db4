"""The operator's hand in the Dagster UI: the same actions as `enrich retry | hold | release | adopt | doctor`, as jobs.

Edge: may import Dagster. Each is started in the launchpad with batch keys and a reason, and recorded with both in the
ledger's `operator_actions`. Waits for nothing: what follows is the sensors' work.
"""

from collections.abc import Callable
from typing import Any

import dagster as dg

from pipeline.errors import EnrichError
from pipeline.flow import operating as flow_operating
from pipeline.flow.doctoring import examine
from pipeline.flow.workspace import Workspace
from pipeline.ledger import operating
from pipeline.resources import Enrich
from pipeline.runs import known_troubles, mark_run


class BatchesConfig(dg.Config):
    """Which batches, why, and who says so (Dagster does not know)."""

    batches: list[str]
    why: str
    who: str = "dagster"


class RetryConfig(BatchesConfig):
    """`send`: send the items again, and be charged again, even where their results could be fetched."""

    send: bool = False


class AdoptConfig(dg.Config):
    """A batch and its id at the API."""

    batch: str
    vendor_batch_id: str
    why: str
    who: str = "dagster"


class DoctorConfig(dg.Config):
    """Who looks."""

    who: str = "dagster"


def _each(context: dg.OpExecutionContext, keys: list[str], act: Callable[[str], Any]) -> None:
    """Do it to every batch; those that refuse are named at the end and stop none of the others."""
    refused = {}
    for key in keys:
        try:
            context.log.info("%s", act(key))
        except EnrichError as error:
            refused[key] = error.in_full
    if refused:
        raise dg.Failure(
            description=f"{len(keys) - len(refused)} of {len(keys)} done. "
            + " ".join(f"{key}: {why}." for key, why in refused.items()),
            allow_retries=False,
        )


@dg.op
def retry_batches(context: dg.OpExecutionContext, config: RetryConfig, enrich: Enrich) -> None:
    """Another attempt for held and quarantined batches, and for the failed items of landed ones."""
    mark_run(context)
    with known_troubles(), enrich.workspace() as ws:
        _each(
            context,
            config.batches,
            lambda key: flow_operating.retry(ws, key, who=config.who, why=config.why, send=config.send),
        )


@dg.op
def hold_batches(context: dg.OpExecutionContext, config: BatchesConfig, enrich: Enrich) -> None:
    """Keep planned batches from being sent."""
    mark_run(context)
    with known_troubles(), enrich.workspace() as ws:
        _each(context, config.batches, lambda key: _hold(ws, key, config))


def _hold(ws: Workspace, key: str, config: BatchesConfig) -> str:
    operating.hold(ws.ledger, key, who=config.who, why=config.why)
    return f"{key} is held"


@dg.op
def release_batches(context: dg.OpExecutionContext, config: BatchesConfig, enrich: Enrich) -> None:
    """Undo holding, with no further attempt granted."""
    mark_run(context)
    with known_troubles(), enrich.workspace() as ws:
        _each(context, config.batches, lambda key: _release(ws, key, config))


def _release(ws: Workspace, key: str, config: BatchesConfig) -> str:
    return f"{key} is {operating.release(ws.ledger, key, who=config.who, why=config.why)} again"


@dg.op
def adopt_batch(context: dg.OpExecutionContext, config: AdoptConfig, enrich: Enrich) -> None:
    """Say which of the API's batches one of ours is. Nothing is sent."""
    mark_run(context)
    with known_troubles(), enrich.workspace() as ws, enrich.client(ws) as client:
        done = flow_operating.adopt(ws, client, config.batch, config.vendor_batch_id, who=config.who, why=config.why)
    context.log.info("%s", done)


@dg.op
def see_doctor(context: dg.OpExecutionContext, config: DoctorConfig, enrich: Enrich) -> None:
    """Look at folder, ledger, API, key, clock and circuit; closes the circuit where a look proves its reason over."""
    mark_run(context)
    with known_troubles(), enrich.workspace() as ws, enrich.client(ws, patient=False) as client:
        findings = examine(ws, client, who=config.who)
    for finding in findings:
        (context.log.warning if finding.ok is False else context.log.info)("%s: %s", finding.what, finding.says)
    bad = [finding for finding in findings if finding.ok is False]
    if bad:
        raise dg.Failure(
            description=" ".join(f"{finding.what}: {finding.says}. {finding.hint}" for finding in bad),
            allow_retries=False,
        )


def _job(name: str, op: dg.OpDefinition, description: str) -> dg.JobDefinition:
    @dg.job(name=name, description=description)
    def job() -> None:
        op()

    return job


OPERATOR_JOBS = [
    _job(
        "operator_retry",
        retry_batches,
        "By a person: another attempt for held or quarantined batches, or failed items.",
    ),
    _job("operator_hold", hold_batches, "By a person: keep planned batches from being sent."),
    _job("operator_release", release_batches, "By a person: undo a hold, with no further attempt granted."),
    _job("operator_adopt", adopt_batch, "By a person: say which of the API's batches one of ours is. Nothing is sent."),
    _job("doctor", see_doctor, "Look at everything; closes the circuit where a look proves its reason over."),
]
