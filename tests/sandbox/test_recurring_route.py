"""POST /v3/account_holders/{id}/recurring_groups, over HTTP."""

from __future__ import annotations

import sys
import uuid

import pytest

FIELDS = {
    "id", "start_date", "end_date", "total_amount", "average_amount", "periodicity_in_days", "periodicity",
    "counterparty", "categories", "transaction_ids", "entry_type",
}  # fmt: skip


def monthly(prefix, description, amount, count=4, holder="h", day=5):
    return [
        {
            "id": f"{prefix}{month}",
            "description": description,
            "date": f"2024-{month:02}-{day:02}",
            "amount": amount,
            "entry_type": "outgoing",
            "currency": "USD",
            "account_holder_id": holder,
        }
        for month in range(1, count + 1)
    ]


def groups(caller, holder="h"):
    answered = caller.post(f"/v3/account_holders/{holder}/recurring_groups")
    assert answered.status_code == 200, answered.text
    return answered.json()


def test_four_monthly_payments_are_one_group(caller):
    caller.holder("h")
    assert groups(caller) == []
    for item in monthly("n", "NETFLIX.COM", 17.99):
        caller.post("/v3/transactions", json=item).raise_for_status()
    caller.finished(monthly("other-", "COFFEE CORNER 77", 4.2, count=2))
    (group,) = groups(caller)
    assert group.keys() == FIELDS
    assert uuid.UUID(group["id"])
    assert group["counterparty"]["website"] == "netflix.com"
    assert group["counterparty"]["type"] == "organization"
    assert (group["periodicity"], group["entry_type"]) == ("monthly", "outgoing")
    assert (group["start_date"], group["end_date"]) == ("2024-01-05", "2024-04-05")
    assert (group["total_amount"], group["average_amount"]) == (71.96, 17.99)
    assert group["transaction_ids"] == ["n1", "n2", "n3", "n4"]
    assert group["categories"]["general"] == "digital content and streaming"


def test_a_body_may_come_and_is_ignored(caller):
    caller.holder("h")
    assert caller.post("/v3/account_holders/h/recurring_groups", json={"body": {}}).json() == []


def test_ids_with_a_slash(caller):
    caller.post("/v3/account_holders", json={"id": "a/b", "type": "consumer"}).raise_for_status()
    caller.finished(monthly("n", "NETFLIX.COM", 17.99, holder="a/b"))
    assert len(groups(caller, "a%2Fb")) == 1


def test_groups_follow_the_transactions(caller):
    caller.holder("h")
    caller.holder("else")
    caller.finished(monthly("n", "NETFLIX.COM", 17.99, count=6))
    (before,) = groups(caller)
    # One is deleted, one belongs to another holder from now on, one is replaced in place.
    caller.delete("/v3/transactions/n6").raise_for_status()
    moved = monthly("n", "NETFLIX.COM", 17.99, count=5, holder="else")[4]
    replaced = {**monthly("n", "NETFLIX.COM", 18.99, count=4)[3]}
    caller.finished([moved, replaced])
    (after,) = groups(caller)
    assert after["id"] == before["id"]
    assert after["transaction_ids"] == ["n1", "n2", "n3", "n4"]
    assert after["total_amount"] == 72.96
    assert groups(caller, "else") == []


def test_amounts_beyond_counting_give_numbers_all_the_same(caller):
    caller.holder("h")
    caller.finished(monthly("n", "NETFLIX.COM", 1.7e308))
    (group,) = groups(caller)
    assert group["total_amount"] == sys.float_info.max
    assert group["average_amount"] == pytest.approx(1.7e308)


def test_items_with_an_error_are_left_out(start):
    client = start(time_scale=500, unthrottled=True, item_error_share=1.0)
    client.holder("h")
    client.finished(monthly("n", "NETFLIX.COM", 17.99))
    assert groups(client) == []


def test_unprocessed_items_are_left_out(start):
    client = start(time_scale=0.001)
    client.holder("h")
    client.send_batch(monthly("n", "NETFLIX.COM", 17.99)).raise_for_status()
    assert groups(client) == []


def test_refusals(caller, start):
    assert caller.post("/v3/account_holders/none/recurring_groups").status_code == 404
    assert caller.get("/v3/account_holders/none/recurring_groups").status_code == 405
    client = start(holders_per_second=2.0, time_scale=0.001)
    client.holder("h")
    answers = [client.post("/v3/account_holders/h/recurring_groups").status_code for _ in range(3)]
    assert answers == [200, 200, 429]
