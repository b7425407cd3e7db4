"""`enrich run`'s loop: it ends when a person interrupts a step, and when nothing but failures comes."""

from __future__ import annotations

import signal

import pytest

import assets.plan
from pipeline import one_shot
from pipeline.one_shot import OneShot
from pipeline.resources import EnrichResource


def test_ctrl_c_inside_a_step_ends_the_run(project_for, bank_file, monkeypatch):
    project = project_for()
    shot = OneShot(project.instance, project.resource)
    assert shot.ingest([bank_file(5)], None)
    monkeypatch.setattr(assets.plan, "plan", lambda *_args, **_given: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        shot.plan()


def test_an_api_that_is_never_there_ends_the_run_with_its_reason_and_publishes(project_for, bank_file, monkeypatch):
    project = project_for()
    dead = project.ws.settings.model_copy(update={"base_url": "http://127.0.0.1:9", "time_scale": 5000.0})
    monkeypatch.setattr(one_shot, "MAX_FAILURES", 3)
    shot = OneShot(project.instance, EnrichResource(dead))
    assert shot.ingest([bank_file(5)], None)
    assert shot.plan()
    outcome = shot.finish(lambda _ws: None)
    assert outcome.stopped_by.startswith("3 runs failed one after the other")
    assert "no connection to the API" in outcome.stopped_by
    assert (dead.home / "warehouse.duckdb").exists()
