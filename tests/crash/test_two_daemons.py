"""Two daemons and an `enrich run`, each with a Dagster instance of its own, over one data folder and one inbox."""

from __future__ import annotations

import signal
import subprocess

import pytest
from end_state import attempts_of, batches_of, check_charges, check_nothing_stuck, is_published, tables_of
from places import BATCH, TIME_SCALE, Place, wait_until

from pipeline.ledger.states import State
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess

WAIT = 400
"""Most seconds; 140 on a quiet machine. On a busy one, Dagster's code server misses heartbeats, and is started anew."""


def start_daemon(place: Place, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    return place.start(
        "dagster-daemon", "run", "-m", "pipeline.definitions", DAGSTER_HOME=str(place.folder), **settings
    )


@pytest.mark.whole
@pytest.mark.timeout(600)
def test_two_daemons_and_a_run_come_to_one_effect(place):
    (place.folder / "inbox").mkdir()
    places = [Place(place.folder / name) for name in ("one", "two")]
    with SandboxProcess(place.folder / "api", SandboxConfig(time_scale=TIME_SCALE)) as sandbox:
        settings = {
            "ENRICH_BASE_URL": sandbox.url, "ENRICH_TIME_SCALE": str(TIME_SCALE), "ENRICH_BATCH_SIZE": str(BATCH),
            "ENRICH_DATA_DIR": str(place.folder / "data"), "ENRICH_INBOX": str(place.folder / "inbox"),
        }  # fmt: skip
        file = place.write("bank.csv", 0, 60, bad=2)
        daemons = [(each, start_daemon(each, settings)) for each in places]
        place.write("inbox/other.csv", 100, 40)
        run = place.start_run(file, **settings)
        try:
            assert place.wait(run).code == 0

            def done() -> bool:
                for each, child in daemons:
                    assert child.poll() is None, each.output(child)
                return [row.state for row in batches_of(place)] == [State.LANDED] * 5 and is_published(place)

            wait_until(
                done, "five batches landed and published", seconds=WAIT, log=lambda: places[0].output(daemons[0][1])
            )
        finally:
            for each, child in daemons:
                child.send_signal(signal.SIGTERM)
                each.wait(child, 60)
                each.close()
        # A run of the other daemon may have been about to publish what it asked for as well.
        assert place.run(file, **settings).code == 0
    check_nothing_stuck(place, {})
    check_charges(place, place.folder / "api")
    assert len({row.vendor_batch_id for row in attempts_of(place)}) == 5
    tables = tables_of(place, plan=False)
    assert len(tables.transactions) == 100
