"""What Dagster's daemon does, a process for each turn of the sensors and for each run, at a fraction of its cost.

A run that the daemon launches takes 1.5 s to import what is imported here already. What is different from life: runs
do not queue, and are not tried again by the daemon. A real daemon is in `test_crash_daemon.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from pipeline.definitions import defs
from pipeline.flow.inbox import settled_files
from pipeline.flow.workspace import Workspace
from pipeline.instance import open_instance
from pipeline.ledger import batches, manifest
from pipeline.ledger.states import OPEN_STATES
from pipeline.process import this_process
from pipeline.resources import EnrichResource
from pipeline.runs import PROCESS_TAG
from pipeline.sensors import SENSORS

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_LAST = "publications"
"""It asks for a run at each change; when nothing else is asked for it has to do so once."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that a sensor asked for."""

    job: str
    partition: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def start(self) -> int:
        """Do it, in a child, with its own instance; 0 when it succeeded."""
        # A run of the daemon that died before it named its process is found by the run monitor, after minutes.
        tags = {**self.tags, PROCESS_TAG: str(this_process())}
        with open_instance(Path.cwd()) as instance:
            result = defs.resolve_job_def(self.job).execute_in_process(
                instance=instance, partition_key=self.partition, tags=tags, run_config=_QUIET, raise_on_error=False
            )
            return int(not result.success)


@dataclass(slots=True)
class Turn:
    """What came of one turn: runs to start, cursors, and whether nothing is left to do."""

    runs: list[Run] = field(default_factory=list)
    cursors: dict[str, str | None] = field(default_factory=dict)
    done: bool = False

    @classmethod
    def read(cls, report: Path) -> Turn:
        """What a child reported, as far as it came."""
        turn = cls()
        text = report.read_text() if report.exists() else ""
        for line in text.splitlines():
            said = json.loads(line)
            turn.runs += [Run(**run) for run in said.get("runs", ())]
            turn.cursors |= said.get("cursors", {})
            turn.done = turn.done or said.get("done", False)
        return turn


def take_turn(cursors: dict[str, str | None], report: Path) -> Callable[[], None]:
    """One tick of each sensor, as something to do in a child; it writes down what came of each tick at once."""

    def act() -> None:
        with open_instance(Path.cwd()) as instance, report.open("w") as out:
            asked = 0
            for sensor in SENSORS:
                if asked and sensor.name == _LAST:
                    continue
                runs, cursor = _tick(sensor, instance, cursors.get(sensor.name))
                asked += len(runs)
                print(json.dumps({"runs": runs, "cursors": {sensor.name: cursor}}), file=out, flush=True)
            with EnrichResource().workspace() as ws:
                print(json.dumps({"done": not asked and nothing_is_left(ws)}), file=out, flush=True)

    return act


def _tick(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=defs)
    try:
        found: Any = list(sensor(context, enrich=EnrichResource()))  # type: ignore[call-overload]
    except dg.Failure as failure:  # a failed tick: the daemon shows it and ticks again
        print(f"{sensor.name}: {failure.description}")  # noqa: T201 - to the log of its process
        return [], cursor
    runs = [
        Run(request.job_name or sensor.job_name or "", request.partition_key, dict(request.tags))
        for request in found
        if isinstance(request, dg.RunRequest)
    ]
    return [asdict(run) for run in runs], context.cursor


def nothing_is_left(ws: Workspace) -> bool:
    """Whether no sensor would ever ask for another run."""
    with ws.ledger.read() as conn:
        waiting = manifest.live(conn, "waiting")
    head = manifest.head(ws.ledger)
    return not (
        waiting
        or head.revision == 0
        or head.revision > head.published_revision
        or batches.in_states(ws.ledger, *OPEN_STATES)
        or batches.unreported(ws.ledger)
        or batches.unreported_submissions(ws.ledger)
        or settled_files(ws.settings.inbox_dir)
    )
