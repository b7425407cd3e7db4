"""The sensor `alerts`: it runs by default, tells each alert once, and a failing receiver never stops its tick."""

from __future__ import annotations

import dagster as dg
import pytest
from alert_receivers import alert_receiver

from pipeline.alert_sensor import alerts
from pipeline.ledger import operating
from pipeline.sensors import SENSORS


@pytest.fixture
def receiver():
    with alert_receiver() as server:
        yield server


def tick(project):
    """One tick: why it asks for no run."""
    context = dg.build_sensor_context(instance=project.instance, definitions=project.defs)
    (skipped,) = alerts(context, enrich=project.resource)
    return skipped.skip_message


def test_it_runs_by_default_once_a_minute():
    assert alerts in SENSORS
    assert alerts.default_status is dg.DefaultSensorStatus.RUNNING
    assert alerts.minimum_interval_seconds == 60


def test_a_tick_tells_once_and_tells_the_end(project_for, bank_file, receiver):
    project = project_for(alert_url=receiver.url)
    assert tick(project) == "nothing new to tell"
    (key,) = project.planned(bank_file(5))
    operating.hold(project.ws.ledger, key, who="ann", why="")
    assert tick(project) == "1 alerts were told"
    assert tick(project) == "nothing new to tell"
    operating.release(project.ws.ledger, key, who="ann", why="")
    assert tick(project) == "1 alerts were told"
    assert [(one["alert"], one["cleared"] is None) for one in receiver.take()] == [
        (f"held:{key}", True),
        (f"held:{key}", False),
    ]


def test_a_receiver_that_fails_stops_no_tick_and_is_told_at_the_next(project_for, bank_file, receiver):
    project = project_for(alert_url=receiver.url)
    (key,) = project.planned(bank_file(5))
    operating.hold(project.ws.ledger, key, who="ann", why="")
    receiver.statuses += [500]
    assert tick(project) == "nothing new to tell"
    assert tick(project) == "1 alerts were told"
    assert len(receiver.take()) == 2


def test_nobody_at_the_address_stops_no_tick(project_for, bank_file):
    project = project_for(alert_url="http://127.0.0.1:9/s3cret")
    (key,) = project.planned(bank_file(5))
    operating.hold(project.ws.ledger, key, who="ann", why="")
    assert tick(project) == "nothing new to tell"
