"""The body of a batch: exact money, only what is given, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.encode import MAX_ITEMS, encode_batch

SCHEMA: dict[str, Any] = {
    "transaction_id": pl.String,
    "description": pl.String,
    "date": pl.Date,
    "amount": pl.Decimal(18, 4),
    "entry_type": pl.String,
    "currency": pl.String,
    "country": pl.String,
    "account_holder_id": pl.String,
}
ROW: dict[str, Any] = {
    "transaction_id": "t-1",
    "description": "SQ *STARBUCKS",
    "date": date(2024, 1, 2),
    "amount": Decimal("36.55"),
    "entry_type": "outgoing",
    "currency": "USD",
    "country": None,
    "account_holder_id": None,
}


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([ROW | row for row in rows], schema=SCHEMA)


def test_flat_and_only_what_is_given() -> None:
    body = encode_batch(frame({}, {"transaction_id": "t-2", "country": "US", "account_holder_id": "h"}))
    assert body == (
        b'{"operation":"POST /v3/transactions","data":['
        b'{"id":"t-1","description":"SQ *STARBUCKS","date":"2024-01-02","amount":36.55,"entry_type":"outgoing",'
        b'"currency":"USD"},'
        b'{"id":"t-2","description":"SQ *STARBUCKS","date":"2024-01-02","amount":36.55,"entry_type":"outgoing",'
        b'"currency":"USD","account_holder_id":"h","location":{"country":"US"}}]}'
    )


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        ("36.5500", "36.55"),
        ("0", "0"),
        ("0.0001", "0.0001"),
        ("100", "100"),
        ("1000000", "1000000"),
        ("0.10", "0.1"),
        ("99999999999999.9999", "99999999999999.9999"),
        ("10.0100", "10.01"),
    ],
)
def test_money_is_exact(amount: str, written: str) -> None:
    body = encode_batch(frame({"amount": Decimal(amount)}))
    assert f'"amount":{written},'.encode() in body


@given(st.decimals(0, 99_999_999_999_999, places=4), st.text(max_size=20))
def test_it_reads_back(amount: Decimal, text: str) -> None:
    (item,) = json.loads(encode_batch(frame({"amount": amount, "description": text})), parse_float=Decimal)["data"]
    assert item["amount"] == amount
    assert item["description"] == text


@pytest.mark.parametrize("dtype", [pl.Decimal(10, 0), pl.Decimal(10, 2)])
def test_other_scales(dtype: Any) -> None:
    items = frame({"amount": Decimal(100)}).with_columns(pl.col("amount").cast(dtype))
    assert b'"amount":100,' in encode_batch(items)


def test_a_full_batch_is_the_same_every_time() -> None:
    rows = frame(*({"transaction_id": f"t-{i}", "amount": Decimal(i) / 100} for i in range(MAX_ITEMS)))
    first = encode_batch(rows)
    assert hashlib.sha256(first).digest() == hashlib.sha256(encode_batch(rows.clone().rechunk())).digest()
    assert first != encode_batch(rows.reverse())
    assert len(json.loads(first)["data"]) == MAX_ITEMS


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        (frame({}).clear(), "0 rows"),
        (pl.concat([frame({})] * (MAX_ITEMS + 1)), "24961 rows"),
        (frame({}).drop("amount", "country"), "no column amount; no column country"),
        (frame({"currency": None}), "null in currency"),
        (frame({}).with_columns(pl.col("amount").cast(pl.Float64)), "amount is Float64"),
    ],
)
def test_refused(items: pl.DataFrame, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        encode_batch(items)
