"""What is read off a statement (fact sheet, section 7).

Belongs here: shapes only. They are what the API answers, but for the ids of transactions.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec


class UnreadableError(Exception):
    """No statement that can be read; the message says why, and holds nothing of what is written in it."""


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """An object with these fields and no other."""


class StatementTransaction(Shape):
    """One line of a statement; `amount` is never negative."""

    id: str
    description: str
    date: dt.date
    amount: float
    entry_type: Literal["incoming", "outgoing"]
    currency: str
    running_balance: float | None
    page_number: int
    """From 1."""


class StatementAccount(Shape):
    """One account of a statement."""

    number: str | None
    name: str | None
    opening_balance: float | None
    closing_balance: float | None
    start_date: dt.date | None
    end_date: dt.date | None
    is_balance_reconciled: bool | None
    """Whether the balances and what lies between them agree; None if a balance is not known."""
    total_incoming: float | None
    total_outgoing: float | None
    transactions: list[StatementTransaction]


class StatementResults(Shape):
    """Everything on a statement."""

    accounts: list[StatementAccount]


class Address(Shape):
    """Where the holder lives. The sandbox does not read it."""

    street: str | None = None
    postcode: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None


class StatementHolder(Shape):
    """Whose statement it is."""

    type: Literal["consumer", "business"] | None
    name: str | None
    address: Address | None = None


class OverviewAccount(Shape):
    """An account as the first page shows it."""

    type: str | None
    number: str | None
    opening_balance: float | None
    closing_balance: float | None
    iso_currency_code: str | None


class Overview(Shape):
    """What the first page tells."""

    institution: str | None
    start_date: dt.date | None
    end_date: dt.date | None
    account_holder: StatementHolder | None
    accounts: list[OverviewAccount]


class Extracted(Shape, tag=True):
    """A statement that was read."""

    pages: int
    overview: Overview
    results: StatementResults


class Refused(Shape, tag=True):
    """One that was not."""

    pages: int
    reason: str
