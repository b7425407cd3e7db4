"""The report routes, and what webhooks are told of a report."""

from __future__ import annotations

import time

import httpx
import pytest

GOOD = {"transaction_id": "t0", "description": "Another shop", "fields": [".entities.counterparty", ".location"]}
REPORT_EVENTS = ("reports.pending", "reports.resolved", "reports.rejected")
FAST = {"unthrottled": True, "time_scale": 500, "report_pending_seconds": 200.0, "report_decision_seconds": 250.0}
"""Pending after 0.4 s, decided 0.5 s later; a larger scale would shorten the 24 h of retries to less than a moment."""


@pytest.fixture
def reporter(caller, items):
    """A client of the shared server whose key has the transaction t0."""
    caller.post("/v3/transactions", json=items(1)[0]).raise_for_status()
    return caller


def test_a_report_is_made_shown_and_deleted(reporter):
    made = reporter.post("/v3/reports", json={**GOOD, "unknown": 1})
    assert made.status_code == 200
    report = made.json()
    assert {name: report[name] for name in GOOD} == GOOD
    assert (report["status"], report["rejection_reason"]) == ("open", None)
    later = reporter.post("/v3/reports", json={**GOOD, "fields": []}).json()
    path = f"/v3/reports/{report['id']}"
    assert reporter.get(path).json() == report
    assert reporter.get("/v3/reports").json() == {"next_cursor": None, "data": [later, report]}
    first = reporter.get("/v3/reports", params={"limit": 1}).json()
    assert first["data"] == [later]
    assert reporter.get("/v3/reports", params={"cursor": first["next_cursor"]}).json()["data"] == [report]
    gone = reporter.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert [reporter.request(method, path).status_code for method in ("GET", "DELETE")] == [404, 404]


def test_a_key_sees_its_own_reports_only(reporter, shared_sandbox):
    path = f"/v3/reports/{reporter.post('/v3/reports', json=GOOD).json()['id']}"
    with httpx.Client(base_url=shared_sandbox.url, headers={"X-API-Key": "somebody else"}, trust_env=False) as other:
        assert [other.request(method, path).status_code for method in ("GET", "DELETE")] == [404, 404]
        assert other.get("/v3/reports").json()["data"] == []
        # Nor can it report what it does not see.
        assert other.post("/v3/reports", json=GOOD).status_code == 404
    assert reporter.get(path).status_code == 200


@pytest.mark.parametrize(
    ("changed", "loc"),
    [
        ({"transaction_id": ""}, ["body", "transaction_id"]),
        ({"transaction_id": None}, ["body", "transaction_id"]),
        ({"description": 5}, ["body", "description"]),
        ({"fields": ".entities"}, ["body", "fields"]),
        ({"fields": [".entities", 5]}, ["body", "fields", 1]),
        ({"fields": ["entities.counterparty"]}, ["body", "fields", 0]),
        ({"fields": [".entities.counterparty.colour"]}, ["body", "fields", 0]),
        ({"fields": [".entities."]}, ["body", "fields", 0]),
        ({"fields": [".amount"]}, ["body", "fields", 0]),
    ],
)
def test_a_wrong_field_is_named(reporter, changed, loc):
    refused = reporter.post("/v3/reports", json={**GOOD, **changed})
    assert refused.status_code == 422
    assert [one["loc"] for one in refused.json()["detail"]] == [loc]


def test_every_part_of_what_was_found_can_be_reported(reporter):
    fields = [
        ".entities",
        ".entities.counterparty.website",
        ".entities.counterparty.mccs[0]",
        ".entities.intermediaries",
        ".entities.intermediaries[0].parent.name",
        ".categories.general",
        ".location.structured.city",
    ]
    assert reporter.post("/v3/reports", json={**GOOD, "fields": fields}).json()["fields"] == fields


def test_only_what_is_missing_is_missing(reporter):
    refused = reporter.post("/v3/reports", json={})
    assert [one["loc"][-1] for one in refused.json()["detail"]] == ["transaction_id", "description", "fields"]
    assert reporter.post("/v3/reports", json=[]).status_code == 422
    assert reporter.get("/v3/reports", params={"status": "done"}).status_code == 422


@pytest.mark.parametrize(("share", "outcome"), [(0.0, "resolved"), (1.0, "rejected")])
def test_a_report_goes_its_way_and_each_step_is_told(start, items, receiver, share, outcome):
    client = start(**FAST, report_rejected_share=share)
    client.post("/v3/transactions", json=items(1)[0]).raise_for_status()
    client.hook(receiver.url, *REPORT_EVENTS)
    client.hook(f"{receiver.url}/batches")
    made = client.post("/v3/reports", json=GOOD).json()
    path = f"/v3/reports/{made['id']}"
    seen = []
    while not seen or seen[-1]["status"] != outcome:
        now = client.get(path).raise_for_status().json()
        listed = client.get("/v3/reports", params={"status": now["status"]}).json()["data"]
        assert listed in ([now], [])  # it may get on between the two
        if not seen or now != seen[-1]:
            seen.append(now)
        time.sleep(0.01)
    assert [one["status"] for one in seen] == ["open", "pending", outcome]
    assert [one["rejection_reason"] is None for one in seen] == [True, True, outcome == "resolved"]
    pending, decided = receiver.wait(2)
    assert [pending.event["event_type"], decided.event["event_type"]] == ["reports.pending", f"reports.{outcome}"]
    assert [pending.event["data"], decided.event["data"]] == seen[1:]
    assert {one.path for one in receiver.got} == {"/"}
    book = client.get("/sandbox/books/deliveries").json()
    assert [one["batch"] for one in book] == [made["id"]] * 2


def test_nothing_is_told_of_a_report_that_is_gone(start, items, receiver):
    client = start(**{**FAST, "report_pending_seconds": 500.0})
    client.post("/v3/transactions", json=items(1)[0]).raise_for_status()
    client.hook(receiver.url, *REPORT_EVENTS)
    gone, stays = (client.post("/v3/reports", json=GOOD).json()["id"] for _ in range(2))
    client.delete(f"/v3/reports/{gone}").raise_for_status()
    assert {one.batch for one in receiver.wait(2)} == {stays}


def test_batches_and_reports_are_told_side_by_side(start, items, receiver):
    client = start(**FAST)
    client.hook(receiver.url, *REPORT_EVENTS, "batches.completed")
    batch = client.finished(items(2))
    report = client.post("/v3/reports", json=GOOD).json()["id"]
    again = client.finished(items(2, "again-"))
    assert sorted(one.batch for one in receiver.wait(4)) == sorted([batch, report, report, again])
