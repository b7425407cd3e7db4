"""A running sandbox for the tests, and what they send to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.sandbox.books import Books
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess

SendItems = Callable[..., httpx.Response]


class Caller(httpx.Client):
    """A client with a key, and the few calls that most tests make."""

    books: Books

    def __init__(self, url: str, key: str) -> None:
        super().__init__(base_url=url, headers={"X-API-Key": key}, timeout=60, trust_env=False)

    def send_batch(self, items: list[dict[str, Any]], **extra: Any) -> httpx.Response:
        return self.post("/v3/batches", json={"operation": "POST /v3/transactions", "data": items, **extra})

    def holder(self, identity: str, type_: str = "consumer") -> httpx.Response:
        return self.post("/v3/account_holders", json={"id": identity, "type": type_})

    def ended(self, batch_id: str) -> dict[str, Any]:
        """Wait for the end of a batch; the suite's own time-out is the limit."""
        while True:
            batch: dict[str, Any] = self.get(f"/v3/batches/{batch_id}").raise_for_status().json()
            if batch["status"] != "processing":
                return batch
            time.sleep(0.02)

    def finished(self, items: list[dict[str, Any]]) -> str:
        """Send a batch, wait for its end, and return its id."""
        batch: str = self.send_batch(items).raise_for_status().json()["id"]
        self.ended(batch)
        return batch


def make_items(count: int, prefix: str = "t", **fields: Any) -> list[dict[str, Any]]:
    """Valid items with ids `t0`, `t1` and so on."""
    common = {"date": "2024-05-01", "amount": 12.5, "entry_type": "outgoing", "currency": "USD", **fields}
    return [
        {"id": f"{prefix}{number}", "description": f"SQ *STARBUCKS {number:05d}", **common} for number in range(count)
    ]


@pytest.fixture(scope="session")
def items() -> Callable[..., list[dict[str, Any]]]:
    return make_items


@pytest.fixture(scope="session")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """One server for all tests that need nothing special: a 15 s batch takes 30 ms, no limits."""
    config = SandboxConfig(time_scale=500, unthrottled=True)
    with SandboxProcess(tmp_path_factory.mktemp("sandbox"), config) as process:
        yield process


@pytest.fixture
def caller(shared_sandbox: SandboxProcess, request: pytest.FixtureRequest) -> Iterator[Caller]:
    """A client of the shared server whose data no other test sees: the key is the test's name."""
    with Caller(shared_sandbox.url, request.node.nodeid) as client:
        yield client


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Caller]]:
    """Starts a server with the given settings over `tmp_path / "state"`, or `state`, and returns a client of it."""
    running: list[tuple[Caller, SandboxProcess]] = []

    def begin(*, state: Path | None = None, key: str = "key", **settings: Any) -> Caller:
        process = SandboxProcess(state or tmp_path / "state", SandboxConfig(**settings)).start()
        client = Caller(process.url, key)
        running.append((client, process))
        return client

    yield begin
    for client, process in running:
        client.close()
        process.stop()


@pytest.fixture(scope="session")
def fault_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """One server for the fault plans, which are its state's and not a key's: one test after the other."""
    config = SandboxConfig(time_scale=500, unthrottled=True)
    with SandboxProcess(tmp_path_factory.mktemp("faults"), config) as process:
        yield process


@pytest.fixture
def faulty(fault_sandbox: SandboxProcess, request: pytest.FixtureRequest) -> Iterator[Callable[..., Caller]]:
    """Puts the rules given and returns a client, `faulty({"call": "*", "do": "status", "status": 503})`.

    The key is the test's own; the books are everybody's, so tests look their own ids up in them.
    """
    with Caller(fault_sandbox.url, request.node.nodeid) as client:

        def put(*rules: dict[str, Any]) -> Caller:
            client.put("/sandbox/faults", json={"rules": list(rules)}).raise_for_status()
            return client

        client.books = Books(fault_sandbox.config.state)
        yield put
        client.delete("/sandbox/faults").raise_for_status()
