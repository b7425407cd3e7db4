"""The official client against the sandbox, sync and async: reports and bank statements."""

from __future__ import annotations

import datetime as dt
import io

import pytest
from ntropy_sdk import NtropyError, NtropyNotFoundError, NtropyResourceOccupiedError, NtropyValidationError
from ntropy_sdk.bank_statements import BankStatementJobStatus
from ntropy_sdk.utils import EntryType
from ntropy_sdk.v2.errors import NtropyBankStatementError
from statement_pdfs import british, drawing

ITEM = {
    "id": "t",
    "description": "SQ *STARBUCKS 00001",
    "date": "2024-05-01",
    "amount": 12.5,
    "entry_type": "outgoing",
    "currency": "USD",
}
FIELDS = [".entities.counterparty", ".categories.general"]
# aiohttp will give up bytes as the content of a file; the client hands them to it all the same.
BYTES = "ignore:In v4, passing bytes will no longer create a file field:DeprecationWarning"


@pytest.fixture(scope="module")
def pdf():
    return british()


def _report(official, **fields):
    return official.reports.create(transaction_id="t", description="Another shop", fields=FIELDS, **fields)


def test_reports(official):
    official.transactions.create(**ITEM)
    made = _report(official, request_id="mine")
    assert (made.transaction_id, made.description, made.fields) == ("t", "Another shop", FIELDS)
    assert (made.status, made.rejection_reason, made.request_id) == ("open", None, "mine")
    assert made.created_at.tzinfo is not None
    read = official.reports.get(made.id)
    assert read.model_dump(exclude={"request_id"}) == made.model_dump(exclude={"request_id"})
    official.reports.delete(made.id)
    for call in (official.reports.get, official.reports.delete):
        with pytest.raises(NtropyNotFoundError):
            call(made.id)


def test_reports_are_listed_to_the_end(official):
    official.transactions.create(**ITEM)
    made = [_report(official).id for _ in range(12)]
    assert [one.id for one in official.reports.list().data] == made[:1:-1]
    assert [one.id for one in official.all_of(official.reports.list(limit=5), size=5)] == made[::-1]
    assert [one.id for one in official.all_of(official.reports.list(status="open"))] == made[::-1]
    assert official.reports.list(status="resolved").data == []
    # Text: the async client is typed for a datetime, and fails to send one.
    tomorrow = str(dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    assert official.reports.list(created_after=tomorrow).data == []
    assert len(official.reports.list(created_before=tomorrow).data) == 10


def test_a_report_that_is_refused(official):
    with pytest.raises(NtropyNotFoundError):
        _report(official)
    official.transactions.create(**ITEM)
    with pytest.raises(NtropyValidationError):
        official.reports.create(transaction_id="t", description="", fields=["merchant"])
    with pytest.raises(NtropyValidationError):
        official.reports.list(status="done")


def test_a_report_is_decided(start, official_client, request):
    client = start(unthrottled=True, time_scale=1e9)
    official = official_client(str(client.base_url).rstrip("/"), request.node.nodeid)
    official.transactions.create(**ITEM)
    made = _report(official)
    while (read := official.reports.get(made.id)).status in ("open", "pending"):
        pass
    assert read.status in ("resolved", "rejected")
    assert [one.id for one in official.reports.list(status=read.status).data] == [made.id]


@pytest.mark.parametrize("kind", ["bytes", "file", "named"])
@pytest.mark.filterwarnings(BYTES)
def test_a_statement_is_read(official, pdf, kind):
    sent = pdf if kind == "bytes" else io.BytesIO(pdf)
    named = {"filename": "may.pdf"} if kind == "named" else {}
    made = official.bank_statements.create(sent, **named)
    assert made.status == BankStatementJobStatus.PROCESSING
    assert (made.file.no_pages, made.file.size, made.error) == (1, len(pdf), None)
    assert made.name == ("may.pdf" if named else "file")
    results = official.bank_statements.wait_for_results(made.id, poll_interval=0)
    (account,) = results.accounts
    assert (account.number, account.opening_balance, account.closing_balance) == ("12345678", 1000, 3442.5)
    assert account.is_balance_reconciled is True
    assert [(one.entry_type, one.amount) for one in account.transactions] == [
        (EntryType.outgoing, 12.5),
        (EntryType.incoming, 2500),
        (EntryType.outgoing, 45),
    ]
    done = official.bank_statements.get(made.id)
    assert done.is_completed()
    assert official.bank_statements.results(made.id).accounts == results.accounts


@pytest.mark.filterwarnings(BYTES)
def test_what_was_read_is_enriched(official, pdf):
    official.account_holders.create(id="jane", type="consumer")
    made = official.bank_statements.create(pdf)
    (account,) = official.bank_statements.wait_for_results(made.id, poll_interval=0).accounts
    items = [one.to_transaction_input(account_holder_id="jane").model_dump(mode="json") for one in account.transactions]
    batch = official.batches.create(operation="POST /v3/transactions", data=items)
    found = official.batches.wait_for_results(batch.id, poll_interval=0).results
    assert [one.id for one in found] == [one.id for one in account.transactions]
    assert [one.error for one in found] == [None] * 3


@pytest.mark.filterwarnings(BYTES)
def test_the_first_page_before_the_rest(start, official_client, request, pdf):
    client = start(unthrottled=True)
    official = official_client(str(client.base_url).rstrip("/"), request.node.nodeid)
    made = official.bank_statements.create(pdf)
    info = official.bank_statements.verify(made.id)
    assert (info.institution, info.start_date, info.end_date) == (
        "Example Bank plc",
        dt.date(2024, 5, 1),
        dt.date(2024, 5, 31),
    )
    assert (info.account_holder.name, info.account_holder.type) == ("Jane Doe", "consumer")
    assert [(one.number, one.iso_currency_code) for one in info.accounts] == [("12345678", "GBP")]
    with pytest.raises(NtropyResourceOccupiedError):
        official.bank_statements.results(made.id)


@pytest.mark.parametrize("content", [b"no PDF", drawing("Dear customer")])
@pytest.mark.filterwarnings(BYTES)
def test_what_is_no_statement(official, content):
    made = official.bank_statements.create(content)
    with pytest.raises(NtropyBankStatementError) as caught:
        official.bank_statements.wait_for_results(made.id, poll_interval=0)
    assert (caught.value.id, caught.value.code) == (made.id, "invalid_bank_statement")
    assert official.bank_statements.get(made.id).is_error()
    with pytest.raises(NtropyError):
        official.bank_statements.verify(made.id)


@pytest.mark.filterwarnings(BYTES)
def test_statements_are_listed_and_deleted(official, pdf):
    good, bad = official.bank_statements.create(pdf), official.bank_statements.create(b"no PDF")
    official.bank_statements.wait_for_results(good.id, poll_interval=0)
    while not official.bank_statements.get(bad.id).is_error():
        pass
    assert [one.id for one in official.all_of(official.bank_statements.list(limit=1), size=1)] == [bad.id, good.id]
    for status, wanted in ((BankStatementJobStatus.COMPLETED, good), (BankStatementJobStatus.ERROR, bad)):
        assert [one.id for one in official.bank_statements.list(status=status).data] == [wanted.id]
    assert official.bank_statements.list(status=BankStatementJobStatus.PROCESSING).data == []
    official.bank_statements.delete(good.id)
    for call in ("get", "results", "verify", "delete"):
        with pytest.raises(NtropyNotFoundError):
            getattr(official.bank_statements, call)(good.id)
