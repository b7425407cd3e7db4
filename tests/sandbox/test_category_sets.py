"""Category sets of a key: what a set of one's own does to results, and the words by which a label is found."""

from __future__ import annotations

import pytest

from pipeline.sandbox.engine.categories import NOT_ENOUGH, SETS
from pipeline.sandbox.personal.matching import best_match

BUDGET = (
    "Housing", "Utilities", "Groceries", "Eating out", "Transport", "Shopping", "Health & wellbeing", "Entertainment",
    "Savings and investments", "Debt repayments", "Cash", "Gifts & charity", "Taxes and fees", "Travel", "Transfers",
)  # fmt: skip
OWN = {"incoming": ["Salary", "Anything else"], "outgoing": ["Eating out", "Groceries", "Streaming", "fees"]}


@pytest.mark.parametrize(
    ("category", "labels", "expected"),
    [
        ("coffee shop", ("Coffee Shops", "Cafes"), "Coffee Shops"),
        ("coffee shop", ("Restaurants", "Cafes"), "Cafes"),
        ("coffee shop", BUDGET, "Eating out"),
        ("groceries", ("Shopping", "groceries & household"), "groceries & household"),
        ("drugstore or pharmacy", BUDGET, "Health & wellbeing"),
        ("rideshare or taxi transport", ("Public transport", "Taxi"), "Taxi"),
        ("mortgage repayment", ("Loan", "Mortgage"), "Mortgage"),
        ("ATM withdrawal", ("atm withdrawal",), "atm withdrawal"),
        ("bank fee", ("Professional fees", "Bank charges"), "Bank charges"),
        ("paycheck", ("Salary", "Other income"), "Salary"),
        ("entertainment", ("Entertainement",), "Entertainement"),
        ("groceries", ("Cars", "Boats"), NOT_ENOUGH),
        ("groceries", (), NOT_ENOUGH),
        ("other", ("Groceries", "Other"), "Other"),
        (NOT_ENOUGH, BUDGET, NOT_ENOUGH),
    ],
)
def test_the_best_label(category, labels, expected):
    assert best_match(category, labels) == expected


@pytest.mark.parametrize("holder_type", ["consumer", "business"])
@pytest.mark.parametrize("half", ["incoming", "outgoing"])
def test_every_category_finds_itself(holder_type, half):
    labels = tuple(SETS[holder_type][half])
    assert [best_match(one, labels) for one in labels] == list(labels)
    shouted = tuple(one.upper() for one in labels)
    assert [best_match(one, shouted) for one in labels] == list(shouted)


def test_a_usual_budget_takes_nearly_all():
    lost = [one for one in SETS["consumer"]["outgoing"] if best_match(one, BUDGET) == NOT_ENOUGH]
    assert len(lost) <= len(SETS["consumer"]["outgoing"]) / 5, lost


def general(caller, items, holder, number):
    (item,) = items(1, f"{holder}-{number}-", account_holder_id=holder)
    return caller.post("/v3/transactions", json=item).raise_for_status().json()["categories"]["general"]


def test_a_set_in_place_of_the_default(caller, items):
    default = caller.get("/v3/categories/consumer").json()
    caller.holder("h")
    caller.holder("b", "business")
    assert general(caller, items, "h", 1) == "coffee shop"
    before = general(caller, items, "b", 1)
    assert caller.post("/v3/categories/consumer", json=OWN).json() == OWN
    assert caller.get("/v3/categories/consumer").json() == OWN
    assert general(caller, items, "h", 2) == "Eating out"
    assert general(caller, items, "b", 2) == before, "the other holder type keeps its set"
    assert caller.get("/v3/transactions/h-1-0").json()["categories"]["general"] == "coffee shop", "accepted before"
    assert caller.post("/v3/categories/consumer/reset").json() == default
    assert caller.get("/v3/categories/consumer").json() == default
    assert general(caller, items, "h", 3) == "coffee shop"
    assert caller.get("/v3/transactions/h-2-0").json()["categories"]["general"] == "Eating out"


def test_a_set_by_id_is_for_holders_that_name_it(caller, items):
    assert caller.get("/v3/categories/mine").status_code == 404
    caller.post("/v3/categories/mine", json=OWN).raise_for_status()
    caller.post("/v3/account_holders", json={"id": "m", "type": "consumer", "category_id": "mine"}).raise_for_status()
    caller.post("/v3/account_holders", json={"id": "g", "type": "consumer", "category_id": "ghost"}).raise_for_status()
    caller.holder("h")
    sent = [item for holder in "mgh" for item in items(1, holder, account_holder_id=holder)]
    batch = caller.finished(sent)
    results = caller.get(f"/v3/batches/{batch}/results").json()["results"]
    assert [one["categories"]["general"] for one in results] == ["Eating out", "coffee shop", "coffee shop"]
    assert caller.post("/v3/categories/mine/reset").json() is None
    assert caller.get("/v3/categories/mine").status_code == 404
    assert general(caller, items, "m", 2) == "coffee shop"
    assert caller.get(f"/v3/batches/{batch}/results").json()["results"] == results


def categories_of(caller, items, holder, number):
    (item,) = items(1, f"{holder}-{number}-", account_holder_id=holder)
    return caller.post("/v3/transactions", json=item).raise_for_status().json()["categories"]


def test_the_set_of_the_other_type_may_be_chosen(caller, items):
    for holder, type_, named in (("c", "consumer", "business"), ("b", "business", "consumer"), ("s", "business", None)):
        caller.post("/v3/account_holders", json={"id": holder, "type": type_, "category_id": named}).raise_for_status()
    same = categories_of(caller, items, "s", 1)
    assert categories_of(caller, items, "c", 1) == {"general": same["general"], "accounting": None}
    assert categories_of(caller, items, "b", 1) == {"general": "coffee shop", "accounting": same["accounting"]}
    own = {"incoming": [], "outgoing": ["Meals and entertainment (ours)", "Coffee shops"]}
    caller.post("/v3/categories/business", json=own).raise_for_status()
    assert general(caller, items, "c", 2) == general(caller, items, "s", 2) == own["outgoing"][0]
    assert general(caller, items, "b", 2) == "coffee shop"
    assert caller.get("/v3/transactions/c-1-0").json()["categories"]["general"] == same["general"], "accepted before"
    caller.post("/v3/categories/business/reset").raise_for_status()
    assert general(caller, items, "c", 3) == same["general"]
    batch = caller.finished(items(2, "batch", account_holder_id="c"))
    results = caller.get(f"/v3/batches/{batch}/results").json()["results"]
    assert {one["categories"]["general"] for one in results} == {same["general"]}


def test_nothing_fits(caller, items):
    caller.post("/v3/categories/consumer", json={"incoming": [], "outgoing": ["Boats", "other"]}).raise_for_status()
    caller.holder("h")
    assert general(caller, items, "h", 1) == "not enough information"


def test_no_holder_stays_no_holder(caller, items):
    caller.post("/v3/categories/consumer", json=OWN).raise_for_status()
    (item,) = items(1)
    answered = caller.post("/v3/transactions", json=item).json()
    assert answered["categories"]["general"] == "missing account holder information"


def test_sets_are_the_keys_own(caller):
    caller.post("/v3/categories/consumer", json=OWN).raise_for_status()
    other = caller.get("/v3/categories/consumer", headers={"X-API-Key": "somebody else"}).json()
    assert other == SETS["consumer"]


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, [["body", "incoming"], ["body", "outgoing"]]),
        ({"incoming": []}, [["body", "outgoing"]]),
        ({"incoming": [], "outgoing": "fees"}, [["body", "outgoing"]]),
        ({"incoming": [1, "a"], "outgoing": []}, [["body", "incoming", 0]]),
        ([], [["body"]]),
    ],
)
def test_wrong_sets(caller, body, loc):
    refused = caller.post("/v3/categories/consumer", json=body)
    assert refused.status_code == 422
    assert [one["loc"] for one in refused.json()["detail"]] == loc


@pytest.mark.parametrize("path", ["a%2Fb", "a/b", "a%2Freset", "reset"])
def test_a_set_may_have_any_name(caller, path):
    caller.post(f"/v3/categories/{path}", json=OWN).raise_for_status()
    assert caller.get(f"/v3/categories/{path}").json() == OWN
    assert caller.post(f"/v3/categories/{path}/reset").json() is None
    assert caller.get(f"/v3/categories/{path}").status_code == 404
