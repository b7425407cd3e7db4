"""A disk with ever so few bytes left under each step: trouble in words, nothing half recorded, healed by space."""

from __future__ import annotations

import time

import pytest

from pipeline.api.client import ApiClient
from pipeline.errors import EnrichError
from pipeline.flow.collecting import collect
from pipeline.flow.holder_sync import sync_holders
from pipeline.flow.inbox import ingest_files
from pipeline.flow.planning import plan
from pipeline.flow.publishing import publish_warehouse
from pipeline.flow.recovering import recover
from pipeline.flow.submitting import submit
from pipeline.flow.watching import watch
from pipeline.flow.workspace import open_workspace
from pipeline.ledger import batches
from pipeline.ledger.states import State
from pipeline.sandbox.books import Books
from pipeline.settings import Settings

KIB = 1024
LEAVES = [KIB * n for n in (0, 4, 8, 12, 16, 24, 32, 48, 64, 96)]
FULL = ("No space left", "disk is full", "transport error")  # the last is what polars says when not even a footer fits


class Work:
    """The steps over a data folder on a small disk."""

    def __init__(self, ws, client, file):
        self.ws, self.client, self.file = ws, client, file

    def keys(self, *states):
        return [row.batch_key for row in batches.in_states(self.ws.ledger, *states)]

    def ingest(self):
        done = ingest_files(self.ws, [self.file], None)
        return list(done.failed.values())

    def plan(self):
        plan(self.ws, flush=True)
        return []

    def holders(self):
        sync_holders(self.ws, self.client)
        return []

    def submit(self):
        report = submit(self.ws, self.client, self.keys(State.PLANNED))
        recover(self.ws, self.client)
        # The disk was full when a withheld byte, or an answer, was to be recorded: planned again by the look above, or
        # found in the list, as in life.
        unsettled = self.keys(State.PLANNED, State.RESERVED, State.SENDING, State.UNCONFIRMED)
        return [*report.failed.values(), *report.skipped.values(), *unsettled]

    def watch(self):
        watch(self.ws, self.client)
        return [] if not self.keys(State.SUBMITTED) else ["not all have ended"]

    def collect(self):
        report = collect(self.ws, self.client, self.keys(State.COMPLETED))
        assert not report.held
        return [*report.failed.values(), *report.skipped.values()]

    def publish(self):
        report = publish_warehouse(self.ws)
        return report.violations

    def attempt(self, step):
        """What goes wrong, in words: every trouble is one that is understood."""
        try:
            return getattr(self, step)()
        except EnrichError as error:
            return [str(error)]

    def finish(self, step, seconds=30):
        """Again until all is well: claims of a step that could not even give them up run out first."""
        end = time.monotonic() + seconds
        while troubles := self.attempt(step):
            assert time.monotonic() < end, troubles
            time.sleep(0.05)


STEPS = ("ingest", "plan", "holders", "submit", "watch", "collect", "publish")


@pytest.fixture
def work_on(sandbox_for, bank_file):
    opened = []

    def make(disk):
        server = sandbox_for(name="api", time_scale=600)
        # Claims that cannot be given up on a full disk run out quickly here; a minute in life.
        settings = Settings(
            data_dir=disk.folder / "data", base_url=server.url, time_scale=600, batch_size=20, claim_seconds=0.5,
            _env_file=None,
        )  # fmt: skip
        ws = open_workspace(settings)
        client = ApiClient(base_url=server.url, api_key="sandbox-key", time_scale=600)
        opened.append((ws, client))
        return Work(ws, client, bank_file(60, bad=2))

    yield make
    for ws, client in opened:
        client.close()
        ws.ledger.close()


@pytest.mark.parametrize("full", STEPS)
def test_a_step_on_a_full_disk(disks, work_on, tmp_path, full):
    disk = disks("data")
    work = work_on(disk)
    for step in STEPS[: STEPS.index(full)]:
        work.finish(step)
    told = []
    for leave in LEAVES:
        disk.fill(leave)
        try:
            troubles = work.attempt(full)
        finally:
            disk.free()
        told += troubles
        if not troubles:
            break
    assert any(word in text for text in told for word in FULL), told
    for step in STEPS[STEPS.index(full) :]:
        work.finish(step)
    books = Books(tmp_path / "api")
    assert books.charges(at_least=2) == []
    assert books.summary().items_charged == 60
    assert work.keys(*State) == work.keys(State.LANDED)
    counts = publish_warehouse(work.ws).counts
    assert (counts["transactions"], counts["enriched"]) == (60, 60)


def test_a_batch_waits_for_space_however_long_it_takes(disks, work_on):
    """Five tries used to put it on hold, for a person to release: the disk was at fault, not the batch."""
    disk = disks("data")
    work = work_on(disk)
    for step in STEPS[: STEPS.index("collect")]:
        work.finish(step)
    (work.ws.home / "archive").rename(work.ws.home / "elsewhere")
    (work.ws.home / "archive").write_text("no folder: the ledger can be written, the archive cannot")
    for _ in range(8):
        assert work.attempt("collect") != []
    (work.ws.home / "archive").unlink()
    (work.ws.home / "elsewhere").rename(work.ws.home / "archive")
    work.finish("collect")
    assert work.publish() == []
