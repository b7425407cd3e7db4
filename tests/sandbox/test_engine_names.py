"""The engine on names: brands, countries, cut and squeezed names, trades, towns. Lines made up for these tests."""

from __future__ import annotations

import pytest
from engine_lines import look, party
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sandbox.engine import trades
from pipeline.sandbox.engine.categories import SETS
from pipeline.sandbox.engine.lookup import read_packed, read_table
from pipeline.sandbox.engine.reading import read
from pipeline.sandbox.engine.text import canonical, normalise, tokens


@pytest.mark.parametrize(
    ("text", "currency", "name", "website"),
    [
        # Brands that no one wrote down by hand.
        ("POS PURCHASE WOODIES DIY GALWAY", "EUR", "Woodie's", "woodies.ie"),
        ("OLLIES BARGAIN OUTLET 0231 TOLEDO OH", "USD", "Ollie's Bargain Outlet", "ollies.us"),
        ("P TERRYS #7 AUSTIN TX", "USD", "P. Terry's", "pterrys.com"),
        ("PETMANIA LIMERICK", "EUR", "Petmania", "petmania.ie"),
        # Written as one word, or as two.
        ("HOMEDEPOT #0602 BROOKLYN NY", "USD", "The Home Depot", "homedepot.com"),
        ("MEDIA MARKT 0042", "EUR", "MediaMarkt", "mediamarkt.de"),
        # With a country or a legal form stuck to it.
        ("PAYPAL *SPOTIFYUSAI 402-935-7733", "USD", "Spotify", "spotify.com"),
        ("AIRBNBINC", "USD", "Airbnb", "airbnb.com"),
        # With the shop's number stuck to it.
        ("STATER BROS180 RIVERSIDE CA", "USD", "Stater Bros.", "staterbros.com"),
        ("SHELL5574", "USD", "Shell", "shell.com"),
        ("MICHIGAN STATE UNIVERSITY", "USD", "Michigan State University", "msu.edu"),
        # A trade's word behind it, and the country in short.
        ("GADIS SUPERMERCADOS", "EUR", "Gadis", "gadis.es"),
        # A time before it.
        ("Debit Card Purchase 03/14 11:22a #4471 HARRIS TEETER #0338", "USD", "Harris Teeter", "harristeeter.com"),
        # Letters that look like an umlaut's.
        ("DAIRY QUEEN #1234 FARGO ND", "USD", "Dairy Queen", "dairyqueen.com"),
        # Cut off where the bank's field ends.
        ("OLLIES BARGAIN OUTL TOLEDO OH", "USD", "Ollie's Bargain Outlet", "ollies.us"),
        # A letter is wrong.
        ("SUPERDRUGG STORES", "GBP", "Superdrug", "superdrug.com"),
        # Umlauts, and what became of an ampersand and of an apostrophe.
        ("H & M 0123 PORTLAND OR", "USD", "H&M", "hm.com"),
        ("TRADER JOE S #152 OAKLAND CA", "USD", "Trader Joe's", "traderjoes.com"),
        ("MARKS AND SPENCER 0412", "GBP", "Marks & Spencer", "marksandspencer.com"),
    ],
)
def test_brands(text, currency, name, website):
    assert party(text, currency) == (name, website)


@pytest.mark.parametrize(
    ("text", "mcc", "category"),
    [
        ("HARLAND FAMILY DENTAL", 8021, "medical bill"),
        ("WHIMBREL PLUMBING AND HEATING", 1711, "home maintenance"),
        ("PIZZERIA DA WHIMBREL", 5812, "restaurant"),
        ("RESTAURANTE EL WHIMBREL", 5812, "restaurant"),
        ("ROSENAPOTHEKE HAMBURG", 5912, "drugstore or pharmacy"),
        ("BÄCKEREI WHIMBREL", 5462, "groceries"),
        ("BAECKEREI WHIMBREL", 5462, "groceries"),
        ("STADTBÄCKEREI WHIMBREL", 5462, "groceries"),
        ("COIFFEUR WHIMBREL", 7230, "self care"),
        ("FIETSENWINKEL WHIMBREL", 5940, "sport and fitness"),
        ("OFICINA WHIMBREL TALLER", 7538, "vehicle maintenance"),
        ("WHIMBREL GAS AND ELECTRIC", 4900, "utilities"),
        ("WHIMBREL ANIMAL HOSPITAL", 742, "pets"),
    ],
)
def test_a_word_of_the_name_tells_the_trade(text, mcc, category):
    found = look(text, "EUR")
    assert (found["entities"]["counterparty"]["mccs"], found["categories"]["general"]) == ([mcc], category)
    assert found["entities"]["counterparty"]["website"] is None


@pytest.mark.parametrize("text", ["WHIMBREL TERRABONNE", "BRMBL TRDNG", "XQZ 12"])
def test_nothing_is_said_of_names_that_tell_nothing(text):
    found = look(text, "EUR")
    assert found["entities"]["counterparty"]["mccs"] == []
    assert found["categories"]["general"] == "not enough information"


@pytest.mark.parametrize(
    ("text", "currency", "city", "state", "country"),
    [
        ("WHIMBREL LONDON", "CAD", "London", None, "CA"),
        ("WHIMBREL LONDON", "GBP", "London", None, "GB"),
        ("WHIMBREL BIRMINGHAM", "USD", "Birmingham", None, "US"),
        ("WHIMBREL PARIS", "USD", "Paris", None, "FR"),
        ("WHIMBREL PARIS TX", "USD", "Paris", "TX", "US"),
        ("WHIMBREL SPRINGFIELD IL", "USD", "Springfield", "IL", "US"),
        ("WHIMBREL MUENCHEN", "EUR", "Muenchen", None, "DE"),
        ("WHIMBREL GDYNIA POL", "EUR", "Gdynia", None, "PL"),
        ("WHIMBREL LYON 3 1609", "EUR", "Lyon", None, "FR"),
    ],
)
def test_towns_of_one_name_in_several_countries(text, currency, city, state, country):
    found = look(text, currency)
    place = found["location"]["structured"]
    assert (place["city"], place["state"], place["country_code"]) == (city, state, country)
    assert found["entities"]["counterparty"]["name"] == "Whimbrel"


@pytest.mark.parametrize(
    ("text", "currency", "name"),
    [
        ("STADTWERKE REUTLINGEN", "EUR", "Stadtwerke Reutlingen"),
        ("CITY OF LOUISVILLE", "USD", "City of Louisville"),
        ("UNIVERSITY OF LEICESTER", "GBP", "University of Leicester"),
    ],
)
def test_a_place_stays_where_the_name_needs_it(text, currency, name):
    assert party(text, currency)[0] == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ORIG CO NAME:WHIMBREL LLC ORIG ID:9138864001 DESC DATE:240105 CO ENTRY DESCR:BILL SEC:CCD", "Whimbrel LLC"),
        (
            "SEPA Incasso algemeen doorlopend Incassant: NL12ZZZ Naam: WHIMBREL BV Machtiging: 12 Omschrijving: x",
            "Whimbrel BV",
        ),
        ("SEPA-BASISLASTSCHRIFT WHIMBREL GMBH EREF+123 MREF+V123 CRED+DE12ZZZ SVWZ+Rechnung 4711", "Whimbrel GmbH"),
        ("/TRTP/SEPA OVERBOEKING/IBAN/NL00/BIC/X/NAME/WHIMBREL BV/REMI/1234/EREF/X", "Whimbrel BV"),
        ("4567 12MAR24 , WHIMBREL SHED , LEEDS GB", "Whimbrel Shed"),
        ("PAGO CON TARJETA EN WHIMBREL, MADRID", "Whimbrel"),
    ],
)
def test_formats_that_name_their_fields(text, name):
    assert party(text, "EUR")[0] == name


@pytest.mark.parametrize(
    ("text", "name"), [("MAI THAI WHIMBREL", "Mai Thai Whimbrel"), ("MARS WHIMBREL PETS", "Mars Whimbrel Pets")]
)
def test_a_month_of_another_language_is_a_name(text, name):
    assert party(text)[0] == name


@pytest.mark.parametrize(
    "text", ["CHECK 1042", "CHEQUE 000123", "MONZO POT TRANSFER", "ACCOUNT MAINTENANCE FEE", "LNK HIGH ST LEEDS"]
)
def test_lines_without_a_counterparty(text):
    assert look(text)["entities"]["counterparty"] is None


def test_fuel_from_a_supermarket_is_fuel():
    assert look("COSTCO GAS #0123 SAN JOSE CA")["categories"]["general"] == "fuel"
    assert look("COSTCO WHSE #0123 SAN JOSE CA")["categories"]["general"] == "department or discount store"


def test_canonical_tokens():
    def key(text: str) -> list[str]:
        return canonical(tokens(normalise(text)))[0]

    assert key("Trader Joe's") == key("TRADER JOE S")
    assert key("H&M") == key("H & M") == key("H M") == ["HM"]
    assert key("Marks & Spencer") == key("MARKS AND SPENCER") == ["MARKS", "SPENCER"]
    assert key("Müller") == key("MUELLER") == ["MULLER"]
    assert canonical(["A", "B", "SHOP"]) == (["AB", "SHOP"], [0, 2])


def test_every_kind_of_brand_has_a_code_and_a_category():
    kinds = {row["kind"]: row for row in read_table("data/kinds.csv")}
    assert {row[4] for row in read_packed("brands.zst")} <= kinds.keys()
    assert all(len(row["mcc"]) == 4 for row in kinds.values())


def test_clues_speak_only_when_they_are_sure():
    assert trades.by_clues(["WHIMBREL", "TAXI"]).mcc == 4121
    assert trades.by_clues(["WHIMBREL"]) is None
    assert trades.by_clues([]) is None


PIECES = st.sampled_from(
    [
        "SQ *",
        "PAYPAL ",
        "TESCO ",
        "LONDON ",
        "PARIS 11 ",
        "* ",
        "S ",
        "& ",
        "A.B.",
        "WWW.A.COM ",
        "VIA PAYPAL ",
        "NAME:",
        "ß",
        "💳",
        "ZELLE TO ",
        "REFUND ",
        "COUNCIL ",
        "CHECK 1",
        "SVWZ+",
        "//A/DE ",
        "MARY ",
        "12345 ",
        "KLARNA BANK AB ",
        "PAYROLL ",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    text=st.lists(PIECES | st.text(max_size=8), max_size=12).map("".join),
    entry_type=st.sampled_from(["incoming", "outgoing"]),
    currency=st.sampled_from(["USD", "GBP", "EUR", "CAD", "XAF"]),
    country=st.sampled_from([None, "US", "DE", "CA", "ZZ"]),
    holder=st.sampled_from(["consumer", "business"]),
)
def test_any_line_has_an_answer_of_the_sets(text, entry_type, currency, country, holder):
    found = read(text, entry_type, currency, country, holder)
    assert found["categories"]["general"] in SETS[holder][entry_type]
    party = found["entities"]["counterparty"]
    assert party is None or (party["name"] and party["type"] in {"person", "organization"})
    assert party is None or party["type"] == "organization" or party["website"] is None
    assert found == read(text, entry_type, currency, country, holder)


def test_known_trades_have_a_naics_code():
    assert look("TESCO STORES 6243", "GBP")["entities"]["counterparty"]["naics2017"] == "445110"
    assert look("WHIMBREL TERRABONNE", "EUR")["entities"]["counterparty"]["naics2017"] is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("PAYROLL JAN STAFF C WHIMBREL", "C Whimbrel"),
        ("ZELLE PAYMENT TO JAN WHIMBREL", "Jan Whimbrel"),
        ("MB WAY TRF MARIA WHIMBREL", "Maria Whimbrel"),
    ],
)
def test_a_month_is_no_part_of_a_persons_name_and_jan_may_be(text, name):
    found = look(text, "EUR")["entities"]["counterparty"]
    assert (found["name"], found["type"]) == (name, "person")


@pytest.mark.parametrize("text", ["FEE-QTR TO 09JAN26", "GOVT STAMP DUTY"])
def test_a_banks_fee_and_a_duty_have_no_counterparty(text):
    assert look(text, "EUR")["entities"]["counterparty"] is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("WALGREENS #2884 CHICAGO IL", "2884"),
        ("TRANSFER TO 9642 SAVINGS", None),
        ("CHECK # 6098", None),
        ("DROPBOX*913723", None),
        ("DISNEYPLUS 888-9057888 CA", None),
        ("VENMO PAYMENT 1234 JOHN WHIMBREL", None),
        ("AMZN MKTP US*412611 SEATTLE WA", None),
        ("DELTA AIR 842896 DENVER CO", None),
    ],
)
def test_only_a_shops_number_is_one(text, number):
    place = look(text)["location"]
    assert (place["structured"]["store_number"] if place else None) == number


def test_la_is_los_angeles_at_the_end_only():
    assert party("COMPRA BAR LA WHIMBREL VERDE, BILBAO", "EUR")[0] == "Bar la Whimbrel Verde"
    assert party("WHIMBREL TACOS LA")[0] == "Whimbrel Tacos LA"


@pytest.mark.parametrize(
    ("text", "name", "kind"),
    [
        ("ZELLE TO MOM", "Mom", "person"),
        ("ZELLE PAYMENT TO DAD JPM99WHIM", "Dad", "person"),
        ("FAMILIE MUELLER", "Familie Mueller", "person"),
        ("SHELLY SMITH", "Shelly Smith", "person"),
        ("SMITH JONES LLP", "Smith Jones LLP", "organization"),
        ("JANE SMITH BAKERY", "Jane Smith Bakery", "organization"),
        ("JANE SMITH 0042 AUSTIN TX", "Jane Smith", "organization"),
    ],
)
def test_relatives_families_and_full_names_are_people(text, name, kind):
    found = look(text)["entities"]["counterparty"]
    assert (found["name"], found["type"]) == (name, kind)


@pytest.mark.parametrize(
    ("text", "name", "via"),
    [
        ("ADP PAYROLL WHIMBREL CORP", "Whimbrel Corp", ["ADP"]),
        ("GUSTO PAY 123456 WHIMBREL INC", "Whimbrel Inc", ["Gusto"]),
        ("ADP TOTALSOURCE DIRECT DEP", "ADP", []),
    ],
)
def test_wages_are_the_employers_whoever_pays_them_out(text, name, via):
    found = look(text, entry_type="incoming")
    assert found["entities"]["counterparty"]["name"] == name
    assert [one["name"] for one in found["entities"]["intermediaries"]] == via
    assert found["categories"]["general"] == "paycheck"


def test_a_department_stores_food_is_groceries():
    assert look("M&S SIMPLY FOOD BRISTOL", "GBP")["categories"]["general"] == "groceries"
    assert look("MARKS & SPENCER BRISTOL", "GBP")["categories"]["general"] == "department or discount store"


def test_a_tax_and_a_place_name_an_office():
    found = look("DIRECT DEBIT COUNCIL TAX BRISTOL", "GBP")
    assert (found["entities"]["counterparty"]["name"], found["categories"]["general"]) == (
        "Council Tax Bristol",
        "taxes",
    )


@pytest.mark.parametrize(
    "text", ["NETFLIX.COM 866-579-7172 CA", "GEICO *AUTO 800-841-3000 DC", "UBER HELP.UBER.COM CA"]
)
def test_a_telephones_state_is_no_place(text):
    place = look(text)["location"]["structured"]
    assert (place["city"], place["state"], place["country_code"]) == (None, None, "US")


@pytest.mark.parametrize(
    ("text", "currency", "country", "city", "code"),
    [
        ("WHIMBREL BOOKS DUBLIN", "GBP", "GB", "Dublin", "IE"),
        ("WHIMBREL BOOKS DUBLIN IE", "GBP", "GB", "Dublin", "IE"),
        ("WHIMBREL BOOKS PARIS FRA", "USD", "US", "Paris", "FR"),
        ("WHIMBREL BOOKS PARIS", "USD", "US", None, "US"),
        ("WHIMBREL BOOKS BRISTOL", "GBP", "GB", "Bristol", "GB"),
    ],
)
def test_the_printed_town_tells_the_country(text, currency, country, city, code):
    place = read(text, "outgoing", currency, country, "consumer")["location"]["structured"]
    assert (place["city"], place["country_code"]) == (city, code)


def test_what_paypal_debits_say_of_the_shop():
    text = "PAYPAL (EUROPE) S.A.R.L. ET CIE S.C.A. EBAY KLEINANZEIGEN"
    found = read(text, "outgoing", "EUR", "DE", "consumer")["entities"]
    assert found["counterparty"]["website"] == "kleinanzeigen.de"
    assert [one["name"] for one in found["intermediaries"]] == ["PayPal"]
