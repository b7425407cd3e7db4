"""The body of a batch POST.

Belongs here: turning planned rows into exactly the bytes that are sent. Whether a row is acceptable was decided at
ingest. The same rows give the same bytes, since their hash is the fingerprint of what was sent.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import msgspec
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATION = "POST /v3/transactions"
MAX_ITEMS = 24_960
"""Most items in one batch (OpenAPI document)."""

REQUIRED = ("transaction_id", "description", "date", "amount", "entry_type", "currency")
OPTIONAL = ("country", "account_holder_id")
_SCALE = 4


class _Place(msgspec.Struct, gc=False):
    country: str


class _Item(msgspec.Struct, gc=False, omit_defaults=True):
    """TransactionInput. Only documented fields: what the API does with others is not stated."""

    id: str
    description: str
    date: date
    amount: msgspec.Raw
    entry_type: str
    currency: str
    account_holder_id: str | None = None
    location: _Place | None = None


class _Body(msgspec.Struct):
    operation: str
    data: list[_Item]


def encode_batch(items: pl.DataFrame) -> bytes:
    """The JSON body for these rows, in this order: flat `{"operation", "data"}`, without the docs' `body` wrapper.

    Columns: those of `REQUIRED` (never null; `date` Date, `amount` Decimal) and `OPTIONAL`; others are ignored. Money
    is written as the shortest exact number (36.5500 as 36.55): it never passes through a float. Raises `ValueError`
    for no rows, more than 24,960, a missing column, a null in a required one, or money that is not Decimal.
    """
    _check(items)
    return msgspec.json.encode(_Body(OPERATION, list(_rows(items))))


def _check(items: pl.DataFrame) -> None:
    problems = [f"no column {name}" for name in (*REQUIRED, *OPTIONAL) if name not in items.columns]
    if not 0 < items.height <= MAX_ITEMS:
        problems.append(f"{items.height} rows, must be 1 to {MAX_ITEMS}")
    if not problems:
        problems = [f"null in {name}" for name in REQUIRED if items[name].null_count()]
        if not isinstance(items.schema["amount"], pl.Decimal):
            problems.append(f"amount is {items.schema['amount']}, must be Decimal")
    if problems:
        raise ValueError("; ".join(problems))


def _rows(items: pl.DataFrame) -> Iterator[_Item]:
    # The cast gives every amount exactly four decimals, so that stripping zeros cannot eat those of a whole number.
    digits = items["amount"].cast(pl.Decimal(38, _SCALE)).cast(pl.String)
    amounts = digits.str.strip_chars_end("0").str.strip_chars_end(".")
    columns = [items[name].to_list() for name in ("transaction_id", "description", "date")]
    rest = [items[name].to_list() for name in ("entry_type", "currency", "account_holder_id", "country")]
    for id_, text, day, amount, entry_type, currency, holder, country in zip(
        *columns, amounts.to_list(), *rest, strict=True
    ):
        place = _Place(country) if country is not None else None
        yield _Item(id_, text, day, msgspec.Raw(amount), entry_type, currency, holder, place)
