"""A journey with troubles in a folder of its own, the real web server over it, and a browser."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
SHOTS = ROOT / ".screenshots"
HEADER = "id,date,description,amount,entry_type,currency,country,account_holder_id,account_holder_type\n"
STARTING = 120
"""Most seconds until the web server answers; it takes 5 on two cores."""


def _row(i):
    return f"tx-{i},2026-01-{1 + i % 28:02d},TESCO STORES 2291 LONDON,{1 + i}.00,outgoing,USD,US,holder-1,consumer\n"


def _environment(folder, **given):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    return kept | {"DAGSTER_HOME": str(folder)} | given


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    """Three batches, of which the second ends in error once and is sent again; one item error and one bad record."""
    folder = tmp_path_factory.mktemp("ui")
    shutil.copy(ROOT / "dagster.yaml", folder)
    bad = "bad-1,2026-02-30,X,1,outgoing,USD,US,,\n"
    (folder / "bank.csv").write_text(HEADER + "".join(_row(i) for i in range(30)) + bad)
    config = SandboxConfig(time_scale=500, error_batch_nth=(2,), item_error_share=0.05)
    with SandboxProcess(folder / "api", config) as api:
        settings = {
            "ENRICH_BASE_URL": api.url, "ENRICH_TIME_SCALE": "500", "ENRICH_BACKOFF_BASE": "1",
            "ENRICH_BATCH_SIZE": "10", "ENRICH_DATA_DIR": "data",
        }  # fmt: skip
        environment = _environment(folder, **settings)
        done = subprocess.run(
            [BIN / "enrich", "run", "bank.csv"], cwd=folder, env=environment, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        yield folder, environment


@pytest.fixture(scope="module")
def address(journey):
    """URL of `dagster-webserver` over the journey's instance."""
    folder, environment = journey
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [BIN / "dagster-webserver", "-h", "127.0.0.1", "-p", str(port), "-w", ROOT / "deploy" / "workspace.yaml"]
    with (folder / "web.log").open("wb") as log:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_served(child, url, folder / "web.log")
        yield url
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(60)
        finally:
            child.kill()


def _wait_until_served(child, url, log):
    end = time.monotonic() + STARTING
    while child.poll() is None and time.monotonic() < end:
        try:
            if httpx.get(f"{url}/server_info", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail(f"the web server does not answer:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def browser():
    """The chromium that is installed. None is downloaded."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium is here: install the package `chromium`")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (make setup)")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def page(browser, address):
    """One tab for all: the UI's own code is fetched and parsed once."""
    tab = browser.new_page(viewport={"width": 1600, "height": 1100}, base_url=address)
    tab.set_default_timeout(30_000)
    yield tab
    tab.close()


@pytest.fixture
def see(page):
    """Open a page, wait for the texts, keep a screenshot, and return all text: `see("name", "/path", "a", "b")`.

    `click=(text, n)` clicks the nth place with this text, and then `after` is waited for.
    """
    SHOTS.mkdir(exist_ok=True)

    def look(name, path, *texts, click=None, after=None):
        page.goto(path)
        try:
            for text in texts:
                page.get_by_text(text).first.wait_for()
            if click:
                page.get_by_text(click[0]).nth(click[1]).click()
                page.get_by_text(after).first.wait_for()
        finally:
            page.wait_for_timeout(300)  # for the picture only: nothing is decided by it
            page.screenshot(path=SHOTS / f"{name}.png")
        return page.inner_text("body")

    return look
