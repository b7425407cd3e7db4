"""The official client against the sandbox, sync and async: transactions, batches, holders, webhooks and its errors."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from ntropy_sdk import (
    NtropyBatchError,
    NtropyError,
    NtropyNotAuthorizedError,
    NtropyNotFoundError,
    NtropyNotSupportedError,
    NtropyQuotaExceededError,
    NtropyResourceOccupiedError,
    NtropyValidationError,
    NtropyValueError,
)
from ntropy_sdk.async_.sdk import AsyncSDK
from ntropy_sdk.batches import BatchStatus
from ntropy_sdk.transactions import RecurrencePeriodicity

OPERATION = "POST /v3/transactions"


def netflix(number=0, **fields):
    return {
        "id": f"t{number}",
        "description": "Recurring Debit Purchase Card 1350 #netflix.com Netflix.com CA",
        "date": f"2021-{number + 1:02}-01",
        "amount": 17.99,
        "entry_type": "outgoing",
        "currency": "USD",
        **fields,
    }


def test_a_transaction_is_created_read_listed_and_deleted(official):
    official.account_holders.create(id="h", type="consumer")
    made = official.transactions.create(**netflix(account_holder_id="h", location={"country": "US"}))
    assert made.id == "t0"
    assert made.entities.counterparty.website == "netflix.com"
    assert made.entities.counterparty.type == "organization"
    assert made.categories.general == "digital content and streaming"
    assert made.location.structured.country_code == "US"
    assert made.error is None
    read = official.transactions.get("t0")
    assert (read.description, read.date) == (netflix()["description"], dt.date(2021, 1, 1))
    assert (read.amount, read.currency, read.account_holder_id) == (17.99, "USD", "h")
    assert read.entities == made.entities
    assert [one.id for one in official.transactions.list(account_holder_id="h").data] == ["t0"]
    assert official.transactions.list(account_holder_id="else").data == []
    official.transactions.delete("t0")
    with pytest.raises(NtropyNotFoundError):
        official.transactions.get("t0")
    with pytest.raises(NtropyNotFoundError):
        official.transactions.delete("t0")


def test_a_transaction_with_an_unknown_holder_has_an_error(official):
    made = official.transactions.create(**netflix(account_holder_id="nobody"))
    assert made.error.code == "account_holder_not_found"
    assert made.entities is None


def test_transactions_are_paged_to_the_end(official):
    batch = official.batches.create(OPERATION, [netflix(0, id=f"n{at}") for at in range(60)])
    official.batches.wait_for_results(batch.id, poll_interval=0.02)
    expected = [f"n{at}" for at in reversed(range(60))]
    first = official.transactions.list()
    assert len(first.data) == 25
    assert [one.id for one in official.all_of(first)] == expected
    assert [one.id for one in official.all_of(official.transactions.list(limit=7), 20)] == expected


def test_a_batch_from_submission_to_results(official):
    official.account_holders.create(id="h", type="business", name="Acme")
    sent = [netflix(at, account_holder_id="h") for at in range(3)]
    made = official.batches.create(OPERATION, sent, priority="low")
    assert uuid.UUID(made.id)
    assert (made.status, made.total, made.operation, made.priority) == ("processing", 3, OPERATION, "low")
    results = official.batches.wait_for_results(made.id, poll_interval=0.02)
    assert (results.id, results.total, results.status) == (made.id, 3, "completed")
    assert [one.id for one in results.results] == ["t0", "t1", "t2"]
    assert {one.entities.counterparty.website for one in results.results} == {"netflix.com"}
    assert official.batches.results(made.id).results == results.results
    read = official.batches.get(made.id)
    assert read.is_completed()
    assert read.progress == 3
    assert read.created_at.tzinfo is not None


def test_waiting_with_a_progress_bar(official, capsys):
    batch = official.batches.create(OPERATION, [netflix()])
    results = official.batches.wait_for_results(batch.id, poll_interval=0.02, with_progress=True)
    assert results.total == 1
    assert "completed" in capsys.readouterr().err


def test_batches_are_listed_and_paged(official):
    made = [official.batches.create(OPERATION, [netflix(at)]).id for at in range(12)]
    for batch in made:
        official.batches.wait_for_results(batch, poll_interval=0.02)
    assert len(official.batches.list().data) == 10
    for page, size in ((official.batches.list(), None), (official.batches.list(limit=3), 5)):
        assert [one.id for one in official.all_of(page, size)] == made[::-1]
    completed = official.batches.list(status=BatchStatus.COMPLETED, limit=2)
    assert [one.id for one in official.all_of(completed)] == made[::-1]
    assert official.batches.list(status=BatchStatus.ERROR).data == []
    third = official.batches.get(made[3]).created_at
    if isinstance(official.sdk, AsyncSDK):
        # The async client cannot send what its own signature asks for: aiohttp takes no datetime in a query.
        third = str(third)
    assert [one.id for one in official.batches.list(created_after=third, limit=50).data] == made[:2:-1]
    assert [one.id for one in official.batches.list(created_before=third, limit=50).data] == made[3::-1]


def test_results_of_a_batch_that_is_not_done_or_failed(official_client, start):
    slow = start(time_scale=1, error_batch_nth=(2,))
    official = official_client(str(slow.base_url).rstrip("/"), "key")
    batch = official.batches.create(OPERATION, [netflix()])
    with pytest.raises(NtropyResourceOccupiedError):
        official.batches.results(batch.id)
    with pytest.raises(NtropyNotFoundError):
        official.batches.get(str(uuid.uuid4()))


def test_a_batch_that_ends_in_error(official_client, start):
    client = start(time_scale=500, error_batch_nth=(1,))
    official = official_client(str(client.base_url).rstrip("/"), "key")
    batch = official.batches.create(OPERATION, [netflix()])
    with pytest.raises(NtropyBatchError) as raised:
        official.batches.wait_for_results(batch.id, poll_interval=0.02)
    assert raised.value.id == batch.id
    assert official.batches.get(batch.id).is_error()
    with pytest.raises(NtropyResourceOccupiedError):
        official.batches.results(batch.id)


def test_holders(official):
    made = official.account_holders.create(id="h0", type="business", name="Acme", category_id="mine")
    assert (made.id, made.type, made.name, made.category_id) == ("h0", "business", "Acme", "mine")
    read = official.account_holders.get("h0")
    assert read.model_dump(exclude={"request_id"}) == made.model_dump(exclude={"request_id"})
    for number in range(1, 13):
        official.account_holders.create(id=f"h{number}", type="consumer")
    first = official.account_holders.list()
    assert len(first.data) == 10
    assert [one.id for one in official.all_of(first)] == [f"h{at}" for at in reversed(range(13))]
    official.account_holders.delete("h0")
    with pytest.raises(NtropyNotFoundError):
        official.account_holders.get("h0")
    with pytest.raises(NtropyNotFoundError):
        official.account_holders.delete("h0")
    with pytest.raises(NtropyNotFoundError):
        official.account_holders.recurring_groups("h0")


def test_a_holder_that_exists(official):
    official.account_holders.create(id="h", type="consumer")
    with pytest.raises(NtropyValueError) as raised:
        official.account_holders.create(id="h", type="consumer")
    assert "already exists" in str(raised.value)


def test_four_monthly_payments_are_one_group(official):
    official.account_holders.create(id="h", type="consumer")
    for number in range(4):
        official.transactions.create(**netflix(number, account_holder_id="h"))
    answered = official.account_holders.recurring_groups("h")
    (group,) = answered.groups
    assert group.counterparty.website == "netflix.com"
    assert group.periodicity == RecurrencePeriodicity.monthly
    assert (group.start_date, group.end_date) == (dt.date(2021, 1, 1), dt.date(2021, 4, 1))
    assert group.total_amount == pytest.approx(71.96)
    assert group.average_amount == pytest.approx(17.99)
    assert sorted(group.transaction_ids) == ["t0", "t1", "t2", "t3"]


def test_webhooks(official):
    url = "https://receiver.example/hook"
    made = official.webhooks.create(url=url, events=["batches.completed"], token="secret", hmac_secret="other")
    assert (made.url, made.events, made.token, made.enabled) == (url, ["batches.completed"], "secret", True)
    bare = official.webhooks.create(url=url, events=["reports.pending"])
    assert bare.token is None
    assert official.webhooks.get(made.id).url == url
    assert [one.id for one in official.webhooks.list().data] == [bare.id, made.id]
    assert [one.id for one in official.all_of(official.webhooks.list())] == [bare.id, made.id]
    official.webhooks.patch(made.id, enabled=False, events=["batches.error"], token=None)
    read = official.webhooks.get(made.id)
    assert (read.enabled, read.events, read.token, read.url) == (False, ["batches.error"], None, url)
    official.webhooks.patch(made.id, enabled=True, url=f"{url}/2", hmac_secret=None)
    read = official.webhooks.get(made.id)
    assert (read.enabled, read.url) == (True, f"{url}/2")
    official.webhooks.delete(made.id)
    with pytest.raises(NtropyNotFoundError):
        official.webhooks.get(made.id)


def test_the_request_id_is_the_callers(official):
    assert official.transactions.list(request_id="mine").request_id == "mine"
    assert len(official.transactions.list().request_id) == 32


def test_validation_errors(official):
    with pytest.raises(NtropyValidationError) as raised:
        official.batches.create(OPERATION, [netflix(amount=-1)])
    assert raised.value.content["detail"][0]["loc"] == ["body", "data", 0, "amount"]
    with pytest.raises(NtropyValidationError):
        official.batches.create(OPERATION, [])
    with pytest.raises(NtropyValidationError):
        official.webhooks.create(url="no url", events=["batches.completed"])
    with pytest.raises(NtropyValidationError):
        official.transactions.list(cursor="!!")


def test_keys(official_client, start):
    url = str(start(api_key=("right",)).base_url).rstrip("/")
    assert official_client(url, "right").batches.list().data == []
    with pytest.raises(NtropyNotAuthorizedError):
        official_client(url, "wrong").batches.list()
    with pytest.raises(NtropyNotSupportedError):
        official_client(url, "").batches.list()


def test_no_credits_left(official_client, start):
    official = official_client(str(start(balance=1).base_url).rstrip("/"), "key")
    official.transactions.create(**netflix(0))
    with pytest.raises(NtropyQuotaExceededError):
        official.transactions.create(**netflix(1))


def test_too_many_calls(official_client, start):
    """A 429 ends as the plain exception once the client's attempts are used up; with one more it waits and passes."""
    official = official_client(str(start(get_batches_per_second=1.0).base_url).rstrip("/"), "key")
    official.batches.list()
    with pytest.raises(NtropyError, match="after 1 attempts"):
        official.batches.list()
    official.batches.list()
    assert official.batches.list(retries=3).data == []
