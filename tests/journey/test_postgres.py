"""`enrich run` with its ledger on PostgreSQL, and with Dagster's own storage there as well."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import func, select

from pipeline.ledger import batches, schema
from pipeline.ledger.db import open_ledger
from pipeline.ledger.states import State
from pipeline.sandbox.books import Books

pytestmark = pytest.mark.xdist_group("postgres")

README = Path(__file__).parent.parent.parent / "README.md"


@pytest.fixture
def ledger(database):
    opened = open_ledger(database)
    yield opened
    opened.close()


def test_a_whole_run_charges_once_and_a_second_one_nothing(folder, bank_file, ledger):
    path, data = bank_file(60, bad=2), folder.path / "data" / "sandbox"
    for _ in range(2):
        out = folder.enrich("run", path, "--batch-size", 20, "--time-scale", 600, ENRICH_LEDGER_URL=ledger.url)
        assert "pass-word" not in out
        assert Books(data / "sandbox-api").summary().items_charged == 60
    assert {row.state for row in batches.in_states(ledger, *State)} == {State.LANDED}
    assert not (data / "ledger" / "ledger.sqlite").exists()
    status = folder.enrich("status", ENRICH_LEDGER_URL=ledger.url)
    assert "pass-word" not in status
    rows = folder.enrich("query", "SELECT state, count(*) FROM transactions GROUP BY 1", "--json")
    assert '"enriched"' in rows


def snippet():
    """What README says to put into dagster.yaml in place of its storage."""
    return re.search(r"```yaml\n(storage:\n.*?)```", README.read_text(), re.DOTALL).group(1)


@pytest.mark.whole
def test_dagsters_own_storage_may_be_there_too_even_in_one_database(folder, bank_file, postgres, ledger):
    config = folder.path / "dagster.yaml"
    before = config.read_text()
    after = re.sub(r"storage:\n  sqlite:\n    base_dir: \.dagster/storage\n", snippet(), before)
    assert after != before
    config.write_text(after)
    database = ledger.url.rpartition("/")[2]
    words = {"ENRICH_LEDGER_URL": ledger.url, "DAGSTER_PG_URL": ledger.url}
    path = bank_file(20)
    folder.enrich("run", path, "--batch-size", 20, "--time-scale", 600, **words)
    runs = dict(postgres.execute("SELECT status, count(*) FROM runs GROUP BY 1", database))
    assert runs.keys() == {"SUCCESS"}
    assert runs["SUCCESS"] >= 5
    assert postgres.execute("SELECT count(*) FROM event_logs WHERE asset_key LIKE '%transactions%'", database)[0][0]
    assert not (folder.path / ".dagster" / "storage").exists()
    assert ledger.rows(select(func.count()).select_from(schema.batches)) == [(1,)]
    folder.enrich("run", path, "--time-scale", 600, **words)  # opens both again
