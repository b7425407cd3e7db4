"""Fixtures: receivers in processes of their own, and the scripted server of the client's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Under importmode=importlib a folder of tests is no package, and its helper modules are not found by themselves.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "api"))

from receivers import TOKEN, Receiver
from scripted_server import Server


@pytest.fixture
def server():
    """An API that answers from a script."""
    with Server() as running:
        yield running


@pytest.fixture
def receiver_for(tmp_path):
    """Receivers, stopped at the end: `receiver_for("name", webhook_token="…")`."""
    running = []

    def make(name="data", *args, **environment):
        running.append(Receiver(tmp_path / name, *args, **environment))
        return running[-1]

    yield make
    for each in running:
        each.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One receiver for all tests of a module that leave it as it was; each uses event ids of its own."""
    running = Receiver(tmp_path_factory.mktemp("shared") / "data")
    yield running
    assert running.stop() == 0
    assert TOKEN not in running.log()
