"""The whole way of an event: the sandbox tells, the receiver stores, the sensor looks, and the batch is collected.

And the same with nobody to tell: then the poll finds it, later.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr
from receivers import TOKEN

from pipeline.definitions import build_defs
from pipeline.flow.holder_sync import sync_holders
from pipeline.flow.inbox import ingest_files
from pipeline.flow.planning import plan
from pipeline.flow.submitting import submit
from pipeline.flow.webhooks import register
from pipeline.flow.workspace import open_workspace
from pipeline.instance import open_instance
from pipeline.ledger import batches, schema
from pipeline.ledger.states import State
from pipeline.resources import EnrichResource
from pipeline.sensors import completions
from pipeline.settings import Settings

ROOT = Path(__file__).parent.parent.parent
NEVER = 1e6
"""Seconds between two polls, so that what happens was not found by one."""


@pytest.fixture
def daemon_for(tmp_path, sandbox_for, client_for, bank_file):
    """Three batches at a sandbox, a receiver that is registered there, and ticks of the sensor over one data folder."""
    opened = []

    def make(url, **given):
        server = sandbox_for(time_scale=200)
        settings = Settings(
            _env_file=None, data_dir=tmp_path / "data", base_url=server.url, time_scale=200, batch_size=5,
            webhook_token=SecretStr(TOKEN), **given,
        )  # fmt: skip
        ws, client = open_workspace(settings), client_for(server.url)
        register(ws, client, url)
        shutil.copy(ROOT / "dagster.yaml", tmp_path)
        instance = open_instance(tmp_path)
        opened.append((ws, instance))
        ingest_files(ws, [bank_file(15)], None)
        keys = list(plan(ws, flush=True).batches)
        sync_holders(ws, client)
        resource = EnrichResource(settings)
        context = dg.build_sensor_context(instance=instance, cursor=str(time.time()), definitions=build_defs(resource))
        assert len(submit(ws, client, keys).submitted) == 3

        def tick():
            return [r for r in completions(context, enrich=resource) if isinstance(r, dg.RunRequest)]

        return ws, tick

    yield make
    for ws, instance in opened:
        ws.ledger.close()
        instance.dispose()


def ended(ws, tick, seconds=30):
    """Tick until every batch's end is known; how many runs were asked for."""
    end, asked = time.monotonic() + seconds, 0
    while batches.in_states(ws.ledger, State.SUBMITTED):
        assert time.monotonic() < end, batches.counts_by_state(ws.ledger)
        asked += len(tick())
        time.sleep(0.1)
    return asked


def test_a_batch_is_collected_by_its_event_alone(daemon_for, receiver_for):
    receiver = receiver_for()
    ws, tick = daemon_for(receiver.url, poll_interval=NEVER)
    assert ended(ws, tick) >= 1
    assert {row.outcome for row in ws.ledger.rows(schema.webhook_inbox.select())} == {"completed"}


def test_with_the_receiver_gone_for_good_everything_is_found_by_polling(daemon_for, receiver_for):
    receiver = receiver_for()
    receiver.stop()
    ws, tick = daemon_for(receiver.url)
    assert ended(ws, tick) >= 1
    assert ws.ledger.rows(schema.webhook_inbox.select()) == []
