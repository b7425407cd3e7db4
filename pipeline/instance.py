"""The Dagster instance of the project, opened outside of Dagster's own processes. Edge: may import Dagster."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from filelock import FileLock

from pipeline.errors import ConfigError

CONFIG = "dagster.yaml"
_STORAGE = "storage"


def project_root() -> Path:
    """The folder with dagster.yaml: this one, or DAGSTER_HOME, or where the project is installed from.

    Raises ConfigError when none of them has it.
    """
    home = os.environ.get("DAGSTER_HOME")
    for folder in (Path.cwd(), Path(home) if home else None, Path(__file__).parent.parent):
        if folder is not None and (folder / CONFIG).is_file():
            return folder.resolve()
    raise ConfigError(f"no {CONFIG} here", hint="Run the command from the project's folder, or set DAGSTER_HOME.")


def open_instance(root: Path | None = None) -> dg.DagsterInstance:
    """The instance that `dg dev` uses, with its relative folders taken from the root wherever the command is run."""
    root = root or project_root()
    folder = root / ".dagster"
    folder.mkdir(exist_ok=True)
    # Two processes that open a fresh SQLite instance at once can crash in its migration.
    with FileLock(folder / "instance.lock", timeout=60):
        if not _is_local(root):
            return _open(root, None)
        if not (folder / _STORAGE).exists():
            _create_storage(root, folder)
        return _open(root, folder / _STORAGE)


def _create_storage(root: Path, folder: Path) -> None:
    """Aside, and then renamed: Dagster completes no table of a process that was killed while it made them.

    Such an instance was broken for good: "the dynamic partitions table currently does not exist".
    """
    for dead in folder.glob(f".{_STORAGE}-*"):
        shutil.rmtree(dead)
    fresh = folder / f".{_STORAGE}-{os.getpid()}"
    _open(root, fresh).dispose()
    try:
        fresh.rename(folder / _STORAGE)
    except OSError:  # `dg dev` was first
        shutil.rmtree(fresh)


def _open(root: Path, storage: Path | None) -> dg.DagsterInstance:
    overrides = _local_folders(root / ".dagster", storage) if storage is not None else None
    instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(root), config_filename=CONFIG, overrides=overrides))
    instance.get_dynamic_partitions("batches")  # opens, and so migrates, the storage while the lock is held
    instance.get_runs_count()
    return instance


def _local_folders(folder: Path, storage: Path) -> dict[str, Any]:
    return {
        "storage": {"sqlite": {"base_dir": str(storage)}},
        "local_artifact_storage": {
            "module": "dagster._core.storage.root",
            "class": "LocalArtifactStorage",
            "config": {"base_dir": str(folder)},
        },
        "compute_logs": {
            # What these processes print goes to their terminal; capturing it cost 7 % CPU and left `tail -F` behind.
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
            "config": {},
        },
    }


def _is_local(root: Path) -> bool:
    """Whether dagster.yaml uses SQLite files; another storage is left as it is configured."""
    return "sqlite:" in (root / CONFIG).read_text()
