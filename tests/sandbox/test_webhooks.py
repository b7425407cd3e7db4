"""The webhook routes."""

from __future__ import annotations

import datetime as dt
import sqlite3

import httpx
import pytest

URL = "http://127.0.0.1:9/in"
GOOD = {"url": URL, "events": ["batches.completed", "reports.pending"]}


def test_a_webhook_is_made_shown_and_deleted(caller):
    made = caller.post("/v3/webhooks", json={**GOOD, "token": "t-1"})
    assert made.status_code == 200
    webhook = made.json()
    assert {name: webhook[name] for name in ("url", "events", "token", "enabled")} == {
        **GOOD,
        "token": "t-1",
        "enabled": True,
    }
    assert set(webhook) == {"id", "created_at", "url", "events", "token", "enabled"}
    assert dt.datetime.fromisoformat(webhook["created_at"]).tzinfo is not None
    path = f"/v3/webhooks/{webhook['id']}"
    assert caller.get(path).json() == webhook
    later = caller.post("/v3/webhooks", json=GOOD).json()
    # Required by the SDK's model even when there is none.
    assert later["token"] is None
    assert caller.get("/v3/webhooks").json() == {"next_cursor": None, "data": [later, webhook]}
    gone = caller.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert [caller.request(method, path).status_code for method in ("GET", "DELETE")] == [404, 404]
    assert caller.patch(path, json={"enabled": True}).status_code == 404
    assert caller.get("/v3/webhooks").json()["data"] == [later]


def test_the_secret_is_stored_and_never_returned(caller, shared_sandbox):
    made = caller.post("/v3/webhooks", json={**GOOD, "hmac_secret": "s3cr3t-1"})
    path = f"/v3/webhooks/{made.json()['id']}"
    changed = caller.patch(path, json={"hmac_secret": "s3cr3t-2"})
    answers = (made, changed, caller.get(path), caller.get("/v3/webhooks"))
    assert all(one.status_code == 200 and b"s3cr3t" not in one.content for one in answers)
    with sqlite3.connect(shared_sandbox.config.state / "sandbox.sqlite") as con:
        sql = "SELECT hmac_secret FROM webhooks WHERE id = ?"
        stored = con.execute(sql, (made.json()["id"],)).fetchone()
    con.close()
    assert stored == ("s3cr3t-2",)


def test_what_a_patch_leaves_out_stays(caller):
    webhook = caller.post("/v3/webhooks", json={**GOOD, "token": "t"}).json()
    path = f"/v3/webhooks/{webhook['id']}"
    steps = [
        ({}, {}),
        ({"enabled": False}, {"enabled": False}),
        ({"events": ["batches.error"]}, {"events": ["batches.error"]}),
        ({"url": "https://example.com/x"}, {"url": "https://example.com/x"}),
        ({"token": "u", "unknown": 1}, {"token": "u"}),
        ({"token": None}, {"token": None}),
        ({"enabled": True}, {"enabled": True}),
    ]
    for given, changed in steps:
        webhook |= changed
        answered = caller.patch(path, json=given)
        assert (answered.status_code, answered.json()) == (200, webhook)
        assert caller.get(path).json() == webhook


def test_a_key_sees_its_own_webhooks_only(caller, shared_sandbox):
    identity = caller.hook(URL)
    with httpx.Client(base_url=shared_sandbox.url, headers={"X-API-Key": "somebody else"}) as other:
        path = f"/v3/webhooks/{identity}"
        assert [other.request(method, path, json={}).status_code for method in ("GET", "PATCH", "DELETE")] == [404] * 3
        assert other.get("/v3/webhooks").json()["data"] == []
    assert caller.get(path).status_code == 200


@pytest.mark.parametrize(
    ("change", "loc", "kind"),
    [
        ({"url": None}, ["url"], "string_type"),
        ({"url": ""}, ["url"], "string_too_short"),
        ({"url": "http://a/" + "x" * 1016}, ["url"], "string_too_long"),
        ({"url": "ftp://a/b"}, ["url"], "url_parsing"),
        ({"url": "/just/a/path"}, ["url"], "url_parsing"),
        ({"url": "http://a:70000/"}, ["url"], "url_parsing"),
        ({"url": "http://a/b c"}, ["url"], "url_parsing"),
        ({"events": None}, ["events"], "list_type"),
        ({"events": "batches.completed"}, ["events"], "list_type"),
        ({"events": ["batches.completed", "batches.finished"]}, ["events", 1], "enum"),
        ({"events": [1]}, ["events", 0], "enum"),
        ({"token": 1}, ["token"], "string_type"),
        ({"token": "x" * 129}, ["token"], "string_too_long"),
        ({"token": "a\nb"}, ["token"], "string_pattern_mismatch"),
        ({"token": "a\n"}, ["token"], "string_pattern_mismatch"),
        ({"token": "a\x1fb"}, ["token"], "string_pattern_mismatch"),
        ({"token": " a"}, ["token"], "string_pattern_mismatch"),
        ({"hmac_secret": []}, ["hmac_secret"], "string_type"),
    ],
)
def test_bad_field_is_named(caller, change, loc, kind):
    path = f"/v3/webhooks/{caller.hook(URL)}"
    before = caller.get(path).json()
    for refused in (caller.post("/v3/webhooks", json={**GOOD, **change}), caller.patch(path, json=change)):
        assert refused.status_code == 422
        assert [(one["loc"], one["type"]) for one in refused.json()["detail"]] == [(["body", *loc], kind)]
    assert caller.get("/v3/webhooks").json()["data"] == [before]


def test_fields_at_their_limits_are_taken(caller):
    longest = {"url": "http://a/" + "x" * 1015, "events": [], "token": "x" * 128}
    made = caller.post("/v3/webhooks", json=longest)
    assert made.status_code == 200
    assert {name: made.json()[name] for name in longest} == longest
    for token in ("", "é b\U0001f375"):
        assert caller.post("/v3/webhooks", json={**GOOD, "token": token}).json()["token"] == token


def test_missing_fields_and_no_object(caller):
    missing = caller.post("/v3/webhooks", json={"token": None})
    assert missing.status_code == 422
    assert [one["loc"][1] for one in missing.json()["detail"]] == ["url", "events"]
    assert caller.post("/v3/webhooks", json=[]).status_code == 422
    assert caller.post("/v3/webhooks", content=b"{").status_code == 422
    enabled = caller.patch(f"/v3/webhooks/{caller.hook(URL)}", json={"enabled": None})
    assert enabled.json()["detail"][0]["type"] == "bool_type"


def test_ten_webhooks_a_key(caller, shared_sandbox):
    made = [caller.hook(URL) for _ in range(10)]
    beyond = caller.post("/v3/webhooks", json=GOOD)
    assert beyond.status_code == 400
    assert "limit" in beyond.json()["detail"]
    with httpx.Client(base_url=shared_sandbox.url, headers={"X-API-Key": "a key with none"}) as other:
        assert other.post("/v3/webhooks", json=GOOD).status_code == 200
    caller.delete(f"/v3/webhooks/{made[3]}")
    assert caller.post("/v3/webhooks", json=GOOD).status_code == 200


def test_ten_calls_a_second(start):
    # A clock so slow that nothing refills; all routes count together.
    client = start(time_scale=1e-6)
    path = f"/v3/webhooks/{client.hook(URL)}"
    methods = ["GET", "PATCH"] * 4 + ["GET", "DELETE"]
    answered = [client.request(method, path, json={}).status_code for method in methods]
    assert answered == [200] * 9 + [429]


def test_webhooks_outlive_their_server(start):
    before = start()
    before.hook(URL, token="kept")
    assert start().get("/v3/webhooks").json() == before.get("/v3/webhooks").json()
