"""The operator's hand: retry, hold, release, adopt, doctor. What they do is in `pipeline.flow` and the ledger."""

from __future__ import annotations

import dataclasses
import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from pipeline.api.client import ApiClient
from pipeline.cli import show
from pipeline.cli.main import WAITS_FOR_PERSON, AsJson, DataDir, app, troubles, workspace
from pipeline.flow.workspace import Workspace
from pipeline.ledger import operating

Why = Annotated[str, typer.Option("--why", help="Reason, recorded with your name.")]
Batch = Annotated[str, typer.Argument(help="Key of the batch, as `enrich status` shows it.", show_default=False)]


@contextmanager
def api_client(ws: Workspace) -> Iterator[ApiClient]:
    """A client for a person's command: it gives up in seconds rather than minutes."""
    from pipeline.resources import EnrichResource  # noqa: PLC0415 - Dagster takes a second to import

    with EnrichResource(ws.settings).client(ws, patient=False) as client:
        yield client


@app.command()
def retry(
    batch: Batch,
    why: Why = "",
    send: Annotated[
        bool, typer.Option("--send", help="Send it again, charged again, even if it can be fetched.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Grant a held or quarantined batch another attempt, or the failed items of a landed one."""
    from pipeline.flow import operating as flow_operating  # noqa: PLC0415 - polars takes its time to import

    with troubles(), workspace(data_dir) as ws:
        done = flow_operating.retry(ws, batch, who=getpass.getuser(), why=why, send=send)
    typer.echo(f"{done}; the sensors or the next `enrich run` take it from here")


@app.command()
def hold(batch: Batch, why: Why = "", data_dir: DataDir = None) -> None:
    """Keep a planned batch from being sent."""
    with troubles(), workspace(data_dir) as ws:
        operating.hold(ws.ledger, batch, who=getpass.getuser(), why=why)
    typer.echo(f"{batch} is held; `enrich release {batch}` undoes it")


@app.command()
def release(batch: Batch, why: Why = "", data_dir: DataDir = None) -> None:
    """Undo `hold`, with no further attempt granted."""
    with troubles(), workspace(data_dir) as ws:
        state = operating.release(ws.ledger, batch, who=getpass.getuser(), why=why)
    typer.echo(f"{batch} is {state} again")


@app.command()
def adopt(
    batch: Batch,
    vendor_id: Annotated[str, typer.Argument(help="Id of the batch at the API.", show_default=False)],
    why: Why = "",
    data_dir: DataDir = None,
) -> None:
    """Say which of the API's batches a planned, unconfirmed or held one is. Nothing is sent."""
    from pipeline.flow import operating as flow_operating  # noqa: PLC0415 - as above

    with troubles(), workspace(data_dir) as ws, api_client(ws) as client:
        done = flow_operating.adopt(ws, client, batch, vendor_id, who=getpass.getuser(), why=why)
    typer.echo(done)


@app.command()
def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Look at folder, ledger, API, key, clock and circuit; closes the circuit where a look proves its reason over."""
    from pipeline.flow.doctoring import examine  # noqa: PLC0415 - as above

    with troubles(), workspace(data_dir) as ws, api_client(ws) as client:
        findings = examine(ws, client, who=getpass.getuser())
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        show.findings(findings)
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(WAITS_FOR_PERSON)
