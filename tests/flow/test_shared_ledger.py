"""Senders that share a ledger on PostgreSQL, two at once or one of them stopped; its backup; its move from a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import select

from pipeline.errors import ConfigError
from pipeline.flow.backing_up import backup
from pipeline.flow.publishing import publish_warehouse
from pipeline.flow.restoring import restore
from pipeline.lake.warehouse import query
from pipeline.ledger import batches, circuit, manifest, schema
from pipeline.ledger.states import Attempt, State
from pipeline.sandbox.books import Books

pytestmark = pytest.mark.xdist_group("postgres")

_SENDER = """
import os, pathlib, signal, sys, time
signal.SIGKILL = signal.SIGSTOP  # points that would kill the process stop it
from pipeline.api.client import ApiClient
from pipeline.flow import turn
from pipeline.flow.submitting import submit
from pipeline.flow.workspace import open_workspace
from pipeline.ledger import batches
if os.environ.get("WITHOUT_HEARTBEAT"):
    turn._beat = lambda *_: None
from pipeline.ledger.states import State
from pipeline.settings import Settings
ws = open_workspace(Settings(_env_file=None))
keys = [row.batch_key for row in batches.in_states(ws.ledger, State.PLANNED)]
with ApiClient(base_url=ws.settings.url, api_key="sandbox-key", time_scale=200) as client:
    pathlib.Path(sys.argv[1]).touch()
    while not pathlib.Path(sys.argv[2]).exists():
        time.sleep(0.001)
    report = submit(ws, client, keys)
print(sorted(report.submitted), sorted(report.skipped.values()), sorted(report.failed.values()), flush=True)
"""
"""Another host's process, as far as the ledger can tell: nothing but the address of the ledger tells it of ours."""


@pytest.fixture
def shared(steps_for, database, bank_file):
    """Two planned batches of ten, whose holders exist, in a ledger on the server."""

    def make(**given):
        steps = steps_for(batch_size=10, ledger_url=database, claim_seconds=1, **given)
        steps.ingest(bank_file(20))
        steps.plan()
        steps.submit("nothing")
        assert len(steps.keys(State.PLANNED)) == 2
        return steps

    return make


@pytest.fixture
def start(tmp_path):
    """Start a sender that waits for the file `go` once it has done its imports."""
    children = []

    def begin(steps, *, go=True, **environment):
        ready = tmp_path / f"ready-{len(children)}"
        s = steps.ws.settings
        child = subprocess.Popen(
            [sys.executable, "-c", _SENDER, str(ready), str(tmp_path / "go")], text=True, stdout=subprocess.PIPE,
            env=os.environ | {
                "ENRICH_DATA_DIR": str(s.home), "ENRICH_LEDGER_URL": s.ledger, "ENRICH_BASE_URL": s.url,
                "ENRICH_TIME_SCALE": "200", "ENRICH_CLAIM_SECONDS": "1", **environment,
            },
        )  # fmt: skip
        children.append(child)
        if go:
            (tmp_path / "go").touch()
        else:
            end = time.monotonic() + 60
            while not ready.exists():
                assert time.monotonic() < end
                time.sleep(0.05)
        return child

    yield begin
    for child in children:
        child.kill()
        child.wait()
        child.stdout.close()


def wait_until_stopped(child):
    seen = os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert seen.si_code == os.CLD_STOPPED, child.stdout.read()


def test_two_processes_that_send_at_once_charge_once(shared, start, tmp_path):
    steps = shared()
    both = [start(steps, go=False) for _ in range(2)]
    (tmp_path / "go").touch()
    said = [child.communicate(timeout=60)[0] for child in both]
    assert [child.returncode for child in both] == [0, 0], said
    steps.finish()
    assert Books(steps.api).summary().items_charged == 20
    assert steps.check()["transactions"] == 20


@pytest.mark.parametrize("point", ["submit.before_reserve", "submit.after_reserve", "submit.after_release"])
def test_a_sender_that_was_stopped_for_longer_than_its_lease_does_not_send(shared, start, point):
    steps = shared(grace=0)
    keys = steps.keys(State.PLANNED)
    paused = start(steps, ENRICH_CRASH_AT=point)
    wait_until_stopped(paused)
    (lease,) = steps.ws.ledger.rows(select(schema.sender_lease))
    assert (lease.fence, lease.owner is None) == (2, False)
    time.sleep(2)
    ours = steps.submit(*keys)
    sent = len(ours.submitted)
    assert sent == (1 if point == "submit.after_release" else 2), ours
    assert len(Books(steps.api).batches()) == sent
    paused.send_signal(signal.SIGCONT)
    said, _ = paused.communicate(timeout=60)
    assert paused.returncode == 0
    assert said.startswith("[] ["), said
    assert len(Books(steps.api).batches()) == sent
    steps.finish()
    assert Books(steps.api).summary().items_charged == 20
    assert steps.check()["transactions"] == 20


def test_a_sender_that_was_stopped_before_its_last_byte_withholds_it_though_nobody_followed(shared, start):
    steps = shared()
    # A heartbeat that comes first when the process goes on has the lease again, and then the byte may go out.
    paused = start(steps, ENRICH_CRASH_AT="submit.after_release", WITHOUT_HEARTBEAT="1")
    wait_until_stopped(paused)
    time.sleep(2)
    paused.send_signal(signal.SIGCONT)
    said, _ = paused.communicate(timeout=60)
    assert "it was withheld" in said
    assert Books(steps.api).batches() == []
    assert len(steps.keys(State.PLANNED)) == 2
    (attempt,) = steps.ws.ledger.rows(select(schema.attempts))
    assert attempt.state == Attempt.NOT_SENT
    steps.finish()
    assert steps.check()["transactions"] == 20


def test_a_sender_that_is_killed_is_followed_at_once(shared, start):
    steps = shared()
    keys = steps.keys(State.PLANNED)
    killed = start(steps, ENRICH_CRASH_AT="submit.after_reserve", ENRICH_CLAIM_SECONDS="3600")
    wait_until_stopped(killed)
    assert set(steps.submit(*keys).skipped.values()) == {"another process is sending"}
    killed.kill()
    killed.wait()
    report = steps.submit(*keys)
    assert (report.recovered, len(report.submitted)) == (1, 2)


# -- backup, and the move from a file to a server -----------------------------------------------------------------


def tables(ws):
    return query(ws.home, "SELECT * EXCLUDE (version) FROM transactions ORDER BY ALL").rows


def test_a_backup_goes_from_a_server_to_a_file_and_back(shared, settings_for, workspace_for, tmp_path):
    steps, to = shared(), tmp_path / "backup"
    steps.submit()
    steps.finish()
    publish_warehouse(steps.ws)
    before, actions = tables(steps.ws), steps.ws.ledger.rows(select(schema.attempts))
    made = backup(steps.ws, to).note
    with pytest.raises(ConfigError, match="there is a ledger already"):
        restore(to, steps.ws.settings)
    done = restore(to, steps.ws.settings, replace=True)
    assert (done.set_aside / "ledger.sqlite").is_file()
    url = steps.ws.settings.url
    again = workspace_for(base_url=url, ledger_url=steps.ws.settings.ledger)
    assert again.ledger.rows(select(schema.attempts)) == actions
    assert manifest.head(again.ledger).revision >= made.revision
    with again.ledger.read() as conn:
        assert circuit.opened(conn).kind == circuit.RESTORED
    file = f"sqlite:///{tmp_path / 'moved' / 'ledger' / 'ledger.sqlite'}"
    restore(to, settings_for("moved", base_url=url, ledger_url=file))
    moved = workspace_for("moved", base_url=url, ledger_url=file)
    assert publish_warehouse(moved).violations == []
    assert tables(moved) == before


def test_a_ledger_moves_from_a_file_to_a_server(steps_for, bank_file, database, settings_for, workspace_for, tmp_path):
    file = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    steps = steps_for(batch_size=10, ledger_url=file)
    steps.ingest(bank_file(20))
    steps.plan()
    steps.submit()
    steps.finish()
    backup(steps.ws, tmp_path / "backup")
    url = steps.ws.settings.url
    restore(tmp_path / "backup", settings_for(base_url=url, ledger_url=database))
    moved = workspace_for(base_url=url, ledger_url=database)
    assert [row.state for row in batches.in_states(moved.ledger, *State)] == [State.LANDED] * 2
    assert publish_warehouse(moved).counts["transactions"] == 20


def test_a_ledger_that_somebody_works_on_is_not_replaced(shared, start, tmp_path):
    steps = shared()
    backup(steps.ws, tmp_path / "backup")
    working = start(steps, ENRICH_CRASH_AT="submit.after_reserve", ENRICH_CLAIM_SECONDS="3600")
    wait_until_stopped(working)
    revision = manifest.head(steps.ws.ledger).revision
    with pytest.raises(ConfigError, match="another process works with"):
        restore(tmp_path / "backup", steps.ws.settings, replace=True)
    assert manifest.head(steps.ws.ledger).revision == revision


def test_a_server_ledger_of_another_account_is_never_replaced(shared, tmp_path):
    steps = shared()
    backup(steps.ws, tmp_path / "backup")
    with steps.ws.ledger.write() as conn:
        conn.execute(schema.data_folder.update().values(account="ana"))
    with pytest.raises(ConfigError, match="belongs to sandbox/ana"):
        restore(tmp_path / "backup", steps.ws.settings, replace=True)
