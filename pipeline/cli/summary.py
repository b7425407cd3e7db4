"""The end of a run: counts that add up, three small tables out of DuckDB, and what to type next."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from pipeline.cli import show
from pipeline.flow.workspace import Workspace
from pipeline.lake.warehouse import query
from pipeline.ledger import schema

_TABLES = {
    "Spend by category (outgoing, the first five by currency)": """
        SELECT currency, category, transactions, CAST(total AS DECIMAL(18, 2)) AS total FROM spend_by_category
        QUALIFY row_number() OVER (PARTITION BY currency ORDER BY total DESC, category) <= 5
        ORDER BY currency, total DESC, category
    """,
    "Top merchants (with a web site, the first five by currency)": """
        SELECT currency, name, website, transactions, CAST(total AS DECIMAL(18, 2)) AS total FROM top_merchants
        WHERE kind = 'merchant' AND website IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY currency ORDER BY total DESC, name) <= 5
        ORDER BY currency, total DESC, name
    """,
    "What went wrong, and why": "SELECT kind, why, rows, example FROM what_went_wrong ORDER BY rows DESC, kind, why",
}
_ROWS = 20


def show_files(ws: Workspace, files: Sequence[Path]) -> None:
    """What was read, how it was understood, and what a person should know about it."""
    for path, row in _of(ws, files):
        if row.name != path.name:
            show.say(f"{path.name}: the same content as {row.name}, which was read before: nothing new")
            continue
        known = f" ({row.repeats:,} known before)" if row.repeats else ""
        show.say(f"{path.name}: {row.records:,} records, {row.accepted:,} accepted{known}, {row.rejected:,} rejected")
        if row.facts:
            show.say("  read as: " + " · ".join(f"{name} {value}" for name, value in row.facts.items()))
        for warning in row.warnings:
            show.warn(warning)


def accepted_any(ws: Workspace, files: Sequence[Path]) -> bool:
    """Whether one of these files is in the ledger, from this run or an earlier one."""
    return bool(_of(ws, files))


def _of(ws: Workspace, files: Sequence[Path]) -> list[tuple[Path, Any]]:
    """Each file with its reading, found by its bytes: the same file may have had another name before."""
    table = schema.source_files
    rows = {row.sha256: row for row in ws.ledger.rows(select(table).order_by(table.c.ingested_at))}
    found = []
    for path in dict.fromkeys(files):
        with path.open("rb") as stream:
            row = rows.get(hashlib.file_digest(stream, "sha256").hexdigest())
        if row is not None:
            found.append((path, row))
    return found


def show_summary(ws: Workspace) -> None:
    """Counts that add up, tables and the next commands; the figures are those of the published warehouse."""
    _show_states(ws)
    for title, sql in _TABLES.items():
        result = query(ws.home, sql)
        show.say("")
        if result.rows:
            more = f" ({_ROWS} of {len(result.rows)})" if len(result.rows) > _ROWS else ""
            show.table(result.columns, result.rows[:_ROWS], title=title + more)
        else:
            show.say(f"[bold]{title}[/]: nothing")
    warehouse = ws.home / "warehouse.duckdb"
    show.say(f"\nThe tables are in {_shown(warehouse)} (read-only, replaced as a whole; readers block nobody).")
    show.say("Next:")
    show.line(f'  {_command()} query "SELECT * FROM transactions LIMIT 5"{_data_dir(ws)}')
    show.say("  make dev        # the same runs, batches and checks in the Dagster UI")


def _show_states(ws: Workspace) -> None:
    table = schema.source_files
    ((records, repeats, rejected),) = ws.ledger.rows(
        select(func.sum(table.c.records), func.sum(table.c.repeats), func.sum(table.c.rejected))
    )
    states = query(ws.home, "SELECT state, count(*) AS rows FROM transactions GROUP BY state ORDER BY rows DESC").rows
    rows = [*states, ("rejected", int(rejected or 0))]
    if repeats:
        rows.append(("known before", int(repeats)))
    show.say("")
    show.table(["rows are", "count"], [*rows, ("= records read", int(records or 0))])
    total = sum(count for _, count in rows)
    if total != (records or 0):
        show.trouble(f"the states add up to {total}, but {records} records were read")


def _shown(path: Path) -> str:
    cwd = Path.cwd()
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)


def _command() -> str:
    """`enrich`, or the path to it where the virtual environment is not active."""
    return "enrich" if shutil.which("enrich") else _shown(Path(sys.argv[0]).absolute())


def _data_dir(ws: Workspace) -> str:
    """The option that a further command needs, where this folder is not the one it would take by itself."""
    default = Path("data", ws.settings.source).resolve()
    return "" if ws.home == default else f" --data-dir {_shown(ws.home)}"
