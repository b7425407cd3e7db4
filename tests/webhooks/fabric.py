"""The daemon's part over one data folder: ticks of the sensors with the runs that they ask for, and looks beside them.

All in this process. Runs in threads of it do not work: Alembic, with which Dagster makes a database for each run,
keeps what it works on in a module.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg
from pydantic import SecretStr
from receivers import ROOT, TOKEN

from pipeline.definitions import build_defs
from pipeline.flow.holder_sync import sync_holders
from pipeline.flow.inbox import ingest_files
from pipeline.flow.planning import plan
from pipeline.flow.submitting import submit
from pipeline.flow.workspace import open_workspace
from pipeline.instance import open_instance
from pipeline.ledger import batches, inbox
from pipeline.ledger.states import OPEN_STATES
from pipeline.resources import EnrichResource
from pipeline.sandbox.books import Books
from pipeline.sandbox.store import state_file
from pipeline.sensors import completions, look, submissions
from pipeline.settings import Settings

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Fabric:
    """Batches at a sandbox whose state folder is `api`; `folder` has the data folder and Dagster's home."""

    def __init__(self, folder: Path, client, api: Path, **given) -> None:
        self.folder, self.client, self.api = folder, client, api
        settings = Settings(_env_file=None, data_dir=folder / "data", webhook_token=SecretStr(TOKEN), **given)
        shutil.copy(ROOT / "dagster.yaml", folder)
        self.ws, self.instance = open_workspace(settings), open_instance(folder)
        self.enrich = EnrichResource(settings)
        self.defs = build_defs(self.enrich)
        self._cursors: dict[str, str | None] = {}

    def close(self) -> None:
        self.ws.ledger.close()
        self.instance.dispose()

    def send(self, path: Path) -> list[str]:
        """All batches of a bank file, at once; returns their keys."""
        ingest_files(self.ws, [path], None)
        keys = list(plan(self.ws, flush=True).batches)
        sync_holders(self.ws, self.client)
        assert sorted(submit(self.ws, self.client, keys).submitted) == sorted(keys)
        return keys

    def turn(self) -> int:
        """A tick of each sensor that matters here, and its runs; returns how many there were."""
        asked = 0
        for sensor in (submissions, completions):
            context = dg.build_sensor_context(
                instance=self.instance, cursor=self._cursors.get(sensor.name), definitions=self.defs
            )
            found = [one for one in sensor(context, enrich=self.enrich) if isinstance(one, dg.RunRequest)]
            self._cursors[sensor.name] = context.cursor
            for request in found:
                job = self.defs.resolve_job_def(request.job_name or "")
                tags = dict(request.tags)
                job.execute_in_process(
                    instance=self.instance, partition_key=request.partition_key, tags=tags, run_config=QUIET
                )
            asked += len(found)
        return asked

    def look_until(self, is_over: Callable[[], bool]) -> int:
        """Take events and watch as a tick does, again and again, beside the turns; returns how often."""
        looks = 0
        while not is_over():
            assert look(self.ws, self.client).trouble == ""
            looks += 1
            time.sleep(0.05)
        return looks

    def is_done(self) -> bool:
        """Whether every batch has landed and every event that came is taken."""
        return not batches.in_states(self.ws.ledger, *OPEN_STATES) and not inbox.waiting(self.ws.ledger, 1)

    def books(self) -> Books:
        return Books(self.api)

    def event_bodies(self) -> list[bytes]:
        """The events of all accepted batches, as the sandbox is going to deliver them."""
        with closing(sqlite3.connect(state_file(self.api))) as con:
            return [body for (body,) in con.execute("SELECT body FROM events ORDER BY seq")]

    def materialized(self, asset: str) -> list[str]:
        """The partition of each materialisation that Dagster was told of."""
        found = self.instance.fetch_materializations(dg.AssetRecordsFilter(dg.AssetKey(asset)), limit=1_000)
        return [record.partition_key or "" for record in found.records]
