"""The identity, shown failing on injected damage: then nothing is published and the old revision stays."""

from __future__ import annotations

import polars as pl
import pytest
from sqlalchemy import update

from pipeline.flow.doctoring import examine
from pipeline.flow.health import results_missing
from pipeline.flow.publishing import publication_is_due, publish_warehouse
from pipeline.flow.recutting import locate
from pipeline.lake import archive
from pipeline.lake.warehouse import current, query
from pipeline.ledger import batches, manifest, schema
from pipeline.ledger.states import State


@pytest.fixture
def published(steps_for, bank_file):
    steps = steps_for(batch_size=10)
    steps.ingest(bank_file(20))
    steps.plan()
    steps.finish()
    assert publish_warehouse(steps.ws).published
    return steps


def touch(ws):
    with ws.ledger.write() as conn:
        manifest.touch(conn)


def live_files(ws, kind):
    with ws.ledger.read() as conn:
        return manifest.live(conn, kind)


def assert_refused(ws, *words):
    before = current(ws.home)
    report = publish_warehouse(ws)
    assert not report.published
    text = " ".join(report.violations)
    assert all(word in text for word in words), text
    assert current(ws.home) == before
    assert query(ws.home, "SELECT count(*) FROM publication").rows == [(1,)]
    assert manifest.head(ws.ledger).published_revision < manifest.head(ws.ledger).revision


def test_a_warehouse_that_somebody_removed_is_due_again(published):
    ws = published.ws
    assert not publication_is_due(ws)
    (ws.home / "warehouse.duckdb").unlink()
    assert publication_is_due(ws)
    (finding,) = [one for one in examine(ws, published.client, who="ana") if one.what == "warehouse"]
    assert (finding.ok, finding.says) == (False, "warehouse.duckdb is gone")
    assert publish_warehouse(ws).published
    assert not publication_is_due(ws)
    assert query(ws.home, "SELECT count(*) FROM transactions").rows == [(20,)]


def test_before_the_first_file_nothing_is_due(steps_for):
    assert not publication_is_due(steps_for().ws)


def test_a_row_deleted_from_a_landed_file_stops_publishing(published):
    ws = published.ws
    path = ws.lake / live_files(ws, "transactions")[0].path
    pl.read_parquet(path).slice(1).write_parquet(path)
    touch(ws)
    assert_refused(ws, "1")


def test_an_id_in_two_live_files_stops_publishing(published):
    ws = published.ws
    first, second = live_files(ws, "transactions")
    path = ws.lake / second.path
    stolen = (
        pl.read_parquet(ws.lake / first.path)
        .head(1)
        .with_columns(batch_key=pl.lit(second.batch_key), position=pl.lit(10, pl.Int64))
    )
    pl.concat([pl.read_parquet(path), stolen]).write_parquet(path)
    touch(ws)
    assert_refused(ws, "tx-")


def test_a_lost_reject_stops_publishing(steps_for, bank_file):
    steps = steps_for()
    steps.ingest(bank_file(5, bad=2))
    assert publish_warehouse(steps.ws).published
    path = steps.ws.lake / live_files(steps.ws, "rejected_rows")[0].path
    pl.read_parquet(path).head(1).write_parquet(path)
    touch(steps.ws)
    assert_refused(steps.ws, "7 records, but 5 accepted + 1 rejected = 6")


def test_rows_that_are_not_in_the_archived_answer_stop_publishing(published, tmp_path):
    ws = published.ws
    row = batches.in_states(ws.ledger, State.LANDED)[0]
    other = tmp_path / "other.json"
    other.write_text('{"id": "x", "total": 1, "status": "completed", "results": [{"id": "tx-0"}]}')
    wrong = archive.archive_file(ws.archive, other, name="wrong")
    with ws.ledger.write() as conn:
        documents, same = schema.documents, schema.documents.c.batch_key == row.batch_key
        conn.execute(update(documents).where(same, documents.c.kind == "results").values(path=wrong.path))
        conn.execute(
            update(schema.batches).where(schema.batches.c.batch_key == row.batch_key).values(verified_version=0)
        )
        manifest.touch(conn)
    assert_refused(ws, row.batch_key, "archived")


def test_a_file_that_the_manifest_lost_stops_publishing(published):
    ws = published.ws
    (one, _) = live_files(ws, "transactions")
    with ws.ledger.write() as conn:
        manifest.commit(conn, remove=[one.path], now=ws.ledger.now())
    assert_refused(ws, "tx-")


def test_a_foreign_row_stops_publishing(published):
    ws = published.ws
    one = live_files(ws, "transactions")[0]
    path = ws.lake / one.path
    extra = (
        pl.read_parquet(path).head(1).with_columns(transaction_id=pl.lit("from-nowhere"), position=pl.lit(10, pl.Int64))
    )
    pl.concat([pl.read_parquet(path), extra]).write_parquet(path)
    touch(ws)
    assert_refused(ws, "from-nowhere")


def test_waiting_planned_and_landed_rows_are_all_there(steps_for, bank_file):
    steps = steps_for(batch_size=10)
    steps.ingest(bank_file(10, name="a.csv"))
    steps.plan()
    steps.finish()
    steps.ingest(bank_file(10, name="b.csv", start=10))
    steps.plan()
    steps.ingest(bank_file(3, name="c.csv", start=20))
    assert publish_warehouse(steps.ws).published
    rows = query(steps.ws.home, "SELECT state, count(*) FROM transactions GROUP BY 1 ORDER BY 1").rows
    assert rows == [("enriched", 10), ("in_flight", 10), ("waiting", 3)]
    ops = query(steps.ws.home, "SELECT state, rows FROM batches ORDER BY batch_key").rows
    assert ops == [("landed", 10), ("planned", 10)]


def test_a_data_folder_whose_name_is_a_pattern(steps_for, bank_file, sandbox_for):
    """With `[` in it every batch was charged, and none landed: the file just written was not found."""
    steps = steps_for("da[t]a*", server=sandbox_for(), batch_size=10)
    steps.ingest(bank_file(10))
    assert steps.ingest(bank_file(12, name="b.csv")).reports[0].repeats == 10
    steps.plan()
    steps.finish()
    assert results_missing(steps.ws) == 0
    assert publish_warehouse(steps.ws).violations == []
    assert {place.kind for place in locate(steps.ws, ["tx-0", "tx-11"]).values()} == {"transactions"}
    assert query(steps.ws.home, "SELECT state, count(*) FROM transactions GROUP BY 1").rows == [("enriched", 12)]
