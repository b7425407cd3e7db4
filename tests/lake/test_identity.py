"""The conservation check: it holds on a true lake, and each kind of damage is named."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest
from lakes import Lake, landed_row

from pipeline.errors import IntegrityError
from pipeline.lake import tables
from pipeline.lake.archive import archive_file
from pipeline.lake.files import read_table
from pipeline.lake.identity import IdentityReport, SourceCount, archived_ids, check_identity

if TYPE_CHECKING:
    from pathlib import Path


def _check(lake: Lake) -> IdentityReport:
    report = check_identity(lake.snapshot(), lake.sources)
    assert report.ok == (not report.violations)
    return report


def _rows(lake: Lake, path: Path) -> pl.DataFrame:
    return read_table(lake.root, [path.relative_to(lake.root).as_posix()])


def test_a_true_lake_has_no_violations_and_true_counts(full: Lake) -> None:
    report = _check(full)

    assert report.violations == []
    assert report.counts == {
        "records": 15,
        "accepted": 12,
        "repeats": 0,
        "rejected": 3,
        "transactions": 11,
        "intermediaries": 2,
        "waiting": 1,
        "in_flight": 2,
        "held": 1,
        "quarantined": 1,
        "enriched": 5,
        "item_error": 1,
    }


def test_an_empty_lake_is_true(lake: Lake) -> None:
    report = _check(lake)

    assert report.ok
    assert set(report.counts.values()) == {0}


def test_a_row_deleted_from_a_landed_file_is_named(full: Lake) -> None:
    path = full.files["transactions"][0]
    rows = _rows(full, path).filter(pl.col("transaction_id") != "a1")
    full.replace(tables.TRANSACTIONS, path, rows)

    assert _check(full).violations == [
        "1 transaction ids were accepted but are in no live file (lost): a1",
        "1 intermediaries have no landed transaction of their batch: batches 00000001-aa, transactions a1",
    ]


def test_an_id_in_two_live_files_is_named_with_both_files(full: Lake) -> None:
    landed = full.files["transactions"][0]
    waiting = full.wait(["a2"])

    assert _check(full).violations == [
        "1 transaction ids are in more than one live row (doubled): a2; 2 live files: "
        + ", ".join(path.name for path in sorted([landed, waiting]))
    ]


def test_a_batch_that_landed_while_its_plan_stayed_live_is_doubled(full: Lake) -> None:
    full.land("00000003-cc", ["b0", "b1"])

    (violation,) = _check(full).violations
    assert violation.startswith("2 transaction ids are in more than one live row (doubled): b0, b1; 2 live files: ")


def test_an_id_twice_in_one_file_is_doubled(full: Lake) -> None:
    path = full.files["waiting"][0]
    new = full.replace(tables.WAITING, path, pl.concat([_rows(full, path)] * 2))

    assert _check(full).violations == [
        f"1 transaction ids are in more than one live row (doubled): b4; 1 live files: {new.name}"
    ]


def test_lost_ids_are_counted_and_five_are_named(full: Lake) -> None:
    full.source("file-c", [f"c{n}" for n in range(9)])

    assert _check(full).violations == [
        "9 transaction ids were accepted but are in no live file (lost): c0, c1, c2, c3, c4, …"
    ]


def test_a_whole_plan_that_is_lost_is_noticed(full: Lake) -> None:
    full.plans = full.plans[1:]

    assert _check(full).violations == ["2 transaction ids were accepted but are in no live file (lost): b0, b1"]


def test_an_extra_id_is_named_with_its_file(full: Lake) -> None:
    path = full.wait(["stranger"])

    assert _check(full).violations == [
        "1 transaction ids are in a live file but were never accepted (extra): stranger; 1 live files: " + path.name
    ]


def test_an_id_that_differs_in_one_letter_is_both_lost_and_extra(full: Lake) -> None:
    path = full.files["waiting"][0]
    full.replace(tables.WAITING, path, _rows(full, path).with_columns(transaction_id=pl.lit("B4")))

    lost, extra = _check(full).violations
    assert lost.endswith("(lost): b4")
    assert "(extra): B4; " in extra


@pytest.mark.parametrize(("kind", "accepted", "rejected"), [("rejected_rows", 6, 0), ("raw_transactions", 0, 2)])
def test_lost_input_rows_are_named_by_file(full: Lake, kind: str, accepted: int, rejected: int) -> None:
    full.files[kind] = full.files[kind][1:]

    expected = f"source file file-a: 8 records, but {accepted} accepted + {rejected} rejected = {accepted + rejected}"
    assert expected in _check(full).violations


def test_a_reject_that_was_doubled_is_noticed(full: Lake) -> None:
    full.files["rejected_rows"].append(full.files["rejected_rows"][1])

    assert _check(full).violations == ["source file file-b: 7 records, but 6 accepted + 2 rejected = 8"]


def test_sources_and_rows_must_know_each_other(full: Lake) -> None:
    full.sources = [full.sources[0], replace(full.sources[0]), SourceCount("file-z", "z.csv", 4)]

    assert _check(full).violations == [
        "source file file-z: 4 records, but 0 accepted + 0 rejected = 0",
        "1 source files are counted more than once: file-a",
        "1 source files have rows but were never counted: file-b",
    ]


def test_an_intermediary_of_another_batch_than_its_transaction_is_a_leftover(full: Lake) -> None:
    row = {"transaction_id": "a3", "position": 0, "batch_key": "00000001-aa"}
    full.add(tables.INTERMEDIARIES, [row])

    assert _check(full).violations == [
        "1 intermediaries have no landed transaction of their batch: batches 00000001-aa, transactions a3"
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"position": [0, 1, 1]}, "batch 00000001-aa, version 1: 3 rows at 2 positions from 0 to 1"),
        ({"position": [0, None, 2]}, "batch 00000001-aa, version 1: 3 rows at 2 positions from 0 to 2"),
        ({"position": [-1, 0, 1], "version": [2, 2, 2]}, "version 2: 3 rows at 3 positions from -1 to 1"),
        ({"batch_key": ["00000001-aa", "other", "other"]}, "batch 00000001-aa to other, version 1"),
        ({"batch_key": ["00000001-aa", None, "00000001-aa"]}, "batch 00000001-aa, version 1"),
        ({"state": ["enriched", "in_flight", "enriched"]}, "1 landed rows are neither enriched nor item_error"),
    ],
)
def test_a_landed_file_holds_one_batch_at_its_positions(
    full: Lake, change: dict[str, list[int | str | None]], words: str
) -> None:
    path = full.files["transactions"][0]
    rows = _rows(full, path)
    changed = rows.with_columns(pl.Series(name, values, rows.schema[name]) for name, values in change.items())
    full.replace(tables.TRANSACTIONS, path, changed)

    assert any(words in violation for violation in _check(full).violations)


def test_a_landed_file_may_have_gaps_where_rows_moved_to_another_batch(lake: Lake) -> None:
    lake.source("file-a", ["a0", "a1", "a2"])
    lake.add(tables.TRANSACTIONS, [landed_row("k1", n, f"a{n}") for n in (0, 2)], "k1")
    lake.land("k2", ["a1"])

    assert _check(lake).violations == []


def test_two_live_files_of_one_batch_are_named(lake: Lake) -> None:
    lake.source("file-a", ["a0", "a1"])
    lake.land("k1", ["a0"])
    lake.land("k1", ["a1"])

    assert _check(lake).violations == ["1 batches have several landed files: k1"]


def test_a_plan_with_a_gap_is_noticed(lake: Lake) -> None:
    lake.source("file-a", ["a0", "a1"])
    rows = [{"transaction_id": f"a{n}", "batch_key": "k1", "position": n * 2} for n in (0, 1)]
    lake.plans.append((lake.write(tables.PLAN, rows), "in_flight"))

    (violation,) = _check(lake).violations
    assert violation.startswith("planned file some-")
    assert violation.endswith("batch k1, version 1: 2 rows at 2 positions from 0 to 2")


def test_repeats_and_superseded_rows_are_accepted_once(lake: Lake) -> None:
    raw = [{"transaction_id": "a0", "file_id": "f", "record_number": n, "repeat": n > 1} for n in (1, 2, 3)]
    lake.add(tables.RAW_TRANSACTIONS, raw)
    lake.sources.append(SourceCount("f", "f.csv", 3))
    lake.wait(["a0"])

    report = _check(lake)
    assert report.ok
    assert (report.counts["accepted"], report.counts["repeats"], report.counts["transactions"]) == (3, 2, 1)


def test_messages_never_hold_a_description(full: Lake) -> None:
    for kind in ("waiting", "transactions"):
        path = full.files[kind][0]
        rows = _rows(full, path).with_columns(description=pl.lit("SECRET"), transaction_id=pl.lit("same"))
        full.replace(tables.FILE_TABLES[kind], path, rows)

    report = _check(full)
    assert len(report.violations) > 2
    assert "SECRET" not in str(report)


def test_files_that_cannot_be_read_give_no_answer(full: Lake) -> None:
    path = full.files["waiting"][0]
    path.chmod(0o644)
    path.write_bytes(b"PAR1 broken PAR1")
    with pytest.raises(IntegrityError, match="revision 1 cannot be checked"):
        _check(full)
    path.unlink()
    with pytest.raises(IntegrityError, match="1 files are missing"):
        _check(full)


def _archive(tmp_path: Path, content: bytes) -> list[str]:
    (tmp_path / "answer").write_bytes(content)
    kept = archive_file(tmp_path / "archive", tmp_path / "answer", name="results-k1-1.json")
    return archived_ids(tmp_path / "archive", kept.path)


def test_archived_ids_come_in_order_whatever_else_an_item_holds(tmp_path: Path) -> None:
    items = [
        {"id": "b", "created_at": 7, "entities": "unknown"},
        {"id": "a\u00e9", "error": {"code": "new_code", "message": None}},
        {"id": "b"},
    ]
    answer = {"id": "x", "status": "completed", "total": 3, "results": items, "new": [1]}

    assert _archive(tmp_path, json.dumps(answer).encode()) == ["b", "a\u00e9", "b"]


def test_items_without_an_id_are_left_out(tmp_path: Path) -> None:
    answer = {"results": [{"id": "a"}, {"id": None}, {}, 5, {"id": 5}, {"id": "z"}]}

    assert _archive(tmp_path, json.dumps(answer).encode()) == ["a", "z"]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"results": null}', b'{"results": [{"id": "a"', b"\xff"])
def test_an_archived_answer_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(IntegrityError, match="cannot be decoded"):
        _archive(tmp_path, content)
