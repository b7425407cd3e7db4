"""Seconds and memory of `enrich run` over 100,000 transactions, phase by phase, against an unthrottled sandbox.

Each repetition is a process of its own with fresh folders, an own sandbox and an own Dagster instance, and goes through
`OneShot`, as the command does. Times of jobs are those of Dagster's run records; nothing in the product is changed.

    python benchmarks/throughput.py [--rows 100000] [--repeat 5]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import clean_environment, medians, mib, peak_bytes, show, size_of, write_bank_file

TIME_SCALE = 1000.0
"""A batch of 24,960 items takes 6.5 min at the API, so 0.4 s here: real, but not what is measured."""

CREDITS = 100_000_000
"""The client's own credit bucket, as wide open as the sandbox: with the default one 100,000 items wait for refills."""

PHASES = {
    "ingest": "ingest: read, check, archive, Parquet",
    "plan": "plan: cut into batches, Parquet",
    "account_holder_sync": "account holders: one call each",
    "submit": "submit: encode, send, record",
    "collect": "collect: download, archive, parse, land",
    "publish": "publish: identity check, warehouse",
    "recurrence": "what recurs: one call each holder",
    "categories": "the sets of categories",
    "last_look": "publish again: the check at the end",
    "rest": "waiting, list calls, sensors, starting runs",
    "total": "in all",
}
COLLECT = {
    "download": "wait for the sandbox to compute, download, fsync",
    "archive": "archive (zstd)",
    "rows": "parse, join, Parquet",
    "commit": "commit to the ledger",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_one(options.one, options.rows)))
        return
    rounds = []
    for number in range(options.repeat):
        rounds.append(_in_a_child(options.rows))
        total, load = rounds[-1]["seconds"]["total"], os.getloadavg()[0]
        print(f"round {number + 1} of {options.repeat}: {total:.1f} s, load average {load:.1f}", file=sys.stderr)
    report(options.rows, rounds)


def _in_a_child(rows: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="enrich-bench-") as folder:
        command = [sys.executable, __file__, "--one", folder, "--rows", str(rows)]
        done = subprocess.run(command, env=clean_environment(), stdout=subprocess.PIPE, check=True, cwd=folder)
        measured: dict[str, Any] = json.loads(done.stdout)
        return measured


def measure_one(folder: Path, rows: int) -> dict[str, Any]:
    """One go in this process, all of it below `folder`."""
    from pipeline.instance import CONFIG, open_instance, project_root  # noqa: PLC0415 - the parent stays small
    from pipeline.one_shot import OneShot  # noqa: PLC0415
    from pipeline.resources import EnrichResource  # noqa: PLC0415
    from pipeline.sandbox.config import SandboxConfig  # noqa: PLC0415
    from pipeline.sandbox.process import SandboxProcess  # noqa: PLC0415
    from pipeline.settings import Settings  # noqa: PLC0415

    source = folder / "bank.csv"
    write_bank_file(source, rows)
    shutil.copy(project_root() / CONFIG, folder)
    (folder / "state").mkdir()
    seconds: dict[str, float] = {}
    parts = listen()
    with SandboxProcess(folder / "state", SandboxConfig(unthrottled=True, time_scale=TIME_SCALE)) as sandbox:
        settings = Settings(
            data_dir=folder / "data", base_url=sandbox.url, time_scale=TIME_SCALE, credits_capacity=CREDITS
        )
        with open_instance(folder) as instance:
            before = peak_bytes()
            one_shot = OneShot(instance, EnrichResource(settings))
            start = time.perf_counter()
            one_shot.ingest([source], None)
            one_shot.plan()
            outcome = one_shot.finish(lambda _: None)
            seconds["total"] = time.perf_counter() - start
            after = peak_bytes()
            seconds |= _job_seconds(instance)
        memory = {"ours": after, "imports": before, "sandbox": peak_bytes(sandbox.pid)}
    if outcome.troubles or outcome.stopped_by:
        raise SystemExit(f"not everything went through: {outcome}")
    seconds["last_look"] = parts.pop("last_look", 0.0)  # none where nothing was left to publish
    seconds["rest"] = seconds["total"] - sum(value for name, value in seconds.items() if name != "total")
    calls = _checked_calls(folder, rows)
    return {"seconds": seconds, "collect": parts, "memory": memory, "calls": calls, "bytes": _sizes(folder, source)}


def listen() -> dict[str, float]:
    """Seconds of the parts of a landing, summed over batches, and of the last publication.

    The crash points between the parts are where the clock is read: in this process they note the time as well.
    """
    from pipeline import one_shot  # noqa: PLC0415
    from pipeline.crashpoints import point  # noqa: PLC0415
    from pipeline.flow import answers, collecting  # noqa: PLC0415
    from pipeline.flow.publishing import publish_warehouse  # noqa: PLC0415

    sums: dict[str, float] = defaultdict(float)
    last = 0.0
    ends = {"after_download": "download", "after_archive": "archive", "after_write": "rows", "after_commit": "commit"}
    land = collecting.land

    def timed_land(*given: Any) -> Any:
        nonlocal last
        last = time.perf_counter()
        return land(*given)

    def timed_point(name: str) -> None:
        nonlocal last
        point(name)
        now = time.perf_counter()
        if (part := ends.get(name.removeprefix("collect."))) is not None:
            sums[part] += now - last
        last = now

    def timed_publish(*given: Any) -> Any:
        start = time.perf_counter()
        try:
            return publish_warehouse(*given)
        finally:
            sums["last_look"] += time.perf_counter() - start

    replaced: list[tuple[Any, str, Callable[..., Any]]] = [
        (collecting, "land", timed_land),
        (collecting, "point", timed_point),
        (answers, "point", timed_point),
        (one_shot, "publish_warehouse", timed_publish),
    ]
    for module, name, timed in replaced:
        setattr(module, name, timed)
    return sums


def _job_seconds(instance: Any) -> dict[str, float]:
    seconds: dict[str, float] = defaultdict(float)
    for record in instance.get_run_records():
        seconds[record.dagster_run.job_name] += record.end_time - record.start_time
    return dict(seconds)


def _checked_calls(folder: Path, rows: int) -> dict[str, int]:
    """Requests by route, once it is certain that every row was charged once and is in the warehouse, enriched."""
    import duckdb  # noqa: PLC0415

    from pipeline.sandbox.books import Books  # noqa: PLC0415

    books = Books(folder / "state").summary()
    with duckdb.connect(str((folder / "data" / "warehouse.duckdb").resolve()), read_only=True) as con:
        states = con.sql("SELECT state, count(*) FROM transactions GROUP BY state").fetchall()
    if states != [("enriched", rows)] or books.items_charged != rows or books.items_charged_more_than_once:
        raise SystemExit(f"{rows} rows went in; in the warehouse: {states}, charged: {books.items_charged}")
    return books.requests


def _sizes(folder: Path, source: Path) -> dict[str, int]:
    home = folder / "data"
    lake = {f"lake/{kind.name}": size_of(kind) for kind in sorted((home / "lake").iterdir())}
    rest = {name: size_of(home / name) for name in ("archive", "ledger")}
    warehouse = size_of((home / "warehouse.duckdb").resolve())
    return {"source file": source.stat().st_size, **lake, **rest, "warehouse": warehouse,
            "Dagster's storage": size_of(folder / ".dagster")}  # fmt: skip


def report(rows: int, rounds: list[dict[str, Any]]) -> None:
    """The medians as tables."""
    seconds = medians([one["seconds"] for one in rounds])
    everything = [[one["seconds"][name] for one in rounds] for name in PHASES]
    share = seconds["total"] / 100
    show(
        f"{rows:,} transactions, medians of {len(rounds)} rounds",
        ["phase", "s", "min-max", "% of all", "rows/s"],
        [
            (text, f"{seconds[name]:.2f}", f"{min(spread):.2f}-{max(spread):.2f}", f"{seconds[name] / share:.0f}",
             f"{rows / seconds[name]:,.0f}" if seconds[name] else "")
            for (name, text), spread in zip(PHASES.items(), everything, strict=True)
        ],
    )  # fmt: skip
    parts = medians([one["collect"] for one in rounds])
    show("Within collect", ["part", "s", "rows/s"],
         [(text, f"{parts[name]:.2f}", f"{rows / parts[name]:,.0f}") for name, text in COLLECT.items()])  # fmt: skip
    memory = medians([one["memory"] for one in rounds])
    show("Peak memory", ["process", "MiB"],
         [("ours, in all", mib(memory["ours"])), ("of that after the imports", mib(memory["imports"])),
          ("sandbox", mib(memory["sandbox"]))])  # fmt: skip
    calls = medians([one["calls"] for one in rounds])
    show("Calls of the API", ["route", "calls"], [(route, f"{count:,.0f}") for route, count in calls.items()])
    sizes = medians([one["bytes"] for one in rounds])
    show("On disk", ["what", "MiB", "bytes a row"],
         [(name, mib(size), f"{size / rows:,.0f}") for name, size in sizes.items()])  # fmt: skip


if __name__ == "__main__":
    main()
