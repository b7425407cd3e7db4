"""`enrich rebuild`: the tables made again from the archive. What it does is in `pipeline.flow.rebuilding`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import show
from pipeline.cli.main import WAITS_FOR_PERSON, AsJson, DataDir, app, troubles, workspace

if TYPE_CHECKING:
    from pipeline.flow.rebuilding import RebuildReport


@app.command()
def rebuild(
    accept: Annotated[
        bool, typer.Option("--accept", help="Put rows that differ in place of those in the tables.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make every table again from the archive, with no network, and compare row for row.

    Files that are missing or unreadable are put back. Rows that differ are shown, and change nothing without --accept.
    """
    from pipeline.flow.publishing import publication_is_due, publish_warehouse  # noqa: PLC0415 - polars takes its time to import
    from pipeline.flow.rebuilding import rebuild as make_again  # noqa: PLC0415 - as above

    with troubles(), workspace(data_dir) as ws:
        report = make_again(ws, accept=accept)
        gone = publication_is_due(ws)
        violations = publish_warehouse(ws).violations if report.committed is not None or gone else []
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report) | {"differs": report.differs, "violations": violations}))
    else:
        _tell(report)
    if gone and not violations:
        show.say("the warehouse was published again" if not as_json else "")
    if violations:
        show.trouble("nothing was published, since the tables contradict each other: " + " ".join(violations))
        raise typer.Exit(1)
    if report.differs and report.committed is None:
        raise typer.Exit(WAITS_FOR_PERSON)


def _tell(report: RebuildReport) -> None:
    made = (
        f"{report.rows:,} rows in {report.files:,} files, made again from {report.sources:,} source files and"
        f" {report.batches:,} batches in {report.seconds:,.1f} s"
    )
    if not report.differs and not report.lost:
        typer.echo(f"identical: {made}")
        return
    typer.echo(f"revision {report.revision}: {made}")
    _tell_tables(report)
    if report.lost:
        typer.echo(f"{len(report.lost)} files were missing or unreadable, such as {report.lost[0]}")
    if report.committed is None:
        show.warn("nothing was changed; `enrich rebuild --accept` puts the rebuilt rows in place")
    elif report.differs:
        typer.echo(f"revision {report.committed} has the rebuilt rows in place of those that differed")
    else:
        typer.echo(f"revision {report.committed} has these files again; every other row is identical")


def _tell_tables(report: RebuildReport) -> None:
    columns = ["files of", "rows", "same", "put back", "differ", "only rebuilt", "only in the tables", "files lost"]
    show.table(
        columns,
        [
            (name, t.rows, t.same, t.restored, t.differing, t.only_rebuilt, t.only_live, len(t.lost))
            for name, t in report.tables.items()
        ],
    )
    for name, t in report.tables.items():
        if t.columns:
            counts = sorted(t.columns.items(), key=lambda pair: (-pair[1], pair[0]))
            typer.echo(f"{name} differ in " + ", ".join(f"{column} ({count:,})" for column, count in counts))
        if t.examples:
            typer.echo(f"{name}, for example: {', '.join(t.examples)}")
        if t.damaged:
            show.warn(f"{len(t.damaged)} of the files of {name} are not as they were written, such as {t.damaged[0]}")
    if report.categories:
        show.warn(f"read again, the answers give other categories for: {', '.join(report.categories)}")
    if report.recounted:
        show.warn(f"read again, these files give other numbers of rows: {', '.join(report.recounted)}")
