"""Tables of single values: amounts, decimal marks, dates, and the API's rules."""

from __future__ import annotations

import pytest

from pipeline.ingest import rules
from pipeline.ingest.amounts import Amount, Marks, find_marks, parse_amount
from pipeline.ingest.codes import COUNTRIES, CURRENCIES
from pipeline.ingest.dates import find_format, parse_date
from pipeline.ingest.records import Problem

POINT, COMMA = Marks(".", ",' "), Marks(",", ".' ")


@pytest.mark.parametrize(
    ("text", "marks", "digits", "negative"),
    [
        ("12.30", POINT, "12.3", False),
        ("0", POINT, "0", False),
        ("-0.00", POINT, "0", False),
        ("007.50", POINT, "7.5", False),
        (".5", POINT, "0.5", False),
        ("$120", POINT, "120", False),
        ("-$120", POINT, "120", True),
        ("$-120", POINT, "120", True),
        ("US$ 1,234.50", POINT, "1234.5", False),
        ("1.234,56", COMMA, "1234.56", False),
        ("1.234", COMMA, "1234", False),
        ("1.234", POINT, "1.234", False),
        ("1'234.50", POINT, "1234.5", False),
        ("1\u2019234.50", POINT, "1234.5", False),
        ("1\u00a0234,50\u00a0€", COMMA, "1234.5", False),
        ("1\u202f234,50 EUR", COMMA, "1234.5", False),
        ("EUR -1.234,50", COMMA, "1234.5", True),
        ("(12.30)", POINT, "12.3", True),
        ("($1,200.00)", POINT, "1200", True),
        ("12.30-", POINT, "12.3", True),
        ("\u221212.30", POINT, "12.3", True),
        ("+ £1,100.00", POINT, "1100", False),
        ("1,23,456.00", POINT, "123456", False),
        ("12.340000", POINT, "12.34", False),
        ("99999999999999.9999", POINT, "99999999999999.9999", False),
        ("\x0212.5", COMMA, "12.5", False),  # a number that came typed
    ],
)
def test_amounts_that_are_read(text: str, marks: Marks, digits: str, negative: bool) -> None:  # noqa: FBT001
    parsed = parse_amount(text, marks)
    assert isinstance(parsed, Amount)
    assert (parsed.digits, parsed.negative) == (digits, negative)


@pytest.mark.parametrize(
    ("text", "marks", "reason"),
    [
        ("", POINT, "is empty"),
        ("1,50", POINT, "not a number"),  # reading it as 150 would be a hundredfold error
        ("1.50", COMMA, "not a number"),
        ("1,234,5", POINT, "not a number"),
        ("12,34,56", POINT, "not a number"),
        ("NaN", POINT, "not a number"),
        ("inf", POINT, "not a number"),
        ("1e5", POINT, "not a number"),
        ("5.", POINT, "not a number"),
        ("-", POINT, "not a number"),
        ("--5", POINT, "not a number"),
        ("(-5)", POINT, "not a number"),
        ("(5", POINT, "not a number"),
        ("12.30 CR", POINT, "not a number"),
        ("\u0661\u0662", POINT, "not a number"),  # Arabic digits
        ("XXQ 5", POINT, "not a currency"),
        ("0.12345", POINT, "more than 4 decimals"),
        ("100000000000000", POINT, "more than 14 digits"),
    ],
)
def test_amounts_that_are_refused(text: str, marks: Marks, reason: str) -> None:
    parsed = parse_amount(text, marks)
    assert isinstance(parsed, Problem)
    assert reason in parsed


@pytest.mark.parametrize(
    ("values", "decimal"),
    [
        (["-8,78"], ","),
        (["1.234,56", "12"], ","),
        (["1'234.50"], "."),
        (["1,234.50"], "."),
        (["1.234.567"], ","),
        (["1234.567"], "."),
        (["0.125"], "."),
        (["12", "5"], "."),
        (["1.234", "5,00"], ","),
        (["1.50", "2.50", "abc,12"], "."),
        (["\x021.234"], "."),
    ],
)
def test_decimal_marks_are_found(values: list[str], decimal: str) -> None:
    marks = find_marks(values, None, None)
    assert isinstance(marks, Marks)
    assert marks.decimal == decimal


@pytest.mark.parametrize("values", [["1.234"], ["1,234", "5"], ["1.50", "1,50"]])
def test_unclear_decimal_marks_are_asked_for(values: list[str]) -> None:
    assert isinstance(find_marks(values, None, None), Problem)
    assert isinstance(find_marks(values, ".", None), Marks)


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["2020-01-31"], "iso"),
        (["2018-02-25 12:34:56 +0000"], "iso"),
        (["2018-02-25T12:34:56.123Z"], "iso"),
        (["13/02/2020", "01/02/2020"], "%d/%m/%Y"),
        (["2/20/19", "2/8/19"], "%m/%d/%y"),
        (["22.02.18"], "%d.%m.%y"),
        (["2019.04.19."], "%Y.%m.%d."),
        (["20190311"], "%Y%m%d"),
        (["12-Dec-2019", "Pending"], "%d-%b-%Y"),
        (["31/01/2020 18:05"], "%d/%m/%Y %H:%M"),
        (["05/05/2020"], "%d/%m/%Y"),  # the same day either way
    ],
)
def test_date_formats_are_found(values: list[str], form: str) -> None:
    assert find_format(values) == form


@pytest.mark.parametrize("values", [["01/02/2020"], ["02/13/2020", "13/02/2020"], ["someday"], ["3-4-20"]])
def test_unclear_date_formats_are_asked_for(values: list[str]) -> None:
    assert isinstance(find_format(values), Problem)


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("2024-02-29", "iso", "2024-02-29"),
        (" 2024-02-29 ", "iso", "2024-02-29"),
        ("2024-02-29T23:59:00-08:00", "iso", "2024-02-29"),  # the day as the bank wrote it
        ("29.2.24", "%d.%m.%y", "2024-02-29"),
    ],
)
def test_dates_that_are_read(text: str, form: str, expected: str) -> None:
    parsed = parse_date(text, form)
    assert parsed == expected
    assert not isinstance(parsed, Problem)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("2023-02-29", "iso"),
        ("30.02.2018", "%d.%m.%Y"),
        ("2024-02-29Tnoon", "iso"),
        ("20240229", "iso"),
        ("2024-W05-1", "iso"),
        ("1111/11/11", "%Y/%m/%d"),
        ("2206-01-01", "iso"),
        ("", "iso"),
    ],
)
def test_dates_that_are_refused(text: str, form: str) -> None:
    assert isinstance(parse_date(text, form), Problem)


def test_closed_lists_have_the_sizes_of_the_fact_sheet() -> None:
    assert (len(CURRENCIES), len(COUNTRIES)) == (150, 244)
    assert not CURRENCIES & {"BTN", "BYN", "HTG", "LSL", "MRU", "NAD", "PAB", "SLE", "STN", "SVC", "VED", "VES"}
    assert not COUNTRIES & {"AQ", "AX", "FO", "TF", "VA"}


def test_ids_are_sent_as_they_are_only_if_safe_in_a_path() -> None:
    assert rules.transaction_id("tx_00-A") == "tx_00-A"
    assert rules.transaction_id("a/b") == "h-c14cddc033f64b9dea80ea675cf280a0"
    assert rules.transaction_id("é" * 200).startswith("h-")


def test_the_hash_of_a_content_never_changes() -> None:
    """A changed hash would make every known transaction a new one, and it would be paid for again."""
    parts = rules.SEPARATOR.join(["2025-01-31", "Café", "12.5", "outgoing", "EUR", "FR", "acct-1", "consumer"])
    assert rules.content_hash(parts) == "d76f79a5bfac30c0028d8264c8c7319c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [(" A\tB\r\nC ", "A B C"), ("A\x00B", "A B"), ("", ""), ("Zürich 東京", "Zürich 東京")],
)
def test_control_characters_in_descriptions_become_spaces(text: str, expected: str) -> None:
    assert rules.description(text) == expected


def test_descriptions_have_at_most_1024_characters() -> None:
    assert not isinstance(rules.description("é" * 1024), Problem)
    assert isinstance(rules.description("é" * 1025), Problem)
