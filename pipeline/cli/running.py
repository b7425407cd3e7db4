"""`enrich run` and `enrich demo`: the one-shot run with bars, and the tables at the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.cli import show
from pipeline.cli.summary import accepted_any, show_files, show_summary
from pipeline.errors import ConfigError
from pipeline.flow.preview import preview
from pipeline.flow.status import read_status
from pipeline.flow.workspace import Workspace, open_workspace
from pipeline.instance import open_instance
from pipeline.ledger import batches, holders, manifest, recurrence, sending
from pipeline.ledger.states import State
from pipeline.local_api import start_sandbox
from pipeline.one_shot import OneShot, Outcome
from pipeline.resources import EnrichResource
from pipeline.sample import SAMPLE
from pipeline.sandbox.config import SandboxConfig
from pipeline.settings import Settings

WAITS_FOR_PERSON = 3
INTERRUPTED = 130
SHOWN_TROUBLES = 3

DEMO_BATCH_SIZE = 600
DEMO_TIME_SCALE = 20.0
DEMO_ITEM_ATTEMPTS = 2
DEMO_BACKOFF = 20.0
"""The sample's batches take some 25 s each on the sandbox's clock, and the demo is to wait for under 15 s."""


def run_files(settings: Settings, files: Sequence[Path], mapping: Path | None) -> int:
    """Run these files through to published tables; returns the exit code.

    Raises EnrichError for what stops it before anything is read.
    """
    for path in files:
        if not path.is_file():
            raise ConfigError(f"{path}: no such file")
    with _api(settings, SandboxConfig(time_scale=settings.speed)) as ready:
        return _run(ready, files, mapping)


def preview_files(settings: Settings, files: Sequence[Path], mapping: Path | None, *, as_json: bool) -> int:
    """Read these files and show what sending would come to; returns the exit code. Makes no call of the API."""
    for path in files:
        if not path.is_file():
            raise ConfigError(f"{path}: no such file")
    ws = open_workspace(settings)
    try:
        read = True
        if files:
            with open_instance() as instance:
                one_shot = OneShot(instance, EnrichResource(settings))
                read = one_shot.ingest(files, mapping)
                for trouble in one_shot.outcome.troubles:
                    show.trouble(trouble)
                files = [path for path in files if path.name not in one_shot.failed_files]
            if not as_json:
                show_files(ws, files)
            if not read and not as_json:
                return 1  # what other files came to would look like the plan of this one
        found = preview(ws)
        if as_json:
            show.out.print_json(data=dataclasses.asdict(found))
        else:
            show.plan(found)
    finally:
        ws.ledger.close()
    return 0 if read else 1


def run_demo(data_dir: Path | None, time_scale: float | None) -> int:
    """Run the shipped sample against a sandbox of its own, in a data folder of its own."""
    settings = Settings(
        api_key=None,
        base_url=None,
        data_dir=data_dir or Path("data/demo"),
        batch_size=DEMO_BATCH_SIZE,
        item_attempts=DEMO_ITEM_ATTEMPTS,
        backoff_base=DEMO_BACKOFF,
        time_scale=time_scale or DEMO_TIME_SCALE,
    )
    show.say(f"The shipped sample: {SAMPLE.name}, 3,003 made-up records from banks in the US, the UK and the EU.")
    config = SandboxConfig(time_scale=settings.speed, error_batch_nth=(3,), item_error_share=0.002)
    with _api(settings, config) as ready:
        return _run(ready, [SAMPLE], None)


@contextmanager
def _api(settings: Settings, config: SandboxConfig) -> Iterator[Settings]:
    """The settings with an API that answers: the one that is set, or a sandbox for as long as the block runs."""
    if not settings.wants_own_sandbox:
        settings.key  # noqa: B018 - says now that the key is missing, and not after the files were read
        yield settings
        return
    with ExitStack() as stack:
        process = start_sandbox(settings, config)
        stack.callback(process.stop)
        show.say(
            f"No API key and no base URL set: using the sandbox on {process.url}, {settings.speed:g} times faster than"
            f" life.\nIts answers are synthetic, and marked so (`source = 'sandbox'`)."
        )
        yield settings.model_copy(update={"base_url": process.url, "time_scale": settings.speed})


def _run(settings: Settings, files: Sequence[Path], mapping: Path | None) -> int:
    ws = open_workspace(settings)
    try:
        spent = _spent(ws)
        with open_instance() as instance:
            one_shot = OneShot(instance, EnrichResource(settings))
            read = one_shot.ingest(files, mapping)
            for trouble in one_shot.outcome.troubles:
                show.trouble(trouble)
            files = [path for path in files if path.name not in one_shot.failed_files]
            show_files(ws, files)
            if not read and not accepted_any(ws, files):
                return 1
            outcome = _finish(one_shot)
        if outcome is None:
            return INTERRUPTED
        if _spent(ws) == spent and not outcome.stopped_by:
            show.say("Nothing was sent: all of it was known before. These are the tables of the whole data folder.")
        show_summary(ws)
        return _tell(ws, outcome, read=read)
    finally:
        ws.ledger.close()


def _spent(ws: Workspace) -> int:
    with ws.ledger.read() as conn:
        return sending.spent(conn)


def _finish(one_shot: OneShot) -> Outcome | None:
    """Plan, send, wait, land, publish, with bars; None when a person interrupted it."""
    one_shot.outcome.troubles.clear()
    with _bars() as on_turn:
        try:
            one_shot.plan()
            return one_shot.finish(on_turn)
        except KeyboardInterrupt:
            show.warn("interrupted; what was sent goes on at the API. The same command again collects it.")
            one_shot.publish()
            return None


def _tell(ws: Workspace, outcome: Outcome, *, read: bool) -> int:
    """What a person has to know at the end, and the exit code."""
    troubles = list(dict.fromkeys(outcome.troubles))
    if len(troubles) > SHOWN_TROUBLES:
        show.warn(f"{len(troubles)} runs or looks had trouble; the last {SHOWN_TROUBLES} (all are in the Dagster UI):")
    for trouble in troubles[-SHOWN_TROUBLES:]:
        show.warn(trouble)
    if outcome.violations:
        show.trouble("nothing was published, since the tables contradict each other: " + " ".join(outcome.violations))
        return 1
    if outcome.stopped_by:
        show.trouble(outcome.stopped_by, "What is not sent stays planned; `enrich status` shows it.")
    status = read_status(ws)
    if not outcome.stopped_by:
        for need in status.needs[:SHOWN_TROUBLES]:
            show.warn(need)
        if len(status.needs) > SHOWN_TROUBLES:
            show.warn(f"and {len(status.needs) - SHOWN_TROUBLES} more: `enrich status` has them all")
    if outcome.stopped_by or status.needs_person:
        return WAITS_FOR_PERSON
    return 0 if read else 1


@contextmanager
def _bars() -> Iterator[Callable[[Workspace], None]]:
    """A bar per phase, in rows."""
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=show.out) as progress:
        tasks = {name: progress.add_task(name, total=None) for name in PHASES}

        def on_turn(ws: Workspace) -> None:
            for name, (done, total) in phases(ws).items():
                progress.update(tasks[name], completed=done, total=total)

        yield on_turn


PHASES = ("holders", "planned", "submitted", "processed", "landed", "recurring")


def phases(ws: Workspace) -> dict[str, tuple[int, int]]:
    """Done and in all, for each phase: account holders created at the API, then rows, then holders asked about."""
    counts = batches.counts_by_state(ws.ledger)
    with ws.ledger.read() as conn:
        waiting = sum(row.rows for row in manifest.live(conn, "waiting"))
    planned = sum(items for _, items in counts.values())
    unsent = sum(counts.get(state, (0, 0))[1] for state in (State.PLANNED, State.RESERVED, State.SENDING))
    processed, _ = batches.progress(ws.ledger)
    landed = counts.get(State.LANDED, (0, 0))[1]
    everything = waiting + planned
    people, histories = holders.counts(ws.ledger), recurrence.counts(ws.ledger)
    return {
        "holders": (people.get(holders.CONFIRMED, 0), sum(people.values())),
        "planned": (planned, everything),
        "submitted": (planned - unsent, everything),
        "processed": (processed, everything),
        "landed": (landed, everything),
        "recurring": (histories.holders - histories.due, histories.holders),
    }
