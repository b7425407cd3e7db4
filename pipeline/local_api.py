"""The sandbox for those who set neither key nor address: started by each process that needs one, and ended with it.

Its state lies in the data folder, and every server over it shows the same, so processes need not find each other's.
"""

from __future__ import annotations

import atexit
import threading
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.errors import SandboxError
from pipeline.sandbox.process import SandboxProcess
from pipeline.settings import Settings

_lock = threading.Lock()
_own: dict[Path, SandboxProcess] = {}


def api_url(settings: Settings) -> str:
    """Base URL of the API: as set, or of this process's sandbox, started at the first call."""
    if not settings.wants_own_sandbox:
        return settings.url
    folder = sandbox_dir(settings)
    with _lock:
        if folder not in _own:
            _own[folder] = start_sandbox(settings)
            atexit.register(_own[folder].stop)
        return _own[folder].url


def start_sandbox(settings: Settings, config: SandboxConfig | None = None) -> SandboxProcess:
    """Start a sandbox server over this data folder's sandbox state; the caller stops it."""
    folder = sandbox_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    process = SandboxProcess(folder, config or SandboxConfig(time_scale=settings.speed))
    try:
        return process.start()
    except SandboxError as error:
        raise ConfigError(str(error), hint="Its state is in the data folder; see `enrich sandbox --help`.") from error


def sandbox_dir(settings: Settings) -> Path:
    """Where the sandbox of a data folder keeps its state and its books."""
    return settings.home / "sandbox-api"
