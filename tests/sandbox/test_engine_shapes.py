"""What is remembered of lines that differ in their numbers only is what is found out about each of them."""

from __future__ import annotations

import csv
import re
from collections import OrderedDict
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sample import SAMPLE
from pipeline.sandbox.engine import shapes
from pipeline.sandbox.engine.lookup import read_packed, read_table
from pipeline.sandbox.engine.reading import read
from pipeline.sandbox.engine.shapes import answer, shape_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("POSC73JAN SUPERVALU", "POSC04JAN SUPERVALU"),
        ("CARD PAYMENT TO ARGOS ON 24 JAN", "CARD PAYMENT TO ARGOS ON 05 JAN"),
        ("VISA REWE NR XXXX 7774 XXXX8535", "VISA REWE NR XXXX 1111 XXXX2222"),
        ("BEA 12.05.24/11:30 SHOP", "BEA 01.06.25/09:15 SHOP"),
        ("SHOP 2026-01-02T08:11:12 KFN 1", "SHOP 2025-12-31T23:59:59 KFN 1"),
        ("PURCHASE P5266722186", "PURCHASE P0000000001"),
        ("7-ELEVEN 6987", "7-ELEVEN 1111"),
    ],
)
def test_one_shape(one, other):
    assert shape_of(one) == shape_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MODELO 303", "MODELO 304"),
        ("24 HOUR FITNESS", "25 HOUR FITNESS"),
        ("24/7 GYM", "23/7 GYM"),
        ("STUDIO54 BAR", "STUDIO55 BAR"),
        ("SHOP 123", "SHOP 1234"),
        ("7-ELEVEN", "8-ELEVEN"),
        ("05 JANSEN", "06 JANSEN"),
        ("A 000", "A 457"),
    ],
)
def test_two_shapes(one, other):
    assert shape_of(one) != shape_of(other)


def lines():
    """Lines of the sample, and every name of the tables that has a number in it, between other numbers."""
    with SAMPLE.open(encoding="utf-8", newline="") as stream:
        sample = sorted({row["description"] for row in csv.DictReader(stream)})
    names = [name for row in read_table("merchants.csv") for name in row["aliases"].split("|")]
    names += [name for row in read_table("phrases.csv") for name in row["phrases"].split("|")]
    names += [name for _, aliases, *_ in read_packed("brands.zst") for name in aliases.split("|")]
    return sample, [f"CARD 4821 {name.lstrip('=')} 2291 LONDON 12.05.24" for name in names if re.search(r"\d\d", name)]


SAMPLE_LINES, NUMBERED = lines()


def varied(text, random):
    return re.sub(r"[0-9]+", lambda run: "".join(random.choice("0123456789") for _ in run[0]), text)


@pytest.fixture
def _nothing_remembered(monkeypatch):
    monkeypatch.setattr(shapes, "_answers", OrderedDict())


@pytest.mark.usefixtures("_nothing_remembered")
def test_the_sample_and_all_names_with_numbers():
    random = Random(5)
    asked = [*random.sample(SAMPLE_LINES, 600), *NUMBERED]
    wrong = []
    for text in asked:
        for line in (text, varied(text, random), varied(text, random)):
            for holder in ("consumer", "business"):
                given_ = (line, "outgoing", "GBP", "GB", holder)
                if answer(*given_) != read(*given_):
                    wrong.append(line)
    assert wrong == []
    assert len(shapes._answers) < 4 * len(asked)


PARTS = [
    *"7-/.:*X",
    *[
        "TESCO",
        "STORES",
        "24",
        "PARIS",
        "303",
        "MODELO",
        "SHELL",
        "XX",
        "0000",
        "1234",
        "12",
        "99",
        "JAN",
        "A1",
        "365",
        "H&M",
        "LONDON",
        "54321",
    ],
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=9), st.booleans())
def test_any_line(parts, apart):
    line = (" " if apart else "").join(parts)
    for text in (line, line.replace("1234", "5678").replace("12", "98").replace("0000", "4711")):
        assert answer(text, "outgoing", "EUR", "FR", "consumer") == read(text, "outgoing", "EUR", "FR", "consumer")


@pytest.mark.usefixtures("_nothing_remembered")
def test_only_so_many_are_kept(monkeypatch):
    monkeypatch.setattr(shapes, "REMEMBERED", 3)
    for word in ("ONE", "TWO", "THREE", "FOUR", "FIVE"):
        answer(word, "outgoing", "USD", "US", "consumer")
    assert [key[0] for key in shapes._answers] == ["THREE", "FOUR", "FIVE"]


@pytest.mark.usefixtures("_nothing_remembered")
def test_the_shops_number_is_each_lines_own():
    for number in ("6987", "1111"):
        found = answer(f"7-ELEVEN {number} SEATTLE WA 694259{number}", "outgoing", "USD", "US", "consumer")
        assert found["location"]["structured"]["store_number"] == number
    assert len(shapes._answers) == 1
