"""The sensor that tells a person. Edge: may import Dagster. What is told, and to whom, is in `pipeline/flow`."""

from collections.abc import Iterator

import dagster as dg

from pipeline.flow.telling import tell
from pipeline.resources import Enrich


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Tells of what a person should know: overdue, held, quarantined, stopped, capped, stalled. In the tick's log,"
        " and at ENRICH_ALERT_URL; once, again each day while it lasts, and when it is over. Asks for no run."
    ),
)
def alerts(context: dg.SensorEvaluationContext, enrich: Enrich) -> Iterator[dg.SkipReason]:
    """Tell what is new, lasts for another day, or is over."""
    with enrich.workspace() as ws:
        told = tell(ws, context.log)
    yield dg.SkipReason(f"{told} alerts were told" if told else "nothing new to tell")
