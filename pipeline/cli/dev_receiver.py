"""The webhook receiver beside `enrich dev`: a process of its own, registered at the sandbox under its free port."""

from __future__ import annotations

import secrets
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from pydantic import SecretStr

from pipeline.errors import ConfigError
from pipeline.flow import webhooks
from pipeline.flow.workspace import open_workspace
from pipeline.ledger import inbox
from pipeline.process import end_with_parent
from pipeline.resources import EnrichResource
from pipeline.settings import Settings

STOP_SECONDS = 10


def start_receiver(settings: Settings, environment: dict[str, str], stack: ExitStack) -> str:
    """Start it, register it, and have `stack` stop it; returns its URL.

    `settings` name the sandbox's address. Raises ConfigError when it does not start, ApiError when it cannot be
    registered: the poll does its work then.
    """
    tokens = settings.webhook_tokens or (secrets.token_urlsafe(32),)
    child = subprocess.Popen(  # noqa: S603 - our own interpreter's sibling
        [str(Path(sys.executable).with_name("enrich")), "webhooks", "serve", "--port", "0"],
        env={**environment, "ENRICH_WEBHOOK_TOKEN": ",".join(tokens), "ENRICH_LOG_FORMAT": "text"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C ends `dg dev` first, whose daemon still looks at what came
        # One was left behind by each `enrich dev` that was killed, or whose terminal was closed.
        preexec_fn=end_with_parent,  # noqa: PLW1509 - a system call and nothing else
    )
    stack.callback(_stop, child)
    said = child.stdout.readline().strip() if child.stdout else ""
    url = said.rpartition(" ")[2]
    if not url.startswith("http"):
        raise ConfigError("the webhook receiver did not start")
    _register(settings.model_copy(update={"webhook_token": SecretStr(",".join(tokens))}), url)
    return url


def _register(settings: Settings, url: str) -> None:
    """In place of those of earlier starts, whose ports are gone: ten are the most that the API keeps."""
    ws = open_workspace(settings)
    try:
        with EnrichResource(settings).client(ws) as client:
            for old in inbox.registered(ws.ledger):
                webhooks.delete(ws, client, old)
            webhooks.register(ws, client, url)
    finally:
        ws.ledger.close()


def _stop(child: subprocess.Popen[str]) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdout:
        child.stdout.close()
