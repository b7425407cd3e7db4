"""How banks write a line: fields with names, cards' numbers, wallets in front, remarks behind."""

from __future__ import annotations

import pytest
from engine_lines import look, party

from pipeline.sandbox.engine import known_entity


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


def test_departments_that_share_a_website_are_entities_of_their_own():
    ids = set()
    for text, name in (("HMRC VAT DDR", "HM Revenue & Customs"), ("DWP UC", "DWP"), ("WWW.GOV.UK PASSPORT", "GOV.UK")):
        found = look(text, "GBP", "GB")["entities"]["counterparty"]
        assert (found["name"], found["website"]) == (name, "gov.uk")
        assert known_entity(found["id"])["name"] == name
        ids.add(found["id"])
    assert len(ids) == 3
