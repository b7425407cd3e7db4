"""Backup, restore, reconcile: the commands for the day on which a disk is lost. What they do is in `pipeline.flow`."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import show
from pipeline.cli.main import WAITS_FOR_PERSON, DataDir, app, troubles, workspace
from pipeline.settings import load_settings

if TYPE_CHECKING:
    from pipeline.flow.reconciling import ReconcileReport

SHOWN = 5
"""Ids that one line names."""


@app.command()
def backup(
    to: Annotated[Path, typer.Argument(help="New or empty folder, or one with an earlier backup.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    """Copy the ledger, and what is new in lake and archive, while everything runs."""
    from pipeline.flow.backing_up import backup as make_backup  # noqa: PLC0415 - polars takes its time to import

    with troubles(), workspace(data_dir) as ws:
        report = make_backup(ws, to)
    note = report.note
    typer.echo(
        f"revision {note.revision} is in {to}: {note.lake_files:,} files of the lake and {note.archive_files:,} of the"
        f" archive, {note.bytes / 1e6:,.1f} MB; {report.copied:,} were new, and {report.removed:,} that nothing needs"
        " any more were removed"
    )


@app.command()
def restore(
    backup_folder: Annotated[Path, typer.Argument(metavar="FROM", help="Folder with a backup.", show_default=False)],
    replace: Annotated[bool, typer.Option("--replace", help="Move a ledger that is there aside.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Put a backup back and publish its tables. Nothing is sent before `enrich reconcile`."""
    from pipeline.flow.publishing import publish_warehouse  # noqa: PLC0415 - as above
    from pipeline.flow.restoring import restore as put_back  # noqa: PLC0415 - as above

    with troubles():
        report = put_back(backup_folder, load_settings(data_dir=data_dir), replace=replace)
        made = f"{report.note.created_at:%Y-%m-%d %H:%M} UTC"
        typer.echo(f"the ledger of {made} is back; {report.restored:,} files were put back, {report.kept:,} were there")
        if report.set_aside:
            typer.echo(f"the ledger that was there is in {report.set_aside}")
        if report.other_folder:
            show.warn("it is of another data folder than this backup")
        with workspace(data_dir) as ws:
            published = publish_warehouse(ws)
    if published.violations:
        show.trouble("nothing was published, since the tables contradict each other: " + " ".join(published.violations))
        raise typer.Exit(1)
    show.warn(f"what was sent after {made} is unknown, so nothing is sent now: run `enrich reconcile`")


@app.command()
def reconcile(
    why: Annotated[str, typer.Option("--why", help="Reason, recorded with your name.")] = "",
    not_ours: Annotated[
        list[str] | None,
        typer.Option("--not-ours", help="Id of a batch at the API that is somebody else's; may be repeated."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Compare an older ledger with the API's list, so that it may send again. Sends nothing."""
    from pipeline.flow.reconciling import reconcile as compare  # noqa: PLC0415 - as above
    from pipeline.resources import EnrichResource  # noqa: PLC0415 - Dagster takes a second to import

    with troubles(), workspace(data_dir) as ws, EnrichResource(ws.settings).client(ws) as client:
        report = compare(ws, client, who=getpass.getuser(), why=why, not_ours=not_ours or ())
    _tell(report)
    if not report.closed:
        raise typer.Exit(WAITS_FOR_PERSON)


def _tell(report: ReconcileReport) -> None:
    if report.not_before is None:
        typer.echo("nothing to reconcile: this ledger knows everything that was sent")
        return
    typer.echo(f"{report.unknown} batches at the API were unknown to this ledger")
    for key, vendor_id in report.adopted.items():
        typer.echo(f"{key} is {vendor_id} there; its results are landed")
    for key, vendor_id in report.moved.items():
        typer.echo(f"the rows of {vendor_id} are in {key} now; its results are landed")
    for vendor_id, reason in report.foreign.items():
        typer.echo(f"{vendor_id}: {reason}")
    for why, ids in report.waiting.items():
        more = ", …" if len(ids) > SHOWN else ""
        show.warn(f"{len(ids)} batches {why} ({', '.join(ids[:SHOWN])}{more})")
    for path in report.unread:
        typer.echo(f"  not read yet: {path} (`zstd -d` opens it)")
    if report.closed:
        typer.echo("every batch is accounted for: planned batches are sent again")
    elif report.waiting:
        show.warn("nothing is sent until these are decided")
    else:
        show.warn(
            f"what was sent last may not be listed yet: run it again after {report.not_before:%Y-%m-%d %H:%M:%S} UTC"
        )
