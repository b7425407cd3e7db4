"""The engine: what it reads out of the lines that banks print."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from pipeline.sandbox.engine import enrich
from pipeline.sandbox.engine.categories import SETS
from pipeline.sandbox.engine.entities import SHARED
from pipeline.sandbox.engine.lookup import read_table
from pipeline.sandbox.engine.reading import read
from pipeline.sandbox.engine.verdict import to_business
from pipeline.sandbox.schema import Item, Location


def look(
    text: str, entry_type: str = "outgoing", currency: str = "USD", holder: str = "consumer", country: str | None = None
) -> dict[str, Any]:
    place = Location(None, country) if country else None
    return enrich(Item("t", text, dt.date(2024, 5, 1), 10.0, entry_type, currency, "h", place), holder)


def home(row: dict[str, str]) -> str | None:
    """The first country that a merchant trades in."""
    return next(iter(row["countries"].split()), None)


def name(found: dict[str, Any]) -> str | None:
    counterparty = found["entities"]["counterparty"]
    return counterparty and counterparty["name"]


@pytest.mark.parametrize(
    ("text", "who", "category"),
    [
        ("SQ *STARBUCKS 12345 SEATTLE WA", "Starbucks", "coffee shop"),
        ("CARD PAYMENT TO TESCO STORES 6243 ON 03 MAR", "Tesco", "groceries"),
        ("SAINSBURY'S S/MKT 0123", "Sainsbury's", "groceries"),
        ("POS PURCHASE 0423 TARGET T-1234 MINNEAPOLIS MN", "Target", "department or discount store"),
        ("AMZN Mktp US*2X3Y4Z", "Amazon", "e-commerce purchase"),
        ("AMAZON PRIME*AB1CD2EF3", "Amazon Prime", "digital content and streaming"),
        ("APPLE.COM/BILL 866-712-7753 CA", "Apple", "digital content and streaming"),
        ("GOOGLE *YouTubePremium g.co/helppay#CA", "YouTube", "digital content and streaming"),
        ("UBER   *TRIP HELP.UBER.COM", "Uber", "rideshare or taxi transport"),
        ("UBER *EATS PENDING", "Uber Eats", "food delivery"),
        ("SHELL OIL 57442 HOUSTON TX", "Shell", "fuel"),
        ("PURCHASE AUTHORIZED ON 09/29 H&M 0123 PORTLAND OR CARD 1234", "H&M", "clothing"),
        ("CHECKCARD 0412 7-ELEVEN 34567 DALLAS TX", "7-Eleven", "convenience store"),
        ("MCDONALD'S F1234 CHICAGO IL", "McDonald's", "fast food"),
        ("DIRECT DEBIT BRITISH GAS 8500123", "British Gas", "utilities"),
        ("AWS EMEA aws.amazon.co", "Amazon Web Services", "saas tools"),
        ("MSFT * E0400XYZ", "Microsoft", "saas tools"),
        ("KARTENZAHLUNG REWE MARKT GMBH", "REWE", "groceries"),
        ("RYANAIR DUBLIN", "Ryanair", "airfare"),
        ("BOOTS 1234 LONDON", "Boots", "drugstore or pharmacy"),
        ("XXXXXXXXXXXX1234 WALMART SUPERCENTER", "Walmart", "department or discount store"),
        ("TFL TRAVEL CH TFL.GOV.UK/CP", "Transport for London", "public transport"),
        ("IRS USATAXPYMT 123456", "IRS", "taxes"),
        ("CHASE CREDIT CRD AUTOPAY", "Chase", "credit card bill"),
    ],
)
def test_known_merchants(text, who, category):
    found = look(text)
    assert (name(found), found["categories"]["general"]) == (who, category)
    assert found["entities"]["counterparty"]["website"]
    assert found["entities"]["counterparty"]["mccs"]


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("NEXT DOOR TRADING", "Next Door Trading"),
        ("SHELL COTTAGE VENTURES", "Shell Cottage Ventures"),
        ("TARGETED ADVICE LTD", "Targeted Advice Ltd"),
        ("SUBWAYS OF THE WORLD", "Subways of the World"),
        ("ACME WIDGETS INC 0042 AUSTIN TX", "Acme Widgets Inc"),
        ("POS PURCHASE 991823 HARLAND SUPPLY #0017", "Harland Supply"),
    ],
)
def test_unknown_merchants_keep_their_name(text, who):
    found = look(text)
    assert name(found) == who
    assert found["categories"]["general"] == "not enough information"
    assert found["entities"]["counterparty"]["website"] is None
    assert found["entities"]["counterparty"]["type"] == "organization"


@pytest.mark.parametrize(
    ("text", "processor", "parent", "who"),
    [
        ("SQ *BLUE BOTTLE 0423", "Square", "Block, Inc.", "Blue Bottle Coffee"),
        ("SQU*SQ *CORNER SHED", "Square", "Block, Inc.", "Corner Shed"),
        ("PAYPAL *SPOTIFY P1D2E3F4", "PayPal", "PayPal Holdings, Inc.", "Spotify"),
        ("PP*HARLAND", "PayPal", "PayPal Holdings, Inc.", "Harland"),
        ("TST* JOES DINER AUSTIN TX", "Toast", None, "Joes Diner"),
        ("SP * ALLBIRDS", "Shopify", None, "Allbirds"),
        ("SumUp *The Tiny Shed", "SumUp", None, "The Tiny Shed"),
        ("iZ *Flower Power", "Zettle", "PayPal", "Flower Power"),
        ("Zettle_*Corner Shed", "Zettle", "PayPal", "Corner Shed"),
        ("GOOGLE *Harland Games", "Google", "Alphabet Inc.", "Harland Games"),
        ("KLARNA*ASOS", "Klarna", None, "ASOS"),
        ("CKO*PATAGONIA", "Checkout.com", None, "Patagonia"),
        ("DOORDASH*CHIPOTLE SAN FRANCISCO CA", "DoorDash", None, "Chipotle"),
        ("ZELLE TO JANE SMITH", "Zelle", "Early Warning Services", "Jane Smith"),
    ],
)
def test_processors_stand_between(text, processor, parent, who):
    found = look(text)
    (middle,) = found["entities"]["intermediaries"]
    assert (middle["name"], middle["parent"] and middle["parent"]["name"]) == (processor, parent)
    assert name(found) == who


@pytest.mark.parametrize(
    ("text", "entry_type", "who", "category"),
    [
        ("ZELLE PAYMENT TO JOHN DOE JPM99a1b2c3", "outgoing", "John Doe", "peer to peer transfer"),
        ("VENMO PAYMENT 1029384756 MIKE BROWN", "outgoing", "Mike Brown", "peer to peer transfer"),
        ("ZELLE FROM ZYGMUNT QUILL", "incoming", "Zygmunt Quill", "peer to peer transfer"),
        ("FASTER PAYMENT TO MR J WILLIAMS", "outgoing", "J Williams", "peer to peer transfer"),
        ("PAYMENT FROM SARAH CONNOR", "incoming", "Sarah Connor", "peer to peer transfer"),
        ("TRANSFER TO EMMA JONES", "outgoing", "Emma Jones", "peer to peer transfer"),
    ],
)
def test_people(text, entry_type, who, category):
    found = look(text, entry_type)
    assert (name(found), found["categories"]["general"]) == (who, category)
    assert found["entities"]["counterparty"]["type"] == "person"


@pytest.mark.parametrize(
    "text", ["PAYMENT TO ACME PLUMBING", "CARD PAYMENT TO MARK JONES BUTCHER", "TRANSFER TO HARLAND LTD"]
)
def test_organisations_are_not_people(text):
    assert look(text)["entities"]["counterparty"]["type"] == "organization"


@pytest.mark.parametrize(
    ("text", "entry_type", "category"),
    [
        ("ATM WITHDRAWAL 000123 MAIN ST", "outgoing", "ATM withdrawal"),
        ("CASH WITHDRAWAL AT LLOYDS", "outgoing", "ATM withdrawal"),
        ("OVERDRAFT FEE", "outgoing", "other"),
        ("INTEREST CHARGE ON PURCHASES", "outgoing", "interest payment"),
        ("GROSS INTEREST", "incoming", "interest earned"),
        ("PAYROLL ACME CORP PPD ID: 1234567890", "incoming", "paycheck"),
        ("GEHALT 05/2024", "incoming", "paycheck"),
        ("TRANSFER TO SAVINGS ACCOUNT", "outgoing", "intra account transfer"),
        ("ONLINE TRANSFER FROM CHK ...1234", "incoming", "intra account transfer"),
        ("WIRE TRANSFER OUT", "outgoing", "inter account transfer"),
        ("STANDING ORDER TO J HARLAND RENT", "outgoing", "rent"),
        ("NATIONWIDE MORTGAGE 0012", "outgoing", "mortgage repayment"),
        ("COUNCIL TAX CAMDEN", "outgoing", "taxes"),
        ("AMAZON REFUND", "incoming", "refund"),
        ("TESCO STORES 6243", "incoming", "refund"),
        ("DWP UNIVERSAL CREDIT", "incoming", "benefits"),
        ("COINBASE.COM", "incoming", "transfer from crypto broker"),
        ("COINBASE.COM", "outgoing", "transfer to crypto broker"),
        ("UBER DRIVER PAYOUT", "incoming", "rideshare or delivery income"),
        ("HARLAND FAMILY DENTAL 0042", "outgoing", "medical bill"),
        ("HARLAND TRADING", "incoming", "not enough information"),
    ],
)
def test_kinds_of_payment(text, entry_type, category):
    assert look(text, entry_type)["categories"] == {"general": category, "accounting": None}


@pytest.mark.parametrize(
    ("text", "entry_type", "category", "accounting"),
    [
        ("AWS EMEA", "outgoing", "software and cloud services", "operational expenses"),
        ("FACEBK *ADS FB12", "outgoing", "advertising and marketing", "operational expenses"),
        ("FEDEX 103911087", "outgoing", "shipping", "operational expenses"),
        ("STRIPE TRANSFER ST-A1B2", "incoming", "processor payout", "revenue"),
        ("SALARIES MAY", "outgoing", "payroll", "operational expenses"),
        ("OVERDRAFT FEE", "outgoing", "bank fee", "operational expenses"),
        ("LOAN REPAYMENT 42", "outgoing", "loan repayment", "financing"),
        ("HMRC VAT", "outgoing", "taxes", "taxes"),
        ("SCREWFIX DIRECT", "outgoing", "inventory", "cost of goods sold"),
        ("VANGUARD BUY", "outgoing", "investment", "investing"),
        ("HARLAND TRADING", "outgoing", "not enough information", "not enough information"),
    ],
)
def test_business_holders(text, entry_type, category, accounting):
    found = look(text, entry_type, holder="business")["categories"]
    assert found == {"general": category, "accounting": accounting}


@pytest.mark.parametrize(
    ("text", "who", "city"),
    [
        ("KARTENZAHLUNG HARLAND GMBH KOELN 12.12. 11:19 GIROCARD", "Harland GmbH", "Koeln"),
        ("HARLAND//HAMBURG/DE 2025-09-14T08:27:12 KFN 1 VJ 2712", "Harland", "Hamburg"),
        ("FACTURE CARTE DU 020925 HARLAND LYON 3", "Harland", "Lyon"),
        ("CARTE 04/09/25 HARLAND PARIS 11 CB*2306", "Harland", "Paris"),
        ("BEA, Betaalpas HARLAND 48,PAS412 NR:428359, 05.09.25/16:00 UTRECHT", "Harland", None),
        ("HARLAND HAARLEM HAARLEM NLD Pasvolgnr: 003 Transactie: 123296", "Harland", "Haarlem"),
        ("COMPRA TARJ. 8837XXXXXXXX HARLAND BILBAO", "Harland", "Bilbao"),
        ("VDP-HARLAND CORK", "Harland", "Cork"),
        ("POSC07SEP HARLAND DUBLIN", "Harland", "Dublin"),
        ("2366 11SEP25 CD HARLAND LONDON GB", "Harland", "London"),
        ("PRLV SEPA HARLAND SA", "Harland SA", None),
        ("SEPA-LASTSCHRIFT HARLAND GMBH MREF+2234644171", "Harland GmbH", None),
    ],
)
def test_what_banks_print_around_a_name(text, who, city):
    found = look(text, currency="EUR")
    assert name(found) == who
    assert (found["location"] and found["location"]["structured"]["city"]) == city


def test_a_domain_gives_website_and_name():
    counterparty = look("WWW.GET-SHIRTS.CO.UK 0123")["entities"]["counterparty"]
    assert (counterparty["name"], counterparty["website"]) == ("Get Shirts", "get-shirts.co.uk")
    assert counterparty["logo"] == "https://logos.ntropy.com/get-shirts.co.uk"
    assert name(look("PAYMENT NETFLIX.COM/BILL")) == "Netflix"


def test_entity_ids_are_those_of_the_documentation():
    found = look("SQ *STARBUCKS")["entities"]
    assert found["counterparty"]["id"] == "d4bc3c80-ec1a-3da2-836e-2a4ca4758be5"
    assert found["intermediaries"][0]["id"] == "916bc837-55ef-3106-88f6-5a8269ca9f2a"


@pytest.mark.parametrize(
    ("text", "currency", "city", "state", "country"),
    [
        ("HARLAND 0042 SAN FRANCISCO CA", "USD", "San Francisco", "CA", "US"),
        ("HARLAND AUSTIN TX US", "USD", "Austin", "TX", "US"),
        ("HARLAND 0042 LITTLE FALLS NY", "USD", "Little Falls", "NY", "US"),
        ("HARLAND 0042 PORTLAND OR", "USD", "Portland", "OR", "US"),
        ("HARLAND TORONTO ON", "CAD", "Toronto", "ON", "CA"),
        ("HARLAND 12 LONDON GB", "GBP", "London", None, "GB"),
        ("HARLAND KÖLN", "EUR", "Koln", None, "DE"),
    ],
)
def test_places(text, currency, city, state, country):
    found = look(text, currency=currency)
    place = found["location"]["structured"]
    assert (place["city"], place["state"], place["country_code"]) == (city, state, country)
    assert name(found) == "Harland"


@pytest.mark.parametrize("text", ["HARLAND TRADING CO", "CHECK IN", "READ ME", "HARLAND ON"])
def test_words_that_look_like_states(text):
    assert look(text)["location"] is None


def test_the_country_that_was_sent_is_kept():
    item = Item("t", "SPOTIFY", dt.date(2024, 5, 1), 10.0, "outgoing", "SEK", "h", Location(None, "SE"))
    place = enrich(item, "consumer")["location"]["structured"]
    assert (place["country_code"], place["country"], place["city"]) == ("SE", "Sweden", None)


@pytest.mark.parametrize("text", ["", " ", "12345678", "*** ***", "💳", "\x00", "A" * 1024, "CARD", "SQ *", "TO TO TO"])
def test_odd_lines_are_answered(text):
    for entry_type in ("incoming", "outgoing"):
        for holder in ("consumer", "business"):
            found = look(text, entry_type, holder=holder)
            assert found.keys() == {"entities", "categories", "location"}
            assert found["categories"]["general"] in SETS[holder][entry_type]


@pytest.mark.parametrize(
    "part", ["X", "*", "-", "X-", "XX ", "A.", "/", "1", "1-", "SQ *", "TO ", "A", "CARD ", "// A", "X*1"]
)
def test_no_pattern_runs_away(part):
    assert look((part * 1024)[:1024])["categories"]["general"]


def test_it_is_deterministic():
    lines = [row["aliases"].split("|")[0] for row in read_table("merchants.csv")]
    once = [read(line, "outgoing", "USD", None, "consumer") for line in lines]
    assert once == [read(line, "outgoing", "USD", None, "consumer") for line in lines]


def test_the_merchant_table():
    rows = read_table("merchants.csv")
    assert len(rows) >= 200
    for row in rows:
        assert row["category"] in SETS["consumer"]["outgoing"], row["name"]
        assert (row["business"] or to_business(row["category"])) in SETS["business"]["outgoing"], row["name"]
        assert all(1 <= int(code) <= 9999 for code in row["mccs"].split("|"))
        first = row["aliases"].split("|")[0].removeprefix("=")
        assert name(look(first, country=home(row))), row["name"]
    # A service may stand under its owner's own site (the Apple Store, Amazon Prime), and departments under a state's.
    sites = [row["website"] for row in rows if row["website"] not in {*SHARED, row["parent"].partition("|")[2]}]
    assert len(set(sites)) == len(sites)


def test_every_merchant_is_found_by_every_alias():
    missed = []
    for row in read_table("merchants.csv"):
        for alias in row["aliases"].split("|"):
            found = read(alias.removeprefix("="), "outgoing", "USD", home(row), "consumer")
            if name(found) != row["name"]:
                missed.append((alias, name(found)))
    assert missed == []


def test_the_phrase_table():
    for row in read_table("phrases.csv"):
        direction = {"in": "incoming", "out": "outgoing"}[row["direction"]]
        assert row["consumer"] in SETS["consumer"][direction], row["phrases"]
        assert not row["business"] or row["business"] in SETS["business"][direction], row["phrases"]
        assert row["party"] in {"none", "rest", "keep", "person", "maybe"}
        assert row["strength"] in {"strong", "weak", "person"}
