"""The tables written by hand: what a slip of the pen would break."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from pipeline.ingest.codes import COUNTRIES
from pipeline.sandbox.engine.categories import BUSINESS_OUTGOING, CONSUMER_INCOMING, CONSUMER_OUTGOING
from pipeline.sandbox.engine.lookup import read_table
from pipeline.sandbox.engine.text import normalise, tokens
from pipeline.sandbox.wordlist import word_set

MERCHANTS = read_table("merchants.csv")
MCCS = read_table("mcc.csv")
DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")
KINDS = word_set(
    "automotive contractor digital education entertainment financial food government health nonprofit personal retail"
    " services telecom transport travel utility wholesale"
)
FLAGS = {"platform", "broker", "bank", "payroll", "benefits"}
# The first digits of NAICS 2017: its sectors.
SECTORS = word_set("11 21 22 23 31 32 33 42 44 45 48 49 51 52 53 54 55 56 61 62 71 72 81 92")


def span(mcc: str) -> range:
    first, _, last = mcc.partition("-")
    return range(int(first), int(last or first) + 1)


CODES = Counter(code for row in MCCS for code in span(row["mcc"]))


def cells(rows: list[dict[str, str]], column: str) -> list[str]:
    return [row[column] for row in rows]


def aliases(row: dict[str, str]) -> list[str]:
    return [alias.removeprefix("=") for alias in row["aliases"].split("|")]


@pytest.mark.parametrize("rows", [MERCHANTS, MCCS], ids=["merchants", "mcc"])
def test_every_row_has_every_column(rows):
    # A comma without quotation marks gives a column too many (key None), a forgotten one a column too few (value None).
    assert [row for row in rows if None in row or None in row.values()] == []
    assert [row for row in rows if any(cell != cell.strip() for cell in row.values())] == []


def test_the_sizes():
    assert len(MERCHANTS) >= 800
    assert len(MCCS) >= 290


def test_an_mcc_stands_once_and_ranges_do_not_overlap():
    assert all(re.fullmatch(r"\d{4}(-\d{4})?", mcc) for mcc in cells(MCCS, "mcc"))
    assert [code for code, times in CODES.items() if times > 1] == []
    assert [int(mcc[:4]) for mcc in cells(MCCS, "mcc")] == sorted(int(mcc[:4]) for mcc in cells(MCCS, "mcc"))


def test_airlines_car_rental_and_hotels_are_whole_ranges():
    kinds = {code: row["kind"] for row in MCCS for code in span(row["mcc"])}
    assert {
        kinds[code] for first, last in ((3000, 3299), (3351, 3441), (3501, 3838)) for code in range(first, last + 1)
    } == {"travel"}


def test_mccs_have_categories_of_the_sets():
    assert set(cells(MCCS, "consumer_out")) <= set(CONSUMER_OUTGOING)
    assert set(cells(MCCS, "consumer_in")) <= set(CONSUMER_INCOMING)
    assert set(cells(MCCS, "business")) <= set(BUSINESS_OUTGOING)
    assert set(cells(MCCS, "kind")) == KINDS


def test_naics_codes_are_of_a_sector():
    codes = cells(MCCS, "naics2017")
    assert [code for code in codes if not re.fullmatch(r"\d{3,6}", code) or code[:2] not in SECTORS] == []


def test_titles_are_short_and_differ():
    titles = Counter(row["title"] for row in MCCS if "-" not in row["mcc"])
    assert [title for title, times in titles.items() if times > 1 or len(title) > 50] == []


def test_merchants_have_categories_of_the_sets():
    assert set(cells(MERCHANTS, "category")) <= set(CONSUMER_OUTGOING)
    assert set(cells(MERCHANTS, "business")) <= {*BUSINESS_OUTGOING, ""}


def test_merchants_have_known_mccs():
    wrong = {row["name"] for row in MERCHANTS for code in row["mccs"].split("|") if int(code) not in CODES}
    assert wrong == set()


def test_websites_are_bare_domains():
    assert [site for site in cells(MERCHANTS, "website") if not DOMAIN.fullmatch(site)] == []
    assert [site for site in cells(MERCHANTS, "website") if site.startswith("www.")] == []


def test_a_name_stands_once():
    assert [name for name, times in Counter(cells(MERCHANTS, "name")).items() if times > 1] == []


def test_parents_are_a_name_and_a_domain():
    parents = [row["parent"].split("|") for row in MERCHANTS if row["parent"]]
    assert [parent for parent in parents if len(parent) != 2 or not parent[0] or not DOMAIN.fullmatch(parent[1])] == []
    # The same parent under two sites, or the same site under two names, would be two companies.
    assert len({name for name, _ in parents}) == len({site for _, site in parents}) == len({*map(tuple, parents)})


def test_a_parent_that_has_a_row_has_its_name():
    # Ids follow from the site: two names for one site would be two names for one id.
    owners = {row["website"]: row["name"] for row in reversed(MERCHANTS)}
    parents = [row["parent"].split("|") for row in MERCHANTS if row["parent"]]
    assert {(name, site) for name, site in parents if owners.get(site, name) != name} == set()


def test_no_merchant_is_its_own_parent():
    assert [row["name"] for row in MERCHANTS if row["parent"].startswith(row["name"] + "|")] == []


def test_an_alias_belongs_to_one_merchant_of_a_country():
    times = Counter(
        (alias, at) for row in MERCHANTS for alias in aliases(row) for at in row["countries"].split() or [""]
    )
    assert [alias for alias, count in times.items() if count > 1] == []
    everywhere = {alias for alias, at in times if not at}
    assert [alias for alias, at in times if at and alias in everywhere] == []


def test_aliases_are_written_as_the_engine_reads_them():
    every = [alias for row in MERCHANTS for alias in aliases(row)]
    assert [alias for alias in every if not alias or " ".join(tokens(normalise(alias))).lower() != alias] == []


def test_an_alias_that_may_stand_anywhere_is_longer_than_two_letters():
    anywhere = [alias for row in MERCHANTS for alias in row["aliases"].split("|") if not alias.startswith("=")]
    assert [alias for alias in anywhere if len(alias) < 3] == []


def test_flags_are_known():
    assert {flag for row in MERCHANTS for flag in row["flags"].split()} == FLAGS


def test_countries_are_codes():
    listed = [row["countries"].split() for row in MERCHANTS]
    assert {code for codes in listed for code in codes} <= set(COUNTRIES)
    assert [codes for codes in listed if len(codes) != len(set(codes))] == []
