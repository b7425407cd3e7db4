"""`enrich run`: the same jobs and sensors as the daemon's, in one process, until nothing is left to do.

Edge: may import Dagster. Every run, materialisation and check is recorded in the project's instance, so the UI shows
them. Waiting holds no run: between two looks at the API this process only sleeps.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from pipeline.definitions import build_defs
from pipeline.errors import EnrichError
from pipeline.flow.late import find_late
from pipeline.flow.publishing import publication_is_due, publish_warehouse
from pipeline.flow.workspace import Workspace
from pipeline.jobs import categories_job, recurrence_job
from pipeline.ledger import batches, circuit, recurrence, sending
from pipeline.ledger.states import OPEN_STATES, State
from pipeline.process import this_process
from pipeline.refresh_sensor import due_for_unknown, refreshes_due
from pipeline.resources import EnrichResource
from pipeline.runs import CONCERNS_ALL, FAILED_FILES, PROCESS_TAG, SESSION_TAG, reap_dead_runs
from pipeline.sensors import completions, publications, submissions

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_TURN_SECONDS = 0.2

MAX_PROBES = 6
"""Batches that are sent, ever later, to see whether an outage is over; six take an hour on the API's clock."""

MAX_FAILURES = 15
"""Runs and looks that fail one after the other before a person is told; each failed submission backs off by itself."""


DISPATCH_SECONDS = 5.0
"""A run asked for here begins at once. With the daemon's two minutes a run after one that had ended on a full disk, and
could note nothing more, waited them out."""

REFRESH_SECONDS = 60.0
"""How long `enrich run` asks what recurs: of 300 holders at half the documented rate."""
_REFRESH_TURN_SECONDS = 5.0
"""Of each Dagster run of that, so that the bar moves."""


@dataclass(slots=True)
class Outcome:
    """How it ended: troubles that runs reported, and what stopped it before everything was done, if anything."""

    troubles: list[str] = field(default_factory=list)
    stopped_by: str | None = None
    violations: list[str] = field(default_factory=list)
    """What the identity check found: then nothing was published."""


class OneShot:
    """One go over the data folder."""

    def __init__(self, instance: dg.DagsterInstance, resource: EnrichResource) -> None:
        self.instance = instance
        settings = resource.settings()
        dispatch_seconds = min(settings.dispatch_seconds, DISPATCH_SECONDS)
        self.resource = EnrichResource(settings.model_copy(update={"dispatch_seconds": dispatch_seconds}))
        self.defs = build_defs(self.resource)
        self.outcome = Outcome()
        self.failed_files: set[str] = set()
        """Names of files that the ingestion could not read."""
        self._failures = 0
        self._cursors: dict[str, str | None] = {}
        self._session = uuid.uuid4().hex[:12]

    def ingest(self, files: Iterable[Path], mapping: Path | None) -> bool:
        """Read the files; False when one of them could not be read (the others were)."""
        config = {"files": [str(f.resolve()) for f in files], "mapping": str(mapping.resolve()) if mapping else None}
        return self._run("ingest", run_config={"ops": {"raw_transactions": {"config": config}}})

    def plan(self) -> bool:
        """Cut everything that waits into batches."""
        return self._run("plan", run_config={"ops": {"batch_plan": {"config": {"flush": True}}}})

    def finish(self, on_turn: Callable[[Workspace], None]) -> Outcome:
        """Send, wait, collect and publish until nothing is left that the pipeline itself can do.

        `on_turn` is called after each turn of the sensors, for showing progress.
        """
        reap_dead_runs(self.instance)
        with self.resource.workspace() as ws:
            circuit.probe_now(ws.ledger)  # somebody is here, and may have seen to what opened it
            try:
                while self._turn(ws):
                    on_turn(ws)
                    time.sleep(_TURN_SECONDS)
                self._refresh(ws, on_turn)
            finally:
                self._publish(ws)
            if self.outcome.stopped_by is None and due_for_unknown(ws) and self._run(categories_job.name):
                self._publish(ws)
            on_turn(ws)
            self._look_for_late(ws)
        return self.outcome

    def publish(self) -> Outcome:
        """Publish what there is, for instance after an interruption."""
        with self.resource.workspace() as ws:
            self._publish(ws)
        return self.outcome

    def _turn(self, ws: Workspace) -> bool:
        """One turn of the sensors. False when everything is done, or nothing can go on."""
        for sensor in (submissions, completions):
            self._tick(sensor)
        open_rows = batches.in_states(ws.ledger, *OPEN_STATES)
        if not open_rows:
            return False
        if self.outcome.stopped_by is None and all(row.state == State.PLANNED for row in open_rows):
            # The oldest decides: a big batch is not overtaken by small ones.
            self.outcome.stopped_by = self._obstacle(ws, open_rows[0].rows)
        if self._failures >= MAX_FAILURES and self.outcome.stopped_by is None:
            self.outcome.stopped_by = (
                f"{self._failures} runs failed one after the other, the last: {self.outcome.troubles[-1]}"
            )
        return self.outcome.stopped_by is None

    def _obstacle(self, ws: Workspace, rows: int) -> str | None:
        with ws.ledger.read() as conn:
            opened = circuit.opened(conn)
            if opened is not None and opened.kind == circuit.OUTAGE and opened.probes < MAX_PROBES:
                return None  # that passes by waiting: a probe is sent by itself
            return sending.obstacle(conn, ws.limits, rows, now=ws.ledger.now(), run_id=self._session)

    def _refresh(self, ws: Workspace, on_turn: Callable[[Workspace], None]) -> None:
        """What recurs, and the categories: for a minute at most, and not where nothing can be sent either."""
        until = time.monotonic() + REFRESH_SECONDS
        if self.outcome.stopped_by is not None:
            return
        if categories_job.name in refreshes_due(ws):
            self._run(categories_job.name)
        config = {"ops": {"recurrence_groups": {"config": {"seconds": _REFRESH_TURN_SECONDS}}}}
        while recurrence_job.name in refreshes_due(ws) and time.monotonic() < until:
            if not self._run(recurrence_job.name, run_config=config):
                break
            on_turn(ws)
        left = recurrence.counts(ws.ledger).due
        if left and ws.settings.recurrence == "auto":
            self._note(f"what recurs is not known yet of {left} account holders; the next run goes on, or the daemon")

    def _look_for_late(self, ws: Workspace) -> None:
        """Past the promise: the `sweep` job does it for the daemon, and without one nobody else would."""
        if self.outcome.stopped_by is not None:
            return
        try:
            with self.resource.client(ws) as client:
                found = find_late(ws, client)
        except EnrichError as error:
            self._note(f"batches that turn up late could not be looked for: {error}")
        else:
            for key, vendor_id in found.items():
                self._note(f"{key} was charged twice: {vendor_id} was listed after it had been proved absent")

    def _publish(self, ws: Workspace) -> None:
        self._tick(publications)
        if publication_is_due(ws):
            # Another process was asked for it, or is at it: whoever comes second finds it done.
            self.outcome.violations = publish_warehouse(ws).violations

    def _tick(self, sensor: dg.SensorDefinition) -> None:
        # The resource goes into the context: with one that is given in the call Dagster works on a copy of the context,
        # and the cursor that the sensor sets is lost. The API was asked four times a second instead of every 15 s.
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self._cursors.get(sensor.name),
            definitions=self.defs,
            resources={"enrich": self.resource},
        )
        requests: Any = sensor(context)
        try:
            requests = list(requests)
        except dg.Failure as failure:
            self._note(f"{sensor.name}: {failure.description}")
            time.sleep(_TURN_SECONDS * min(self._failures, 25))
            return
        for request in requests:
            if isinstance(request, dg.RunRequest):
                self._run(
                    request.job_name or sensor.job_name or "",
                    tags=dict(request.tags),
                    partition_key=request.partition_key,
                )
        self._cursors[sensor.name] = context.cursor

    def _run(
        self,
        job: str,
        *,
        tags: dict[str, str] | None = None,
        partition_key: str | None = None,
        run_config: dict[str, Any] | None = None,
    ) -> bool:
        with _interrupts() as interrupted:
            result = self.defs.resolve_job_def(job).execute_in_process(
                instance=self.instance,
                run_config={**_QUIET, **(run_config or {})},
                partition_key=partition_key,
                tags={**(tags or {}), SESSION_TAG: self._session, PROCESS_TAG: str(this_process())},
                raise_on_error=False,
            )
        if interrupted():
            raise KeyboardInterrupt  # Dagster makes a failed step of Ctrl-C, or nothing; the loop went on
        if not result.success:
            description, metadata = _first_error(result)
            self._note(f"{job}: {description}")
            self.failed_files |= set(metadata.get(FAILED_FILES, dg.MetadataValue.json([])).value)
            if CONCERNS_ALL in metadata:  # fifteen tries at a full disk took two minutes to say so
                self.outcome.stopped_by = description
        elif job in {"submit", "collect"}:
            self._failures = 0
        return bool(result.success)

    def _note(self, trouble: str) -> None:
        self._failures += 1
        self.outcome.troubles.append(trouble)


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether somebody pressed Ctrl-C, or sent SIGTERM, within the block, to be asked after it.

    Told by the signal itself. Dagster's handler raises wherever the process happens to be, and what is raised in a
    callback of a weak reference is ignored: the run went on for another quarter of a minute, and ended with 0.
    """
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    seen = False
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield lambda: seen
    finally:
        signal.set_wakeup_fd(before)
        with suppress(BlockingIOError):  # no signal at all
            seen = not {signal.SIGINT, signal.SIGTERM}.isdisjoint(os.read(reader, 4096))
        os.close(reader)
        os.close(writer)


def _first_error(result: dg.ExecuteInProcessResult) -> tuple[str, Mapping[str, Any]]:
    """What the first failed step said, and the metadata of its failure."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data and data.user_failure_data.description:
                return data.user_failure_data.description, data.user_failure_data.metadata or {}
            return str(data.error.message if data.error else "failed").strip(), {}
    return "failed before its first step", {}
