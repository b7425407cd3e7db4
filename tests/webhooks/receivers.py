"""The receiver as a process of its own, what it is sent, and what is in its ledger."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx

from pipeline.ledger import schema
from pipeline.ledger.db import Ledger

TOKEN = "tok-SECRET-0123456789"
ROOT = Path(__file__).parent.parent.parent


def delivery(event_id="e-1", **changes):
    """A delivery as docs.ntropy.com/webhooks shows it."""
    batch = {
        "id": "b-1", "operation": "POST /v3/transactions", "status": "completed", "progress": 3, "total": 3,
        "created_at": "2024-04-11T08:15:00Z", "updated_at": "2024-04-11T08:15:30Z",
    }  # fmt: skip
    return {"event_id": event_id, "event_type": "batches.completed", "data": batch} | changes


def stored_in(folder: Path) -> list:
    """Rows of the inbox of a data folder, read beside whatever runs."""
    ledger = Ledger(f"sqlite:///{folder / 'ledger' / 'ledger.sqlite'}")
    try:
        return ledger.rows(schema.webhook_inbox.select())
    finally:
        ledger.close()


class Receiver:
    """`enrich webhooks serve` over a data folder, in a process of its own."""

    def __init__(self, folder: Path, *args: str, **environment: str) -> None:
        self.folder = folder
        # Kept open between deliveries, as a sender may: an idle connection must not hold up an orderly end.
        self.client = httpx.Client(timeout=30, verify=False, trust_env=False)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ENRICH_", "DAGSTER_"))}
        given = {"ENRICH_WEBHOOK_TOKEN": TOKEN} | {
            f"ENRICH_{name.upper()}": value for name, value in environment.items()
        }
        folder.mkdir(parents=True, exist_ok=True)
        self.errors = folder.with_suffix(".err")
        with self.errors.open("ab") as errors:
            self.child = subprocess.Popen(
                [
                    sys.executable, "-c", "from pipeline.cli import app; app()", "webhooks", "serve", "--port", "0",
                    "--data-dir", str(folder), *args,
                ],
                env=kept | {"PYTHONPATH": str(ROOT)} | given,
                cwd=folder.parent,
                stdout=subprocess.PIPE,
                stderr=errors,
            )  # fmt: skip
        said = self.child.stdout.readline().decode()
        if not said:
            self.kill()
        assert said.startswith("receiver ready on "), self.errors.read_text()
        self.url = said.removeprefix("receiver ready on ").strip()
        self.base = self.url.removesuffix("/webhooks/ntropy")

    def post(self, body=None, *, token=TOKEN, **options):
        headers = options.pop("headers", {}) | ({"X-Ntropy-Token": token} if token else {})
        if isinstance(body, (bytes, str)):
            options["content"] = body
        elif "content" not in options:
            options["json"] = delivery() if body is None else body
        return self.client.post(self.url, headers=headers, **options)

    def get(self, path):
        return self.client.get(self.base + path)

    def stored(self):
        return stored_in(self.folder)

    def log(self):
        return self.errors.read_text()

    def stop(self):
        """SIGTERM; returns the exit code."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        code = self.child.wait(60)
        self._close()
        return code

    def kill(self):
        self.child.kill()
        self.child.wait()
        self._close()

    def _close(self):
        self.child.stdout.close()
        self.client.close()


class Locked:
    """Another process's write lock on the ledger, as a migration or a long landing would hold it."""

    def __init__(self, folder: Path) -> None:
        self._other = sqlite3.connect(folder / "ledger" / "ledger.sqlite", isolation_level=None)

    def __enter__(self):
        self._other.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, *_):
        self._other.execute("ROLLBACK")
        self._other.close()
