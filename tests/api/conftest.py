"""Fixtures: the scripted server, a client for it, and the API's objects as it would send them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.api.client import ApiClient

# Under importmode=importlib a folder of tests is no package, and its helper modules are not found by themselves.
sys.path.insert(0, str(Path(__file__).parent))

from scripted_server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "k-SECRET-0123456789"
SCALE = 1_000
"""The client's waits are divided by this, so that five retries take milliseconds."""


def batch_json(id_: str = "b-1", **changes: Any) -> dict[str, Any]:
    """A batch as the API sends it (sample of docs.ntropy.com/batches)."""
    return {
        "id": id_,
        "operation": "POST /v3/transactions",
        "status": "processing",
        "created_at": "2024-04-11T08:15:00Z",
        "updated_at": "2024-04-11T08:15:30Z",
        "progress": 0,
        "total": 3,
    } | changes


@pytest.fixture
def server() -> Iterator[Server]:
    """A server; give it a `script`."""
    with Server() as running:
        yield running


@pytest.fixture
def make_client(server: Server) -> Iterator[Callable[..., ApiClient]]:
    """Clients for `server`, closed at the end."""
    made: list[ApiClient] = []

    def make(**options: Any) -> ApiClient:
        defaults: dict[str, Any] = {"base_url": server.url, "api_key": KEY, "time_scale": SCALE}
        made.append(ApiClient(**defaults | options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., ApiClient]) -> ApiClient:
    """A client with two retries."""
    return make_client(retries=2, read_timeout=5, post_timeout=10)


@pytest.fixture
def a_batch() -> Callable[..., dict[str, Any]]:
    """Make a batch."""
    return batch_json
