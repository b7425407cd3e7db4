"""The labels of `benchmarks/descriptors.csv` are ones that an answer could meet: known categories, bare domains."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from pipeline.sandbox.engine.categories import SETS

FILE = Path(__file__).parents[2] / "benchmarks" / "descriptors.csv"


@pytest.fixture(scope="module")
def lines() -> list[dict[str, str]]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_there_are_300_and_no_descriptor_twice(lines):
    assert len(lines) == 300
    assert len({line["description"].casefold() for line in lines}) == 300


def test_every_category_is_in_the_set_of_its_holder_and_direction(lines):
    wrong = [
        (line["description"], category)
        for line in lines
        for category in line["category"].split("|")
        if category not in SETS[line["holder_type"]][line["entry_type"]]
    ]
    assert wrong == []


def test_a_counterparty_has_a_type_and_only_a_counterparty_has_a_website(lines):
    for line in lines:
        assert (line["merchant"] != "") == (line["counterparty_type"] in {"person", "organization"}), line
        assert line["merchant"] or not line["website"], line
        assert line["counterparty_type"] != "person" or not line["website"], line


def test_websites_are_bare_domains_and_alternatives_are_not_empty(lines):
    for line in lines:
        domains = line["website"].split("|") if line["website"] else []
        assert all(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", domain) for domain in domains), line
        names = [name for name in (line["merchant"], line["intermediaries"]) if name]
        assert all(part.strip() for name in names for part in re.split("[|;]", name)), line


def test_inputs_are_ones_the_api_would_take(lines):
    for line in lines:
        assert float(line["amount"]) > 0, line
        assert re.fullmatch("[A-Z]{3}", line["currency"]), line
        assert re.fullmatch("([A-Z]{2})?", line["country"]), line
