"""A running sandbox for the tests, and what they send to it."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from ntropy_sdk import SDK
from ntropy_sdk.async_.sdk import AsyncSDK

from pipeline.sandbox.books import Books
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess

# Under importmode=importlib a folder of tests is no package, and its helper modules are not found by themselves.
sys.path.insert(0, str(Path(__file__).parent))

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

    def hook(self, url: str, *events: str, **fields: Any) -> str:
        """Register a webhook, for both events of batches if none is given, and return its id."""
        wanted = list(events) or ["batches.completed", "batches.error"]
        made = self.post("/v3/webhooks", json={"url": url, "events": wanted, **fields}).raise_for_status()
        identity: str = made.json()["id"]
        return identity

    def deliveries(self, webhook: str) -> list[dict[str, Any]]:
        """The book of what is sent to a webhook."""
        book = self.get("/sandbox/books/deliveries").raise_for_status().json()
        return [one for one in book if one["webhook_id"] == webhook]

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


class Received(NamedTuple):
    """One POST of an event."""

    path: str
    headers: dict[str, str]
    event: dict[str, Any]
    at: float
    """Seconds since 1970."""

    @property
    def batch(self) -> str:
        return str(self.event["data"]["id"])


class Receiver(ThreadingHTTPServer):
    """Takes webhook events in; answers 200, or what `say` has put first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.got: list[Received] = []
        self.strays: list[str] = []
        """Paths of GETs: who follows a 302 makes one."""
        self.statuses: list[int] = []
        self.open = threading.Event()
        self.open.set()
        """While it is clear nobody is answered."""

    def say(self, *statuses: int) -> None:
        """Answer the next requests like this; a redirect points to this server's /elsewhere."""
        self.statuses += statuses

    def wait(self, count: int) -> list[Received]:
        """Wait for so many requests; the suite's own time-out is the limit."""
        while len(self.got) < count:
            time.sleep(0.01)
        return self.got[:count]


class _Take(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        self.server.got.append(Received(self.path, headers, event, time.time()))
        self.server.open.wait()
        try:
            self.send_response(status)
            self.send_header("location", f"{self.server.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()
        except OSError:
            # The sender has not waited.
            return

    def do_GET(self) -> None:
        self.server.strays.append(self.path)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks on this machine."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.open.set()
        server.shutdown()
        thread.join()


class Official:
    """The official client, sync or async, under one face: `official.batches.get(…)` answers either way."""

    def __init__(self, sdk: SDK | AsyncSDK, run: Callable[[Any], Any]) -> None:
        self.sdk = sdk
        self._run = run

    def __getattr__(self, resource: str) -> _Resource:
        return _Resource(getattr(self.sdk, resource), self._run)

    def all_of(self, page: Any, size: int | None = None) -> list[Any]:
        """Everything from `page` on, by the client's own paging."""
        pages = page.auto_paginate(page_size=size)
        if hasattr(pages, "__iter__"):
            return list(pages)

        async def collect() -> list[Any]:
            return [one async for one in pages]

        return list(self._run(collect()))


class _Resource:
    def __init__(self, resource: Any, run: Callable[[Any], Any]) -> None:
        self._resource, self._run = resource, run

    def __getattr__(self, method: str) -> Callable[..., Any]:
        call = getattr(self._resource, method)
        return lambda *args, **more: self._run(call(*args, **more))


MakeOfficial = Callable[[str, str], Official]


@pytest.fixture(params=["sync", "async"])
def official_client(request: pytest.FixtureRequest) -> Iterator[MakeOfficial]:
    """Makes official clients of a server's URL with a key; each test runs with the sync and the async one."""
    loop = asyncio.new_event_loop()
    made: list[SDK | AsyncSDK] = []

    def run(answer: Any) -> Any:
        return loop.run_until_complete(answer) if inspect.isawaitable(answer) else answer

    def make(url: str, key: str) -> Official:
        sdk = SDK(key) if request.param == "sync" else AsyncSDK(key)
        sdk.base_url = url
        made.append(sdk)
        return Official(sdk, run)

    yield make
    for sdk in made:
        if isinstance(sdk, SDK):
            sdk.http_client.session.close()
        else:
            loop.run_until_complete(sdk.http_client.close())
    loop.close()


@pytest.fixture
def official(official_client: MakeOfficial, shared_sandbox: SandboxProcess, request: pytest.FixtureRequest) -> Official:
    """An official client of the shared server whose data no other test sees."""
    return official_client(shared_sandbox.url, request.node.nodeid)
