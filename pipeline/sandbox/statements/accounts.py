"""From lines and rows to accounts: balances, directions, totals.

Belongs here: what a statement means. `read` is the whole way from a PDF's text to what the API answers.
"""

from __future__ import annotations

import re
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from pipeline.sandbox.schema import CURRENCIES
from pipeline.sandbox.statements import currencies, shapes
from pipeline.sandbox.statements.dates import Calendar
from pipeline.sandbox.statements.gathering import Account, Statement, gather
from pipeline.sandbox.statements.shapes import UnreadableError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from pipeline.sandbox.statements.table import Row

_COMPANY = re.compile(r"\b(?:ltd|limited|llc|inc|corp|plc|gmbh|ag|s\.?a|bv|llp)\b\.?", re.IGNORECASE)


def read(pages: list[list[str]]) -> tuple[shapes.Overview, shapes.StatementResults]:
    """Overview and accounts; raises `UnreadableError`."""
    found = gather(pages)
    if not any(account.rows for account in found.accounts):
        why = "has no rows" if found.table_seen else "with date and amount was not found"
        raise UnreadableError(f"The table of transactions {why}")
    results = shapes.StatementResults([_account(one, found) for one in found.accounts if one.rows])
    return _overview(gather(pages[:1])), results


def _account(found: Account, statement: Statement) -> shapes.StatementAccount:
    if found.owed:
        _turn_round(found)
    known = currencies.settle(found.currency, found.number, statement.home)
    calendar = _calendar([found], statement)
    if known is None and calendar.abroad:
        raise UnreadableError("Nothing tells the currency")
    currency = known or "USD"
    if currency not in CURRENCIES:
        raise UnreadableError(f"The currency is {currency}, which the API does not have")
    dates = [calendar.date(one.date) for one in found.rows if one.date]
    amounts = _signed(found, newest_first=dates[0] > dates[-1])
    opening, closing, reconciled = _balances(found, amounts, newest_first=dates[0] > dates[-1])
    made = [
        _transaction(one, date, amount, currency) for one, date, amount in zip(found.rows, dates, amounts, strict=True)
    ]
    return shapes.StatementAccount(
        number=found.number,
        name=found.kind,
        opening_balance=_float(opening),
        closing_balance=_float(closing),
        start_date=calendar.start or min(dates),
        end_date=calendar.end or max(dates),
        is_balance_reconciled=reconciled,
        total_incoming=float(sum((one for one in amounts if one > 0), Decimal(0))),
        total_outgoing=float(-sum((one for one in amounts if one < 0), Decimal(0))),
        transactions=made,
    )


def _calendar(found: list[Account], statement: Statement) -> Calendar:
    """How dates are written, for one account or several."""
    known = {currencies.settle(one.currency, one.number, statement.home) for one in found} - {None}
    american = known == {"USD"} if known else True if statement.dollars else None
    between = next((one.between for one in found if one.between), None)
    written = [row.date for one in found for row in one.rows if row.date]
    return Calendar(written, between, american=american, elsewhere=statement.dates)


def _turn_round(found: Account) -> None:
    """What is owed becomes a balance below zero, a purchase an outgoing amount; CR stays the holder's."""
    found.opening = None if found.opening is None else -found.opening
    found.closing = None if found.closing is None else -found.closing
    for row in found.rows:
        for kind in ("amount", "balance"):
            value = row.figures.get(kind)
            if value is not None:
                turned = value.value if value.credit else -value.value
                row.figures[kind] = value._replace(value=turned, marked=True)


def _transaction(row: Row, date: dt.date, amount: Decimal, currency: str) -> shapes.StatementTransaction:
    balance = row.figures.get("balance")
    return shapes.StatementTransaction(
        id=str(uuid.uuid4()),
        description=row.text,
        date=date,
        amount=float(abs(amount)),
        entry_type="outgoing" if amount < 0 else "incoming",
        currency=currency,
        running_balance=None if balance is None else float(balance.value),
        page_number=row.page,
    )


def _signed(found: Account, *, newest_first: bool) -> list[Decimal]:
    """What each row did to the balance."""
    figures = [one.figures.get("amount") for one in found.rows]
    by_sign = any(one is not None and (one.value < 0 or (one.marked and not one.credit)) for one in figures)
    by_mark = any(one is not None and one.credit for one in figures)
    deltas = _deltas(found, newest_first=newest_first)
    return [
        _change(row, delta, by_sign=by_sign, by_mark=by_mark) for row, delta in zip(found.rows, deltas, strict=True)
    ]


def _change(row: Row, delta: Decimal | None, *, by_sign: bool, by_mark: bool) -> Decimal:
    """From the column, the sign, a mark, a word for it or the heading above, or else from the balances."""
    out, into, amount = (row.figures.get(kind) for kind in ("out", "in", "amount"))
    if out is not None and (out.value or into is None):
        return -abs(out.value)
    if into is not None:
        return abs(into.value)
    if amount is None:
        raise UnreadableError("A row of the table has no amount")
    if by_sign:
        return amount.value
    if by_mark:
        return amount.value if amount.credit else -amount.value
    if row.direction is not None:
        return amount.value if row.direction == "incoming" else -amount.value
    if delta is not None and abs(delta) == amount.value:
        return delta
    raise UnreadableError("Nothing tells incoming from outgoing amounts")


def _deltas(found: Account, *, newest_first: bool) -> Iterator[Decimal | None]:
    """By how much the running balance changed with each line, in the order of the lines."""
    balances = [one.figures.get("balance") for one in found.rows]
    values = [None if one is None else one.value for one in balances]
    ordered = [*values, found.opening] if newest_first else [found.opening, *values]
    for at in range(len(values)):
        before, after = (ordered[at + 1], ordered[at]) if newest_first else (ordered[at], ordered[at + 1])
        yield None if before is None or after is None else after - before


def _balances(
    found: Account, amounts: list[Decimal], *, newest_first: bool
) -> tuple[Decimal | None, Decimal | None, bool | None]:
    """Opening and closing balance, worked out if they are not printed, and whether everything adds up."""
    running = [one.figures.get("balance") for one in found.rows]
    first, last = (-1, 0) if newest_first else (0, -1)
    opening, closing = found.opening, found.closing
    if opening is None and (one := running[first]) is not None:
        opening = one.value - amounts[first]
    if closing is None and (one := running[last]) is not None:
        closing = one.value
    if opening is None or closing is None:
        return opening, closing, None
    balance, agrees = opening, True
    pairs = list(zip(running, amounts, strict=True))
    for shown, amount in reversed(pairs) if newest_first else pairs:
        balance += amount
        agrees = agrees and (shown is None or shown.value == balance)
    return opening, closing, agrees and balance == closing


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _overview(found: Statement) -> shapes.Overview:
    """From what the first page says; a table that cannot be read is no obstacle."""
    holder = None
    if found.holder:
        holder = shapes.StatementHolder("business" if _COMPANY.search(found.holder) else "consumer", found.holder)
    start, end = _period(found)
    return shapes.Overview(
        institution=found.institution,
        start_date=start,
        end_date=end,
        account_holder=holder,
        accounts=[
            shapes.OverviewAccount(
                type=one.kind,
                number=one.number,
                opening_balance=_float(one.opening),
                closing_balance=_float(one.closing),
                iso_currency_code=_of_the_api(currencies.settle(one.currency, one.number, found.home)),
            )
            for one in found.accounts
        ],
    )


def _period(found: Statement) -> tuple[dt.date | None, dt.date | None]:
    """First and last day as the first page tells; what tells the order of its dates may stand on a later one."""
    try:
        calendar = _calendar(found.accounts, found)
    except UnreadableError:
        return None, None
    return calendar.start, calendar.end


def _of_the_api(currency: str | None) -> str | None:
    return currency if currency in CURRENCIES else None
