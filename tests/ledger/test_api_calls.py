"""Requests counted by day and route, and the table that came with a second migration."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from sqlalchemy import insert, select

from pipeline.ledger import api_calls, schema
from pipeline.ledger.db import make_engine, migrate, open_ledger


def counted(ledger):
    with ledger.read() as conn:
        return api_calls.counted(conn)


def test_calls_add_up_by_day_and_route(ledger, clock):
    clock.now = datetime(2026, 3, 1, 23, 59)
    api_calls.add(ledger, {"GET /v3/batches": 2, "POST /v3/account_holders": 5})
    api_calls.add(ledger, {"GET /v3/batches": 1})
    api_calls.add(ledger, {})
    clock.now = datetime(2026, 3, 2, 0, 1)
    api_calls.add(ledger, {"GET /v3/batches": 4, "GET /v3/batches/{id}": 1})
    t = schema.api_calls
    assert [tuple(row) for row in ledger.rows(select(t).order_by(t.c.day, t.c.call))] == [
        (date(2026, 3, 1), "GET /v3/batches", 3),
        (date(2026, 3, 1), "POST /v3/account_holders", 5),
        (date(2026, 3, 2), "GET /v3/batches", 4),
        (date(2026, 3, 2), "GET /v3/batches/{id}", 1),
    ]
    assert counted(ledger) == api_calls.Calls(13, 8, 0)
    assert counted(ledger).per_landed is None


@pytest.mark.sqlite
def test_a_ledger_of_the_first_version_is_brought_up_to_date_with_its_rows(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    migrate(url, to="1")
    old = make_engine(url)
    with old.begin() as conn:
        stamp = {"source": "sandbox", "account": "default", "folder_id": "f", "stamped_at": datetime(2026, 1, 1)}
        conn.execute(insert(schema.data_folder).values(id=1, journal_seen=7, **stamp))
    old.dispose()
    ledger = open_ledger(url)
    assert ledger.rows(select(schema.data_folder.c.journal_seen)) == [(7,)]
    api_calls.add(ledger, {"GET /v3/batches": 1})
    assert counted(ledger).total == 1
    ledger.close()
