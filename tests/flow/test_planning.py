"""Cutting batches."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline.flow import planning
from pipeline.flow.inbox import ingest_files
from pipeline.flow.publishing import check_now
from pipeline.lake import files
from pipeline.ledger import batches, manifest
from pipeline.ledger.states import State

SIZES = {"batch_size": 100, "batch_size_bulk": 400, "bulk_threshold": 1000, "batch_max_age": 900, "time_scale": 1}


@pytest.mark.parametrize(
    ("waiting", "age", "flush", "expected"),
    [
        (0, 9999, True, []),
        (99, 0, False, []),
        (99, 899, False, []),
        (99, 900, False, [99]),
        (99, 0, True, [99]),
        (100, 0, False, [100]),
        (250, 0, False, [100, 100]),
        (250, 900, False, [100, 100, 50]),
        (1000, 0, False, [100] * 10),
        (1001, 0, True, [400, 400, 201]),
    ],
)
def test_cuts(settings_for, waiting, age, flush, expected):
    assert planning.cuts(waiting, age, settings_for(**SIZES), flush=flush) == expected


def plan_frames(ws):
    with ws.ledger.read() as conn:
        rows = sorted(manifest.live(conn, "plan"), key=lambda row: row.batch_key)
    return [files.read_table(ws.lake, [row.path]) for row in rows]


def test_a_plan_holds_every_row_once_sorted_by_holder(workspace_for, bank_file):
    ws = workspace_for(batch_size=8)
    ingest_files(ws, [bank_file(30)], None)
    report = planning.plan(ws, flush=True)
    assert list(report.batches.values()) == [8, 8, 8, 6]
    frames = plan_frames(ws)
    assert [f["position"].to_list() for f in frames] == [list(range(n)) for n in (8, 8, 8, 6)]
    together = pl.concat(frames)
    assert together["transaction_id"].n_unique() == 30
    assert together["account_holder_id"].is_sorted()
    assert check_now(ws).ok


def test_a_remainder_goes_on_waiting_and_keeps_its_time(workspace_for, bank_file):
    ws = workspace_for(batch_size=8)
    ingest_files(ws, [bank_file(10)], None)
    report = planning.plan(ws, flush=False)
    assert (list(report.batches.values()), report.waiting) == ([8], 2)
    with ws.ledger.read() as conn:
        (rest,) = manifest.live(conn, "waiting")
    assert files.read_table(ws.lake, [rest.path])["ingested_at"].max() <= ws.ledger.now()
    assert planning.plan(ws, flush=True).waiting == 0
    assert check_now(ws).counts["transactions"] == 10


def test_two_planners_over_the_same_rows_cut_them_once(workspace_for, bank_file, monkeypatch):
    ws = workspace_for(batch_size=5)
    ingest_files(ws, [bank_file(10)], None)
    write, raced = planning._write_plans, []

    def write_after_another(*args):
        made = write(*args)
        if not raced:
            raced.append(1)
            planning.plan(ws, flush=True)
        return made

    monkeypatch.setattr(planning, "_write_plans", write_after_another)
    late = planning.plan(ws, flush=True)
    assert late.batches == {}
    assert [row.rows for row in batches.in_states(ws.ledger, State.PLANNED)] == [5, 5]
    assert check_now(ws).ok


def test_a_data_folder_whose_name_is_a_pattern_works_as_any_other(steps_for, bank_file):
    steps = steps_for("da[t]a{1,2}", batch_size=10)
    steps.ingest(bank_file(10))
    steps.plan()
    steps.submit()
    steps.finish()
    assert steps.check()["enriched"] == 10
