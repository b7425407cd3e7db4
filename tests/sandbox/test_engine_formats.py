"""How banks write a line: fields with names, cards' numbers, wallets in front, remarks behind."""

from __future__ import annotations

import datetime as dt

import pytest
from engine_lines import look, party

from pipeline.sandbox.engine import enrich, known_entity
from pipeline.sandbox.schema import Item


def told(text: str, currency: str, country: str, entry_type: str) -> tuple[str | None, str | None, list[str], str]:
    found = look(text, currency, country, entry_type)
    who = found["entities"]["counterparty"] or {"name": None, "type": None}
    between = [one["name"] for one in found["entities"]["intermediaries"]]
    return who["name"], who["type"], between, found["categories"]["general"]


@pytest.mark.parametrize(
    ("text", "country", "name"),
    [
        ("VISA DDA PUR 412833 WHIMBREL HARDWARE TUCSON AZ", "US", "Whimbrel Hardware"),
        ("WIRE TYPE:WIRE OUT DATE:240614 TRN:2024061400387123 BNF:WHIMBREL ESCROW LLC ID:44102", "US",
         "Whimbrel Escrow LLC"),
        ("CB*9886 LIBRAIRIE WHIMBREL", "FR", "Librairie Whimbrel"),
        ("TARJETA *3784 FRUTERIA WHIMBREL", "ES", "Fruteria Whimbrel"),
        ("COMPRA WHIMBREL ELECTRICA, TARJETA 19525996 , COMISION 0,00", "ES", "Whimbrel Electrica"),
        ("WHIMBREL BOEKEN Contactloze betaling Term: CT739759", "NL", "Whimbrel Boeken"),
        ("DEBIT PURCHASE -VISA ON 061724 WHIMBREL FOODS REF # 24137464168001", "US", "Whimbrel Foods"),
        ("PURCHASE RETURN AUTHORIZED ON 01/04 WHIMBREL SHOES S614004512004418 CARD 2210", "US", "Whimbrel Shoes"),
        ("ACHAT BANCONTACT AVEC CARTE N° 6703 44XX XXXX X210 7 - WHIMBREL BROCANTE - 09/03/2024", "BE",
         "Whimbrel Brocante"),
        ("BETALING BANCONTACT 04-03-2024 OM 17.22 UUR WHIMBREL BOEKEN MET KBC-DEBETKAART", "BE", "Whimbrel Boeken"),
        ("Bg-bet. via internet 5050-1055 WHIMBREL FASTIGHETER", "SE", "Whimbrel Fastigheter"),
        ("PAGAMENTO POS 12/06/2024 ORE 18:41 CARTA *1644 WHIMBREL SPESA", "IT", "Whimbrel Spesa"),
        ("PŁATNOŚĆ KARTĄ 11.06.2024 Nr karty 4246xx4726 WHIMBREL SKLEP", "PL", "Whimbrel Sklep"),
        ("Płatność kartą Tytuł: 00088127 7440 Lokalizacja: Adres: WHIMBREL SKLEP Miasto: POZNAN Kraj: POLSKA", "PL",
         "Whimbrel Sklep"),
        ("WHIMBREL BROS AUTO REPAI TOLEDO OH 08/14 PURCHASE", "US", "Whimbrel Bros Auto Repai"),
        ("SP WHIMBREL SOCKS HTTPSWWW.WHIM CA", "US", "Whimbrel Socks"),
        ("WHIMBREL WATERWORKS 303-893-2444 CO", "US", "Whimbrel Waterworks"),
        ("BETALING MET BANKKAART DEBET NUMMER 4871 04XX XXXX 8533 WHIMBREL BAKKERS 12/03/2024 BANCONTACT", "BE",
         "Whimbrel Bakkers"),
    ],
)  # fmt: skip
def test_what_the_card_and_the_terminal_print_is_no_part_of_a_name(text, country, name):
    assert party(text, "USD" if country == "US" else "EUR", country)[0] == name


@pytest.mark.parametrize(
    ("text", "currency", "country", "entry_type", "expected"),
    [
        ('Zelle payment from DANA WHIMBREL for "utilities Sept" Conf# q8r2xk19z', "USD", "US", "incoming",
         ("Dana Whimbrel", "person", ["Zelle"], "peer to peer transfer")),
        ("PRZELEW BLIK NA TELEFON ODBIORCA: TOMASZ WHIMBREL TYT: za pizze", "PLN", "PL", "outgoing",
         ("Tomasz Whimbrel", "person", ["BLIK"], "peer to peer transfer")),
        ("Tikkie AAB INZ TIKKIE ID 0051438343, Etentje vrijdag, Van S. de Whimbrel, NL81ABNA0184313263", "EUR", "NL",
         "incoming", ("S de Whimbrel", "person", ["Tikkie"], "peer to peer transfer")),
        ("WIRE TYPE:WIRE IN DATE:240614 TRN:20240614 ORIG:WHIMBREL HOLDINGS LLC ID:123 SND BK:ANY BANK", "USD", "US",
         "incoming", ("Whimbrel Holdings LLC", "organization", [], "inter account transfer")),
        ("J WHIMBREL 500000001288811377 PIANO LESSONS 309612 10 08MAR24 22:17", "GBP", "GB", "outgoing",
         ("J Whimbrel", "person", [], "peer to peer transfer")),
        ("A WHIMBREL , RENT , FP 04/03/24 10 , 38120955187302000N", "GBP", "GB", "outgoing",
         ("A Whimbrel", "person", [], "rent")),
        ("TO A/C 61120937 , VIA MOBILE - PYMT , FP 04/03/24 10 , 38120955187302000N", "GBP", "GB", "outgoing",
         (None, None, [], "not enough information")),
        ("*MOBI SIOBHAN WHIMBREL RENT APR", "EUR", "IE", "outgoing", ("Siobhan Whimbrel", "person", [], "rent")),
        ("Swish skickad +46701774420 ERIK WHIMBREL", "SEK", "SE", "outgoing",
         ("Erik Whimbrel", "person", ["Swish"], "peer to peer transfer")),
        ("BLIK P2P-WYCHODZĄCY PRZELEW NA TELEFON ANNA WHIMBREL", "PLN", "PL", "outgoing",
         ("Anna Whimbrel", "person", ["BLIK"], "peer to peer transfer")),
        ("Tikkie ID 003317720931, Etentje vrijdag, S de Whimbrel, NL44RABO0331772093", "EUR", "NL", "outgoing",
         ("S de Whimbrel", "person", ["Tikkie"], "peer to peer transfer")),
        ("AUTOMAT 00020447 K1 08.03. UM 19.02 BEHEBUNG", "EUR", "AT", "outgoing",
         (None, None, [], "ATM withdrawal")),
        ("REMISE CB 0093172 DU 080324 TERMINAL 02", "EUR", "FR", "incoming", (None, None, [], "other")),
        ("CHEQUE EMIS 3817720", "EUR", "FR", "outgoing", (None, None, [], "not enough information")),
        ("RENTEN SERVICE RV-RENTE 03/24 VSNR 65120447B008 RENTE", "EUR", "DE", "incoming",
         ("Deutsche Rentenversicherung", "organization", [], "benefits")),
        ("PRZELEW NA TELEFON OD: AGNIESZKA WHIMBREL TYTUŁ: zrzutka", "PLN", "PL", "incoming",
         ("Agnieszka Whimbrel", "person", ["BLIK"], "peer to peer transfer")),
        ("PAYCHEX          PAYROLL    00188240000417X  WHIMBREL,TANISHA", "USD", "US", "incoming",
         ("Paychex", "organization", [], "paycheck")),
        ("REAL TIME PAYMENT CREDIT RECD FROM ABA/CONTR BNK-021000021 FROM: BNF-SANDRA WHIMBREL REF: JOB", "USD", "US",
         "incoming", ("Sandra Whimbrel", "person", [], "peer to peer transfer")),
        ("WERO RECU DE M THIBAULT WHIMBREL 18/11 RESTO", "EUR", "FR", "incoming",
         ("Thibault Whimbrel", "person", ["Wero"], "peer to peer transfer")),
        ("SWISH SKICKAD +4670XXXX418 ERIK WHIMBREL fika", "SEK", "SE", "outgoing",
         ("Erik Whimbrel", "person", ["Swish"], "peer to peer transfer")),
        ("BILLA DANKT 0004188 GRAZ 8020 K2 14.03. 17:22 BANKOMAT", "EUR", "AT", "outgoing",
         ("Billa", "organization", [], "groceries")),
        ("ACCREDITO PENSIONE INPS CAT VO N 4418827", "EUR", "IT", "incoming", ("INPS", "organization", [], "benefits")),
        ("KROGER CO SALARY 88410227", "USD", "US", "incoming", ("Kroger", "organization", [], "paycheck")),
        ("NOMINA MES DE MAYO DE 2024 CARNICAS WHIMBREL SL", "EUR", "ES", "incoming",
         ("Carnicas Whimbrel SL", "organization", [], "paycheck")),
        ("365 ONLINE TFR TO CIARA WHIMBREL", "EUR", "IE", "outgoing",
         ("Ciara Whimbrel", "person", [], "peer to peer transfer")),
        ("VENMO CASHOUT 1028841937562 DANA WHIMBREL", "USD", "US", "incoming",
         ("Venmo", "organization", [], "inter account transfer")),
        ("CASH APP*CASH OUT 4153753176 CA", "USD", "US", "incoming",
         ("Cash App", "organization", [], "inter account transfer")),
        ("GUSTO DES:PAY 441209 ID:6SEMJ0J4KQ1 INDN:DANA WHIMBREL CO ID:9138864007 PPD", "USD", "US", "incoming",
         ("Gusto", "organization", [], "paycheck")),
    ],
)  # fmt: skip
def test_fields_and_remarks(text, currency, country, entry_type, expected):
    assert told(text, currency, country, entry_type) == expected


@pytest.mark.parametrize(
    ("text", "currency", "country", "name", "via"),
    [
        ("BLIK ZAKUP E-COMMERCE ALLEGRO.PL REF 00000311598294", "PLN", "PL", "Allegro", ["BLIK"]),
        ("SEPA iDEAL IBAN: NL27INGB0002615695 BIC: INGBNL2A Naam: bol.com b.v. Omschrijving: 70108", "EUR", "NL",
         "Bol.com", ["iDEAL"]),
        ("iDEAL bol.com b.v. via Adyen 0030004829103847", "EUR", "NL", "Bol.com", ["iDEAL", "Adyen"]),
        ("BEA, Apple Pay Albert Heijn 1418,PAS441 NR:CT859996", "EUR", "NL", "Albert Heijn", ["Apple Pay"]),
        ("/TRTP/iDEAL/NAME/bol.com b.v./REMI/9003317720 C0003KXQ bol.com/EREF/08-03-2024", "EUR", "NL", "Bol.com",
         ["iDEAL"]),
        ("CHEVRON 0093714 SAN MATEO CA GOOGLE PAY ENDING IN 8812", "USD", "US", "Chevron", ["Google Pay"]),
        ("1033881204477/PP.8820.PP/. Spotify AB, Ihr Einkauf bei Spotify AB EREF: 1033 PAYPAL", "EUR", "DE", "Spotify",
         ["PayPal"]),
        ("PAIEMENT PSC 0503 LYON 7 SUMUP *LE PETIT WHIMBREL CARTE 8803", "EUR", "FR", "Le Petit Whimbrel", ["SumUp"]),
        ("Klarna Bank AB (publ) SVWZ+731750531 Zahlung an OTTO GmbH Best.Nr. YZAVFT", "EUR", "DE", "Otto", ["Klarna"]),
        ("FS *TECHSMITH fsprg.com CA", "USD", "US", "TechSmith", ["FastSpring"]),
        ("TITHE.LY GRACE WHIMBREL CHUR TITHELY.COM CA", "USD", "US", "Grace Whimbrel Chur", ["Tithe.ly"]),
        ("IC* SPROUTS VIA INSTACART SAN FRANCISCO CA", "USD", "US", "Sprouts Farmers Market", ["Instacart"]),
        ("DD *DOORDASH PANDAEXPR 855-973-1040 CA", "USD", "US", "Panda Express", ["DoorDash"]),
        ("Etsy.com*WhimbrelWool Brooklyn NY", "USD", "US", "Whimbrelwool", ["Etsy"]),
        ("MONZO.ME  OLIVIA WHIMBREL  PIZZA", "GBP", "GB", "Olivia Whimbrel", ["Monzo"]),
        ("GRUBHUB*HALALGUYS GRUBHUB.COM NY", "USD", "US", "The Halal Guys", ["Grubhub"]),
        ("IC* INSTACART*PUBLIX 888-2467822 CA", "USD", "US", "Publix", ["Instacart"]),
        ("AFFIRM * PAY 9KQ71LTZ 855-423-3729 CA", "USD", "US", "Affirm", []),
        ("ACTBLUE* DONATION 617-517-7600 MA", "USD", "US", "ActBlue", []),
        ("BEA, Betaalpas Albert Heijn 1418,PAS441 NR:CT859996", "EUR", "NL", "Albert Heijn", []),
    ],
)  # fmt: skip
def test_a_wallet_in_front_stands_between(text, currency, country, name, via):
    who, _, between, _ = told(text, currency, country, "outgoing")
    assert (who, between) == (name, via)


def test_a_wallets_name_may_be_a_word():
    assert told("IDEAL MATTRESS FACTORY", "CAD", "CA", "outgoing")[2] == []


def test_a_fee_that_a_card_payment_mentions_is_not_what_it_was():
    text = "CLAUDE.AI SUBSCRIPTION SAN FRANCISCO US 18.00 USD NON-STERLING TRANSACTION FEE 0.43"
    assert party(text, "GBP", "GB") == ("Claude.ai", "claude.ai")
    assert told("NON-STERLING TRANSACTION FEE", "GBP", "GB", "outgoing") == (None, None, [], "other")
    assert told("COMISION MANTENIMIENTO", "EUR", "ES", "outgoing") == (None, None, [], "other")


@pytest.mark.parametrize(
    ("text", "currency", "country", "name", "city"),
    [
        ("THE WHIMBREL YARD      HEBDEN BRIDGE GBR", "GBP", "GB", "The Whimbrel Yard", "Hebden Bridge"),
        ("ZETTLE_*WHIMBREL YARDS HEBDEN BRIDGE GBR", "GBP", "GB", "Whimbrel Yards", "Hebden Bridge"),
        ("WHIMBREL CAFE #12    TINYTOWN      WA", "USD", "US", "Whimbrel Cafe", "Tinytown"),
        ("WHIMBREL GYM    MEMBERSHIP  FEE", "USD", "US", "Whimbrel Gym Membership Fee", None),
        ("AMZNMKTPLACE 12    AMAZON.CO.UK   LUX", "GBP", "GB", "Amazon", None),
    ],
)
def test_a_town_in_a_column_of_its_own_however_small(text, currency, country, name, city):
    found = look(text, currency, country)
    assert found["entities"]["counterparty"]["name"] == name
    assert found["location"]["structured"]["city"] == city


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("STG MOLLIE PAYMENTS UITBETALING 3317.2403.07", "Mollie"),
        ("GOCARDLESS LTD WHIMBREL TUT-K8P2 BGC", "GoCardless"),
    ],
)
def test_a_business_is_paid_out_by_its_processor(text, name):
    found = enrich(Item("t", text, dt.date(2024, 5, 1), 10.0, "incoming", "EUR", "h", None), "business")
    assert found["entities"]["counterparty"]["name"] == name
    assert found["categories"]["general"] == "processor payout"


def test_what_goes_by_a_churchs_processor_is_a_donation():
    """GRACE alone would be a word of another trade's."""
    assert told("TITHE.LY* GRACE COMM CHUR 424-228-8870 CA", "USD", "US", "outgoing")[3] == "donation"


def test_a_website_that_fills_its_column_was_cut_off():
    """Thirteen letters are there for a town: MAGICSPOON.CO was longer, and OTTER.CO was not."""
    assert party("SP WHIM BRELTE WHIMBRELTE.CO NY") == ("Whim Brelte", "whimbrelte.com")
    assert party("SP WHIM BRELTEA WHIMBRELTEA.CO NY") == ("Whim Breltea", "whimbreltea.co")
    assert party("ACTIVITY CONNECTION.CO")[1] != "connection.com"


@pytest.mark.parametrize(
    ("text", "name", "website"),
    [
        ("www.coventry.gov.uk", "Coventry City Council", "coventry.gov.uk"),
        ("www.whimbrel.gov.uk", "Whimbrel", "whimbrel.gov.uk"),
        ("www.whimbrel.gov.ie", "Whimbrel", "whimbrel.gov.ie"),
        ("WWW.GOV.UK", "GOV.UK", "gov.uk"),
        ("gov.uk/dart-charge", "Dart Charge", "gov.uk"),
    ],
)
def test_websites_below_a_shared_one_are_of_others(text, name, website):
    assert party(text, "GBP", "GB") == (name, website)


def test_a_letter_is_much_of_a_short_word():
    assert party("LIVERPOOL CC", "GBP", "GB")[1] == "liverpool.gov.uk"
    assert party("LIVERPOOL FC", "GBP", "GB")[1] != "liverpool.gov.uk"
    assert party("HOLIDAY INNS", "GBP", "GB")[0] == "Holiday Inn"


def test_councils():
    assert party("LB OF CAMDEN CTAX 51277304 D/D", "GBP", "GB") == ("Camden Council", "camden.gov.uk")
    assert told("SWANSEA COUNCIL NNDR 30711", "GBP", "GB", "outgoing")[3] == "taxes"


def test_a_word_is_no_longer_name_cut_off():
    assert party("AUTOMAT 12", "EUR", "DE")[1] is None
    assert party("PANERABRE", "USD", "US")[1] == "panerabread.com"


def test_departments_that_share_a_website_are_entities_of_their_own():
    ids = set()
    for text, name in (("HMRC VAT DDR", "HM Revenue & Customs"), ("DWP UC", "DWP"), ("WWW.GOV.UK PASSPORT", "GOV.UK")):
        found = look(text, "GBP", "GB")["entities"]["counterparty"]
        assert (found["name"], found["website"]) == (name, "gov.uk")
        assert known_entity(found["id"])["name"] == name
        ids.add(found["id"])
    assert len(ids) == 3
