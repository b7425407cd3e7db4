"""Whatever a file holds: no crash, no record lost, none invented."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.ingest.amounts import Amount, Marks, find_marks, parse_amount
from pipeline.ingest.mapping import Mapping
from pipeline.ingest.reader import RAW_SCHEMA, Ingested, read_file
from pipeline.lake.tables import REJECTED_ROWS

NOW = datetime(2026, 1, 1)
HEAD = "date,description,amount,currency\n"
FEW = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

pieces = st.sampled_from(
    [",", '"', '""', "\n", "\r\n", "\r", ";", "a", "1.5", "2025-01-01", "EUR", " ", "\x00", "é", "\u2028", "-"]
)
garbage = st.lists(pieces, max_size=60).map("".join)
good_record = st.sampled_from(
    ["2025-01-01,a,1,EUR\n", '2025-01-01,"a\nb",1,EUR\n', '2025-01-01,"a ""b"", c",-1,EUR\r\n', "2025-02-30,a,1,EUR\n"]
)
mixed = st.lists(st.one_of(good_record, garbage), max_size=12).map("".join)


def read(data: bytes, mapping: Mapping | None = None, name: str = "f.csv") -> Ingested | None:
    """The result, or None when the file was refused."""
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        try:
            return read_file(path, mapping, now=NOW)
        except ConfigError as error:
            assert str(error)  # noqa: PT017 - both ends are right
            return None


def check(result: Ingested | None) -> None:
    if result is None:
        return
    assert result.records == result.accepted.height + result.rejected.height
    numbers = sorted([*result.accepted["record_number"], *result.rejected["record_number"]])
    assert numbers == list(range(1, result.records + 1))
    assert dict(result.accepted.schema) == RAW_SCHEMA
    assert dict(result.rejected.schema) == REJECTED_ROWS.schema
    assert all(result.rejected["reasons"].list.len() > 0)
    required = ["transaction_id", "date", "description", "amount", "entry_type", "currency", "content_hash"]
    assert result.accepted.select(pl.col(required).is_null().any()).row(0) == (False,) * len(required)


@FEW
@given(mixed)
def test_garbage_after_a_header(text: str) -> None:
    result = read((HEAD + text).encode())
    check(result)


@FEW
@given(mixed, st.binary(max_size=8), st.integers(0, 400))
def test_garbage_bytes(text: str, noise: bytes, at: int) -> None:
    data = text.encode()
    check(read(HEAD.encode() + data[:at] + noise + data[at:]))


@FEW
@given(mixed)
def test_garbage_under_a_ragged_mapping_without_header(text: str) -> None:
    mapping = Mapping.parse(
        '[file]\nheader = false\nragged = true\ndelimiter = ","\n[date]\ncolumn = "1"\nformat = "iso"\n'
        '[description]\ncolumn = "2"\n[amount]\ncolumn = "3"\nsign = "outgoing"\n[currency]\ncolumn = "4"\n'
    )
    check(read(text.encode(), mapping))


@FEW
@given(st.one_of(st.text(max_size=80), st.binary(max_size=80)))
def test_any_file_at_all(content: str | bytes) -> None:
    data = content.encode(errors="surrogatepass") if isinstance(content, str) else content
    for name in ("f.csv", "f.jsonl", "f.parquet", "f"):
        check(read(data, name=name))


json_value = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)

json_item = st.fixed_dictionaries({}, optional=dict.fromkeys(["date", "description", "amount", "currency"], json_value))


@FEW
@given(st.lists(json_item, max_size=5))
def test_any_json_objects(items: list[dict[str, object]]) -> None:
    base = '{"date":"2025-01-01","description":"a","amount":1,"currency":"EUR"}\n'
    result = read((base + "".join(json.dumps(item) + "\n" for item in items)).encode(), name="f.jsonl")
    assert result is not None
    assert result.records == len(items) + 1
    check(result)


fields = st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=20)


@FEW
@given(st.lists(fields, min_size=1, max_size=8))
def test_what_a_csv_writer_writes_is_read_back(descriptions: list[str]) -> None:
    """Every description that Python's own writer produces comes back, control characters aside."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["date", "description", "amount", "currency"])
    writer.writerows(["2025-01-01", f"x{description}x", "1", "EUR"] for description in descriptions)
    result = read(text.getvalue().encode())
    if result is None:  # a text of control characters only looks binary
        return
    assert result.records == len(descriptions)
    written = {number: f"x{description}x" for number, description in enumerate(descriptions, 1)}
    wanted = {number: text for number, text in written.items() if text.isprintable()}
    found = dict(result.accepted.select("record_number", "description").iter_rows())
    assert {number: found.get(number) for number in wanted} == wanted


@FEW
@given(
    st.integers(0, 10**13),
    st.integers(0, 9999),
    st.sampled_from([(".", ","), (",", "."), (".", "'"), (",", " "), (".", "")]),
    st.sampled_from(["{}", "-{}", "({})", "{}-", "€{}", "{} EUR", "-$ {}"]),
)
def test_formatted_amounts_are_read_exactly(whole: int, part: int, marks: tuple[str, str], frame: str) -> None:
    decimal, thousands = marks
    text = frame.format(f"{whole:,}".replace(",", thousands) + f"{decimal}{part:04d}")
    parsed = parse_amount(text, Marks(decimal, thousands))
    assert isinstance(parsed, Amount)
    assert int(parsed.digits.partition(".")[0]) == whole
    assert int(parsed.digits.partition(".")[2].ljust(4, "0")) == part
    assert parsed.negative == (("-" in frame or "(" in frame) and (whole or part) != 0)


@FEW
@given(st.integers(0, 10**6), st.integers(0, 99), st.sampled_from(",."))
def test_the_mark_of_two_decimals_is_always_found(whole: int, part: int, decimal: str) -> None:
    other = "." if decimal == "," else ","
    text = f"{whole:,}".replace(",", other) + f"{decimal}{part:02d}"
    marks = find_marks([text], None, None)
    assert isinstance(marks, Marks)
    parsed = parse_amount(text, marks)
    assert isinstance(parsed, Amount)
    assert round(float(parsed.digits) * 100) == whole * 100 + part
