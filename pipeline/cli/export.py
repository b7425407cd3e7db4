"""`enrich export`: the tables for somebody else's tools. What it does is in `pipeline.lake.export`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import show
from pipeline.cli.main import AsJson, DataDir, app, troubles
from pipeline.settings import load_settings


class FileFormat(StrEnum):
    """Of the files in a folder."""

    parquet = "parquet"
    csv = "csv"


@app.command()
def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new OUT.duckdb, or a new folder.", show_default=False)],
    file_format: Annotated[
        FileFormat | None, typer.Option("--format", help="Of the files in a folder; parquet if not given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file, or an earlier export.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy the published tables into one DuckDB file, or a folder of Parquet or CSV files, for other programs.

    The copy is of one revision and refers to nothing else. It can be made at any time, whatever is running.
    """
    from pipeline.lake.export import ENDINGS, Format  # noqa: PLC0415 - DuckDB takes its time to import
    from pipeline.lake.export import export as copy_tables  # noqa: PLC0415 - as above

    is_database = out.suffix.lower() in ENDINGS
    if is_database and file_format is not None:
        raise typer.BadParameter(f"{out.name} is a database file; --format is for a folder", param_hint="--format")
    chosen: Format = "duckdb" if is_database else (file_format or FileFormat.parquet).value
    with troubles():
        done = copy_tables(load_settings(data_dir=data_dir).home, out, format=chosen, force=force)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "path": str(done.path), "format": done.format, "revision": done.revision, "tables": done.rows,
                    "bytes": done.bytes, "seconds": round(done.seconds, 3),
                }
            )
        )  # fmt: skip
        return
    show.line(
        f"revision {done.revision} is in {out}: {len(done.rows)} tables, {sum(done.rows.values()):,} rows,"
        f" {done.bytes / 1e6:,.1f} MB in {done.seconds:,.1f} s"
    )
