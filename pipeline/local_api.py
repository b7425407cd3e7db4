"""The sandbox for those who set neither key nor address: started when it is first needed, one per data folder.

Its state lies in the data folder, and every server over it shows the same; so a process that finds no running one
simply starts its own, which ends with it.
"""

from __future__ import annotations

import atexit
import json
import threading
from pathlib import Path

import httpx

from pipeline.errors import ConfigError
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.errors import SandboxError
from pipeline.sandbox.process import SandboxProcess
from pipeline.settings import Settings

_lock = threading.Lock()
_own: dict[Path, SandboxProcess] = {}


def api_url(settings: Settings) -> str:
    """Base URL of the API: as set, or of a sandbox that answers at this moment."""
    if not settings.wants_own_sandbox:
        return settings.url
    folder = sandbox_dir(settings)
    with _lock:
        own = _own.get(folder)
        if own is not None and _answers(own.url):
            return own.url
        shared = _announced(folder)
        if shared is not None:
            return shared
        if own is not None:
            own.stop()
        process = start_sandbox(settings)
        _own[folder] = process
        atexit.register(process.stop)
        (folder / "server.json").write_text(json.dumps({"url": process.url}))
        return process.url


def start_sandbox(settings: Settings, config: SandboxConfig | None = None) -> SandboxProcess:
    """Start a sandbox server over this data folder's sandbox state; the caller stops it."""
    folder = sandbox_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    process = SandboxProcess(folder, config or SandboxConfig(time_scale=settings.speed))
    try:
        return process.start()
    except SandboxError as error:
        raise ConfigError(
            str(error), hint="Its state is in the data folder; see `enrich sandbox --help-all`."
        ) from error


def sandbox_dir(settings: Settings) -> Path:
    """Where the sandbox of a data folder keeps its state and its books."""
    return settings.home / "sandbox-api"


def _announced(folder: Path) -> str | None:
    try:
        url = str(json.loads((folder / "server.json").read_text())["url"])
    except (OSError, ValueError, KeyError):
        return None
    return url if _answers(url) else None


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=1, trust_env=False).is_success
    except httpx.HTTPError:
        return False
