"""Mapping files: what they say when they are wrong, and what counts as the same mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.errors import ConfigError
from pipeline.ingest.mapping import Mapping

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {
    "file": 'delimiter = ";"',
    "date": 'column = "Datum"',
    "description": 'columns = ["A", "B"]',
    "amount": 'column = "Betrag"\nsign = "negative_is_outgoing"',
    "currency": 'constant = "EUR"',
}


def toml(**changes: str) -> str:
    sections = {**GOOD, **changes}
    return "\n".join(f"[{name}]\n{body}" for name, body in sections.items() if body)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"date": ""}, ["date", "missing"]),
        ({"date": "column = 3"}, ["[date] column", "str"]),
        ({"date": 'colum = "x"'}, ["[date]", "colum"]),
        ({"extra": "x = 1"}, ["extra"]),
        ({"amount": 'column = "x"\nsign = "minus"'}, ["[amount] sign", "minus"]),
        ({"amount": 'column = "x"'}, ["[amount]", "exactly one of"]),
        ({"amount": 'column = "x"\nsign = "outgoing"\ndirection = "y"'}, ["[amount]", "exactly one of"]),
        ({"amount": 'debit = "x"'}, ["[amount]", "go together"]),
        ({"amount": 'debit = "x"\ncredit = "x"'}, ["[amount] credit", "same column"]),
        ({"amount": 'column = "x"\ndirection = "y"'}, ["[amount] direction", "outgoing and incoming"]),
        (
            {"amount": 'column = "x"\ndirection = "y"\noutgoing = ["D"]\nincoming = ["d"]'},
            ["[amount] incoming", "shares"],
        ),
        ({"currency": 'constant = "???"'}, ["[currency] constant", "'???'"]),
        ({"currency": ""}, ["currency"]),
        ({"country": 'constant = "UK"'}, ["[country] constant", "'UK'"]),
        ({"country": "column = []"}, ["[country] column"]),
        ({"description": 'column = "a"\ncolumns = ["b"]'}, ["[description]", "either"]),
        ({"account_holder_id": 'constant = "a"'}, ["[account_holder_type]", "missing"]),
        ({"account_holder_type": 'constant = "consumer"'}, ["[account_holder_id]", "missing"]),
        ({"file": 'delimiter = ";;"'}, ["[file] delimiter"]),
        ({"file": 'encoding = "utf-99"'}, ["[file] encoding", "utf-99"]),
        ({"file": 'decimal = ","\nthousands = ","'}, ["[file] thousands"]),
        ({"file": "skip_lines = -1"}, ["[file] skip_lines"]),
        ({"file": "delimiter = "}, ["TOML"]),
    ],
)
def test_errors_name_the_file_and_the_key(tmp_path: Path, changes: dict[str, str], words: list[str]) -> None:
    path = tmp_path / "bank.toml"
    path.write_text(toml(**changes))
    with pytest.raises(ConfigError) as caught:
        Mapping.load(path)
    for word in ["bank.toml", *words]:
        assert word in str(caught.value)


def test_a_missing_mapping_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml"):
        Mapping.load(tmp_path / "nothing.toml")


def test_the_digest_is_that_of_the_meaning() -> None:
    one = Mapping.parse(toml())
    assert one.digest() == Mapping.parse("# a comment\n" + toml(file='quote = \'"\'\ndelimiter = ";"')).digest()
    assert one.digest() != Mapping.parse(toml(currency='constant = "USD"')).digest()


def test_the_canonical_digest_never_changes() -> None:
    """It is part of every canonical file's id: a change would make known files new."""
    assert Mapping.canonical().digest() == "2bf0bb85b4d1d67c2ff069a57fad5681"


def test_columns_are_listed_once() -> None:
    assert Mapping.parse(toml(country='column = "A"')).columns == ["Datum", "A", "B", "Betrag"]
