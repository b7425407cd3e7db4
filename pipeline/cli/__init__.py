"""The command line `enrich`: one module per family of commands. Edge: may import Dagster, where it runs jobs."""

from __future__ import annotations

from pipeline.cli import backup, export, operator, rebuild, webhooks
from pipeline.cli.main import app

__all__ = ["app", "backup", "export", "operator", "rebuild", "webhooks"]
