"""Reading bank statements, without a server."""

from __future__ import annotations

import random
import time
import zlib
from decimal import Decimal

import pytest
from statement_looks import Look
from statement_pdfs import british, drawing, statement, told, typed, with_password

from pipeline.sandbox.statements.child import extract
from pipeline.sandbox.statements.dates import Calendar, Written, leading, period
from pipeline.sandbox.statements.figures import figure, last_figure
from pipeline.sandbox.statements.shapes import Extracted, Refused, UnreadableError


def accounts(pdf: bytes):
    found = extract(pdf, most_pages=20, seconds=20)
    assert isinstance(found, Extracted), found
    return found.results.accounts


def refused(pdf: bytes, **limits) -> str:
    found = extract(pdf, **{"most_pages": 20, "seconds": 20, **limits})
    assert isinstance(found, Refused), found
    return found.reason


def test_columns_for_money_out_and_in():
    found = extract(british(), most_pages=20, seconds=20)
    (account,) = found.results.accounts
    assert told(account) == [
        ("2024-05-02", "CARD PAYMENT TESCO STORES 1234 LONDON", -12.5),
        ("2024-05-03", "SALARY ACME LTD", 2500.0),
        ("2024-05-04", "DIRECT DEBIT 4711", -45.0),
    ]
    assert {one.currency for one in account.transactions} == {"GBP"}
    assert [one.running_balance for one in account.transactions] == [987.5, 3487.5, 3442.5]
    assert len({one.id for one in account.transactions}) == 3
    assert (account.number, account.opening_balance, account.closing_balance) == ("12345678", 1000.0, 3442.5)
    assert (account.total_incoming, account.total_outgoing) == (2500.0, 57.5)
    assert account.is_balance_reconciled is True
    assert (str(account.start_date), str(account.end_date)) == ("2024-05-01", "2024-05-31")
    assert found.overview.institution == "Example Bank plc"
    assert (found.overview.account_holder.type, found.overview.account_holder.name) == ("consumer", "Jane Doe")
    (shown,) = found.overview.accounts
    assert (shown.number, shown.iso_currency_code, shown.opening_balance) == ("12345678", "GBP", 1000.0)


def test_one_signed_column_american_dates_without_year():
    rows = [
        ("Date", "Description", "Amount", "Balance"),
        ("05/02", "Coffee", "-$4.50", "$1,995.50"),
        ("05/31", "Payroll", "$1,000.00", "$2,995.50"),
    ]
    (account,) = accounts(
        statement("Account No. XXXX-1234", "May 1, 2024 through May 31, 2024", "Beginning balance $2,000.00", rows)
    )
    assert told(account) == [("2024-05-02", "Coffee", -4.5), ("2024-05-31", "Payroll", 1000.0)]
    assert (account.number, account.opening_balance, account.closing_balance) == ("XXXX-1234", 2000.0, 2995.5)
    assert account.is_balance_reconciled is True
    assert account.transactions[0].currency == "USD"


def test_german_figures_newest_first_two_dates_a_row():
    rows = [
        ("Buchungstag", "Valuta", "Verwendungszweck", "Betrag", "Saldo"),
        ("03.05.2024", "04.05.2024", "Kartenzahlung Markt", "-12,50", "1.234,56"),
        ("02.05.2024", "02.05.2024", "Gehalt", "2.000,00", "1.247,06"),
    ]
    (account,) = accounts(statement("IBAN: DE89 3704 0044 0532 0130 00", rows, figures_from=3))
    assert told(account) == [("2024-05-03", "Kartenzahlung Markt", -12.5), ("2024-05-02", "Gehalt", 2000.0)]
    assert (account.number, account.transactions[0].currency) == ("DE89370400440532013000", "EUR")
    # The balance before the earliest row, which is the last one.
    assert (account.opening_balance, account.closing_balance) == (-752.94, 1234.56)
    assert account.is_balance_reconciled is True


def test_without_signs_the_balances_tell_the_direction():
    rows = [
        ("Date", "Details", "Amount", "Balance"),
        ("3 May 2024", "A shop", "12.50", "987.50"),
        ("", "Another shop", "10.00", "977.50"),
        ("5 May 2024", "Pay", "100.00", "1,077.50"),
    ]
    (account,) = accounts(statement("Opening balance: £1,000.00", rows))
    assert told(account) == [
        ("2024-05-03", "A shop", -12.5),
        ("2024-05-03", "Another shop", -10.0),
        ("2024-05-05", "Pay", 100.0),
    ]
    assert account.transactions[0].currency == "GBP"


def test_sections_and_credit_marks_tell_the_direction():
    head = ("Date", "Description", "Amount (EUR)")
    parts = (
        "Deposits and additions",
        [head, ("2024-05-03", "Salary", "900.00")],
        "Withdrawals",
        [head, ("2024-05-04", "Rent", "500.00")],
    )
    (account,) = accounts(statement(*parts))
    assert told(account) == [("2024-05-03", "Salary", 900.0), ("2024-05-04", "Rent", -500.0)]
    assert account.transactions[0].currency == "EUR"
    (account,) = accounts(statement([head, ("2024-05-03", "Refund", "9.00 CR"), ("2024-05-04", "Shop", "5.00")]))
    assert told(account) == [("2024-05-03", "Refund", 9.0), ("2024-05-04", "Shop", -5.0)]


def test_a_year_without_balances_ends_in_january():
    rows = [("Date", "Details", "Amount"), ("30 Dec", "A shop", "-12.50"), ("4 Jan", "Pay", "10.00")]
    (account,) = accounts(statement("Statement from 28 Dec 2023 to 5 Jan 2024", rows))
    assert [one.date.isoformat() for one in account.transactions] == ["2023-12-30", "2024-01-04"]
    assert (account.opening_balance, account.closing_balance, account.is_balance_reconciled) == (None, None, None)


def test_a_balance_that_does_not_add_up_is_told():
    rows = [("Date", "Details", "Amount", "Balance"), ("2024-05-03", "A shop", "-12.50", "980.00")]
    (account,) = accounts(statement("Opening balance: 1,000.00", rows))
    assert account.is_balance_reconciled is False


def test_many_pages_and_descriptions_over_two_lines():
    rows = [
        (f"2024-05-{day:02}", f"Payment {day}\nto somebody", f"-{day}.00", f"{1000 - day}.00") for day in range(1, 29)
    ]
    pdf = statement([("Date", "Description", "Amount", "Balance"), *rows * 3])
    (account,) = accounts(pdf)
    assert len(account.transactions) == 84
    assert {one.description for one in account.transactions} == {f"Payment {day} to somebody" for day in range(1, 29)}
    assert sorted({one.page_number for one in account.transactions}) == list(
        range(1, account.transactions[-1].page_number + 1)
    )
    assert account.transactions[-1].page_number > 2


def test_two_accounts():
    head = ("Date", "Description", "Debit", "Credit", "Balance")
    first = [head, ("2024-05-03", "Shop", "10.00", "", "90.00")]
    second = [head, ("2024-05-04", "Interest", "", "1.00", "501.00")]
    found = accounts(statement("Account number: 11111111", first, "Account number: 22222222", second, page_breaks=True))
    assert [(one.number, told(one)) for one in found] == [
        ("11111111", [("2024-05-03", "Shop", -10.0)]),
        ("22222222", [("2024-05-04", "Interest", 1.0)]),
    ]
    assert [one.opening_balance for one in found] == [100.0, 500.0]


def test_a_business_is_told_from_a_person():
    pdf = statement("Account holder: Acme Ltd", [("Date", "Details", "Amount"), ("2024-05-03", "Shop", "-1.00")])
    assert extract(pdf, most_pages=9, seconds=20).overview.account_holder.type == "business"


@pytest.mark.parametrize(
    ("text", "value", "marked"),
    [
        ("12.50", "12.50", False), ("1,234.56", "1234.56", False), ("1.234,56", "1234.56", False),
        ("1 234,56", "1234.56", False), ("1'234.50", "1234.50", False), ("1.234", "1234", False), ("7", "7", False),
        ("-12.50", "-12.50", True), ("12.50-", "-12.50", True), ("(12.50)", "-12.50", True),
        ("\u221212.50", "-12.50", True),
        ("+12.50", "12.50", True), ("12.50 CR", "12.50", True), ("12.50 DR", "-12.50", True), ("-$4.50", "-4.50", True),
        ("$-4.50", "-4.50", True), ("£1,000.00", "1000.00", False), ("EUR 5.00", "5.00", False),
        ("5,00 €", "5.00", False),
    ],
)  # fmt: skip
def test_figures(text, value, marked):
    found = figure(text)
    assert (found.value, found.marked) == (Decimal(value), marked)


@pytest.mark.parametrize("text", ["", "12.345.6", "x12", "1,23,456.00", "12:30", "(5.00", "5.00)", "12-34-56", "A"])
def test_what_is_no_figure(text):
    assert figure(text) is None


def test_a_figure_that_ran_into_the_description():
    assert last_figure("CARD PAYMENT 1234 12.50") == ("CARD PAYMENT 1234", "12.50")
    assert last_figure("STORE 1234") is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2024-05-03", Written(3, 5, 2024, True)), ("03/05/24 x", Written(3, 5, 2024, False)),
        ("3.5.2024", Written(3, 5, 2024, True, dotted=True)), ("3 May 2024", Written(3, 5, 2024, True)),
        ("03-MAY-24", Written(3, 5, 2024, True)), ("May 3, 2024", Written(3, 5, 2024, True)),
        ("3rd May", Written(3, 5, None, True)), ("03/05", Written(3, 5, None, False)),
        ("3. Mai", Written(3, 5, None, True)),
    ],
)  # fmt: skip
def test_dates(text, written):
    assert leading(text)[0] == written


def test_what_is_no_date():
    assert [leading(text) for text in ("Payment", "12345678", "12.50 GBP", "1/2/3/4")] == [None, None, None, None]


def test_the_order_of_day_and_month_is_the_statements():
    third = Written(3, 4, 2024, certain=False)
    assert Calendar([third], None, american=True).date(third).isoformat() == "2024-03-04"
    assert Calendar([third], None, american=False).date(third).isoformat() == "2024-04-03"
    assert Calendar([third, Written(13, 4, 2024, certain=False)], None, american=True).date(third).month == 4
    assert Calendar([third, Written(4, 13, 2024, certain=False)], None, american=False).date(third).month == 3
    later = Written(9, 4, 2024, certain=False)
    assert Calendar([third, later], None, american=True).date(third).month == 3
    assert Calendar([third, later], None, american=False).date(third).month == 4
    with pytest.raises(UnreadableError, match="the day or the month"):
        Calendar([third], None, american=None)
    fifth = Written(5, 5, 2024, certain=False)
    assert Calendar([fifth], None, american=None).date(fifth).month == 5
    april = (Written(1, 4, 2024, certain=True), Written(30, 4, 2024, certain=True))
    for american in (True, False, None):
        assert Calendar([third, later], april, american=american).date(third).month == 4
        assert Calendar([third._replace(year=None)], april, american=american).date(third).month == 4
    for written in (Written(31, 2, 2024, certain=True), Written(3, 4, None, certain=True)):
        with pytest.raises(UnreadableError):
            Calendar([written], None, american=False).date(written)


def test_a_date_around_the_table_that_is_none_or_does_not_fit_is_passed_over():
    row = Written(5, 1, None, certain=True)
    none, old = Written(31, 2, 2024, certain=True), Written(3, 5, 2019, certain=True)
    printed = Written(31, 1, 2026, certain=True)
    calendar = Calendar([row], None, american=True, elsewhere=[none, old, printed])
    assert calendar.date(row).isoformat() == "2026-01-05"
    calendar = Calendar([row], None, american=True, elsewhere=[none, old])
    with pytest.raises(UnreadableError, match="no year"):
        calendar.date(row)


@pytest.mark.parametrize(
    "line", ["01/05/2024 to 31/05/2024", "1 May 2024 - 31 May 2024", "2024-05-01 \u2013 2024-05-31"]
)
def test_periods(line):
    first, last = period(f"Statement period: {line}")
    assert [first.second, last.second] == [5, 5]
    assert period("Printed on 01/06/2024, sort code 12-34-56") is None


@pytest.mark.parametrize(
    ("pdf", "why"),
    [
        (b"", "no PDF"),
        (b"Date,Description,Amount\n2024-05-01,Shop,-1.00\n", "no PDF"),
        (b"%PDF-1.7\n", "no PDF"),
        (british()[: len(british()) // 2], "no PDF"),
        (with_password(), "password"),
        (drawing("Dear customer,", "thank you."), "not found"),
        (drawing(), "not found"),
        (statement([("Date", "Description", "Amount"), ("", "", "")]), "no rows"),
        (statement([("Date", "Text", "Amount"), ("2024-05-03", "Shop", "5.00")]), "incoming"),
        (statement([("Date", "Text", "Amount"), ("31 Feb 2024", "Shop", "-5.00")]), "date"),
        (statement([("Date", "Text", "Amount"), ("3 May", "Shop", "-5.00")]), "year"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(pdf, why):
    assert why in refused(pdf)


def test_limits_hold():
    rows = [("Date", "Description", "Amount"), *[("2024-05-03", "Shop", "-1.00")] * 200]
    assert "more than 2 pages" in refused(statement(rows), most_pages=2)
    begun = time.monotonic()
    assert "limits" in refused(_swollen(), seconds=5)
    assert time.monotonic() - begun < 15


def _swollen() -> bytes:
    """A page of 40 KB that holds 40 million operators once it is inflated."""
    content = zlib.compress(b"BT (x) Tj ET\n" * 3_000_000, 9)
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R >>",
        b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    made, places = b"%PDF-1.7\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 5\n0000000000 65535 f \n" + table
    return made + head + b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(made)


def test_damaged_files_are_read_or_refused():
    chance = random.Random(7)
    pdf = british()
    for _ in range(12):
        damaged = bytearray(pdf)
        for _ in range(chance.randint(1, 60)):
            damaged[chance.randrange(8, len(pdf))] = chance.randrange(256)
        found = extract(bytes(damaged), most_pages=20, seconds=10)
        assert isinstance(found, Extracted | Refused)


def test_a_date_once_a_day_and_figures_on_a_later_line():
    pdf = typed(
        "Date       Payment type and details          Paid out     Paid in      Balance",
        "           BALANCE BROUGHT FORWARD                                   1,000.00",
        "02 May 24  VIS  CORNER SHOP",
        "                LONDON                          12.50",
        "           DD   POWER COMPANY                   30.00                  957.50",
        "03 May 24  CR   ACME LTD SALARY                           500.00     1,457.50",
        "           BALANCE CARRIED FORWARD                                   1,457.50",
        "Overdraft limit                                                        500.00",
    )
    (account,) = accounts(pdf)
    assert told(account) == [
        ("2024-05-02", "VIS CORNER SHOP LONDON", -12.5),
        ("2024-05-02", "DD POWER COMPANY", -30.0),
        ("2024-05-03", "CR ACME LTD SALARY", 500.0),
    ]
    assert (account.opening_balance, account.closing_balance) == (1000.0, 1457.5)
    assert account.is_balance_reconciled is True


def test_sections_with_a_head_each_and_a_column_of_an_unknown_name():
    pdf = typed(
        "Deposits and other credits",
        "Date          Description                        Amount",
        "05/02/24      PAYROLL ACME                       900.00",
        "Total deposits and other credits                $900.00",
        "Checks",
        "Date          Check #                            Amount",
        "05/03/24      1017                               100.00",
        "05/04/24      1018*                               50.00",
        "Total checks                                    $150.00",
    )
    (account,) = accounts(pdf)
    assert told(account) == [
        ("2024-05-02", "PAYROLL ACME", 900.0),
        ("2024-05-03", "1017", -100.0),
        ("2024-05-04", "1018*", -50.0),
    ]


def test_what_is_owed_on_a_card():
    pdf = typed(
        "Credit card statement       Minimum payment due: $25.00",
        "Previous balance: $100.00   New balance: $30.00",
        "Date        Description                        Amount",
        "05/02/24    CORNER SHOP                         30.00",
        "05/04/24    PAYMENT - THANK YOU               -100.00",
    )
    (account,) = accounts(pdf)
    assert told(account) == [("2024-05-02", "CORNER SHOP", -30.0), ("2024-05-04", "PAYMENT - THANK YOU", 100.0)]
    assert (account.opening_balance, account.closing_balance) == (-100.0, -30.0)
    assert account.is_balance_reconciled is True


def test_a_column_says_debit_or_credit():
    rows = [
        ("Date", "Description", "Type", "Amount"),
        ("2024-05-03", "Shop", "Debit", "10.00"),
        ("2024-05-04", "Refund", "Credit", "4.00"),
    ]
    (account,) = accounts(statement(rows, figures_from=3))
    assert told(account) == [("2024-05-03", "Shop", -10.0), ("2024-05-04", "Refund", 4.0)]


@pytest.mark.parametrize("seed", range(24))
def test_statements_of_many_looks(seed):
    look = Look(random.Random(seed))
    (account,) = accounts(look.pdf)
    assert told(account) == look.rows
    assert account.opening_balance == look.opening
    assert account.is_balance_reconciled is not False
