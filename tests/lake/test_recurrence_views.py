"""Views over what recurs and over categories, on groups whose answer is known."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from lakes import Lake, frame_of, landed_row

from pipeline.lake import tables
from pipeline.lake.publish import publish
from pipeline.lake.warehouse import query

if TYPE_CHECKING:
    from collections.abc import Sequence

SEEN = date(2026, 6, 30)


def _ask(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    publish(lake.home, lake.snapshot(), keep=timedelta(days=1))
    return query(lake.home, sql).rows


def _group(lake: Lake, ids: Sequence[str], **values: Any) -> None:
    lake.add(
        tables.RECURRENCE_GROUPS,
        [{"account_holder_id": "ann", "entry_type": "outgoing", "transaction_ids": list(ids), **values}],
    )


def _land(lake: Lake, *rows: dict[str, Any]) -> None:
    """Rows of ann, ids t0, t1, …; the newest decides what `as_of` is."""
    given = [landed_row("k1", n, f"t{n}", **{"account_holder_id": "ann", **row}) for n, row in enumerate(rows)]
    lake.add(tables.TRANSACTIONS, given, "k1")


@pytest.mark.parametrize(
    ("periodicity", "days", "cost", "expected"),
    [
        ("daily", 1, "304.38", date(2026, 6, 30)),
        ("weekly", 7, "43.48", date(2026, 7, 6)),
        ("bi-weekly", 14, "21.74", date(2026, 7, 13)),
        ("bi_weekly", 14, "21.74", date(2026, 7, 13)),
        ("semi-monthly", 15.5, "20.00", date(2026, 7, 15)),
        ("monthly", 30.5, "10.00", date(2026, 7, 29)),
        ("bi-monthly", 61, "5.00", date(2026, 8, 29)),
        ("quarterly", 91, "3.33", date(2026, 9, 29)),
        ("semi-yearly", 182, "1.67", date(2026, 12, 29)),
        ("yearly", 365, "0.83", date(2027, 6, 29)),
        ("other", 45, "6.76", date(2026, 8, 13)),
        ("every full moon", 29.5, "10.32", date(2026, 7, 29)),
    ],
)
def test_what_a_period_costs_a_month_and_when_it_is_next(
    lake: Lake, periodicity: str, days: float, cost: str, expected: date
) -> None:
    _land(lake, {"date": date(2026, 6, 29), "amount": 10}, {"date": SEEN, "amount": 3})
    values = {"periodicity": periodicity, "periodicity_in_days": days, "average_amount": 10}
    _group(lake, ["t0"], end_date=date(2026, 6, 29), **values)

    found = _ask(lake, "SELECT monthly_cost, next_expected, status, as_of FROM subscriptions")

    assert found == [(Decimal(cost), expected, "active", SEEN)]


@pytest.mark.parametrize(
    ("amounts", "cost"),
    [
        ([9, 9, 12, 12], "12"),  # the price has gone up
        ([30, 41, 37], "11"),  # never twice the same: the average that the API gives
        ([12, 12, 9], "11"),
    ],
)
def test_a_price_that_has_changed_costs_what_it_is_now(lake: Lake, amounts: list[int], cost: str) -> None:
    _land(lake, *({"date": date(2026, 1 + n, 15), "amount": amount} for n, amount in enumerate(amounts)))
    monthly = {"periodicity": "monthly", "periodicity_in_days": 30, "end_date": date(2026, len(amounts), 15)}
    _group(lake, [f"t{n}" for n in range(len(amounts))], average_amount=11, **monthly)
    assert _ask(lake, "SELECT monthly_cost FROM subscriptions") == [(Decimal(cost),)]


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (date(2026, 5, 30), "active"),  # due on the day of the newest transaction
        (date(2026, 5, 14), "active"),  # 16 days late, of 31
        (date(2026, 5, 13), "lapsed"),  # 17 days late
        (date(2026, 1, 1), "lapsed"),
    ],
)
def test_a_payment_that_is_half_a_period_overdue_has_lapsed(lake: Lake, last: date, status: str) -> None:
    _land(lake, {"date": last}, {"date": SEEN})
    _group(lake, ["t0"], periodicity="monthly", periodicity_in_days=31, end_date=last)

    [(found, expected)] = _ask(lake, "SELECT status, next_expected FROM subscriptions")

    assert found == status
    assert (expected is None) == (status == "lapsed")


def test_numbers_that_make_no_sense_spoil_no_other_row(lake: Lake) -> None:
    _land(lake, {"date": SEEN})
    good = {"periodicity": "monthly", "periodicity_in_days": 30, "average_amount": 5, "end_date": SEEN}
    _group(lake, ["t0"], position=0, **good)
    _group(lake, ["t0"], position=1, **{**good, "periodicity": "other", "periodicity_in_days": 0})
    _group(lake, ["t0"], position=2, **{**good, "periodicity": "other", "periodicity_in_days": 1e-9})

    found = _ask(lake, "SELECT monthly_cost FROM subscriptions ORDER BY monthly_cost NULLS LAST")

    assert found == [(Decimal(5),), (Decimal("152187500000.00"),), (None,)]


def test_nothing_but_what_goes_out_is_a_subscription_and_each_group_once(lake: Lake) -> None:
    _land(
        lake,
        {"amount": 10, "date": date(2026, 5, 1)},
        {"amount": 12, "date": SEEN},
        {"amount": 500, "entry_type": "incoming"},
        {"amount": 7, "currency": "EUR"},
        {"amount": 7, "currency": "GBP"},
    )
    monthly = {"periodicity": "monthly", "periodicity_in_days": 30, "end_date": SEEN, "average_amount": 11}
    _group(lake, ["t0", "t1"], group_id="g", position=0, **monthly)
    _group(lake, ["t2"], group_id="in", position=1, **{**monthly, "entry_type": "incoming"})
    _group(lake, ["t2"], group_id="in too", position=2, **{**monthly, "entry_type": None})
    _group(lake, ["t3", "t4"], group_id="g", position=3, **monthly)  # the same id once more
    _group(lake, ["gone"], group_id="x", position=4, **monthly)

    found = _ask(
        lake, "SELECT group_id, currency, last_amount FROM subscriptions ORDER BY currency, group_id, last_amount"
    )

    assert found == [("g", "USD", Decimal(12)), ("g", None, Decimal(7)), ("x", None, None)]
    assert _ask(lake, "SELECT transaction_id, nth FROM recurrence_transactions WHERE group_id = 'g' ORDER BY ALL") == [
        ("t0", 1),
        ("t1", 2),
        ("t3", 1),
        ("t4", 2),
    ]


def test_categories_are_judged_by_the_holders_set_direction_and_any_day(lake: Lake) -> None:
    lake.ledger["category_days"] = frame_of(
        tables.CATEGORY_DAYS,
        [
            {"day": date(2026, 1, 1), "category_set": "consumer", "incoming": ["Pay"], "outgoing": ["rent", "old"]},
            {"day": date(2026, 1, 2), "category_set": "consumer", "incoming": ["Pay"], "outgoing": ["rent"]},
            {"day": date(2026, 1, 2), "category_set": "own", "incoming": [], "outgoing": ["fun"]},
        ],
    )
    holders = [{"account_holder_id": "ann", "type": "consumer"}, {"account_holder_id": "bob", "category_set": "own"}]
    lake.ledger["account_holders"] = frame_of(tables.ACCOUNT_HOLDERS, holders)
    consumer, bob = {"account_holder_type": "consumer"}, {"account_holder_id": "bob", "account_holder_type": "consumer"}
    _land(
        lake,
        {**consumer, "category": "RENT"},
        {**consumer, "category": "old"},
        {**consumer, "category": "not enough information"},
        {**consumer, "category": "pay", "entry_type": "incoming"},
        {**consumer, "category": "pay"},  # of the other direction
        {**bob, "category": "fun"},
        {**bob, "category": "rent"},
        {"category": "missing account holder information", "account_holder_id": None},
        {"account_holder_type": "business", "category": "never fetched"},
        {**consumer, "category": "guess", "state": "item_error"},
    )

    found = _ask(lake, "SELECT category_set, direction, category, transactions FROM unknown_categories ORDER BY ALL")

    assert found == [("consumer", "outgoing", "pay", 1), ("own", "outgoing", "rent", 1)]
    rows = _ask(lake, "SELECT day, category, position FROM category_sets WHERE category_set = 'consumer' ORDER BY ALL")
    assert [(day.day, category, position) for day, category, position in rows] == [
        *((1, "Pay", 1), (1, "old", 2), (1, "rent", 1)),
        *((2, "Pay", 1), (2, "rent", 1)),
    ]
