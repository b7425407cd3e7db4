"""The command line as a person uses it: real processes, the sandbox over HTTP, its books as the witness."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from sqlalchemy import select

from pipeline.instance import open_instance
from pipeline.ledger import schema
from pipeline.ledger.db import open_ledger
from pipeline.ledger.states import CHARGED_ATTEMPTS
from pipeline.sandbox.books import Books

ENRICH = Path(sys.executable).with_name("enrich")


def attempts(data_dir):
    ledger = open_ledger(f"sqlite:///{data_dir / 'ledger' / 'ledger.sqlite'}")
    try:
        return ledger.rows(select(schema.attempts).order_by(schema.attempts.c.batch_key, schema.attempts.c.sequence))
    finally:
        ledger.close()


def batches_in(data_dir, state):
    """How many batches are in a state, or 0 before there is a ledger to ask."""
    path = data_dir / "ledger" / "ledger.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) if path.exists() else nullcontext() as conn:
        try:
            return conn.execute("SELECT count(*) FROM batches WHERE state = ?", [state]).fetchone()[0] if conn else 0
        except sqlite3.OperationalError:  # its tables are being made
            return 0


@contextmanager
def killed_at_the_end(program):
    """Else a test that fails leaves a process, and the next test fails as well."""
    try:
        yield
    finally:
        program.kill()


def assert_charges_have_reasons(data_dir):
    """Charges per vendor batch equal the ledger's attempts; each further charge of an id has a recorded reason."""
    books = Books(data_dir / "sandbox-api")
    made = {a.vendor_batch_id: a for a in attempts(data_dir) if a.state in CHARGED_ATTEMPTS}
    charged = {b.id: b.charged for b in books.batches()}
    assert {vendor: a.credits for vendor, a in made.items()} == charged
    for charge in books.charges(2):
        reasons = [made[vendor].reason for vendor in charge.submissions]
        assert reasons[0] == "first"
        assert set(reasons[1:]) <= {"batch_error", "item_error", "split", "operator"}
    return books.summary()


def test_the_demo_and_every_number_that_it_shows(folder):
    out = folder.enrich("demo")
    data = folder.path / "data" / "demo"
    summary = assert_charges_have_reasons(data)
    states = dict(folder.query("SELECT state, count(*) FROM transactions GROUP BY 1", data))
    rejected = folder.query("SELECT count(*) FROM rejected_rows", data)[0][0]
    assert sum(states.values()) + rejected == 3003
    assert rejected == 3
    assert set(states) == {"enriched", "item_error"}
    assert 0 < states["item_error"] < 20
    shown = " ".join(out.split())
    assert (
        f"enriched {states['enriched']:,} item_error {states['item_error']:,} rejected 3 = records read 3,003" in shown
    )
    # Five batches, one of them sent twice, and the items with an error of their own once more in batches of their own.
    [(again, items)] = folder.query("SELECT count(*), sum(rows) FROM batches WHERE parent_key IS NOT NULL", data)
    assert 0 < again <= 5
    assert items == states["item_error"]
    assert summary.batches_by_status == {"completed": 5 + again, "error": 1}
    assert summary.items_charged == 3600 + items
    assert summary.distinct_items_charged == 3000
    assert summary.refused == {}
    for words in (
        "planned",
        "submitted",
        "processed",
        "landed",
        "3000/3000",
        "warehouse.duckdb",
        "Spend by category",
        "Top merchants",
    ):
        assert words in out
    batches = folder.query("SELECT count(*), sum(attempts) FROM batches WHERE state = 'landed'", data)
    assert batches == [(5 + again, 6 + again)]
    failed = (
        "SELECT DISTINCT failed_tries, json_array_length(error_history) FROM transactions WHERE state = 'item_error'"
    )
    assert folder.query(failed, data) == [(2, 2)]

    again = folder.enrich("demo")
    assert "Nothing was sent: all of it was known before." in " ".join(again.split())
    assert Books(data / "sandbox-api").summary().posts == summary.posts
    assert f"enriched {states['enriched']:,}" in " ".join(again.split())


@pytest.fixture
def small(folder, bank_file):
    shutil.copy(bank_file(60, bad=1), folder.path / "bank.csv")
    return folder


def test_status_query_hold_and_release(small):
    small.enrich("run", "bank.csv", "--batch-size", 20, "--time-scale", 500)
    data = small.path / "data" / "sandbox"
    status = json.loads(small.enrich("status", "--json"))
    assert status["batches"] == {"landed": [3, 60]}
    assert status["rows_by_state"] == {"landed": 60}
    assert status["rows_rejected"] == 1
    assert status["credits_spent"] == 60
    assert status["needs_person"] is False
    assert "is landed, not held" in small.enrich("release", f"{first_batch(small, data)}", code=1)
    assert "no batch nonsense" in small.enrich("retry", "nonsense", code=1)
    assert "60" in small.enrich("query", "SELECT count(*) AS n FROM transactions")
    assert "error:" in small.enrich("query", "SELECT nothing FROM nowhere", code=1)
    narrow = small.enrich("query", "SELECT * FROM batches LIMIT 1", COLUMNS="80").splitlines()
    assert "- row 1" in narrow
    assert "state             landed" in narrow  # each column on a line of its own, and nothing cut or folded
    (small.path / "data" / "sandbox" / "warehouse.duckdb").unlink()
    assert "made again" in small.enrich("rebuild")
    assert "60" in small.enrich("query", "SELECT count(*) AS n FROM transactions")
    copy = small.path / "copy.csv"
    shutil.copy(small.path / "bank.csv", copy)
    out = small.enrich("run", "copy.csv", "--time-scale", 500)
    assert "copy.csv: the same content as bank.csv, which was read before: nothing new" in out


def first_batch(folder, data):
    return folder.query("SELECT min(batch_key) FROM batches", data)[0][0]


def test_the_sensors_runs_and_partitions_are_in_the_instance(small):
    small.enrich("run", "bank.csv", "--batch-size", 20, "--time-scale", 500)
    with open_instance(small.path) as instance:
        keys = instance.get_dynamic_partitions("batches")
        assert len(keys) == 3
        for asset in ("batch_submissions", "batch_results", "transactions", "intermediaries"):
            assert instance.get_materialized_partitions(dg.AssetKey(asset)) == set(keys)
        assert {run.job_name for run in instance.get_runs()} == {
            "ingest",
            "plan",
            "account_holder_sync",
            "submit",
            "collect",
            "recurrence",
            "categories",
            "publish",
        }
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}


def test_a_batch_that_stays_in_error_waits_for_a_person(small):
    """Exit code 3, the reason in `status`, and `retry` grants another attempt."""
    fail_thrice = ("--error-batch-nth", "1,2,3")
    server = subprocess.Popen(
        [str(ENRICH), "sandbox", "--state", "api", "--ready-file", "url", "--time-scale", "500", *fail_thrice],
        cwd=small.path, env=small.environment,
    )  # fmt: skip
    try:
        end = time.monotonic() + 20
        while not (small.path / "url").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        env = {
            "ENRICH_BASE_URL": (small.path / "url").read_text().strip(),
            "ENRICH_TIME_SCALE": "500",
            "ENRICH_BACKOFF_BASE": "1",
            "ENRICH_PROBE_BUDGET": "0",
        }
        out = small.enrich("run", "bank.csv", code=3, **env)
        assert "held" in out
        status = small.enrich("status", code=3, **env)
        assert "3 attempts ended in error" in status
        data = small.path / "data" / "sandbox"
        key = first_batch(small, data)
        small.enrich("retry", key, "--why", "support says it is fixed", **env)
        small.enrich("run", "bank.csv", **env)
        reasons = [a.reason for a in attempts(data)]
        assert reasons == ["first", "batch_error", "batch_error", "operator"]
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0


def test_a_spending_cap_stops_with_its_reason_and_nothing_is_lost(small):
    out = small.enrich("run", "bank.csv", "--batch-size", 20, "--time-scale", 500, code=3, ENRICH_SPEND_CAP_RUN="40")
    assert "ENRICH_SPEND_CAP_RUN of 40" in out
    data = small.path / "data" / "sandbox"
    assert dict(small.query("SELECT state, count(*) FROM transactions GROUP BY 1", data)) == {
        "enriched": 40,
        "in_flight": 20,
    }
    small.enrich("run", "bank.csv", "--batch-size", 20, "--time-scale", 500)
    assert Books(data / "sandbox-api").summary().items_charged == 60


def test_troubles_are_sentences_and_not_tracebacks(folder):
    assert "no such file" in folder.enrich("run", "absent.csv", code=1)
    (folder.path / "odd.csv").write_text("when;what;how much\n01.02.2026;REWE;12,50\n")
    out = folder.enrich("run", "odd.csv", code=1)
    assert "when, what, how much" in out
    assert "[amount]" in out
    assert "Traceback" not in out
    assert "ENRICH_BATCH_SIZE" in folder.enrich("status", code=1, ENRICH_BATCH_SIZE="many")
    assert "no API key is set" in folder.enrich("run", "odd.csv", code=1, ENRICH_BASE_URL="https://api.ntropy.com")
    assert "no warehouse has been published" in folder.enrich("query", "SELECT 1", code=1)
    assert "real time" in folder.enrich("run", "odd.csv", code=1, ENRICH_API_KEY="k", ENRICH_TIME_SCALE="5")


def test_interrupting_keeps_what_was_sent_and_the_same_command_collects_it(small):
    data = small.path / "data" / "sandbox"
    with (
        subprocess.Popen(
            [str(ENRICH), "run", "bank.csv", "--batch-size", "20", "--time-scale", "1"],
            cwd=small.path, env=small.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as run,
        killed_at_the_end(run),
    ):  # fmt: skip
        end = time.monotonic() + 60
        # Read here: a command of its own took so long on a busy machine that the run had ended meanwhile.
        while batches_in(data, "submitted") < 3:
            assert time.monotonic() < end, "never submitted"
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=60)
    assert run.returncode == 130, out
    assert "interrupted" in out
    small.enrich("run", "bank.csv", "--batch-size", 20, "--time-scale", 500)
    summary = assert_charges_have_reasons(data)
    assert summary.items_charged == summary.distinct_items_charged == 60


def test_the_tables_are_exported_for_other_programs(small):
    small.enrich("run", "bank.csv", "--batch-size", 20, "--time-scale", 500)
    out = json.loads(small.enrich("export", "copy.duckdb", "--json"))
    assert (out["format"], out["tables"]["transactions"], out["path"]) == (
        "duckdb",
        60,
        str(small.path / "copy.duckdb"),
    )
    with duckdb.connect(str(small.path / "copy.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT sum(transactions) FROM monthly_cash_flow").fetchall() == [(60,)]
    assert "--force replaces it" in small.enrich("export", "copy.duckdb", code=1)
    small.enrich("export", "copy.duckdb", "--force")
    assert "revision" in small.enrich("export", "files", "--format", "csv")
    assert (small.path / "files" / "rejected_rows.csv").read_text().count("bank.csv") == 1
    assert "--format is for a folder" in small.enrich("export", "b.duckdb", "--format", "csv", code=2)
    assert "has been published" in small.enrich("export", "b.duckdb", "--data-dir", "none", code=1)


def test_the_sandbox_shows_all_of_its_options_under_the_name_that_was_typed(folder):
    said = folder.enrich("sandbox", "--help")
    assert "usage: enrich sandbox [-h]" in said
    assert "--time-scale" in said
