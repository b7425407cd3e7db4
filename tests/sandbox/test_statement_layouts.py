"""Bank statements as some large banks lay theirs out; the figures are made up."""

from __future__ import annotations

import pytest
from statement_pdfs import statement, told, typed

from pipeline.sandbox.statements.child import extract
from pipeline.sandbox.statements.shapes import Extracted, Refused


def read(pdf: bytes):
    """Its one account."""
    found = extract(pdf, most_pages=20, seconds=20)
    assert isinstance(found, Extracted), found
    (account,) = found.results.accounts
    return account


def test_a_head_of_two_lines_and_dates_without_a_year():
    account = read(
        typed(
            "Everyday Checking",
            "January 31, 2026     Page 1 of 5",
            "Statement period activity summary",
            "Beginning balance on 1/1                $2,000.00",
            "Ending balance on 1/31                   $2,842.50",
            "Account number: 1234567890",
            "Transaction history",
            "          Check                                              Deposits/  Withdrawals/  Ending daily",
            "Date      Number  Description                                Additions  Subtractions       balance",
            "1/5               Purchase authorized on 01/04 Corner",
            "                  Coffee Springfield IL P004612 Card 1234                       7.50      1,992.50",
            "1/15              Acme Payroll 260115 Jane Doe                1,000.00",
            "1/15      1017    Check                                                       150.00      2,842.50",
            "Ending balance on 1/31                                                                    2,842.50",
            "Totals                                                       $1,000.00       $157.50",
        )
    )
    assert told(account) == [
        ("2026-01-05", "Purchase authorized on 01/04 Corner Coffee Springfield IL P004612 Card 1234", -7.5),
        ("2026-01-15", "Acme Payroll 260115 Jane Doe", 1000.0),
        ("2026-01-15", "1017 Check", -150.0),
    ]
    assert (account.opening_balance, account.closing_balance) == (2000.0, 2842.5)
    assert account.is_balance_reconciled is True
    assert account.transactions[0].currency == "USD"


def test_a_card_whose_year_stands_in_its_period_alone():
    account = read(
        typed(
            "Account Number: XXXX XXXX XXXX 1234",
            "Previous Balance                 $500.00",
            "New Balance                      $ 39.44",
            "Minimum Payment Due: $25.00      Opening/Closing Date 12/15/25 - 01/14/26",
            "ACCOUNT ACTIVITY",
            "Date of",
            "Transaction       Merchant Name or Transaction Description                     $ Amount",
            "PAYMENTS AND OTHER CREDITS",
            "12/28             Payment Thank You-Mobile                                     -500.00",
            "PURCHASE",
            "12/20             CORNER COFFEE 0042 SPRINGFIELD IL                              15.99",
            "01/03             SQ *FLOWERS CHICAGO IL                                         23.45",
        )
    )
    assert told(account) == [
        ("2025-12-28", "Payment Thank You-Mobile", 500.0),
        ("2025-12-20", "CORNER COFFEE 0042 SPRINGFIELD IL", -15.99),
        ("2026-01-03", "SQ *FLOWERS CHICAGO IL", -23.45),
    ]
    assert (str(account.start_date), str(account.end_date)) == ("2025-12-15", "2026-01-14")
    assert account.is_balance_reconciled is True


def test_codes_of_payments_and_an_overdrawn_balance():
    account = read(
        typed(
            "Example UK                         Sort code 40-12-34",
            "Account number: 12345678",
            "Date        Payment type and details            Paid out     Paid in      Balance",
            "01 Dec 25   BALANCE BROUGHT FORWARD                                      112.10 D",
            "02 Dec 25   DD   POWER COMPANY                     12.00",
            "            VIS  CORNER SHOP",
            "                 LONDON                            25.00                 149.10 D",
            "03 Dec 25   CR   ACME LTD SALARY                               500.00    350.90",
            "            BALANCE CARRIED FORWARD                                      350.90",
        )
    )
    assert told(account) == [
        ("2025-12-02", "DD POWER COMPANY", -12.0),
        ("2025-12-02", "VIS CORNER SHOP LONDON", -25.0),
        ("2025-12-03", "CR ACME LTD SALARY", 500.0),
    ]
    assert (account.opening_balance, account.closing_balance) == (-112.1, 350.9)
    assert [one.running_balance for one in account.transactions] == [None, -149.1, 350.9]
    assert account.is_balance_reconciled is True
    assert {one.currency for one in account.transactions} == {"GBP"}


def test_a_date_beside_the_last_line_of_a_description():
    account = read(
        typed(
            "Opening balance: GBP 100.00",
            "Date        Description                         Paid out     Paid in      Balance",
            "            Card payment to",
            "03 May 24   Corner Shop London                     12.50                    87.50",
            "            Direct debit",
            "            Power Company",
            "04 May 24   reference 4711                         30.00                    57.50",
            "05 May 24   Salary                                             500.00      557.50",
        )
    )
    assert told(account) == [
        ("2024-05-03", "Card payment to Corner Shop London", -12.5),
        ("2024-05-04", "Direct debit Power Company reference 4711", -30.0),
        ("2024-05-05", "Salary", 500.0),
    ]
    assert account.is_balance_reconciled is True


def test_soll_and_haben_behind_the_figure():
    rows = [
        ("Bu-Tag", "Wert", "Vorgang", "Betrag"),
        ("02.05.", "02.05.", "Kartenzahlung Markt", "12,50 S"),
        ("03.05.", "03.05.", "Gehalt", "2.000,00 H"),
    ]
    account = read(
        statement(
            "Kontoauszug Nr. 5/2024, IBAN: DE89 3704 0044 0532 0130 00",
            "alter Kontostand vom 30.04.2024 100,00 S",
            rows,
            "neuer Kontostand vom 31.05.2024 1.887,50 H",
            figures_from=3,
        )
    )
    assert told(account) == [("2024-05-02", "Kartenzahlung Markt", -12.5), ("2024-05-03", "Gehalt", 2000.0)]
    assert (account.opening_balance, account.closing_balance) == (-100.0, 1887.5)
    assert account.is_balance_reconciled is True


@pytest.mark.parametrize(
    ("line", "currency"),
    [
        ("Sort code 12-34-56", "GBP"),
        ("Your deposit is protected by the Financial Services Compensation Scheme", "GBP"),
        ("Routing number 021000021", "USD"),
        ("Member FDIC", "USD"),
        ("Springfield, IL 62701-1234", "USD"),
        ("SEPA transfers are free of charge", "EUR"),
        ("BSB 062-000", "AUD"),
        ("Member of CDIC", "CAD"),
        ("IFSC: ABCD0123456", "INR"),
        ("All amounts in Swiss francs (CHF)", "CHF"),
        ("Betr\u00e4ge in EUR", "EUR"),
    ],
)
def test_the_country_of_a_bank_tells_the_currency(line, currency):
    rows = [("Date", "Details", "Amount"), ("2024-05-03", "Shop", "-1.00")]
    assert read(statement(line, rows)).transactions[0].currency == currency


def test_a_dollar_is_the_dollar_of_the_banks_country():
    rows = [("Date", "Details", "Amount"), ("2024-05-03", "Shop", "-$1.00")]
    assert read(statement("Member of CDIC", rows)).transactions[0].currency == "CAD"
    assert read(statement("Your account", rows)).transactions[0].currency == "USD"
    # What is printed beside a figure goes before what the bank's country has.
    rows = [("Date", "Details", "Amount"), ("2024-05-03", "Shop", "-\u20ac1.00")]
    assert read(statement("Sort code 12-34-56", rows)).transactions[0].currency == "EUR"


def test_without_any_sign_it_is_no_dollar_where_nobody_writes_dates_so():
    rows = [("Date", "Details", "Amount"), ("25/05/2024", "Shop", "-1.00")]
    found = extract(statement("Your account", rows), most_pages=20, seconds=20)
    assert isinstance(found, Refused)
    assert "currency" in found.reason
    rows = [("Date", "Details", "Amount"), ("05/25/2024", "Shop", "-1.00")]
    found = extract(statement("Your account", rows), most_pages=20, seconds=20)
    assert found.results.accounts[0].transactions[0].currency == "USD"
    # That it is a guess shows where the API has room for it.
    assert found.overview.accounts[0].iso_currency_code is None


@pytest.mark.parametrize(
    ("lines", "unit", "days"),
    [
        (("Currency: USD",), "", ["2024-03-04", "2024-05-04"]),
        (("Your account",), "$", ["2024-03-04", "2024-05-04"]),
        (("Routing number 021000021",), "", ["2024-03-04", "2024-05-04"]),
        (("Minimum payment due: $25.00",), "", ["2024-03-04", "2024-05-04"]),
        (("Currency: USD", "Statement period: 1 April 2024 to 30 April 2024"), "", ["2024-04-03", "2024-04-05"]),
        (("Currency: USD", "Statement period: 01/04/2024 to 30/04/2024"), "", ["2024-04-03", "2024-04-05"]),
        (("Member of CDIC",), "$", ["2024-04-03", "2024-04-05"]),
        (("Currency: GBP",), "", ["2024-04-03", "2024-04-05"]),
    ],
)
def test_dates_that_may_be_read_either_way(lines, unit, days):
    rows = [("Date", "Details", "Amount"), ("03/04/2024", "Shop", f"-{unit}1.00"), ("05/04/2024", "Shop", "-1.00")]
    assert [str(one.date) for one in read(statement(*lines, rows)).transactions] == days


def test_where_nothing_tells_the_order_of_dates_it_is_refused_if_it_matters():
    head = ("Date", "Details", "Amount")
    for day in ("03/04/2024", "04/03/2024"):
        rows = [head, (day, "Shop", "-1.00"), ("05/05/2024", "Shop", "-1.00")]
        found = extract(statement("Your account", rows), most_pages=20, seconds=20)
        assert isinstance(found, Refused)
        assert "the day or the month" in found.reason
    account = read(statement("Your account", [head, ("05/05/2024", "Shop", "-1.00"), ("06/06/2024", "Shop", "-2.00")]))
    assert [str(one.date) for one in account.transactions] == ["2024-05-05", "2024-06-06"]


def test_the_first_page_may_leave_the_order_of_dates_to_the_next():
    head = ("Date", "Details", "Amount")
    parts = ("Account number: 11111111", [head, ("03/04/2024", "Shop", "-1.00")])
    more = ("Account number: 11111111", [head, ("04/25/2024", "Shop", "-1.00")])
    found = extract(statement(*parts, *more, page_breaks=True), most_pages=20, seconds=20)
    assert isinstance(found, Extracted), found
    (account,) = found.results.accounts
    assert [str(one.date) for one in account.transactions] == ["2024-03-04", "2024-04-25"]
    assert found.overview.start_date is None


@pytest.mark.parametrize(
    ("line", "amount"),
    [
        ("Currency: BTN", "-1.00"),
        ("Currency: XYZ", "-1.00"),
        ("All amounts in BYN", "-1.00"),
        ("Currency (NAD)", "-1.00"),
        ("Your account", "-VES 1.00"),
        ("Springfield, IL 62701-1234", "-1.00 PAB"),
    ],
)
def test_a_currency_that_the_api_does_not_have_is_not_taken_for_another(line, amount):
    rows = [("Date", "Details", "Amount"), ("2024-05-03", "Shop", amount)]
    found = extract(statement(line, rows), most_pages=20, seconds=20)
    assert isinstance(found, Refused)
    assert "which the API does not have" in found.reason


def test_words_of_three_letters_are_no_currencies():
    rows = [("Date", "Details", "Amount"), ("2024-05-03", "Shop", "-1.00")]
    for line in ("FOREIGN CURRENCY FEE", "Amounts shown in the USA", "Currency: EUR"):
        account = read(statement(line, rows))
        assert account.transactions[0].currency == ("EUR" if "EUR" in line else "USD")


def test_a_card_with_neither_signs_nor_balances_has_purchases():
    account = read(
        typed(
            "Credit card statement       Minimum payment due: $25.00",
            "Date        Description                        Amount",
            "05/02/24    CORNER SHOP                         30.00",
            "05/04/24    BOOK SHOP                           10.00",
        )
    )
    assert told(account) == [("2024-05-02", "CORNER SHOP", -30.0), ("2024-05-04", "BOOK SHOP", -10.0)]
