"""The Dagster instance of the project, opened outside of Dagster's own processes. Edge: may import Dagster."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from filelock import FileLock

from pipeline.errors import ConfigError

CONFIG = "dagster.yaml"


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
    overrides = {
        "storage": {"sqlite": {"base_dir": str(folder / "storage")}},
        "local_artifact_storage": {
            "module": "dagster._core.storage.root",
            "class": "LocalArtifactStorage",
            "config": {"base_dir": str(folder)},
        },
        "compute_logs": {
            "module": "dagster._core.storage.local_compute_log_manager",
            "class": "LocalComputeLogManager",
            "config": {"base_dir": str(folder / "logs")},
        },
    }
    # Two processes that open a fresh SQLite instance at once can crash in its migration.
    with FileLock(folder / "instance.lock", timeout=60):
        ref = InstanceRef.from_dir(str(root), config_filename=CONFIG, overrides=overrides if _is_local(root) else None)
        instance = dg.DagsterInstance.from_ref(ref)
        instance.get_dynamic_partitions("batches")  # opens, and so migrates, the storage while the lock is held
        instance.get_runs_count()
    return instance


def _is_local(root: Path) -> bool:
    """Whether dagster.yaml uses SQLite files; another storage is left as it is configured."""
    return "sqlite:" in (root / CONFIG).read_text()
