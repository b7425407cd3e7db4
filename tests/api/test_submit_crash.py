"""A process that is killed inside `release` leaves the server without a request: real sockets, a real SIGKILL."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from scripted_server import Reply, Server

import pipeline

ROOT = Path(pipeline.__file__).parent.parent

CHILD = textwrap.dedent(
    """
    import os, signal, sys
    from pipeline.api.client import ApiClient

    url, size, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]

    def release():
        if how == "inside release":
            os.kill(os.getpid(), signal.SIGKILL)

    with ApiClient(base_url=url, api_key="key") as client:
        client.submit_batch(b"x" * size, release=release)
    """
)


def run_child(server: Server, size: int, how: str) -> int:
    """Exit status of a child that submits `size` bytes."""
    command = [sys.executable, "-c", CHILD, server.url, str(size), how]
    return subprocess.run(command, cwd=ROOT, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode


@pytest.mark.parametrize("size", [1_000, 10_000_000])
def test_killed_inside_release(server: Server, size: int) -> None:
    server.script = [Reply(body=b"{}")]
    assert run_child(server, size, "inside release") == -signal.SIGKILL
    (seen,) = server.settled()
    assert not seen.complete
    assert len(seen.body) == size - 1


def test_the_same_child_is_complete_when_it_lives(server: Server) -> None:
    """Without this the test above would also pass for a child that never sends anything whole."""
    server.script = [Reply(body=b"{}")]
    assert run_child(server, 1_000, "not at all") == 1
    (seen,) = server.settled()
    assert seen.complete
