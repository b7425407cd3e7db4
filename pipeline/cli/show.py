"""How things look in a terminal: tables, bars, troubles. Decides nothing and reads nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from pipeline.flow.doctoring import Finding
    from pipeline.flow.preview import Preview
    from pipeline.flow.status import Status

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line, with rich's markup."""
    out.print(text)


def line(text: str) -> None:
    """One line that stays one, to be copied."""
    out.print(escape(text), soft_wrap=True)


def trouble(what: str, hint: str = "") -> None:
    """What went wrong and what to do, on standard error."""
    err.print(f"[bold red]error:[/] {escape(what)}", soft_wrap=True)
    if hint:
        err.print(f"  {escape(hint)}", soft_wrap=True)


def warn(what: str) -> None:
    """Something that is no error but that a person should know."""
    out.print(f"[yellow]note:[/] {escape(what)}", soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """A plain table; numbers to the right."""
    rows = list(rows)
    drawn = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for index, name in enumerate(columns):
        numeric = any(isinstance(row[index], (int, float, Decimal)) for row in rows)
        drawn.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=_is_short(index, rows))
    for row in rows:
        drawn.add_row(*(_cell(value) for value in row))
    out.print(drawn)


_SHORT = 36
"""Characters of an id, which must stay whole to be copied."""


def _is_short(index: int, rows: Sequence[Sequence[Any]]) -> bool:
    """Whether a column has only words that look odd in two halves: names and ids."""
    cells = [str(row[index]) for row in rows]
    return all(" " not in cell and len(cell) <= _SHORT for cell in cells)


def records(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table where it fits the terminal; else each row as lines of `column value`, like psql's expanded display."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(name), *(len(row[index]) for row in cells), 0) for index, name in enumerate(columns)]
    if sum(widths) + 2 * len(widths) <= out.width or not rows:
        table(columns, rows)
        return
    longest = max(map(len, columns))
    for number, row in enumerate(cells, 1):
        out.print(f"[bold]- row {number}[/]")
        for name, value in zip(columns, row, strict=True):
            out.print(f"{name:<{longest}}  {value}", soft_wrap=True)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (float, Decimal)):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return escape(str(value))


def status(report: Status) -> None:
    """The answer of `enrich status`."""
    behind = report.revision - report.published_revision
    published = f", {behind} of it not published yet" if behind else ""
    say(f"[bold]{report.source}[/] · {escape(report.home)} · revision {report.revision}{published}")
    rejected = {"rejected (see rejected_rows)": report.rows_rejected} if report.rows_rejected else {}
    table(["rows are", "count"], (report.rows_by_state | rejected).items())
    say("")
    rows = [(state, n, items, report.since.get(state)) for state, (n, items) in report.batches.items()]
    table(["batches are", "batches", "items", "the first since (UTC)"], rows)
    say("")
    money = report.spending
    say(
        f"credits charged or at risk: {money.spent:,} (today {_of(money.today, money.cap_day)}, this month"
        f" {_of(money.this_month, money.cap_month)}) · of unknown fate: {money.at_risk:,} · for batches in error:"
        f" {money.for_nothing:,} · in the bucket: {money.in_bucket:,}"
    )
    if report.api_calls_per_landed_batch is not None:
        per_batch = f"{report.api_calls_per_landed_batch:.1f} for each landed batch, account holders aside"
        say(f"API calls: {report.api_calls:,} ({per_batch})")
    recurring = report.recurrence
    if recurring.holders:
        failing = f" · {recurring.failing:,} met an error, asked again later" if recurring.failing else ""
        unreadable = f" · {recurring.unreadable:,} with a group that is unreadable" if recurring.unreadable else ""
        known = recurring.holders - recurring.due
        say(f"what recurs: up to date for {known:,} of {recurring.holders:,} account holders{failing}{unreadable}")
    for line in report.needs:
        say(f"[yellow]![/] {escape(line)}")
    for line in report.next_steps:
        say(f"→ {escape(line)}")


def _of(spent: int, cap: int | None) -> str:
    return f"{spent:,}" if cap is None else f"{spent:,} of {cap:,}"


def plan(found: Preview) -> None:
    """The answer of `enrich plan`."""
    batches = Counter([*found.cut, *found.planned])
    table(["batches", "of items"], [(count, size) for size, count in sorted(batches.items(), reverse=True)])
    left = " (batches that are cut already and not sent are among them)" if found.planned else ""
    say(
        f"{found.credits:,} credits{left}; {found.in_bucket:,} are in the bucket, the last batch can be sent after"
        f" {found.seconds:,.0f} s; {found.new_holders:,} account holders are created before"
    )
    if found.obstacle:
        say(f"[yellow]![/] {escape(found.obstacle)}")
    say("Nothing was sent. The next `enrich run`, of whatever files, or the daemon sends all of it.")


_MARKS = {True: "[green]ok[/]", False: "[bold red]no[/]", None: "  "}


def findings(found: Sequence[Finding]) -> None:
    """The answer of `enrich doctor`."""
    for finding in found:
        out.print(f"{_MARKS[finding.ok]} [bold]{finding.what}[/]: {escape(finding.says)}", soft_wrap=True)
        if finding.ok is False and finding.hint:
            out.print(f"   {escape(finding.hint)}", soft_wrap=True)
