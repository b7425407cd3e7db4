from __future__ import annotations

import json
import time

import pytest
from sqlalchemy import select

from pipeline.flow.choosing import sendable_now
from pipeline.flow.collecting import collect
from pipeline.flow.holder_sync import sync_holders
from pipeline.flow.inbox import ingest_files
from pipeline.flow.planning import plan
from pipeline.flow.publishing import publish_warehouse
from pipeline.flow.recovering import recover
from pipeline.flow.submitting import submit
from pipeline.flow.watching import watch
from pipeline.lake import files, tables
from pipeline.ledger import batches, manifest, schema, sending
from pipeline.ledger.states import OPEN_STATES, Attempt, State
from pipeline.sandbox.books import Books


class Steps:
    """The steps over one data folder, without Dagster."""

    def __init__(self, ws, client, api=None):
        self.ws, self.client, self.api = ws, client, api

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

    def rows(self, *columns):
        """The landed rows, by id."""
        with self.ws.ledger.read() as conn:
            paths = [row.path for row in manifest.live(conn, "transactions")]
        found = files.read_table(self.ws.lake, paths, ["transaction_id", *columns], table=tables.TRANSACTIONS)
        return {row[0]: row[1] if len(columns) == 1 else row[1:] for row in found.iter_rows()}

    def reasons(self):
        """Why each id was charged, oldest first, as the ledger says of the batches that the API's books name."""
        a = schema.attempts
        attempts = self.ws.ledger.rows(select(a).order_by(a.c.batch_key, a.c.sequence))
        known = {row.vendor_batch_id: row.reason for row in attempts if row.vendor_batch_id}
        # Lost, and in error when it was found: it has no ids to prove it by, and may be that of several attempts.
        lost = [row for row in attempts if row.state == Attempt.ERRORED and row.vendor_batch_id is None]
        for batch in Books(self.api).batches():
            if batch.id not in known:
                row = next(row for row in lost if (row.credits, batch.status) == (batch.total, "error"))
                known[batch.id] = row.reason
                lost.remove(row)
        return {charge.id: [known[batch] for batch in charge.submissions] for charge in Books(self.api).charges()}

    def check(self, *, past_the_promise=False):
        """The invariants that hold whatever happened: identity, and a recorded reason for each further charge."""
        report = publish_warehouse(self.ws)
        assert report.violations == []
        for reasons in self.reasons().values():
            assert reasons[0] == "first"
            assert past_the_promise or set(reasons[1:]) <= {"batch_error", "item_error", "split", "operator"}
        charged = Books(self.api).summary().items_charged
        with self.ws.ledger.read() as conn:
            assert sending.spent(conn) == charged
        return report.counts

    def finish(self, seconds=30):
        """Everything until nothing is left to do."""
        end = time.monotonic() + seconds
        while self.keys(*OPEN_STATES):
            if time.monotonic() > end:
                pytest.fail(f"not done: {batches.counts_by_state(self.ws.ledger)}")
            sync_holders(self.ws, self.client)
            submit(self.ws, self.client, sendable_now(self.ws))
            recover(self.ws, self.client)
            watch(self.ws, self.client)
            self.collect()
            time.sleep(0.05)


@pytest.fixture
def steps_for(workspace_for, sandbox_for, client_for, tmp_path):
    """Steps over a new data folder and a sandbox: `steps_for(sandbox={...}, faults=[{...}], batch_size=10)`."""

    def make(name="data", *, sandbox=None, server=None, faults=(), client=None, **given):
        knobs = dict(sandbox or {})
        if faults:
            plan = tmp_path / f"{name}-faults.json"
            plan.write_text(json.dumps({"rules": list(faults)}))
            knobs["fault_plan"] = plan
        server = server or sandbox_for(name=f"{name}-api", **knobs)
        ws = workspace_for(name, base_url=server.url, **given)
        return Steps(ws, client_for(server.url, **(client or {})), tmp_path / f"{name}-api")

    return make


@pytest.fixture
def books_of(tmp_path):
    return lambda name="data": Books(tmp_path / f"{name}-api")


@pytest.fixture
def monthly_file(tmp_path):
    """Write a canonical CSV of Netflix and a salary, of each holder in each of `months` of 2026; returns its path."""

    def write(name="monthly.csv", *, months=range(1, 7), holders=("ann", "bob"), price="17.99"):
        lines = ["id,date,description,amount,entry_type,currency,country,account_holder_id,account_holder_type"]
        for holder in holders:
            for month in months:
                end = f"USD,US,{holder},consumer"
                lines += [
                    f"{holder}-n{month},2026-{month:02d}-05,NETFLIX.COM 866-579-7172,{price},outgoing,{end}",
                    f"{holder}-p{month},2026-{month:02d}-25,ACME CORP PAYROLL,3000.00,incoming,{end}",
                ]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return write
