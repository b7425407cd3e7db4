"""State files of earlier versions."""

from __future__ import annotations

import sqlite3

import pytest

from pipeline.sandbox.books import Books
from pipeline.sandbox.errors import SandboxError


def test_state_of_an_earlier_version_is_taken_over(start, items, tmp_path):
    client = start(time_scale=500, unthrottled=True)
    client.holder("h")
    batch = client.finished(items(3, "old-", account_holder_id="h"))
    before = client.get(f"/v3/batches/{batch}/results").content
    path = tmp_path / "state" / "sandbox.sqlite"
    _back_to_the_first_version(path)
    with pytest.raises(SandboxError, match="version 1"):
        Books(path).summary()
    again = start(time_scale=500, unthrottled=True)
    assert again.get(f"/v3/batches/{batch}/results").content == before
    rule = {"call": "GET /v3/batches", "do": "status", "status": 503}
    again.put("/sandbox/faults", json={"rules": [rule]}).raise_for_status()
    assert again.get("/v3/batches").status_code == 503
    assert Books(path).summary().items_charged == 3


def _back_to_the_first_version(path):
    con = sqlite3.connect(path, isolation_level=None)
    for column in ("skew", "listed_from", "found_from", "found_until", "results_until"):
        con.execute(f"ALTER TABLE submissions DROP COLUMN {column}")
    con.execute("DROP INDEX items_by_holder")
    for table, column in (
        ("items", "fault"),
        ("items", "category_set"),
        ("items", "first_body"),
        ("items", "first_kind"),
        ("items", "first_set"),
        ("submissions", "ruleset"),
        ("owners", "organization"),
    ):
        con.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    later = ("category_sets", "rulesets", "entities", "reports", "bank_statements")
    for table in ("fault_plan", "fault_counts", "fault_log", "webhooks", "events", "deliveries", *later):
        con.execute(f"DROP TABLE {table}")
    con.execute("PRAGMA user_version = 1")
    con.close()
