"""Many batches: 300 open ones with 2,000 landed ones behind them, and 50,000 partitions. Ticks, pages, calls.

The first part is real throughout: a sandbox that keeps its limits, with the limit of open batches raised on both
sides, real files, a real Dagster instance with the events of every batch. The second adds history that was never
sent: rows of the ledger, partitions and their events, copied from a real batch's with other keys. It has no files, so
nothing is published then.

    python benchmarks/scale.py [--landed 2000] [--open 300] [--partitions 50000]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
import duckdb
from history import add_history, finish_retirement, finish_times
from measure import show, write_bank_file
from pages import WebServer

from pipeline.definitions import build_defs
from pipeline.flow.collecting import collect
from pipeline.flow.holder_sync import sync_holders
from pipeline.flow.ingesting import ingest_file
from pipeline.flow.planning import plan
from pipeline.flow.publishing import publish_warehouse
from pipeline.flow.status import read_status
from pipeline.flow.submitting import submit
from pipeline.flow.watching import watch
from pipeline.flow.workspace import Workspace, open_workspace
from pipeline.instance import CONFIG, open_instance, project_root
from pipeline.ledger import batches
from pipeline.ledger.states import State
from pipeline.resources import EnrichResource
from pipeline.retiring import retire
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess
from pipeline.sensors import SENSORS, completions, report_landed
from pipeline.settings import Settings

TIME_SCALE = 60.0
SMALL, LARGE = 5, 200
SECONDS_AN_ITEM = 20
"""API's seconds: a landed batch took 1.7 s here, an open one takes 67 s, with the sandbox's jitter of a tenth."""

CREDITS = 10_000_000
REPEAT = 7
PASSES = 2
"""Nights of retirement that are measured; the others would only take their minutes, and are done in one statement."""


class Scene:
    """One data folder, its sandbox and its Dagster instance."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, settings: Settings) -> None:
        self.folder, self.instance, self.settings = folder, instance, settings
        self.resource = EnrichResource(settings)
        self.defs = build_defs(self.resource)
        self.cursors: dict[str, str | None] = {}

    def tick(self, sensor: dg.SensorDefinition) -> tuple[float, list[dg.RunRequest]]:
        """One tick: seconds, and the runs that it asks for."""
        start = time.perf_counter()
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursors.get(sensor.name), definitions=self.defs
        )
        found: Any = sensor(context, enrich=self.resource)
        asked = [one for one in found if isinstance(one, dg.RunRequest)]
        self.cursors[sensor.name] = context.cursor
        return time.perf_counter() - start, asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--landed", type=int, default=2_000)
    parser.add_argument("--open", type=int, default=300)
    parser.add_argument("--partitions", type=int, default=50_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="enrich-bench-") as name:
        folder = Path(name)
        shutil.copy(project_root() / CONFIG, folder)
        (folder / "state").mkdir()
        config = SandboxConfig(
            time_scale=TIME_SCALE, batch_base_seconds=1, batch_items_per_second=1 / SECONDS_AN_ITEM,
            max_processing=options.open, credits_capacity=CREDITS,
        )  # fmt: skip
        with SandboxProcess(folder / "state", config) as sandbox, open_instance(folder) as instance:
            settings = Settings(
                data_dir=folder / "data", inbox=folder / "inbox", base_url=sandbox.url, time_scale=TIME_SCALE,
                max_in_flight=options.open, credits_capacity=CREDITS, batch_size=SMALL, bulk_threshold=CREDITS,
            )  # fmt: skip
            measure(Scene(folder, instance, settings), options.landed, options.open, options.partitions)


def measure(scene: Scene, landed: int, at_once: int, partitions: int) -> None:
    """All of it, in order, and the tables."""
    ws = open_workspace(scene.settings)
    seconds = land_many(scene, ws, landed, at_once)
    print(f"{landed:,} batches of {SMALL} landed in {seconds:.0f} s", file=sys.stderr)
    watched = watch_many(scene, at_once)
    show(f"{at_once} open batches, {landed:,} landed ones behind them", ["what", ""], watched)
    show(f"The tables of {landed + at_once:,} landed batches", ["what", "s"], list(tables(ws)))
    rows = [("measured", *pages(scene, ws))]
    scene_keys = [row.batch_key for row in batches.in_states(ws.ledger, State.LANDED)]
    add_history(scene.folder, ws, scene.instance, model=scene_keys[0], total=partitions)
    rows.append(("with history", *pages(scene, ws)))
    old = Workspace(ws.settings.model_copy(update={"keep_partitions_days": 30}), ws.ledger)
    passes = [_counted(lambda: retire(old, scene.instance).partitions) for _ in range(PASSES)]
    finish_retirement(scene.folder, keep=scene_keys)
    rows.append(("after retirement", *pages(scene, ws)))
    show("Ticks and pages, medians", ["", "partitions", *(s.name for s in SENSORS), "plan 5,000 rows", "status",
                                      "assets page", "partitions page", "batches page"], rows)  # fmt: skip
    show("Retirement, one night's pass", ["partitions", "s"],
         [(f"{passes[0][0]:,}", f"{median(seconds for _, seconds in passes):.1f}")])  # fmt: skip
    ws.ledger.close()


def land_many(scene: Scene, ws: Workspace, landed: int, at_once: int) -> float:
    """Land so many small batches by the product's own steps, and tell Dagster of each; returns seconds."""
    started = time.perf_counter()
    _plan(scene, ws, landed * SMALL, seed=1)
    with scene.resource.client(ws) as client:
        sync_holders(ws, client)
        while keys := [row.batch_key for row in batches.in_states(ws.ledger, State.PLANNED, State.SUBMITTED)]:
            waiting = [row.batch_key for row in batches.in_states(ws.ledger, State.PLANNED)]
            if waiting:
                submit(ws, client, waiting[:at_once])
            time.sleep(0.5)
            watch(ws, client)
            done = [row.batch_key for row in batches.collectable(ws.ledger)]
            collect(ws, client, done)
            report_landed(ws, scene.instance)
            print(f"{len(keys):,} to go", end="  \r", file=sys.stderr)
    return time.perf_counter() - started


def _plan(scene: Scene, ws: Workspace, rows: int, *, seed: int) -> list[str]:
    path = scene.folder / f"bank-{seed}.csv"
    write_bank_file(path, rows, seed=seed)
    # The ids of two files must differ, and `write_bank_file` numbers them from nought.
    path.write_text(path.read_text(encoding="utf-8").replace("bench-", f"bench{seed}-"), encoding="utf-8")
    ingest_file(ws, path, None)
    return list(plan(ws, flush=True).batches)


def watch_many(scene: Scene, at_once: int) -> list[tuple[str, str]]:
    """Send large batches, and let the sensor watch them to their end. Nothing is collected meanwhile."""
    large = Scene(scene.folder, scene.instance, scene.settings.model_copy(update={"batch_size": LARGE}))
    with large.resource.workspace() as ws:
        keys = _plan(large, ws, at_once * LARGE, seed=2)
        with large.resource.client(ws) as client:
            sync_holders(ws, client)
            submit(ws, client, keys)
        open_now = len(batches.in_states(ws.ledger, State.SUBMITTED))
        ticks, asked, most = [], set(), 0
        while batches.in_states(ws.ledger, State.SUBMITTED):
            seconds, requests = large.tick(completions)
            ticks.append(seconds)
            asked |= {id(request) for request in requests}
            most = max(most, len(requests))
            time.sleep(max(0.0, 0.5 - seconds))
        lags = _lags(scene.folder, ws, keys)
        with large.resource.client(ws) as client:
            collect(ws, client, keys)
        report_landed(ws, scene.instance)
        status = read_status(ws)
    return [
        ("open at once, at most", f"{open_now}"),
        ("ticks of `completions`", f"{len(ticks)}"),
        ("a tick, median s", f"{median(ticks):.2f}"),
        ("a tick, longest s", f"{max(ticks):.2f}"),
        ("from a batch's end to its notice, median s", f"{median(lags):.2f}"),
        ("the same, longest s", f"{max(lags):.2f}"),
        ("runs asked for by one tick, at most", f"{most}"),
        ("calls in all, holders aside, for each landed batch", f"{status.api_calls_per_landed_batch:.2f}"),
    ]


def _lags(folder: Path, ws: Workspace, keys: list[str]) -> list[float]:
    """Real seconds from the sandbox's end of each batch to its notice in the ledger."""
    ends = finish_times(folder / "state")
    rows = batches.by_keys(ws.ledger, keys)
    return [(rows[key].state_since - ends[rows[key].vendor_batch_id]).total_seconds() for key in keys]


def tables(ws: Workspace) -> Iterator[tuple[str, str]]:
    """What publishing costs, and what an analyst waits for."""
    yield "publish, first", f"{_timed(lambda: publish_warehouse(ws), 1):.2f}"
    yield "publish again", f"{_timed(lambda: publish_warehouse(ws), 3):.2f}"
    path = str((ws.home / "warehouse.duckdb").resolve())
    for name, sql in {
        "one transaction by id": "SELECT * FROM transactions WHERE transaction_id = 'bench1-00000007'",
        "count by state": "SELECT state, count(*) FROM transactions GROUP BY ALL",
        "spend_by_category": "FROM spend_by_category",
        "entities": "SELECT count(*) FROM entities",
    }.items():
        with duckdb.connect(path, read_only=True) as con:
            yield name, f"{_timed(partial(_rows, con, sql)):.2f}"


def _rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[Any]:
    return con.sql(sql).fetchall()


def pages(scene: Scene, ws: Workspace) -> list[str]:
    """Partitions, then medians in s: each sensor's tick, planning, status, and three pages' own queries."""
    cells = [f"{len(scene.instance.get_dynamic_partitions('batches')):,}"]
    cells += [f"{_timed(partial(scene.tick, sensor)):.2f}" for sensor in SENSORS]
    waiting = f"{len(cells)}{time.monotonic_ns()}"
    path = scene.folder / f"{waiting}.csv"
    write_bank_file(path, 5_000)
    path.write_text(path.read_text(encoding="utf-8").replace("bench-", f"{waiting}-"), encoding="utf-8")
    ingest_file(ws, path, None)
    one = Workspace(ws.settings.model_copy(update={"batch_size": 5_000}), ws.ledger)
    cells.append(f"{_timed(lambda: plan(one, flush=True), 1):.2f}")
    cells.append(f"{_timed(lambda: read_status(ws)):.2f}")
    with WebServer(scene.folder, scene.settings) as web:
        cells += [f"{_timed(partial(web.load, page)):.2f}" for page in web.PAGES]
    return cells


def _timed(do: Callable[[], Any], repeat: int = REPEAT) -> float:
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        do()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def _counted(do: Callable[[], int]) -> tuple[int, float]:
    start = time.perf_counter()
    done = do()
    return done, time.perf_counter() - start


if __name__ == "__main__":
    main()
