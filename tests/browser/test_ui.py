"""What a person sees in the Dagster UI after a journey with an error batch, an item error and a bad record.

Screenshots go to `.screenshots/`: look at them after a change of descriptions, groups or metadata.
"""

from __future__ import annotations

import os
import sqlite3

import pytest

from pipeline.definitions import defs

pytestmark = pytest.mark.slow

GROUPS = {
    "ingest": ["raw_transactions"],
    "batches": ["account_holders", "batch_plan", "batch_submissions"],
    "results": ["batch_results", "intermediaries", "transactions"],
    "analytics": ["category_sets", "recurrence_groups"],
    "warehouse": ["warehouse"],
}
CHECKS = {
    "warehouse": {"identity": ["records", "accepted", "violations", "none"]},
    "batch_submissions": {"nothing_held": ["circuit", "closed"], "nothing_overdue": ["overdue"]},
    "batch_results": {"results_complete": ["items_without_result"]},
    "transactions": {"fresh": ["oldest_hours"]},
}
RAW = ("Traceback", "Error:", "Unexpected", "<function", "object at 0x")
"""What an unreadable page would show."""


@pytest.fixture(scope="module")
def attempts(journey):
    """Batch key to the number of attempts, as the ledger has it."""
    folder, _ = journey
    with sqlite3.connect(folder / "data" / "ledger" / "ledger.sqlite") as conn:
        rows = dict(conn.execute("SELECT batch_key, attempts FROM batches"))
    conn.close()
    return rows


def test_lineage_has_all_groups_and_assets(see):
    expected = {spec.key.to_user_string(): spec.group_name for spec in defs.resolve_all_asset_specs()}
    assert expected == {name: group for group, names in GROUPS.items() for name in names}
    see("lineage", "/asset-groups", *GROUPS)
    for group, names in GROUPS.items():
        see(f"lineage-{group}", f"/locations/enrich/asset-groups/{group}/lineage", *names)


def test_the_catalog_describes_every_asset(see):
    text = " ".join(see("catalog", "/assets", "raw_transactions", "warehouse", "partitions").split())
    for spec in defs.resolve_all_asset_specs():
        assert spec.description.split("`")[0].strip()[:60] in text
    assert not [word for word in RAW if word in text]


def test_a_table_shows_its_columns_and_the_warehouse_its_tables(see):
    text = see("columns", "/assets/transactions", "counterparty_name", "Who was paid or who paid")
    assert "Category from the holder type's set" in text
    assert "api_calls" in see("warehouse", "/assets/warehouse", "what_went_wrong")


def test_every_batch_is_a_green_partition(see, attempts):
    text = see("partitions", "/assets/batch_results?view=partitions", *attempts)
    assert f"Materialized ({len(attempts)})" in text
    assert "Failed (0)" in text
    assert "Missing (0)" in text


def test_the_batch_that_was_sent_again_says_so(see, attempts):
    (retried,) = [key for key, count in attempts.items() if count > 1]
    path = f"/assets/batch_submissions?view=partitions&partition={retried}"
    text = see("retried", path, "vendor_batch_id", "reason")
    assert "batch_error" in text
    text = see("retried-events", "/assets/batch_results?view=events", retried, click=(retried, 1), after="sent again")
    assert not [word for word in RAW if word in text]


@pytest.mark.parametrize("asset", CHECKS)
def test_checks_have_passed_with_readable_results(see, asset):
    for check, words in CHECKS[asset].items():
        path = f"/assets/{asset}?view=checks&checkDetail={check}"
        text = see(f"check-{check}", path, check, "Passed", "Metadata")
        assert [word for word in words if word not in text] == []
        assert not [word for word in RAW if word in text]


def test_sensors_and_schedules_are_on_and_described(see):
    repository = defs.get_repository_def()
    automations = [*repository.sensor_defs, *repository.schedule_defs]
    text = see("automation", "/automation", *(one.name for one in automations))
    assert not [word for word in RAW if word in text]
    for kind, found in (("sensors", repository.sensor_defs), ("schedules", repository.schedule_defs)):
        for one in found if os.environ.get("ENRICH_ALL_CRASHES") else found[:1]:  # a page takes two seconds
            see(f"{kind}-{one.name}", f"/locations/enrich/{kind}/{one.name}", one.description[:40])
