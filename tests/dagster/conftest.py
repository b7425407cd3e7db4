from __future__ import annotations

import shutil
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from pipeline.definitions import build_defs
from pipeline.flow.inbox import ingest_files
from pipeline.flow.planning import plan
from pipeline.flow.watching import watch
from pipeline.instance import open_instance
from pipeline.ledger import batches
from pipeline.ledger.states import State
from pipeline.partitions import ensure_partitions
from pipeline.resources import EnrichResource
from pipeline.sensors import RANGE_END, RANGE_START

ROOT = Path(__file__).parent.parent.parent
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Project:
    """The real definitions over one data folder, a sandbox and a real instance."""

    def __init__(self, instance, ws, client):
        self.instance, self.ws, self.client = instance, ws, client
        self.resource = EnrichResource(ws.settings)
        self.defs = build_defs(self.resource)
        self.cursors = {}

    def run(self, job, keys=None, config=None):
        tags, partition = {}, None
        if keys is not None and len(keys) > 1:
            tags = {RANGE_START: keys[0], RANGE_END: keys[-1]}
        elif keys:
            partition = keys[0]
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=partition,
            tags=tags,
            run_config={**QUIET, **(config or {})},
            raise_on_error=False,
        )

    def tick(self, sensor):
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursors.get(sensor.name), definitions=self.defs
        )
        results = list(sensor(context, enrich=self.resource))
        self.cursors[sensor.name] = context.cursor
        return [r for r in results if isinstance(r, dg.RunRequest)]

    def planned(self, *paths):
        """Ingest files and cut them; returns the batch keys."""
        done = ingest_files(self.ws, paths, None)
        assert done.failed == {}
        keys = list(plan(self.ws, flush=True).batches)
        ensure_partitions(self.instance, keys)
        return keys

    def wait(self, seconds=20):
        end = time.monotonic() + seconds
        while batches.in_states(self.ws.ledger, State.SUBMITTED):
            if time.monotonic() > end:
                pytest.fail("batches did not end")
            watch(self.ws, self.client)
            time.sleep(0.05)

    def state(self, key):
        return batches.by_keys(self.ws.ledger, [key])[key].state

    def grid(self, asset):
        """Partition to materialized, failed or missing, as the UI shows it."""
        key = dg.AssetKey(asset)
        partitions = self.defs.resolve_asset_graph().get(key).partitions_def
        value = get_and_update_asset_status_cache_value(self.instance, key, partitions)
        every = self.instance.get_dynamic_partitions("batches")
        if value is None:  # no event at all
            return dict.fromkeys(every, "missing")
        failed = value.deserialize_failed_partition_subsets(partitions).get_partition_keys()
        done = value.deserialize_materialized_partition_subsets(partitions).get_partition_keys()
        return {k: "failed" if k in failed else "materialized" if k in done else "missing" for k in every}


@pytest.fixture
def project_for(tmp_path, workspace_for, sandbox_for, client_for):
    """A project over a new data folder: `project_for(sandbox={...}, batch_size=10)`."""
    opened = []

    def make(*, sandbox=None, **given):
        root = tmp_path / "project"
        root.mkdir()
        shutil.copy(ROOT / "dagster.yaml", root)
        server = sandbox_for(name="api", **(sandbox or {}))
        ws = workspace_for(base_url=server.url, **{"batch_size": 10, **given})
        instance = open_instance(root)
        opened.append(instance)
        return Project(instance, ws, client_for(server.url))

    yield make
    for instance in opened:
        instance.dispose()
