"""Suggested mappings: a start that often is right, and says where it is not sure."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pipeline.errors import ConfigError
from pipeline.ingest.mapping import Mapping
from pipeline.ingest.reader import read_file
from pipeline.ingest.suggest import suggest_mapping

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

GERMAN = """\
Buchungstag;Verwendungszweck;Betrag;Währung;Saldo
31.01.2025;MIETE;-800,00;EUR;100,00
01.02.2025;GEHALT;2.000,00;EUR;2.100,00
02.02.2025;STROM;-60,00;EUR;2.040,00
"""
CARD = """\
Date,Merchant,Amount (GBP)
31/01/2025,SHOP,5.00
01/02/2025,REFUND,-1.00
02/02/2025,SHOP,7.00
"""
NO_HEADER = """\
2025-01-31;SHOP ONE;-5,00;EUR
2025-02-01;SHOP TWO;-6,50;EUR
"""


@pytest.mark.parametrize(
    ("text", "day", "description", "amount"),
    [
        (GERMAN, ("Buchungstag", "%d.%m.%Y"), "Verwendungszweck", ("Betrag", "negative_is_outgoing")),
        (CARD, ("Date", "%d/%m/%Y"), "Merchant", ("Amount (GBP)", "positive_is_outgoing")),
        (NO_HEADER, ("1", "iso"), "2", ("3", "negative_is_outgoing")),
    ],
    ids=["german", "card", "no header"],
)
def test_usual_layouts_are_recognised(
    tmp_path: Path, text: str, day: tuple[str, str], description: str, amount: tuple[str, str]
) -> None:
    path = tmp_path / "f.csv"
    path.write_text(text)
    mapping = Mapping.parse(suggest_mapping(path))
    assert (mapping.date.column, mapping.date.format) == day
    assert mapping.description.names == (description,)
    assert (mapping.amount.column, mapping.amount.sign) == amount


@pytest.mark.parametrize(
    ("header", "first", "second", "columns"),
    [
        ("Tag;Empfänger;Verwendungszweck;Betrag;Währung", "REWE;Ihr 1", "DM;Ihr 2", ("Empfänger", "Verwendungszweck")),
        ("Date;Description;Payee;Amount;Currency", "card 1;A", "card 2;B", ("Payee", "Description")),
        # Always the same: that is the bank or the holder.
        ("Date;Description;Payee;Amount;Currency", "card 1;A", "card 2;A", ("Description",)),
    ],
    ids=["german", "english", "constant"],
)
def test_who_and_what_for_are_both_taken(
    tmp_path: Path, header: str, first: str, second: str, columns: tuple[str, ...]
) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f"{header}\n2025-01-31;{first};-5,00;EUR\n2025-02-01;{second};-6,50;EUR\n")
    assert Mapping.parse(suggest_mapping(path)).description.names == columns


def test_debit_and_credit_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    rows = "Date,Payee,Paid out,Paid in,Balance\n2025-01-31,A,5.00,,1.00\n2025-02-01,B,,6.00,7.00\n"
    path.write_text("Account: 1\n\n" + rows)
    mapping = Mapping.parse(suggest_mapping(path).replace("???", "GBP"))
    assert (mapping.amount.debit, mapping.amount.credit) == ("Paid out", "Paid in")
    assert mapping.file.skip_lines == 2


def test_ambiguous_dates_and_unknown_currencies_are_left_to_a_person(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("Date,Payee,Amount\n01/02/2025,A,-5.00\n")
    text = suggest_mapping(path)
    assert "please state it: the values fit %d/%m/%Y and %m/%d/%Y" in text
    with pytest.raises(ConfigError, match=r"\[currency\] constant"):
        Mapping.parse(text)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_typed_formats(tmp_path: Path, now: datetime, kind: str) -> None:
    path = tmp_path / f"f.{kind}"
    rows = [{"Booked": "2025-01-31", "Text": "A", "Value": -5.5, "Ccy": "EUR"}] * 2
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pl.DataFrame(rows).write_parquet(path)
    result = read_file(path, Mapping.parse(suggest_mapping(path)), now=now)
    found = result.accepted.select("date", "description", "amount", "currency").rows()
    assert found == [(date(2025, 1, 31), "A", Decimal("5.5"), "EUR")] * 2


def test_no_value_of_a_description_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("Date,Payee,Amount\n31/01/2025,MRS SECRET,-5.00\n")
    assert "SECRET" not in suggest_mapping(path)


def test_names_and_remarks_are_joined_and_a_column_of_directions_is_one(tmp_path: Path, now: datetime) -> None:
    path = tmp_path / "f.csv"
    path.write_text(
        "Wer;Wofür;D/C;Valuta;Summe EUR\nREWE Markt;Einkauf;D;13.02.2026;12,50\nACME GmbH;Lohn;C;14.02.2026;2.000,00\n"
    )
    text = suggest_mapping(path)
    found = read_file(path, Mapping.parse(text), now=now).accepted.select("description", "amount", "entry_type").rows()
    assert found == [
        ("REWE Markt Einkauf", Decimal("12.5"), "outgoing"),
        ("ACME GmbH Lohn", Decimal(2000), "incoming"),
    ]
    assert "REWE" not in text


@pytest.mark.parametrize("wrong", ["31.02.2025;-6,00", "07.02.2025;sechs"])
def test_one_wrong_value_hides_no_column_of_a_small_file(tmp_path: Path, now: datetime, wrong: str) -> None:
    path = tmp_path / "f.csv"
    day, amount = wrong.split(";")
    path.write_text(f"Tag;Wer;Betrag;Währung\n03.02.2025;A;-5,00;EUR\n{day};B;{amount};EUR\n06.02.2025;C;-7,50;EUR\n")
    mapping = Mapping.parse(suggest_mapping(path))
    assert (mapping.date.column, mapping.amount.column) == ("Tag", "Betrag")
    result = read_file(path, mapping, now=now)
    assert (result.accepted.height, result.rejected.height) == (2, 1)
