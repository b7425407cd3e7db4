from __future__ import annotations

import time

import pytest
from sqlalchemy import select

from pipeline.flow.collecting import collect
from pipeline.flow.holder_sync import sync_holders
from pipeline.flow.inbox import ingest_files
from pipeline.flow.planning import plan
from pipeline.flow.recovering import recover
from pipeline.flow.submitting import submit
from pipeline.flow.watching import watch
from pipeline.ledger import batches, schema
from pipeline.ledger.states import OPEN_STATES, State
from pipeline.sandbox.books import Books


class Steps:
    """The steps over one data folder, without Dagster."""

    def __init__(self, ws, client):
        self.ws, self.client = ws, client

    def ingest(self, *paths, mapping=None):
        return ingest_files(self.ws, paths, mapping)

    def plan(self):
        return list(plan(self.ws, flush=True).batches)

    def submit(self, *keys):
        sync_holders(self.ws, self.client)
        return submit(self.ws, self.client, keys or self.keys(State.PLANNED))

    def keys(self, *states):
        return [row.batch_key for row in batches.in_states(self.ws.ledger, *states)]

    def row(self, key):
        return batches.by_keys(self.ws.ledger, [key])[key]

    def attempts(self, key):
        a = schema.attempts
        return self.ws.ledger.rows(select(a).where(a.c.batch_key == key).order_by(a.c.sequence))

    def wait(self, seconds=20):
        """Look until every batch has ended at the API."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            watch(self.ws, self.client)
            if not self.keys(State.SUBMITTED):
                return
            time.sleep(0.05)
        pytest.fail(f"batches did not end: {batches.counts_by_state(self.ws.ledger)}")

    def collect(self):
        return collect(self.ws, self.client, self.keys(State.COMPLETED, State.ERRORED))

    def finish(self, seconds=30):
        """Everything until nothing is left to do."""
        end = time.monotonic() + seconds
        while self.keys(*OPEN_STATES):
            if time.monotonic() > end:
                pytest.fail(f"not done: {batches.counts_by_state(self.ws.ledger)}")
            self.submit()
            recover(self.ws, self.client)
            watch(self.ws, self.client)
            self.collect()
            time.sleep(0.05)


@pytest.fixture
def steps_for(workspace_for, sandbox_for, client_for):
    """Steps over a new data folder and a sandbox: `steps_for(sandbox={...}, batch_size=10)`."""

    def make(name="data", *, sandbox=None, server=None, **given):
        server = server or sandbox_for(name=f"{name}-api", **(sandbox or {}))
        ws = workspace_for(name, base_url=server.url, **given)
        return Steps(ws, client_for(server.url))

    return make


@pytest.fixture
def books_of(tmp_path):
    return lambda name="data": Books(tmp_path / f"{name}-api")
