"""Fixtures: ledgers and data folders in which two batches of ten rows are planned, an API to recover from."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

# Under importmode=importlib a folder of tests is no package, and its helper modules are not found by themselves.
sys.path.insert(0, str(Path(__file__).parent))

from api_stub import ApiStub
from model_parts import THEIRS, Rules
from player import TICK, Clock, Player, RecoveringPlayer

from pipeline.flow.inbox import ingest_files
from pipeline.flow.plan_files import read_plan
from pipeline.flow.planning import plan
from pipeline.ledger import batches
from pipeline.ledger.batches import NewBatch
from pipeline.ledger.db import open_ledger
from pipeline.ledger.states import State


@pytest.fixture(scope="session")
def planned_ledger(ledger_template, tmp_path_factory, request):
    """A ledger to be copied: to make one takes longer than a walk."""
    if isinstance(ledger_template, Path):
        made = tmp_path_factory.mktemp("protocol") / "ledger.sqlite"
        shutil.copy(ledger_template, made)
        url = f"sqlite:///{made}"
    else:
        server = request.getfixturevalue("postgres")
        made = server.create(ledger_template)
        url = server.url(made)
    opened = open_ledger(url, clock=Clock())
    with opened.write() as conn:
        new = [NewBatch(f"{n:08d}-abcdef00", n, f"hash-{n}", 10, "first", "last", attempts_allowed=9) for n in (1, 2)]
        batches.insert_batches(conn, new, now=opened.now())
    opened.close()
    return made


@pytest.fixture
def player_for(planned_ledger, new_ledger):
    """Players on a ledger of their own: `player_for(world)`."""
    opened = []

    def make(world):
        clock = Clock()
        opened.append(open_ledger(new_ledger(planned_ledger), clock=clock))
        keys = [row.batch_key for row in batches.in_states(opened[-1], State.PLANNED)]
        return Player(opened[-1], clock, keys[: world.ours], world.slots)

    yield make
    for ledger in opened:
        ledger.close()


@pytest.fixture
def recovering_player_for(workspace_for, client_for, bank_file):
    """Players with a data folder, whose recoveries are the real ones: `recovering_player_for(world)`."""
    stubs = []

    def make(world):
        clock = Clock()
        stubs.append(ApiStub(clock))
        ws = workspace_for(
            f"data-{len(stubs)}", base_url=stubs[-1].url, batch_size=10, grace=Rules().grace * TICK.total_seconds(),
            time_scale=1, max_attempts=9,
        )  # fmt: skip
        ingest_files(ws, [bank_file(10 * world.ours, name=f"bank-{len(stubs)}.csv")], None)
        keys = list(plan(ws, flush=True).batches)
        ids = {k: tuple(read_plan(ws, key)["transaction_id"]) for k, key in enumerate(keys)}
        ids[THEIRS] = tuple(f"theirs-{i}" for i in range(10))
        ws.ledger.clock = clock
        return RecoveringPlayer(ws.ledger, clock, keys, world.slots, ws, client_for(stubs[-1].url), stubs[-1], ids)

    yield make
    for stub in stubs:
        stub.close()
