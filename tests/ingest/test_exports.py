"""Real exports that nobody on the project wrote: counts against independent ones, and never a crash."""

from __future__ import annotations

import csv
import tomllib
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import ConfigError
from pipeline.ingest.mapping import Mapping
from pipeline.ingest.reader import read_file
from pipeline.ingest.suggest import MappingNeeded, suggest_mapping

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

CASES = """
commerzbank  1  1 2018-03-02 17.22    outgoing EUR Umsaetze_KtoNr538917600_EUR_02-03-2018_1503.CSV
raiffeisen  74 73 2017-09-18 33.87    outgoing EUR test_raiffeisen_01.csv
ocbc        16  8 2018-04-18 6.66     outgoing SGD TransactionHistory_20180418043121.csv
boi         27 27 2017-09-01 428.03   incoming EUR test_BOI_TransactionExport.csv
ubs          3  3 2019-03-31 10       outgoing CHF ubs-ch-fr_trimmed.csv
ubs_balance  3  3 2019-03-31 11373.94 incoming CHF ubs-ch-fr_trimmed.csv
erste        2  2 2019-04-19 350      outgoing HUF W80844_EBH_201945.202122.csv
swedbank    17 17 2014-10-01 10374.04 incoming EUR test_swedebank_statement.xls
rabobank     3  3 2018-03-01 337.49   outgoing EUR CSV_A_20180414_112204.csv
creditunion  8  8 2015-02-08 50000    outgoing TZS creditunion.csv
amex_uk     13 10 2019-12-12 1183.23  outgoing GBP MS_JANE_SMITH_01-12-2019_14-12-2019.csv
outbank      4  4 2019-02-20 100      incoming EUR outbank.csv
kta         11 11 2019-03-11 89.3     outgoing EUR kta_ei.dat
kbc_card     3  3 2020-02-01 16.52    outgoing EUR export_KBC-Mastercard Business Essential_20200204_1604.csv
"""
"""Mapping, records, accepted, the first accepted row (date, amount, direction, currency), file."""


@pytest.mark.parametrize("case", CASES.strip().splitlines(), ids=lambda case: case.split()[0])
def test_dialects(exports: Path, mappings: Path, now: datetime, case: str) -> None:
    mapping, records, accepted, day, amount, way, currency, name = case.split(None, 7)
    (path,) = [p for p in (exports / "csv").iterdir() if p.name.split("__", 1)[1] == name]
    result = read_file(path, Mapping.load(mappings / f"{mapping}.toml"), now=now)
    assert (result.records, result.accepted.height) == (int(records), int(accepted))
    assert result.rejected.height == int(records) - int(accepted)
    first = result.accepted.select("date", "amount", "entry_type", "currency").row(0)
    assert first == (date.fromisoformat(day), Decimal(amount), way, currency)


def test_a_year_that_no_bank_has(exports: Path, mappings: Path, now: datetime) -> None:
    """The export is anonymised: every date is 1111/11/11."""
    path = exports / "csv" / "bank2ynab__TH_20180101-20180523_page_1.csv"
    result = read_file(path, Mapping.load(mappings / "tatra.toml"), now=now)
    assert (result.records, result.accepted.height) == (9, 0)
    assert "has a year outside 1970 to 2099" in result.rejected["reasons"][0][0]


def test_preamble_and_two_row_transactions(exports: Path, mappings: Path, now: datetime) -> None:
    path = exports / "csv" / "bank2ynab__TransactionHistory_20180418043121.csv"
    result = read_file(path, Mapping.load(mappings / "ocbc.toml"), now=now)
    assert result.facts["header"] == "line 6, 5 columns"
    assert result.facts["skipped"] == "5 lines before the header (found)"
    assert any("before the header were skipped" in warning for warning in result.warnings)
    assert set(result.rejected["reasons"].explode()) == {"record: 3 fields where 5 are expected"}


def test_identical_same_day_entries_survive(exports: Path, mappings: Path, now: datetime) -> None:
    path = exports / "gov" / "Barnet__1718Pcard.csv"
    result = read_file(path, Mapping.load(mappings / "barnet.toml"), now=now)
    assert result.accepted["transaction_id"].n_unique() == result.accepted.height
    assert result.accepted["content_hash"].n_unique() < result.accepted.height


def test_barnet(exports: Path, mappings: Path, now: datetime) -> None:
    """UK dates, refunds below zero. Counted by bytes here: the file has no quoted line ends."""
    path = exports / "gov" / "Barnet__1718Pcard.csv"
    result = read_file(path, Mapping.load(mappings / "barnet.toml"), now=now)
    lines = [line for line in path.read_bytes().split(b"\r\n") if line]
    assert result.records == len(lines) - 1
    assert result.accepted.height == result.records
    negative = sum(1 for row in csv.reader(path.read_text("latin-1").splitlines()) if row[2].startswith("-"))
    assert (result.accepted["entry_type"] == "incoming").sum() == negative
    assert result.accepted["date"].is_between(date(2017, 1, 1), date(2018, 12, 31)).all()


def test_toronto(exports: Path, mappings: Path, now: datetime) -> None:
    """Tab separated, with a total row after each card: every row without an id is a total and is rejected."""
    path = exports / "gov" / "Toronto__2015-07.csv"
    result = read_file(path, Mapping.load(mappings / "toronto.toml"), now=now)
    with path.open(encoding="cp1252", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    assert result.records == len(rows)
    assert result.rejected.height == sum(1 for row in rows if not row[1].strip())
    total = sum(Decimal(row[5].replace(",", "")) for row in rows if row[1].strip())
    signs = result.accepted["entry_type"].replace_strict({"outgoing": 1, "incoming": -1}).to_list()
    assert sum(a * s for a, s in zip(result.accepted["amount"], signs, strict=True)) == total
    assert all("date (Transaction Date): is empty" in reasons for reasons in result.rejected["reasons"])


def test_every_file_is_read_or_refused_clearly(exports: Path, now: datetime) -> None:
    """Without a mapping, and under the suggested one."""
    read = 0
    for path in sorted(exports.glob("*/*")):
        with pytest.raises(ConfigError) as caught:
            read_file(path, now=now)
        assert path.name in str(caught.value)
        if not isinstance(caught.value, MappingNeeded):
            continue
        suggestion = suggest_mapping(path)
        assert suggestion == caught.value.mapping
        tomllib.loads(suggestion)
        try:
            result = read_file(path, Mapping.parse(suggestion.replace("???", "EUR"), name=path.name), now=now)
        except ConfigError as error:
            assert path.name in str(error)  # noqa: PT017 - most are read
            continue
        read += 1
        assert result.records == result.accepted.height + result.rejected.height
    assert read >= 28
