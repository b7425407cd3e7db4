"""The shipped sample: made by its program, read without a mapping, and as varied as it claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.ingest.reader import read_file
from pipeline.sample import SAMPLE
from pipeline.sample.generate import sample_bytes

if TYPE_CHECKING:
    from datetime import datetime


def test_the_program_makes_exactly_the_shipped_file() -> None:
    assert SAMPLE.read_bytes() == sample_bytes()


def test_three_thousand_are_accepted_and_three_rejected(now: datetime) -> None:
    result = read_file(SAMPLE, now=now)
    assert (result.records, result.accepted.height, result.rejected.height) == (3_003, 3_000, 3)
    assert result.rejected["reasons"].to_list() == [
        ["date: '2025-11-31' is not a date"],
        ["currency: 'XXQ' is not a currency of the API"],
        ["amount: 'NaN' is not a number with decimal mark '.'"],
    ]
    assert result.warnings == []


def test_the_sample_is_varied(now: datetime) -> None:
    rows = read_file(SAMPLE, now=now).accepted
    assert rows["transaction_id"].n_unique() == 3_000
    assert 500 < rows["source_id"].null_count() < 2_500
    assert rows["account_holder_id"].n_unique() == 30
    assert set(rows["country"]) == {"US", "GB", "DE", "FR", "ES", "NL", "IE"}
    assert set(rows["account_holder_type"]) == {"consumer", "business"}
    assert rows["date"].dt.strftime("%Y-%m").n_unique() == 6
    twins = rows.filter(rows["description"] == "COFFEE CART 12")
    assert (twins.height, twins["content_hash"].n_unique()) == (2, 1)
