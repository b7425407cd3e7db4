"""What analysts see: the computed views on rows whose answers are known, and asking questions."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from lakes import NOW, Lake, frame_of, landed_row

from pipeline.errors import ConfigError
from pipeline.lake import tables
from pipeline.lake.publish import publish
from pipeline.lake.warehouse import QueryError, query

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)


def _ask(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    publish(lake.home, lake.snapshot(), keep=DAY)
    return query(lake.home, sql).rows


def _land(lake: Lake, *rows: dict[str, Any]) -> None:
    lake.add(tables.TRANSACTIONS, [landed_row("k1", n, f"t{n}", **row) for n, row in enumerate(rows)], "k1")


def test_spend_counts_every_outgoing_row_once_and_never_adds_currencies(lake: Lake) -> None:
    _land(
        lake,
        {"category": "coffee shop", "amount": 30},
        {"category": "coffee shop", "amount": 20},
        {"category": None, "amount": 10},
        {"category": "groceries", "amount": 5, "currency": "EUR"},
        {"category": "paycheck", "amount": 1000, "entry_type": "incoming"},
        {"state": "item_error", "error_code": "internal_error", "amount": 15, "category": "guess"},
    )
    lake.add(tables.WAITING, [{"transaction_id": "w", "amount": 5}])
    plan = {"batch_key": "k2", "position": 0}
    for state in ("in_flight", "held", "quarantined"):
        lake.plans.append((lake.write(tables.PLAN, [{**plan, "transaction_id": state, "amount": 5}]), state))

    rows = _ask(lake, "SELECT currency, category, transactions, total, round(share, 6) FROM main.spend_by_category")

    total = 30 + 20 + 10 + 15 + 5 + 15
    assert rows == [
        ("EUR", "groceries", 1, Decimal(5), 1.0),
        ("USD", "coffee shop", 2, Decimal(50), round(50 / total, 6)),
        ("USD", "not enriched", 2, Decimal(20), round(20 / total, 6)),
        ("USD", "pending", 3, Decimal(15), round(15 / total, 6)),
        ("USD", "no category", 1, Decimal(10), round(10 / total, 6)),
    ]


def test_amounts_of_nothing_have_no_share(lake: Lake) -> None:
    _land(lake, {"category": "fee", "amount": 0})

    assert _ask(lake, "SELECT total, share FROM main.spend_by_category") == [(Decimal(0), None)]


def test_merchants_are_ranked_by_currency_and_the_rest_is_kept_apart(lake: Lake) -> None:
    cafe = {"counterparty_id": "e1", "counterparty_type": "organization"}
    _land(
        lake,
        {**cafe, "counterparty_name": "Old Cafe", "amount": 30, "date": date(2026, 1, 5)},
        {**cafe, "counterparty_name": "New Cafe", "amount": 1, "date": date(2026, 1, 1), "enriched_at": NOW + DAY},
        {"counterparty_name": "Nameless Inc", "amount": 40},
        {"counterparty_id": "p", "counterparty_name": "A Person", "counterparty_type": "person", "amount": 99},
        {"amount": 7},
        {"state": "item_error", "error_code": "internal_error", "amount": 3},
        {**cafe, "counterparty_name": "New Cafe", "amount": 500, "entry_type": "incoming"},
        {**cafe, "counterparty_name": "New Cafe", "amount": 2, "currency": "EUR"},
    )
    lake.add(tables.WAITING, [{"transaction_id": "w", "amount": 5}])

    rows = _ask(lake, "SELECT currency, kind, rank, name, transactions, total FROM main.top_merchants")

    assert rows == [
        ("EUR", "merchant", 1, "New Cafe", 1, Decimal(2)),
        ("USD", "merchant", 1, "Nameless Inc", 1, Decimal(40)),
        ("USD", "merchant", 2, "New Cafe", 2, Decimal(31)),
        ("USD", "not enriched", None, None, 1, Decimal(3)),
        ("USD", "not identified", None, None, 1, Decimal(7)),
        ("USD", "pending", None, None, 1, Decimal(5)),
        ("USD", "person", 1, "A Person", 1, Decimal(99)),
    ]
    dates = query(
        lake.home, "SELECT first_date, last_date FROM main.top_merchants WHERE name = 'New Cafe' AND rank = 2"
    )
    assert dates.rows == [(date(2026, 1, 1), date(2026, 1, 5))]
    both = query(
        lake.home, "SELECT (SELECT sum(total) FROM main.top_merchants) - sum(total) FROM main.spend_by_category"
    )
    assert both.rows == [(Decimal(0),)]


def test_entities_have_their_latest_known_attributes_and_both_roles(lake: Lake) -> None:
    _land(
        lake,
        {"counterparty_id": "e1", "counterparty_name": "Old", "counterparty_website": "e1.example"},
        {"counterparty_id": "e1", "counterparty_name": "New", "enriched_at": NOW + DAY, "date": date(2026, 3, 1)},
        {"counterparty_id": "e2", "counterparty_name": "Square", "counterparty_type": "organization"},
        {"counterparty_name": "No id"},
        {},
    )
    between = {"intermediary_id": "e2", "name": "Square", "batch_key": "k1", "mccs": [1, 2]}
    rows = [{**between, "transaction_id": f"t{n}", "position": 0} for n in (1, 2)]
    lake.add(tables.INTERMEDIARIES, [*rows, {**rows[0], "position": 1, "intermediary_id": "e3", "name": "Visa"}])

    columns = "entity_id, name, website, type, mccs, roles, transactions, first_date, last_date"
    got = _ask(lake, f"SELECT {columns} FROM main.entities ORDER BY name")

    first, march = date(2026, 1, 1), date(2026, 3, 1)
    assert got == [
        ("e1", "New", "e1.example", None, None, ["counterparty"], 2, first, march),
        (None, "No id", None, None, None, ["counterparty"], 1, first, first),
        ("e2", "Square", None, "organization", [1, 2], ["counterparty", "intermediary"], 2, first, march),
        ("e3", "Visa", None, None, [1, 2], ["intermediary"], 1, march, march),
    ]


def test_states_say_since_when(full: Lake) -> None:
    times = {"00000003-cc": NOW + DAY, "00000004-dd": NOW + 2 * DAY}
    batches = [{"batch_key": key, "state_since": since, "rows": 1} for key, since in times.items()]
    full.ledger["batches"] = frame_of(tables.BATCHES, batches)

    got = {row[0]: row[1:] for row in _ask(full, "FROM main.transaction_states")}

    assert len(got) == 11
    assert got["b4"] == ("waiting", None, NOW)
    assert got["b0"] == ("in_flight", "00000003-cc", NOW + DAY)
    assert got["b2"] == ("held", "00000004-dd", NOW + 2 * DAY)
    assert got["a0"] == ("enriched", "00000001-aa", NOW)
    assert got["a5"] == ("item_error", "00000006-ff", NOW)


def test_what_went_wrong_groups_by_cause_and_shows_a_place_but_no_content(lake: Lake) -> None:
    bad = {"source_file": "bank.csv", "raw_text": "SECRET"}
    lake.add(
        tables.REJECTED_ROWS,
        [
            {**bad, "record_number": 10, "reasons": ["amount: not a number", "date: empty"]},
            {**bad, "record_number": 9, "reasons": ["amount: not a number"]},
        ],
    )
    error = {"state": "item_error", "error_message": "SECRET", "description": "SECRET"}
    failed = {**error, "error_code": "internal_error", "source_file": "bank.csv", "record_number": 3}
    _land(lake, failed, {**failed, "record_number": 4}, {})
    batch = {"state": "held", "reason": "attempts used up", "rows": 40}
    lake.ledger["batches"] = frame_of(
        tables.BATCHES,
        [
            {**batch, "batch_key": "k8"},
            {**batch, "batch_key": "k9"},
            {**batch, "batch_key": "k7", "state": "quarantined", "reason": None, "rows": 1},
            {**batch, "batch_key": "k6", "state": "landed"},
        ],
    )

    assert _ask(lake, "FROM main.what_went_wrong") == [
        ("held batch", "attempts used up", 80, "batch k8"),
        ("item error", "internal_error", 2, "bank.csv record 3, batch k1"),
        ("quarantined batch", "no reason recorded", 1, "batch k7"),
        ("rejected row", "amount: not a number", 2, "bank.csv record 9"),
        ("rejected row", "date: empty", 1, "bank.csv record 10"),
    ]


def test_query_gives_columns_and_rows(full: Lake) -> None:
    publish(full.home, full.snapshot(), keep=DAY)

    result = query(full.home, "SELECT 1 AS one, 'x' AS two UNION ALL SELECT 2, 'y' ORDER BY one")

    assert (result.columns, result.rows) == (["one", "two"], [(1, "x"), (2, "y")])


def test_query_before_the_first_publication_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no warehouse has been published") as raised:
        query(tmp_path, "SELECT 1")
    assert raised.value.hint


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC 1",
        "FROM main.nothing",
        "DELETE FROM main.batches",
        "CREATE TABLE main.t (a INT)",
        "",
        "SELECT 1; SELECT 2",
        "COPY (SELECT 1) TO 'never.csv'",
        "EXPORT DATABASE 'never'",
        "ATTACH 'never.duckdb'",
    ],
)
def test_query_reports_what_duckdb_refuses_and_cannot_write(full: Lake, sql: str) -> None:
    publish(full.home, full.snapshot(), keep=DAY)

    with pytest.raises(QueryError):
        query(full.home, sql)
