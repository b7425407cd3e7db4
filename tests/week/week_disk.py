"""What a data folder and a Dagster instance take on the disk, by part, and what retention may have taken already."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from pipeline.flow.workspace import Workspace
from pipeline.lake.publish import oldest_revision
from pipeline.ledger import manifest, schema

STAYS = ("archive", "lake")
"""Parts that grow with what was sent, and are kept; with the ledger. Everything else is bounded by retention."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes by part, and the lake's files that are there."""

    parts: dict[str, int]
    lake: frozenset[str]

    def mib(self, *names: str) -> float:
        """These parts together."""
        return sum(self.parts[name] for name in names) / 2**20

    def line(self) -> str:
        return ", ".join(f"{name} {self.mib(name):.1f}" for name in self.parts)


def measure(ws: Workspace, dagster: Path) -> Disk:
    """Blocks that the files have, as `du` counts them; `replaced` are lake files that are not live any more."""
    with ws.ledger.read() as conn:
        live = {row.path for row in manifest.live(conn)}
    lake = dict(_files(ws.lake))
    parts = {
        "archive": sum(size for _, size in _files(ws.archive)),
        "lake": sum(size for name, size in lake.items() if name in live),
        "replaced": sum(size for name, size in lake.items() if name not in live),
        "warehouse": sum(size for _, size in _files(ws.home / "warehouse")),
        "ledger": sum(size for _, size in _files(ws.home / "ledger")),
        "runs": sum(size for _, size in _files(dagster / "storage")),
        "run logs": sum(size for _, size in _files(dagster / "logs")),
    }
    return Disk(parts, frozenset(lake))


def overdue(ws: Workspace, disk: Disk, since: datetime) -> list[str]:
    """Files that a retention run which began then should have deleted, and that are still there."""
    oldest = oldest_revision(ws.home)
    before = since - timedelta(days=ws.settings.keep_replaced_days)
    f = schema.manifest_files
    rows = ws.ledger.rows(select(f.c.path).where(f.c.removed_at < before, f.c.removed_revision <= (oldest or 0)))
    return sorted({row.path for row in rows} & disk.lake)


def _files(root: Path) -> list[tuple[str, int]]:
    found = []
    for path in root.rglob("*") if root.is_dir() else ():
        with suppress(OSError):  # deleted meanwhile
            if path.is_file() and not path.is_symlink():
                found.append((path.relative_to(root).as_posix(), path.stat().st_blocks * 512))
    return found
