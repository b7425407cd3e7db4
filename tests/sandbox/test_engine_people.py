"""Who is a person: transfers, standing orders and rent in several countries. Names and lines made up here."""

from __future__ import annotations

import pytest

from pipeline.sandbox.engine.people import is_first_name, without_remark
from pipeline.sandbox.engine.reading import read


def party(text: str, country: str = "GB", entry_type: str = "outgoing"):
    currency = {"US": "USD", "GB": "GBP", "PL": "PLN"}.get(country, "EUR")
    answer = read(text, entry_type, currency, country, "consumer")
    found = answer["entities"]["counterparty"] or {"name": None, "type": None, "website": None}
    return found["name"], found["type"], found["website"], answer["categories"]["general"]


@pytest.mark.parametrize(
    ("text", "country"),
    [
        ("Transfer to {}", "GB"),
        ("{} FASTER PAYMENT", "GB"),
        ("FPO {} 200000001829304", "GB"),
        ("STANDING ORDER {}", "GB"),
        ("MONTHLY TRANSFER TO {}", "GB"),
        ("Online Transfer to {}", "US"),
        ("SEPA-Überweisung {}", "DE"),
        ("VIR INST VERS {}", "FR"),
        ("TRANSFERENCIA A FAVOR DE {}", "ES"),
    ],
)
@pytest.mark.parametrize("name", ["Danielle Whimbrel", "Matthias Whimbrel", "Nathalie Whimbrel", "Fernando Ibanez"])
def test_people_are_sent_money_in_many_words(text, country, name):
    assert party(text.format(name), country) == (name, "person", None, "peer to peer transfer")


@pytest.mark.parametrize(
    ("text", "country", "name"),
    [
        ("ECHTZEITÜBERWEISUNG Jonas Whimbrel Danke fürs Essen", "DE", "Jonas Whimbrel"),
        ("STANDING ORDER D P WHIMBREL GARDEN", "GB", "D P Whimbrel"),
        ("FPO OLIVER WHIMBREL PIZZA", "GB", "Oliver Whimbrel"),
        ("STO TO GEMMA WHIMBREL", "GB", "Gemma Whimbrel"),
        ("FASTER PAYMENTS RECEIPT REF.DINNER OUT FROM MR T WHIMBREL", "GB", "T Whimbrel"),
    ],
)
def test_a_remark_is_no_part_of_a_name(text, country, name):
    assert party(text, country)[:2] == (name, "person")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("FPO S GALLAGHER 2000001", "S Gallagher"),
        ("FASTER PAYMENT S KHAN", "S Khan"),
        ("SO MRS L WHIMBREL", "L Whimbrel"),
        ("TRANSFER TO TRACEY SMITH", "Tracey Smith"),  # no TRACE number
    ],
)
def test_initials_and_titles(text, name):
    assert party(text)[:2] == (name, "person")


@pytest.mark.parametrize(
    ("text", "name"),
    [("FASTER PAYMENT TO OLIVIA PRESTON", "Olivia Preston"), ("Transfer to James Lancaster", "James Lancaster")],
)
def test_a_surname_that_is_a_town(text, name):
    assert party(text)[:2] == (name, "person")


def test_a_first_name_and_a_town_are_no_brand():
    assert party("PAYPAL *EMMA LINCOLN")[::2] == ("Emma Lincoln", None)


def test_wallets_pay_shops_too():
    assert party("VIPPS*KARI WHIMBREL", "NO")[:2] == ("Kari Whimbrel", "person")
    assert party("VIPPS*OSLO WHIMBREL", "NO")[1] == "organization"


def test_landlords():
    assert party("Dauerauftrag Thomas Whimbrel Miete Garage", "DE")[:2] == ("Thomas Whimbrel", "person")
    assert party("DAUERAUFTRAG Hannelore Whimbrel Miete", "DE") == ("Hannelore Whimbrel", "person", None, "rent")
    assert party("STANDING ORDER HARTWELL LETTINGS RENT")[1] == "organization"


@pytest.mark.parametrize(
    "text",
    [
        "TRANSFER TO MARTIN LAW SOLICITORS",
        "STANDING ORDER ST MARTIN CHURCH",
        "DAUERAUFTRAG MARTIN SCHREINEREI",
        "FPO OLIVER HEATING LTD",
        "MRS CRUMBS BAKERY",
        "CARD PAYMENT TO OSCAR WHIMBREL",
        "BILL PAYMENT TO FLORENCE WATER",
    ],
)
def test_businesses_with_a_persons_name(text):
    assert party(text)[1] == "organization"


def test_a_shop_with_a_whole_name():
    assert party("PAYMENT TO EDDIE BAUER", "US")[:3] == ("Eddie Bauer", "organization", "eddiebauer.com")
    assert party("PAYMENT TO PAUL SMITH")[1] == "person"


@pytest.mark.parametrize(
    ("text", "country", "category"),
    [
        ("TRANSFER TO 20-48-19 83920174 SAVER", "GB", "intra account transfer"),
        ("STANDING ORDER 40-22-11 12938471 HOLIDAY POT", "GB", "intra account transfer"),
        ("GA NR00004829 BLZ37050198 2 14.03/18.22UHR AACHEN", "DE", "ATM withdrawal"),
        ("OVERDRAFT ITEM FEE", "US", "other"),
    ],
)
def test_nobody(text, country, category):
    assert party(text, country) == (None, None, None, category)


def test_first_names_in_any_spelling():
    assert all(map(is_first_name, ["JURGEN", "JUERGEN", "ZOE", "FRANCOIS", "MALGORZATA"]))
    assert not any(map(is_first_name, ["WHIMBREL", "SUMMER", "MERCEDES", ""]))


def test_a_remark_needs_a_name_before_it():
    assert without_remark(["PIZZA", "DINNER", "HOUSE"]) == ["PIZZA", "DINNER"]
    assert without_remark(["MR", "T", "PIZZA"]) == ["MR", "T", "PIZZA"]
    assert without_remark([]) == []
