"""Whole files: formats, encodings, malformed records, signs, holders, ids. Accepted + rejected = records, always."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pipeline.errors import ConfigError, IntegrityError
from pipeline.ingest import csv_records
from pipeline.ingest.mapping import Mapping
from pipeline.ingest.reader import RAW_SCHEMA, Ingested, read_file
from pipeline.ingest.suggest import MappingNeeded
from pipeline.lake.tables import REJECTED_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Ingest = Callable[..., Ingested]

HEAD = "date,description,amount,currency\n"
SIMPLE = """
[date]
column = "date"
[description]
column = "description"
[currency]
constant = "EUR"
"""


def reasons(result: Ingested) -> list[tuple[int, list[str]]]:
    return list(result.rejected.select("record_number", "reasons").rows())


def test_canonical_csv(ingest: Ingest, now: datetime) -> None:
    result = ingest(
        "id,date,description,amount,entry_type,currency,country,account_holder_id,account_holder_type\n"
        "tx-1,2025-01-31,TESCO STORES,12.30,outgoing,gbp,GB,acct-1,consumer\n"
        'tx 2,2025-02-01,"PAY, MARCH",1700,incoming,EUR,,,\n'
    )
    assert (result.records, result.accepted.height, result.rejected.height) == (2, 2, 0)
    assert dict(result.accepted.schema) == RAW_SCHEMA
    assert dict(result.rejected.schema) == REJECTED_ROWS.schema
    first, second = result.accepted.rows(named=True)
    assert first == {
        "transaction_id": "tx-1",
        "source_id": "tx-1",
        "date": date(2025, 1, 31),
        "description": "TESCO STORES",
        "amount": Decimal("12.3000"),
        "entry_type": "outgoing",
        "currency": "GBP",
        "country": "GB",
        "account_holder_id": "acct-1",
        "account_holder_type": "consumer",
        "content_hash": first["content_hash"],
        "source_file": "file.csv",
        "file_id": result.file_id,
        "record_number": 1,
        "ingested_at": now,
    }
    assert second["transaction_id"].startswith("h-")
    assert (second["country"], second["account_holder_id"], second["account_holder_type"]) == (None, None, None)
    assert any("1 rows have no account holder" in warning for warning in result.warnings)


def test_without_entry_type_the_sign_tells(ingest: Ingest) -> None:
    result = ingest(HEAD + "2025-01-01,a,-5,EUR\n2025-01-01,b,5,EUR\n2025-01-01,c,0,EUR\n")
    assert result.accepted["entry_type"].to_list() == ["outgoing", "incoming", "outgoing"]
    assert result.accepted["amount"].to_list() == [5, 5, 0]


def test_every_reason_of_a_record_is_listed(ingest: Ingest) -> None:
    result = ingest(HEAD + f"2025-02-30,{'x' * 1025},NaN,ZZZ\n2025-01-01,ok,1,EUR\n")
    assert reasons(result) == [
        (
            1,
            [
                "date: '2025-02-30' is not a date",
                "description: has 1,025 characters; 1,024 are allowed",
                "amount: 'NaN' is not a number with decimal mark '.'",
                "currency: 'ZZZ' is not a currency of the API",
            ],
        )
    ]
    assert result.rejected["raw_text"][0].startswith("2025-02-30,xxx")


def test_reasons_name_the_column_and_never_the_description(ingest: Ingest) -> None:
    mapping = SIMPLE.replace('"description"', '"Text"') + '[amount]\ncolumn = "Betrag"\nsign = "incoming"\n'
    result = ingest(f"date;Text;Betrag\n2025-01-01;{'SECRET ' * 200};-1,5\n", mapping)
    assert reasons(result) == [
        (1, ["description (Text): has 1,399 characters; 1,024 are allowed",
             "amount (Betrag): -1.5 is negative, although all amounts are incoming"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "numbers", "raws"),
    [
        ("2025-01-01,a,1\n", [1], ["2025-01-01,a,1"]),
        ("2025-01-01,a,1,EUR,x\n", [1], ["2025-01-01,a,1,EUR,x"]),
        ('2025-01-01,"a,1,EUR\n', [1], ['2025-01-01,"a,1,EUR']),
        ('2025-01-01,"a"b,1,EUR\n', [1], ['2025-01-01,"a"b,1,EUR']),
        # A quote that closes only lines later must not swallow the good record between.
        ('2025-01-01,"a,1,EUR\n2025-01-02,b,2,EUR\n2025-01-03,c",3,EUR\n', [1], ['2025-01-01,"a,1,EUR']),
        (",,,\n", [1], [",,,"]),
        ("   \n", [1], ["   "]),
    ],
)
def test_malformed_records_cost_only_themselves(ingest: Ingest, body: str, numbers: list[int], raws: list[str]) -> None:
    good = "2025-03-01,good,1,EUR\n"
    result = ingest(HEAD + body + good)
    assert result.rejected["record_number"].to_list() == numbers
    assert result.rejected["raw_text"].to_list() == raws
    assert result.accepted["description"].to_list()[-1] == "good"
    assert result.records == body.count("\n") + 1


def test_a_record_over_several_lines_is_one_record(ingest: Ingest) -> None:
    result = ingest(HEAD + '2025-01-01,"PAY\r\n\nMARCH ""25""",1,EUR\n2025-01-01,"x\ny",NaN,EUR\n')
    assert result.records == 2
    assert result.accepted["description"].to_list() == ['PAY MARCH "25"']
    assert result.rejected["raw_text"].to_list() == ['2025-01-01,"x\ny",NaN,EUR']


def test_an_open_quote_late_in_a_big_file(ingest: Ingest) -> None:
    lines = [f"2025-01-01,shop {number},1,EUR\n" for number in range(5_000)]
    lines[3_456] = '2025-01-01,"shop,1,EUR\n'
    result = ingest(HEAD + "".join(lines))
    assert (result.records, result.accepted.height) == (5_000, 4_999)
    assert reasons(result)[0][0] == 3_457
    assert result.accepted["record_number"].to_list() == [n for n in range(1, 5_001) if n != 3_457]


def test_a_lost_record_is_noticed(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage on purpose: the reader drops the last record of each block, and the second count tells."""
    whole = csv_records._Parser._whole

    def lossy(parser: csv_records._Parser, block: list[str]) -> list[list[str]] | None:
        return whole(parser, block[:-1])

    monkeypatch.setattr(csv_records._Parser, "_whole", lossy)
    with pytest.raises(IntegrityError, match="3 records were counted, but 2 were accepted and 0 rejected"):
        ingest(HEAD + "2025-01-01,a,1,EUR\n" * 3)


def test_blank_lines_are_no_records(ingest: Ingest) -> None:
    result = ingest("\n" + HEAD + "\n\r\n2025-01-01,a,1,EUR\n\n2025-01-02,b,2,EUR\n\n")
    assert result.accepted["record_number"].to_list() == [1, 2]


@pytest.mark.parametrize(
    ("encoding", "fact"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("cp1252", "cp1252"),
    ],
)
def test_encodings_are_found(ingest: Ingest, encoding: str, fact: str) -> None:
    result = ingest((HEAD + "2025-01-01,CAFÉ “ZOË”,1,EUR\n").encode(encoding))
    assert result.accepted["description"].to_list() == ["CAFÉ “ZOË”"]
    assert result.facts["encoding"] == f"{fact} (found)"


def test_undecodable_bytes_reject_their_record_only(ingest: Ingest) -> None:
    body = (HEAD + "2025-01-01,CAFÉ,1,EUR\n2025-01-01,BAR").encode() + b"\xff\xfe,1,EUR\n2025-01-02,OK,1,EUR\n"
    result = ingest(body)
    assert reasons(result) == [(2, ["record: bytes that are not in the encoding of the file"])]
    assert result.rejected["raw_text"].to_list() == ["2025-01-01,BAR\\xff\\xfe,1,EUR"]


def test_a_stated_encoding_is_used(ingest: Ingest) -> None:
    mapping = '[file]\nencoding = "cp1250"\n' + SIMPLE + '[amount]\ncolumn = "amount"\nsign = "outgoing"\n'
    result = ingest((HEAD + "2025-01-01,Žižkov,1,EUR\n").encode("cp1250"), mapping)
    assert result.accepted["description"].to_list() == ["Žižkov"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_found(ingest: Ingest, delimiter: str, end: str) -> None:
    text = (HEAD + '2025-01-01,"a",1,EUR\n2025-01-02,b,2,EUR').replace(",", delimiter).replace("\n", end)
    result = ingest(text)
    assert result.accepted["description"].to_list() == ["a", "b"]


def test_gzip(ingest: Ingest) -> None:
    result = ingest(gzip.compress((HEAD + "2025-01-01,a,1,EUR\n").encode()), name="file.csv.gz")
    assert result.accepted.height == 1


AMOUNT_CASES = [
    (
        'column = "amount"\nsign = "positive_is_outgoing"',
        [("5", "outgoing", 5), ("-5", "incoming", 5), ("0", "outgoing", 0)],
    ),
    ('column = "amount"\nsign = "negative_is_outgoing"', [("-5", "outgoing", 5), ("5", "incoming", 5)]),
    ('column = "amount"\nsign = "outgoing"', [("5", "outgoing", 5), ("-5", None, None)]),
    ('column = "amount"\nsign = "incoming"', [("5", "incoming", 5)]),
]


@pytest.mark.parametrize(("section", "cases"), AMOUNT_CASES)
def test_signs(ingest: Ingest, section: str, cases: list[tuple[str, str | None, int | None]]) -> None:
    body = "".join(f"2025-01-01,x,{amount}\n" for amount, _, _ in cases)
    result = ingest("date,description,amount\n" + body, SIMPLE + f"[amount]\n{section}\n")
    expected = [(way, amount) for _, way, amount in cases if way]
    assert result.accepted.select("entry_type", "amount").rows() == expected
    assert result.rejected.height == len(cases) - len(expected)


def test_debit_and_credit_columns(ingest: Ingest) -> None:
    mapping = SIMPLE + '[amount]\ndebit = "out"\ncredit = "in"\n'
    rows = ["5,", ",6", "7,0.00", "0,", "1,2", ",", "x,", "-3,"]
    result = ingest("date,description,out,in\n" + "".join(f"2025-01-01,a,{row}\n" for row in rows), mapping)
    assert result.accepted.select("entry_type", "amount").rows() == [
        ("outgoing", 5), ("incoming", 6), ("outgoing", 7), ("outgoing", 0),
    ]  # fmt: skip
    assert [text for _, (text,) in reasons(result)] == [
        "amount (out and in): both are filled",
        "amount (out and in): both are empty",
        "amount (out): 'x' is not a number with decimal mark '.'",
        "amount (out): -3 is negative, although it is outgoing",
    ]


def test_a_minus_that_every_debit_has_is_dropped(ingest: Ingest) -> None:
    mapping = SIMPLE + '[amount]\ndebit = "out"\ncredit = "in"\n'
    result = ingest("date,description,out,in\n2025-01-01,a,-5,\n2025-01-01,b,,6\n", mapping)
    assert result.accepted.select("entry_type", "amount").rows() == [("outgoing", 5), ("incoming", 6)]
    assert result.facts["minus signs of outgoing amounts"]


def test_a_direction_column(ingest: Ingest) -> None:
    mapping = SIMPLE + '[amount]\ncolumn = "amount"\ndirection = "dc"\noutgoing = ["D"]\nincoming = ["C", "K"]\n'
    rows = ["5,D", "6,k", "7,?", "8,", "-9,C"]
    result = ingest("date,description,amount,dc\n" + "".join(f"2025-01-01,a,{row}\n" for row in rows), mapping)
    assert result.accepted.select("entry_type", "amount").rows() == [("outgoing", 5), ("incoming", 6)]
    assert [text for _, (text,) in reasons(result)] == [
        "entry_type (dc): '?' is none of D, C, K",
        "entry_type (dc): is empty",
        "amount: -9 is negative, although it is incoming",
    ]


def test_a_currency_beside_the_number_must_agree(ingest: Ingest) -> None:
    mapping = SIMPLE + '[amount]\ncolumn = "amount"\nsign = "outgoing"\n'
    result = ingest("date,description,amount\n2025-01-01,a,EUR 5\n2025-01-01,b,USD 5\n", mapping)
    assert result.accepted.height == 1
    assert reasons(result)[0][1] == ["amount: USD stands beside the number, but the currency is EUR"]


@pytest.mark.parametrize(
    ("holder", "sections", "expected"),
    [
        ("acct-1,consumer", "", ("acct-1", "consumer")),
        (",", "", (None, None)),
        ("acct-1,", "", None),
        (",business", "", None),
        ("acct-1,other", "", None),
        (f"{'x' * 257},consumer", "", None),
        ("acct-1,", 'constant = "business"', ("acct-1", "business")),
        (",", 'constant = "business"', (None, None)),
    ],
)
def test_holders(ingest: Ingest, holder: str, sections: str, expected: tuple[str | None, str | None] | None) -> None:
    mapping = SIMPLE + (
        '[amount]\ncolumn = "amount"\nsign = "outgoing"\n[account_holder_id]\ncolumn = "holder"\n'
        f'[account_holder_type]\ncolumn = "kind"\n{sections}\n'
    )
    result = ingest(f"date,description,amount,holder,kind\n2025-01-01,a,1,{holder}\n", mapping)
    found = result.accepted.select("account_holder_id", "account_holder_type").rows()
    assert found == ([expected] if expected else [])


def test_the_same_file_twice_has_the_same_ids(ingest: Ingest) -> None:
    text = HEAD + "2025-01-01,a,1,EUR\n2025-01-01,b,1,EUR\n"
    one, two = ingest(text), ingest(text)
    assert one.file_id == two.file_id
    assert one.accepted.equals(two.accepted)


def test_identical_coffees_survive_and_have_stable_ids(ingest: Ingest) -> None:
    coffee = "2025-01-01,COFFEE,3.20,EUR\n"
    result = ingest(HEAD + coffee + "2025-01-01,OTHER,1,EUR\n" + coffee)
    ids = result.accepted["transaction_id"].to_list()
    assert ids[0].removesuffix("-1") == ids[2].removesuffix("-2")
    assert ids[0] == f"t-{result.accepted['content_hash'][0][:24]}-1"
    # Another file, another order, another way of writing the amount: the same ids.
    again = ingest("date;description;amount;currency\n2025-01-01; COFFEE ;3.2000;eur\n", name="other.csv")
    assert again.accepted["transaction_id"].to_list() == ids[:1]
    assert again.file_id != result.file_id


def test_an_id_that_comes_again(ingest: Ingest) -> None:
    head = "id,date,description,amount,currency\n"
    row = "7,2025-01-01,a,1,EUR\n"
    result = ingest(head + row + row + "7,2025-01-01,a,2,EUR\n" + "8,2025-01-01,a,2,EUR\n")
    assert result.accepted["record_number"].to_list() == [1, 2, 4]
    assert result.accepted["transaction_id"].to_list() == ["7", "7", "8"]
    assert reasons(result) == [(3, ["id: conflict, record 1 has the same id and other content"])]


def test_ids_prefix_and_limits(ingest: Ingest) -> None:
    mapping = SIMPLE + '[amount]\ncolumn = "amount"\nsign = "outgoing"\n[id]\ncolumn = "ref"\nprefix = "acme-"\n'
    rows = ["7", "a/b", "", "x" * 251, "x" * 252]
    result = ingest("date,description,amount,ref\n" + "".join(f"2025-01-01,a,1,{ref}\n" for ref in rows), mapping)
    ids = result.accepted["transaction_id"].to_list()
    assert ids[0] == "acme-7"
    assert ids[1].startswith("h-")
    assert ids[2].startswith("t-")
    assert len(ids[3]) == 256
    assert result.accepted["source_id"].to_list()[:3] == ["7", "a/b", None]
    assert reasons(result) == [(5, ["id (ref): has more than 256 characters"])]


def test_the_mapping_is_part_of_the_file_id(ingest: Ingest) -> None:
    text = "date,description,amount\n2025-01-01,a,1\n"
    section = '[amount]\ncolumn = "amount"\nsign = "{}"\n'
    one, two = (ingest(text, SIMPLE + section.format(sign)) for sign in ("outgoing", "incoming"))
    assert one.sha256 == two.sha256
    assert one.file_id != two.file_id


def test_the_name_to_show(tmp_path: Path, now: datetime) -> None:
    path = tmp_path / "0123abcd.upload"
    path.write_text(HEAD + "2025-01-01,a,1,EUR\n")
    result = read_file(path, now=now, source_file="march.csv")
    assert result.source_file == "march.csv"
    assert result.accepted["source_file"].to_list() == ["march.csv"]


def test_times_are_kept_in_utc(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(HEAD + "2025-01-01,a,1,EUR\n")
    local = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert read_file(path, now=local).accepted["ingested_at"][0] == local.astimezone(UTC).replace(tzinfo=None)


def test_jsonl_with_broken_lines(ingest: Ingest) -> None:
    good = {"date": "2025-01-01", "description": "a", "amount": -1.1, "currency": "EUR"}
    lines = [
        json.dumps(good),
        "",
        "{broken",
        "[1, 2]",
        '"text"',
        '{"date": "2025-01-01", "date": "2025-01-02"}',
        json.dumps({**good, "amount": "1.10", "extra": {"deep": [1]}}),
        json.dumps({**good, "amount": float("nan")}),
        json.dumps({**good, "description": "\ud800"}),
        json.dumps({key: value for key, value in good.items() if key != "amount"}),
        "[" * 100_000,
        '{"date":"2025-01-01","description":"b","amount":12345678901234.5678,"currency":"EUR"}',
        '{"date":"2025-01-01","description":"c","amount":1e999999999,"currency":"EUR"}',
        '{"date":"2025-01-01","description":null,"amount":2E1,"currency":"EUR"}',
    ]
    result = ingest("\n".join(lines), name="file.jsonl")
    assert result.records == 13
    assert result.accepted.select("record_number", "amount", "entry_type").rows() == [
        (1, Decimal("1.1"), "outgoing"),
        (6, Decimal("1.1"), "incoming"),
        (11, Decimal("12345678901234.5678"), "incoming"),  # exact: never a float
        (13, Decimal(20), "incoming"),
    ]
    assert result.rejected.height == 9
    assert result.rejected["raw_text"].to_list()[0] == "{broken"


def test_json_numbers_keep_their_point_whatever_mark_text_uses(ingest: Ingest) -> None:
    mapping = '[file]\ndecimal = ","\n' + SIMPLE + '[amount]\ncolumn = "money.value"\nsign = "outgoing"\n'
    rows = [1.234, "1.234", "1,5"]
    text = "\n".join(json.dumps({"date": "2025-01-01", "description": "x", "money": {"value": row}}) for row in rows)
    result = ingest(text, mapping, name="file.jsonl")
    assert result.accepted["amount"].to_list() == [Decimal("1.234"), Decimal(1234), Decimal("1.5")]


def test_json_lone_surrogates_are_rejected_per_record(ingest: Ingest) -> None:
    line = '{"date":"2025-01-01","description":"x%s","amount":1,"currency":"EUR"}'
    result = ingest(line % "\\ud83d" + "\n" + line % "\\ud83d\\ude00", name="file.jsonl")
    assert result.accepted["description"].to_list() == ["x😀"]
    assert result.rejected.height == 1


def test_parquet_with_typed_columns(tmp_path: Path, now: datetime) -> None:
    frame = pl.DataFrame(
        {
            "id": [1, 2, 3, None],
            "date": [date(2025, 1, 31), date(2025, 2, 1), None, date(2025, 2, 2)],
            "description": ["a", None, "c", "d"],
            "amount": [0.1, -1234.5, float("nan"), 1e16],
            "currency": ["EUR"] * 4,
        }
    )
    path = tmp_path / "a[1]*.parquet"
    frame.write_parquet(path)
    result = read_file(path, now=now)
    assert result.records == 4
    assert result.accepted.select("source_id", "date", "description", "amount").rows() == [
        ("1", date(2025, 1, 31), "a", Decimal("0.1")),
        ("2", date(2025, 2, 1), "", Decimal("1234.5")),
    ]
    assert [number for number, _ in reasons(result)] == [3, 4]
    assert json.loads(result.rejected["raw_text"][0])["description"] == "c"


@pytest.mark.parametrize("kind", [pl.Decimal(12, 2), pl.Float32, pl.Int64, pl.String])
def test_parquet_amount_types(tmp_path: Path, now: datetime, kind: pl.DataType) -> None:
    path = tmp_path / "f.parquet"
    stamps = [datetime(2025, 1, 31, 23, 59)]
    frame = pl.DataFrame({"date": stamps, "description": ["a"], "amount": ["7"], "currency": ["EUR"]})
    frame.with_columns(pl.col("amount").cast(kind)).write_parquet(path)
    result = read_file(path, now=now)
    assert result.accepted.select("date", "amount").rows() == [(date(2025, 1, 31), Decimal(7))]


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"\n\n  \n", "empty"),
        ("a.csv", bytes(range(256)) * 20, "binary"),
        ("a.xlsx", b"PK\x03\x04rest", "Excel"),
        ("a.csv", b"%PDF-1.7", "PDF"),
        ("a.parquet", b"PAR1 nothing PAR1", "damaged Parquet"),
        ("a.csv.gz", b"\x1f\x8b\x08broken", "damaged gzip"),
        ("a.parquet.gz", gzip.compress(b"PAR1", mtime=0), "Parquet inside gzip"),
        ("a.json", b"[1, 2]", "one JSON document"),
        ("a.ofx", b"OFXHEADER:100", "OFX"),
    ],
)
def test_files_that_cannot_be_read_are_named(ingest: Ingest, name: str, content: bytes, word: str) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        ingest(content, name=name)
    assert name in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path: Path, now: datetime) -> None:
    for path in (tmp_path, tmp_path / "nothing.csv"):
        with pytest.raises(ConfigError, match=str(path)):
            read_file(path, now=now)


def test_a_header_alone_is_a_file_without_records(ingest: Ingest) -> None:
    result = ingest(HEAD)
    assert (result.records, result.accepted.height, result.rejected.height) == (0, 0, 0)


def test_other_columns_need_a_mapping_and_offer_one(ingest: Ingest) -> None:
    with pytest.raises(MappingNeeded) as caught:
        ingest("Datum;Text;Betrag (EUR)\n31.01.2025;BÄCKER SECRET;-1.234,50\n")
    message = str(caught.value)
    assert "Datum, Text, Betrag (EUR)" in message
    assert "missing: date" in message.lower()
    assert "SECRET" not in message
    result = ingest("Datum;Text;Betrag (EUR)\n31.01.2025;BÄCKER;-1.234,50\n", caught.value.mapping)
    assert result.accepted.select("date", "amount", "entry_type", "currency").rows() == [
        (date(2025, 1, 31), Decimal("1234.5"), "outgoing", "EUR")
    ]


def test_ambiguous_columns_ask_to_be_stated(ingest: Ingest) -> None:
    amount = '[amount]\ncolumn = "amount"\nsign = "outgoing"\n'
    with pytest.raises(ConfigError, match="%d/%m/%Y and %m/%d/%Y") as caught:
        ingest("date,description,amount\n01/02/2025,a,1\n", SIMPLE + amount)
    assert "[date] format" in caught.value.hint
    with pytest.raises(ConfigError, match="two ways") as caught:
        ingest("date,description,amount\n2025-01-01,a,1.234\n", SIMPLE + amount)
    assert "[file] decimal" in caught.value.hint


def test_canonical_mapping_given_or_not_is_the_same(tmp_path: Path, now: datetime) -> None:
    path = tmp_path / "f.csv"
    path.write_text(HEAD + "2025-01-01,a,1,EUR\n")
    assert read_file(path, Mapping.canonical(), now=now).file_id == read_file(path, now=now).file_id
