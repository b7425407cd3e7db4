"""Money in and out by holder, month and currency, on rows whose answer is known."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from lakes import Lake, landed_row

from pipeline.lake import tables
from pipeline.lake.publish import publish
from pipeline.lake.warehouse import query

JANUARY, FEBRUARY = date(2026, 1, 1), date(2026, 2, 1)


def test_every_row_is_in_its_month_whatever_its_state(lake: Lake) -> None:
    ann = {"account_holder_id": "ann"}
    rows = [
        {**ann, "amount": 1000, "entry_type": "incoming", "date": date(2026, 1, 31)},
        {**ann, "amount": 300, "date": JANUARY},
        {**ann, "amount": 20, "date": date(2026, 2, 28), "state": "item_error", "error_code": "internal_error"},
        {**ann, "amount": 7, "date": FEBRUARY, "currency": "EUR"},
        {"amount": 5, "date": FEBRUARY},
    ]
    lake.add(tables.TRANSACTIONS, [landed_row("k1", n, f"t{n}", **row) for n, row in enumerate(rows)])
    lake.add(tables.WAITING, [{**ann, "transaction_id": "w", "amount": 40, "date": date(2026, 2, 2)}])
    plan = {**ann, "batch_key": "k2", "position": 0, "amount": 1, "date": FEBRUARY}
    for state in ("in_flight", "held", "quarantined"):
        lake.plans.append((lake.write(tables.PLAN, [{**plan, "transaction_id": state}]), state))
    publish(lake.home, lake.snapshot(), keep=timedelta(days=1))

    assert query(lake.home, "FROM monthly_cash_flow").rows == [
        ("ann", JANUARY, "USD", Decimal(1000), Decimal(300), Decimal(700), 2, 0, 0),
        ("ann", FEBRUARY, "EUR", Decimal(0), Decimal(7), Decimal(-7), 1, 0, 0),
        ("ann", FEBRUARY, "USD", Decimal(0), Decimal(63), Decimal(-63), 5, 3, 2),
        (None, FEBRUARY, "USD", Decimal(0), Decimal(5), Decimal(-5), 1, 0, 0),
    ]
    totals = "SELECT sum(incoming), sum(outgoing), sum(transactions) FROM monthly_cash_flow"
    bank = (
        "SELECT sum(amount) FILTER (WHERE entry_type = 'incoming'), sum(amount) FILTER (WHERE entry_type = 'outgoing'),"
        " count(*) FROM transactions"
    )
    assert query(lake.home, totals).rows == query(lake.home, bank).rows
