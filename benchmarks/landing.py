"""Landing one result document of 24,960 items: the product's way beside pydantic models and INSERTs, as ratios.

All variants get the same bytes and the same plan file, run in turn in this process, and must leave the same rows
behind: a checksum over every value is compared. The document comes from the sandbox, through the product's own steps.

    python benchmarks/landing.py [--items 24960] [--rounds 5] [--executemany]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import polars as pl
from measure import clean_environment, mib, peak_bytes, show, size_of, write_bank_file
from sdk_like import BatchResult, columns_of, literal, rows_of

from pipeline.api.client import ApiClient
from pipeline.api.results import decode_item, read_results
from pipeline.flow.holder_sync import sync_holders
from pipeline.flow.ingesting import ingest_file
from pipeline.flow.landing import Stamp, build
from pipeline.flow.planning import plan
from pipeline.flow.submitting import submit
from pipeline.flow.workspace import Workspace, open_workspace
from pipeline.lake import files, tables
from pipeline.ledger import batches, manifest
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess
from pipeline.settings import Settings

TIME_SCALE = 1000.0
_SANDBOX = SandboxConfig(unthrottled=True, time_scale=TIME_SCALE, item_error_share=0.002)
AT = datetime(2026, 7, 1, 12, 0, 0)  # noqa: DTZ001 - the lake's times are naive UTC
VERSION = 1
SOURCE = "sandbox"
STATEMENT_ROWS = 100
"""Rows per INSERT: the fastest of 10, 50, 100, 200 and 1,000; 50 and 200 are within 5 %."""

OURS, INSERTS, POLARS, MANY = "ours", "pydantic + INSERT", "pydantic + Parquet", "pydantic + executemany"
BOTH = (tables.TRANSACTIONS, tables.INTERMEDIARIES)


@dataclass
class Clock:
    """Seconds by stage, in the order in which they were passed."""

    stages: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def passed(self, stage: str) -> None:
        """End a stage; the next begins."""
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0) + now - self._last
        self._last = now


@dataclass(frozen=True)
class Case:
    """What is landed: the document, the lake with its plan file, and the batch's key."""

    document: Path
    lake: Path
    plan: str
    key: str

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The plan's rows as tuples."""
        return files.read_table(self.lake, [self.plan]).rows()


Files = list[str]
"""What reads the two tables in SQL."""


def ours(case: Case, out: Path, clock: Clock) -> Files:
    document = read_results(case.document)
    clock.passed("parse")
    planned = files.read_table(case.lake, [case.plan])
    landing = build(planned, [[decode_item(raw) for raw in document.items]], Stamp(case.key, VERSION, SOURCE, AT))
    clock.passed("rows")
    written = []
    for table, frame in zip(BOTH, (landing.transactions, landing.intermediaries), strict=True):
        done = files.write_table(out, table, frame, stem=case.key)
        files.validate_file(out, table, done.path)
        written.append(f"read_parquet('{out / done.path}')")
    clock.passed("write")
    return written


def _with_pydantic(case: Case, clock: Clock) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    document = BatchResult.model_validate_json(case.document.read_bytes())
    clock.passed("parse")
    rows = rows_of(case.rows, document, VERSION, AT, SOURCE)
    clock.passed("rows")
    return rows


def pydantic_parquet(case: Case, out: Path, clock: Clock) -> Files:
    rows = _with_pydantic(case, clock)
    written = []
    for table, part in zip(BOTH, rows, strict=True):
        frame = pl.DataFrame(columns_of(table.names, part), schema=table.schema)
        done = files.write_table(out, table, frame, stem=case.key)
        files.validate_file(out, table, done.path)
        written.append(f"read_parquet('{out / done.path}')")
    clock.passed("write")
    return written


def pydantic_inserts(case: Case, out: Path, clock: Clock) -> Files:
    def insert(con: duckdb.DuckDBPyConnection, table: str, rows: list[tuple[Any, ...]]) -> None:
        for start in range(0, len(rows), STATEMENT_ROWS):
            values = ",".join(f"({','.join(map(literal, row))})" for row in rows[start : start + STATEMENT_ROWS])
            con.execute(f"INSERT INTO {table} VALUES {values}")

    return _into_duckdb(_with_pydantic(case, clock), out, clock, insert)


def pydantic_executemany(case: Case, out: Path, clock: Clock) -> Files:
    def insert(con: duckdb.DuckDBPyConnection, table: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            con.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)

    return _into_duckdb(_with_pydantic(case, clock), out, clock, insert)


Insert = Callable[[duckdb.DuckDBPyConnection, str, list[tuple[Any, ...]]], None]


def _into_duckdb(
    rows: tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]], out: Path, clock: Clock, insert: Insert
) -> Files:
    """One transaction into a fresh file. Closing it writes the table's blocks, as Parquet is written in the others."""
    file = out / "tables.duckdb"
    with duckdb.connect(str(file)) as con:
        con.execute("BEGIN")
        for table, part in zip(BOTH, rows, strict=True):
            con.execute(f"CREATE TABLE {table.name} ({', '.join(f'{c.name} {c.type}' for c in table.columns)})")
            insert(con, table.name, part)
        con.execute("COMMIT")
    clock.passed("write")
    return [f"landed.{table.name}" for table in BOTH]


VARIANTS: dict[str, Callable[[Case, Path, Clock], Files]] = {
    OURS: ours,
    INSERTS: pydantic_inserts,
    POLARS: pydantic_parquet,
    MANY: pydantic_executemany,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--items", type=int, default=24_960)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--executemany", action="store_true", help="also by executemany: over a minute, once")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS, metavar=("VARIANT", "CASE"))
    options = parser.parse_args()
    if options.memory_of:
        name, described = options.memory_of
        given = json.loads(described)
        print(json.dumps(memory_of(name, Case(Path(given[0]), Path(given[1]), given[2], given[3]))))
        return
    with tempfile.TemporaryDirectory(prefix="enrich-bench-") as folder:
        case = make_case(Path(folder), options.items)
        measure(case, Path(folder), options.items, options.rounds, executemany=options.executemany)


def make_case(folder: Path, items: int) -> Case:
    """A batch ingested, planned, sent and downloaded by the product's own steps."""
    write_bank_file(folder / "bank.csv", items)
    (folder / "state").mkdir()
    with SandboxProcess(folder / "state", _SANDBOX) as sandbox:
        settings = Settings(data_dir=folder / "data", base_url=sandbox.url, time_scale=TIME_SCALE, batch_size=items)
        ws = open_workspace(settings)
        with ApiClient(base_url=sandbox.url, api_key=settings.key, time_scale=TIME_SCALE) as client:
            ingest_file(ws, folder / "bank.csv", None)
            (key,) = plan(ws, flush=True).batches
            sync_holders(ws, client)
            vendor_id = submit(ws, client, [key]).submitted[key]
            while not client.get_batch(vendor_id).is_done:
                time.sleep(0.05)
            client.download_results(vendor_id, folder / "results.json")
        return _case(ws, folder, key)


def _case(ws: Workspace, folder: Path, key: str) -> Case:
    with ws.ledger.read() as conn:
        (plan_file,) = manifest.live(conn, "plan", batch_key=key)
    rows = batches.by_keys(ws.ledger, [key])[key].rows
    ws.ledger.close()
    print(f"{rows:,} items, {mib(size_of(folder / 'results.json'))} MiB of JSON", file=sys.stderr)
    return Case(folder / "results.json", ws.lake, plan_file.path, key)


def measure(case: Case, folder: Path, items: int, rounds: int, *, executemany: bool) -> None:
    """Warm up and compare, then the rounds in turn, then memory, then the report."""
    names = [OURS, INSERTS, POLARS]
    left = {name: run(name, case, folder, keep=True)[1] for name in names}
    stages: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            stages[name].append(run(name, case, folder)[0])
        print(f"round {number + 1} of {rounds}: load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
    if executemany:
        seconds, left[MANY] = run(MANY, case, folder, keep=True)
        stages[MANY] = [seconds]
    if len(set(left.values())) != 1:
        raise SystemExit(f"the variants left different rows behind: {left}")
    memory = {name: _memory_in_a_child(name, case) for name in names}
    report(items, stages, memory)
    print(f"\nAll variants left the same: {left[OURS]}")


def run(name: str, case: Case, folder: Path, *, keep: bool = False) -> tuple[dict[str, float], str]:
    """One landing: its seconds by stage, and with `keep` what it left behind."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        gc.collect()
        clock = Clock()
        landed = VARIANTS[name](case, Path(out), clock)
        return clock.stages, summary(Path(out), landed) if keep else ""


def summary(out: Path, landed: Files) -> str:
    """Counts, sums, and a checksum over every value of every row, whatever their order."""
    transactions, intermediaries = landed
    with duckdb.connect() as con:
        if (out / "tables.duckdb").exists():
            con.execute(f"ATTACH '{out / 'tables.duckdb'}' AS landed (READ_ONLY)")
        rows, amount, categories, checksum = con.sql(
            "SELECT count(*), sum(amount), count(DISTINCT category), bit_xor(hash(t))"
            f" FROM (SELECT * FROM {transactions}) t"
        ).fetchall()[0]
        between, other = con.sql(
            f"SELECT count(*), bit_xor(hash(t)) FROM (SELECT * FROM {intermediaries}) t"
        ).fetchall()[0]
    return (
        f"{rows:,} transactions, amounts {amount:,}, {categories} categories, {between:,} intermediaries,"
        f" checksums {checksum:016x} {other or 0:016x}"
    )


def memory_of(name: str, case: Case) -> dict[str, int | None]:
    """Peak memory before and after one landing in this process."""
    before = peak_bytes()
    with tempfile.TemporaryDirectory() as out:
        VARIANTS[name](case, Path(out), Clock())
    return {"before": before, "after": peak_bytes()}


def _memory_in_a_child(name: str, case: Case) -> dict[str, float]:
    described = json.dumps([str(case.document), str(case.lake), case.plan, case.key])
    command = [sys.executable, __file__, "--memory-of", name, described]
    done = subprocess.run(command, env=clean_environment(), stdout=subprocess.PIPE, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def report(items: int, stages: dict[str, list[dict[str, float]]], memory: dict[str, dict[str, float]]) -> None:
    """Medians, and the median of each round's ratio to ours in the same round."""
    totals = {name: [sum(one.values()) for one in each] for name, each in stages.items()}
    lines = []
    for name, each in stages.items():
        ratios = [total / mine for total, mine in zip(totals[name], totals[OURS], strict=False)]
        parts = [f"{median(one[stage] for one in each):.2f}" for stage in ("parse", "rows", "write")]
        spread = f"{min(ratios):.1f}-{max(ratios):.1f}"
        lines.append((name, *parts, f"{median(totals[name]):.2f}", f"{items / median(totals[name]):,.0f}",
                      f"{median(ratios):.1f}", spread))  # fmt: skip
    show(
        f"Landing {items:,} items, medians of {len(totals[OURS])} rounds in turn",
        ["variant", "parse s", "rows s", "write s", "in all s", "items/s", "times ours", "min-max"],
        lines,
    )
    show("Peak memory, each in a process of its own", ["variant", "MiB", "of that for the landing"],
         [(name, mib(m["after"]), mib(m["after"] - m["before"])) for name, m in memory.items()])  # fmt: skip


if __name__ == "__main__":
    main()
