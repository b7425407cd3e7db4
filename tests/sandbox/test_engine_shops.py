"""The engine on shops and who stands between: brands' words in other names, countries, processors, categories."""

from __future__ import annotations

import pytest
from engine_lines import look, party

from pipeline.sandbox.engine.reading import read


@pytest.mark.parametrize(
    ("text", "currency", "country", "website"),
    [
        ("MERCADONA 0042", "USD", "US", None),
        ("WOODIES 12", "USD", "US", None),
        ("COLES 0512 MELBOURNE", "AUD", None, "coles.com.au"),
        ("ROSSMANN 12", "EUR", "DE", "rossmann.de"),
    ],
)
def test_a_brand_of_another_country_does_not_win(text, currency, country, website):
    found = party(text, currency, country)[1]
    assert found == website or (website is None and found in {"mercadona.es", None})


@pytest.mark.parametrize(
    "text",
    [
        "CHASE STREET BAKERY BALTIMORE MD",
        "APPLE VALLEY FAMILY DENTAL",
        "TARGET SHOOTING RANGE BOISE ID",
        "SHELL LAKE MARINA",
        "ORANGE BLOSSOM NAILS",
        "STINSON EQUIPMENT LTD",
        "NEXT DOOR BAR",
        "BOOTS AND SADDLES RIDING SCHOOL",
        "SKY HIGH TRAMPOLINES",
        "AMAZON GRILL BRAZILIAN HOUSTON TX",
        "SAFEWAY DRIVING SCHOOL",
        "MACYS DINER",
        "MORRISONS SOLICITORS",
        "ODEON PHARMACY",
        "PELOTON BIKE CAFE",
        "POPEYES BARBER SHOP",
        "DOMINOS AUTO GLASS NORWALK CT",
        "VERIZON CTR PARKING LOT B",
        "SUBWAY TAVERN YONKERS NY",
        "CO-OP CABS - 1030",
        "JOY BISTRO",
        "BOULANGERIE LECLERC",
        "GARAGE CARREFOUR",
        "BAR SANTANDER TORRELAVEGA",
    ],
)
def test_a_shop_with_a_brands_word_in_its_name_has_no_website(text):
    assert party(text)[1] is None


@pytest.mark.parametrize(
    ("text", "website"),
    [
        ("TESCO CAFE", "tesco.com"),
        ("WALMART PHARMACY 12", "walmart.com"),
        ("ASDA OPTICIANS", "asda.com"),
        ("COSTCO TIRE CENTER", "costco.co.uk"),
        ("SUBWAY RESTAURANT", "subway.com"),
        ("HILTON RESTAURANT", "hilton.com"),
        ("RADISSON GIFT SHOP", "radissonhotels.com"),
        ("CAFETERIA STARBUCKS", "starbucks.com"),
        ("ESTACION SERVICIO CARREFOUR", "carrefour.com"),
        ("EASYJET 000K7TR2QX LUTON BEDS", "easyjet.com"),  # no bed shop: what stands behind a number is a place
        ("SHELL HIGHFIELD SVC STN DERBY", "shell.com"),
    ],
)
def test_a_department_of_a_brand_is_the_brand(text, website):
    assert party(text, "GBP")[1] == website


@pytest.mark.parametrize(
    ("text", "processor", "name"),
    [
        ("SQ TACO STAND AUSTIN TX", "Square", "Taco Stand"),
        ("TST THE GREEN TABLE PORTLAND OR", "Toast", "The Green Table"),
        ("PAYPAL MARKS SPENCER 35314369001", "PayPal", "Marks & Spencer"),
        ("SUMUP THE TINY SHED", "SumUp", "The Tiny Shed"),
        ("STICHTING MOLLIE PAYMENTS BLOEMENWINKEL", "Mollie", "Bloemenwinkel"),
        ("KLARNA BANK AB WHIMBREL", "Klarna", "Whimbrel"),
        ("CLEARPAY*JD SPORTS", "Clearpay", "JD Sports"),
        ("CRV*PRET A MANGER", "Curve", "Pret A Manger"),
        ("WPY*WHIMBREL COFFEE", "WePay", "Whimbrel Coffee"),
        ("ZTL*WHIMBREL COFFEE", "Zettle", "Whimbrel Coffee"),
        ("SPOTIFY BY ADYEN", "Adyen", "Spotify"),
        ("BIZUM A FAVOR DE MARIA LOPEZ", "Bizum", "Maria Lopez"),
        ("MOBILEPAY LARS HANSEN", "MobilePay", "Lars Hansen"),
        ("GRUBHUB*SUSHIHOUSE grubhub.com NY", "Grubhub", "Sushihouse"),
        ("PAYPAL EUROPE S.A.R.L. ET CIE S.C.A. PP.1234.PP . ZALANDO, Ihr Einkauf bei ZALANDO", "PayPal", "Zalando"),
    ],
)
def test_processors_with_and_without_the_asterisk(text, processor, name):
    found = look(text, "EUR" if "Einkauf" in text else "USD")["entities"]
    assert [one["name"] for one in found["intermediaries"]] == [processor]
    assert found["counterparty"]["name"] == name


@pytest.mark.parametrize(
    "text", ["PAYPAL TRANSFER 1029", "KLARNA BANK AB", "SUMUP PAYOUT 0305 PID123456", "PY *LONESTAR BBQ DALLAS TX"]
)
def test_no_one_stands_between(text):
    assert look(text)["entities"]["intermediaries"] == []


def test_the_website_of_the_country_and_the_one_that_is_printed():
    assert party("ROSSMANN 12", "PLN")[1] == "rossmann.pl"
    assert party("AMZN MKTP UK*2X3Y4Z amazon.co.uk", "GBP")[1] == "amazon.co.uk"


@pytest.mark.parametrize(
    ("text", "currency", "country", "website"),
    [
        ("LIDL GB STOCKPORT", "GBP", "GB", "lidl.co.uk"),
        ("LIDL SAGT DANKE", "EUR", "DE", "lidl.de"),
        ("LIDL US 1029", "USD", "US", "lidl.com"),
        ("ALDI STORES", "GBP", None, "aldi.co.uk"),
        ("ALDI NORD", "EUR", "DE", "aldi-nord.de"),
        ("ALDI 12", "EUR", "AT", "hofer.at"),
        ("JUST EAT MADRID", "EUR", "ES", "just-eat.es"),
        ("AMZN MKTP DE*412611", "EUR", None, "amazon.de"),
        ("AMZN MKTP UK*2K3", "USD", "US", "amazon.co.uk"),
        ("PAYPAL *ZALANDO SE 35314369001", "EUR", "DE", "zalando.de"),
        ("ZALANDO SE", "EUR", None, "zalando.com"),  # SE is the form of the company
    ],
)
def test_websites_that_each_country_knows_a_merchant_by(text, currency, country, website):
    assert party(text, currency, country)[1] == website


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("TK MAXX 482 TRURO", "TK Maxx"),
        ("T.J. MAXX 842", "TJ Maxx"),
        ("COMPRA TARJ. 5540XXXX1234 BAR WHIMBREL", "Bar Whimbrel"),
        ("VISA PEPPER & CO NR XXXX 7774", "Pepper & Co"),
    ],
)
def test_a_cards_mask_is_no_part_of_a_name_and_takes_no_part_of_one(text, name):
    assert party(text, "GBP")[0] == name


@pytest.mark.parametrize(
    ("text", "name", "via"),
    [
        ("SumUp .Imkerei Whimbrel Passau", "Imkerei Whimbrel", "SumUp"),
        ("SumUp.*Hofladen Whimbrel", "Hofladen Whimbrel", "SumUp"),
        ("SQ *WHIMBREL LAWN CARE gosq.com", "Whimbrel Lawn Care", "Square"),
        ("AFFIRM * PAY 4QX7 AFFIRM.COM CA", "Affirm", None),
        ("WHIMBREL CENTRAL GOCARDLESS WHIMBREL-9KX2", "Whimbrel Central", "GoCardless"),
        ("GC RE WHIMBREL GYM GOCARDLESS", "Whimbrel Gym", "GoCardless"),
        ("iDEAL Mollie Fietsenwinkel Whimbrel", "Fietsenwinkel Whimbrel", "Mollie"),
        ("DD *DOORDASH THE THAI WHIMBREL", "The Thai Whimbrel", "DoorDash"),
        ("VAGARO*WHIMBREL NAILS", "Whimbrel Nails", "Vagaro"),
        ("PRZELEW BLIK NA TELEFON KATARZYNA WHIMBREL", "Katarzyna Whimbrel", "BLIK"),
    ],
)
def test_signs_and_websites_of_processors(text, name, via):
    found = look(text, "EUR")["entities"]
    assert found["counterparty"]["name"] == name
    assert [one["name"] for one in found["intermediaries"]] == ([via] if via else [])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("DOORDASH PAYOUT", "DoorDash"),
        ("DOORDASH DASHER PAY", "DoorDash"),
        ("DOORDASH MERCHANT SETTLEMENT", "DoorDash"),
        ("TRANSFER STRIPE ST-X1Y2Z3", "Stripe"),
        ("TRANSFER FROM STRIPE", "Stripe"),
        ("PAYMENT FROM ADYEN", "Adyen"),
        ("BACS GOCARDLESS", "GoCardless"),
    ],
)
def test_who_pays_out_is_the_counterparty_and_nobody_stands_between(text, name):
    found = read(text, "incoming", "GBP", "GB", "business")["entities"]
    assert (found["counterparty"]["name"], found["intermediaries"]) == (name, [])


@pytest.mark.parametrize(
    ("text", "entry_type", "holder", "category"),
    [
        ("MOLLIE B.V. UITBETALING T.5162", "incoming", "business", "processor payout"),
        ("GOCARDLESS LTD PAYOUT GC-K2J8X9", "incoming", "business", "processor payout"),
        ("WHIMBREL LTD PAYOUT", "incoming", "business", "sales revenue"),
        ("AMAZON.COM SVCS PAYMENTS 3K2J8X9Q4L", "incoming", "business", "marketplace payout"),
        ("EMPOWER RETIREMENT", "incoming", "consumer", "transfer from investment app"),
        ("EDD CA UI PAYMENT", "incoming", "consumer", "benefits"),
        ("Robert Bosch GmbH SVWZ+GEHALT 09/26 PERS-NR 0375464", "incoming", "consumer", "paycheck"),
        ("UNARRANGED OVERDRAFT INTEREST", "outgoing", "consumer", "interest payment"),
        ("UNIVERSITY OF WHIMBREL FEES", "outgoing", "consumer", "education"),
        ("VIPPS*WHIMBREL SYKKELVERKSTED", "outgoing", "consumer", "sport and fitness"),
        ("TST* THE COPPER WHIMBREL", "outgoing", "consumer", "restaurant"),
        ("TST* WHIMBREL COFFEE", "outgoing", "consumer", "coffee shop"),
        ("SP WHIMBREL GOODS", "outgoing", "consumer", "e-commerce purchase"),
        ("TESCO PFS 4821 YEOVIL", "outgoing", "consumer", "fuel"),
        ("THE RED LION WHIMBREL", "outgoing", "consumer", "bars and nightclubs"),
        ("Stadtwerke Bochum GmbH Abschlag Strom", "outgoing", "consumer", "utilities"),
    ],
)
def test_categories(text, entry_type, holder, category):
    assert read(text, entry_type, "EUR", None, holder)["categories"]["general"] == category
