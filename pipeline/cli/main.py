"""`enrich`: the commands and their options. What they do is elsewhere; how it looks is in `show`.

Exit codes: 0 all done (rejected rows and item errors are results, not failures) · 1 a trouble, said in one sentence ·
2 wrong usage · 3 something waits for a person (held batches, an open circuit, a spending cap) · 130 interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import show
from pipeline.cli.signals import heed_signals, repeat_what_is_swallowed
from pipeline.errors import EnrichError
from pipeline.flow.workspace import Workspace, open_workspace
from pipeline.lake.warehouse import query as query_warehouse
from pipeline.settings import MAX_BATCH_ITEMS, load_settings

WAITS_FOR_PERSON = 3

app = typer.Typer(
    name="enrich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Raw bank transactions in, enriched tables in DuckDB out.",
)

Files = Annotated[list[Path], typer.Argument(help="CSV, JSONL or Parquet files.", show_default=False)]
MappingFile = Annotated[Path | None, typer.Option("--mapping", "-m", help="TOML from the file's columns to ours.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Data folder (ENRICH_DATA_DIR).")]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, max=MAX_BATCH_ITEMS, help="Items per batch (ENRICH_BATCH_SIZE)."),
]
TimeScale = Annotated[float | None, typer.Option("--time-scale", help="How much faster the sandbox's clock runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@contextmanager
def troubles() -> Iterator[None]:
    """One sentence about what happened and one about what to do, instead of a traceback."""
    try:
        yield
    except EnrichError as error:
        show.trouble(str(error), error.hint)
        raise typer.Exit(1) from error


@contextmanager
def workspace(data_dir: Path | None) -> Iterator[Workspace]:
    """The opened data folder."""
    ws = open_workspace(load_settings(data_dir=data_dir))
    try:
        yield ws
    finally:
        ws.ledger.close()


@app.callback()
def enrich() -> None:
    """Before each command."""
    repeat_what_is_swallowed()


@app.command()
def run(
    files: Files,
    mapping: MappingFile = None,
    data_dir: DataDir = None,
    batch_size: BatchSize = None,
    time_scale: TimeScale = None,
) -> None:
    """Read files, enrich them, publish the tables: everything in one process, safe to interrupt and to run again."""
    from pipeline.cli.running import run_files  # noqa: PLC0415 - Dagster takes a second to import; status need not wait

    heed_signals()
    with troubles():
        chosen = load_settings(data_dir=data_dir, batch_size=batch_size, time_scale=time_scale)
        raise typer.Exit(run_files(chosen, files, mapping))


@app.command()
def plan(
    files: Annotated[list[Path] | None, typer.Argument(help="Files to read first, if any.", show_default=False)] = None,
    mapping: MappingFile = None,
    data_dir: DataDir = None,
    batch_size: BatchSize = None,
    as_json: AsJson = False,
) -> None:
    """Read files, and show which batches they make, what they cost and how long that takes. Nothing is sent."""
    from pipeline.cli.running import preview_files  # noqa: PLC0415 - as above

    with troubles():
        chosen = load_settings(data_dir=data_dir, batch_size=batch_size)
        raise typer.Exit(preview_files(chosen, files or [], mapping, as_json=as_json))


@app.command()
def demo(data_dir: DataDir = None, time_scale: TimeScale = None) -> None:
    """Run the shipped sample against the sandbox and look at the tables."""
    from pipeline.cli.running import run_demo  # noqa: PLC0415 - as above

    heed_signals()
    with troubles():
        raise typer.Exit(run_demo(data_dir, time_scale))


@app.command()
def dev(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the Dagster UI.")] = 3000,
    time_scale: TimeScale = None,
) -> None:
    """Open the Dagster UI with daemon, sensors and, without a key, the sandbox. Ctrl-C ends it all."""
    from pipeline.cli.dev import run_dev  # noqa: PLC0415 - as above

    heed_signals()
    with troubles():
        raise typer.Exit(run_dev(load_settings(time_scale=time_scale), port))


@app.command()
def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """What is where, since when, and what happens next."""
    from pipeline.flow.status import read_status  # noqa: PLC0415 - DuckDB and polars take half a second to import

    with troubles(), workspace(data_dir) as ws:
        report = read_status(ws)
    if as_json:
        typer.echo(json.dumps(report.as_dict(), default=str))
    else:
        show.status(report)
    if report.needs_person:
        raise typer.Exit(WAITS_FOR_PERSON)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One statement for the published warehouse.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask the published warehouse, read-only."""
    with troubles():
        result = query_warehouse(load_settings(data_dir=data_dir).home, sql)
    if as_json:
        for row in result.rows:
            typer.echo(json.dumps(dict(zip(result.columns, row, strict=True)), default=str))
    else:
        show.records(result.columns, result.rows)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def sandbox(context: typer.Context) -> None:
    """Serve the API locally, with state on disk."""
    from pipeline.sandbox.__main__ import main  # noqa: PLC0415 - the server is needed by nobody else

    raise typer.Exit(main(["serve", *context.args], prog="enrich sandbox"))


if __name__ == "__main__":
    app()
