"""The official client against the sandbox, sync and async: categories, rules, entities, assignment."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from ntropy_sdk import NtropyHTTPError, NtropyNotFoundError, NtropyQuotaExceededError, NtropyValidationError
from ntropy_sdk import NtropyValueError as RefusedValue
from ntropy_sdk.account_holders import AccountHolderType

ITEM = {
    "id": "t",
    "description": "SQ *STARBUCKS 00001",
    "date": "2024-05-01",
    "amount": 12.5,
    "entry_type": "outgoing",
    "currency": "USD",
}
OWN = {"incoming": ["Salary"], "outgoing": ["Eating out", "Rent"]}


def test_categories(official):
    default = official.categories.get(AccountHolderType.consumer)
    assert "coffee shop" in default["outgoing"]
    assert official.categories.set("consumer", OWN) == OWN
    assert official.categories.get("consumer") == OWN
    official.account_holders.create(id="h", type="consumer")
    made = official.transactions.create(**ITEM, account_holder_id="h")
    assert made.categories.general == "Eating out"
    assert official.categories.delete("consumer") == default
    assert official.categories.get("consumer") == default
    with pytest.raises(NtropyValidationError):
        official.categories.set("consumer", {"incoming": []})


def test_categories_by_id(official):
    assert official.categories.set("mine", OWN) == OWN
    official.account_holders.create(id="h", type="consumer", category_id="mine")
    assert official.transactions.create(**ITEM, account_holder_id="h").categories.general == "Eating out"
    assert official.categories.delete("mine") is None
    with pytest.raises(NtropyNotFoundError):
        official.categories.get("mine")


@pytest.mark.filterwarnings("ignore:Use the delete method instead:DeprecationWarning")
def test_categories_are_reset_by_the_old_name_too(official):
    official.categories.set("business", OWN)
    assert official.categories.reset("business") == official.categories.get("business") != OWN


def test_rules(official):
    rule = {"if": {"==": [{"get": "website"}, "starbucks.com"]}, "then": [{"set": "merchant", "to": "Mermaid"}]}
    fee = {"add_label": "fee"}
    assert official.rules.get() == []
    made = official.rules.create(rule)
    assert made.id == "0"
    assert official.rules.create(fee).id == "1"
    listed = official.rules.get()
    assert [one.id for one in listed] == ["0", "1"]
    assert listed[0].model_dump(exclude={"id", "request_id"}) == rule
    assert official.transactions.create(**ITEM).entities.counterparty.name == "Mermaid"
    official.rules.patch("1", {"add_label": "other"})
    assert official.rules.get()[1].add_label == "other"
    official.rules.delete("0")
    assert [one.id for one in official.rules.get()] == ["0"]
    official.rules.replace([rule, rule])
    assert len(official.rules.get()) == 2
    official.rules.replace([])
    assert official.rules.get() == []
    assert official.transactions.create(**ITEM).entities.counterparty.name == "Starbucks"


def test_rules_that_are_refused(official):
    with pytest.raises(RefusedValue):
        official.rules.create({"set": "amount", "to": "1"})
    with pytest.raises(RefusedValue):
        official.rules.delete("0")
    with pytest.raises(RefusedValue):
        official.rules.patch("0", {"add_label": "a"})
    with pytest.raises(NtropyValidationError):
        official.rules.patch("first", {"add_label": "a"})
    with pytest.raises(NtropyHTTPError) as raised:
        official.rules.create({"add_label": "x" * 60_000})
    assert "bytes" in str(raised.value)


def test_entities(official):
    resolved = official.entities.resolve(website="starbucks.com")
    assert (resolved.name, resolved.website) == ("Starbucks", "starbucks.com")
    assert 5814 in resolved.mccs
    assert official.entities.resolve(name="Starbucks", location="Seattle").id == resolved.id
    read = official.entities.get(resolved.id)
    assert read.model_dump(exclude={"request_id"}) == resolved.model_dump(exclude={"request_id"})
    with pytest.raises(NtropyNotFoundError):
        official.entities.get(str(uuid.uuid4()))
    with pytest.raises(RefusedValue):
        official.entities.get("starbucks")
    with pytest.raises(RefusedValue):
        official.entities.resolve(name="a", website="a.com")
    with pytest.raises(RefusedValue):
        official.entities.resolve()


def test_entities_by_name_are_billed(official_client, start):
    official = official_client(str(start(balance=0).base_url).rstrip("/"), "key")
    assert official.entities.resolve(website="netflix.com").name == "Netflix"
    with pytest.raises(NtropyQuotaExceededError):
        official.entities.resolve(name="Netflix")


def test_assignment(official):
    for holder in ("a", "b"):
        official.account_holders.create(id=holder, type="consumer")
    official.account_holders.create(id="company", type="business")
    official.transactions.create(**ITEM, account_holder_id="a")
    moved = official.transactions.assign("t", "b")
    assert (moved.id, moved.account_holder_id, moved.date) == ("t", "b", dt.date(2024, 5, 1))
    assert official.transactions.get("t").account_holder_id == "b"
    with pytest.raises(RefusedValue):
        official.transactions.assign("t", "company")
    with pytest.raises(NtropyNotFoundError):
        official.transactions.assign("t", "nobody")
    with pytest.raises(NtropyNotFoundError):
        official.transactions.assign("none", "a")


@pytest.mark.parametrize(
    "description", ["UNHEARD OF 4711", "VANGUARD BUY", "ACME SUPPLY", "IRS USATAXPYMT", "STRIPE PAYOUT"]
)
@pytest.mark.parametrize("entry_type", ["incoming", "outgoing"])
def test_business_transactions_parse(official, description, entry_type):
    """The client knows five accounting categories, and fails on any other word."""
    official.account_holders.create(id="h", type="business")
    item = {**ITEM, "description": description, "entry_type": entry_type, "account_holder_id": "h"}
    assert official.transactions.create(**item).categories.general
