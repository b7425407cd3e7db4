"""`enrich webhooks …`: serve the receiver, register it at the API, see whether deliveries arrive."""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from pipeline.api.models import Webhook
from pipeline.cli import show
from pipeline.cli.logs import set_up_logs
from pipeline.cli.main import AsJson, DataDir, app, troubles
from pipeline.cli.main import workspace as open_folder
from pipeline.cli.operator import api_client
from pipeline.flow.workspace import open_workspace
from pipeline.ledger import inbox
from pipeline.settings import Settings, load_settings

webhooks = typer.Typer(
    no_args_is_help=True, help="Be told when batches are done, instead of waiting for the next poll."
)
app.add_typer(webhooks, name="webhooks")

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
HERE = "http://127.0.0.1:8090/webhooks/ntropy"
log = logging.getLogger(__name__)
_SHOWN = 4
_LONG = 12


@webhooks.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8090,
    no_token: Annotated[bool, typer.Option("--no-token", help="Start even though no token is set.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Receive deliveries until SIGTERM or Ctrl-C. TLS is the business of a proxy in front of it."""
    from pipeline.webhooks.server import serve as serve_receiver  # noqa: PLC0415 - Starlette and uvicorn take their time

    with troubles():
        settings = load_settings(data_dir=data_dir, webhook_insecure=no_token or None)
        set_up_logs(settings.log_format)
        if not settings.webhook_tokens and settings.webhook_insecure and host not in LOOPBACK:
            show.warn(f"no token is asked for, and {host} can be reached from elsewhere: anybody can send hints")
        ws = open_workspace(settings)
        try:
            serve_receiver(settings, ws.ledger, host=host, port=port, on_ready=partial(_announce, settings))
        finally:
            ws.ledger.close()


def _announce(settings: Settings, url: str) -> None:
    if settings.log_format == "json":
        log.setLevel(logging.INFO)
        log.info("receiver ready on %s", url)
    else:
        typer.echo(f"receiver ready on {url}")


@webhooks.command()
def register(
    url: Annotated[str, typer.Option(help="Where the API reaches the receiver.", show_default=False)],
    event: Annotated[list[str] | None, typer.Option(help="Events to be told of (default: those of batches).")] = None,
    data_dir: DataDir = None,
) -> None:
    """Create the webhook at the API, or set the one that has this URL right. Safe to repeat."""
    from pipeline.flow import webhooks as flow  # noqa: PLC0415 - as above

    if _in_clear(url):
        show.warn("http:// sends the token in clear; use https://")
    with troubles(), open_folder(data_dir) as ws, api_client(ws) as client:
        done = flow.register(ws, client, url, event or inbox.BATCH_EVENTS)
    typer.echo(f"webhook {done.webhook_id}: {done.did}")
    if done.deleted:
        typer.echo(f"deleted doubles: {', '.join(done.deleted)}")


def _in_clear(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # no URL at all, which `register` says in a sentence
        return False
    return parts.scheme == "http" and parts.hostname not in LOOPBACK


@webhooks.command("list")
def list_(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Every webhook of the organization, and which are registered from this data folder."""
    with troubles(), open_folder(data_dir) as ws, api_client(ws) as client:
        ours, tokens = inbox.registered(ws.ledger), ws.settings.webhook_tokens
        rows = [_row(hook, ours, tokens) for hook in client.webhooks.all()]
    if as_json:
        typer.echo(json.dumps(rows))
    elif rows:
        show.records(list(rows[0]), [list(row.values()) for row in rows])
    else:
        typer.echo("no webhooks; `enrich webhooks register --url …` makes one")


def _row(hook: Webhook, ours: dict[str, str], tokens: tuple[str, ...]) -> dict[str, Any]:
    token = "none shown"  # noqa: S105 - as it says
    if hook.token:
        token = _masked(hook.token) + (" (ours)" if hook.token in tokens else "")
    return {
        "id": hook.id, "registered here": hook.id in ours, "enabled": hook.enabled, "url": hook.url,
        "events": ", ".join(hook.events), "token": token,
    }  # fmt: skip


def _masked(token: str) -> str:
    """The end of a long token, to tell two apart; of a short one that would give away too much."""
    return f"…{token[-_SHOWN:]}" if len(token) >= _LONG else "…"


@webhooks.command()
def delete(
    webhook: Annotated[str, typer.Argument(help="Id, as `enrich webhooks list` shows it.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    """Delete a webhook at the API. The poll goes on finding what completes."""
    from pipeline.flow import webhooks as flow  # noqa: PLC0415 - as above

    with troubles(), open_folder(data_dir) as ws, api_client(ws) as client:
        there = flow.delete(ws, client, webhook)
    if not there:
        show.trouble(f"the API has no webhook {webhook}", "`enrich webhooks list` shows their ids.")
        raise typer.Exit(1)
    typer.echo(f"deleted {webhook}")


@webhooks.command()
def send(
    url: Annotated[str, typer.Option(help="The receiver, or where the API reaches it.")] = HERE,
    data_dir: DataDir = None,
) -> None:
    """Deliver a test event, which nobody acts on, as the API would, and say what came back."""
    from pipeline.webhooks.trying import deliver_test  # noqa: PLC0415 - as above

    with troubles():
        tokens = load_settings(data_dir=data_dir).webhook_tokens
        answered = deliver_test(url, tokens[0] if tokens else None)
    typer.echo(f"{answered.status} {answered.body} (event {answered.event_id})")
    if not answered.ok:
        raise typer.Exit(1)
