"""Keys and organizations: what is kept apart, and what is shared."""

from __future__ import annotations

import pytest

from pipeline.sandbox.config import SandboxConfig, from_args
from pipeline.sandbox.errors import SandboxError
from pipeline.sandbox.keys import Place, places
from pipeline.sandbox.process import SandboxProcess

HOOK = {"url": "https://receiver.example/", "events": ["batches.completed"]}
KEYS = {"api_key": ("alone",), "organization": ("acme=a1,a2", "other=b1|b2")}


def by(key):
    return {"headers": {"X-API-Key": key}}


def test_settings_are_read_and_not_shown():
    config = SandboxConfig(**KEYS)
    assert from_args(config.to_args()) == config
    assert places(config) == {
        "alone": Place(None, "alone"),
        "a1": Place("acme", "a1"),
        "a2": Place("acme", "a2"),
        "b1": Place("other", "b1"),
        "b2": Place("other", "b1"),
    }
    assert not {"api_key", "organization"} & config.public().keys()


@pytest.mark.parametrize("text", ["acme", "=a", "acme=", "acme=a,", "acme=a||b", "acme=a,a", "acme=alone"])
def test_wrong_settings_are_told_without_the_key(text, tmp_path):
    config = SandboxConfig(api_key=("alone",), organization=(text,))
    with pytest.raises(SandboxError, match="organization 1") as raised:
        places(config)
    assert "alone" not in str(raised.value)
    with pytest.raises(SandboxError, match="organization 1"), SandboxProcess(tmp_path, config):
        pass


def test_only_these_keys_are_accepted(start):
    client = start(key="a1", **KEYS)
    for key in ("alone", "a1", "a2", "b1", "b2"):
        assert client.get("/v3/batches", **by(key)).status_code == 200
    assert client.get("/v3/batches", **by("acme")).status_code == 401
    assert client.get("/v3/batches", headers={"X-API-Key": ""}).status_code == 403


def test_data_is_kept_apart_by_key_within_an_organization_too(start, items):
    client = start(key="a1", time_scale=500, **KEYS)
    client.holder("h")
    batch = client.finished(items(1, account_holder_id="h"))
    hook = client.hook(HOOK["url"])
    client.post("/v3/categories/consumer", json={"incoming": [], "outgoing": []}).raise_for_status()
    client.post("/v3/rules", json={"add_label": "a"}).raise_for_status()
    mine = (f"batches/{batch}", f"batches/{batch}/results", "transactions/t0", "account_holders/h", f"webhooks/{hook}")
    for key in ("a2", "alone", "b1"):
        for path in mine:
            assert client.get(f"/v3/{path}", **by(key)).status_code == 404
        for path in ("batches", "transactions", "account_holders", "webhooks"):
            assert client.get(f"/v3/{path}", **by(key)).json()["data"] == []
        assert client.get("/v3/rules", **by(key)).json() == []
        assert client.get("/v3/categories/consumer", **by(key)).json()["outgoing"]
        assert client.post("/v3/account_holders/h/recurring_groups", **by(key)).status_code == 404
        assert client.delete("/v3/account_holders/h", **by(key)).status_code == 404
        # Ids are free under another key.
        made = client.post("/v3/account_holders", json={"id": "h", "type": "business"}, **by(key))
        assert made.status_code == 200
        client.delete("/v3/account_holders/h", **by(key)).raise_for_status()
    for path in mine:
        assert client.get(f"/v3/{path}").status_code == 200


def test_a_rotated_key_finds_the_data(start):
    client = start(key="b1", **KEYS)
    client.holder("h")
    assert client.get("/v3/account_holders/h", **by("b2")).status_code == 200


def test_webhooks_are_limited_per_organization(start):
    client = start(key="a1", unthrottled=True, max_webhooks=3, **KEYS)
    made = [client.post("/v3/webhooks", json=HOOK, **by(key)).status_code for key in ("a1", "a2", "a1", "a2", "a1")]
    assert made == [200, 200, 200, 400, 400]
    assert [len(client.get("/v3/webhooks", **by(key)).json()["data"]) for key in ("a1", "a2")] == [2, 1]
    assert "over all keys of the organization" in client.post("/v3/webhooks", json=HOOK, **by("a2")).json()["detail"]
    alone = [client.post("/v3/webhooks", json=HOOK, **by(key)).status_code for key in ("alone", "b1", "b2", "b1", "b2")]
    assert alone == [200, 200, 200, 200, 400]


def test_credits_are_prepaid_per_organization(start, items):
    client = start(key="a1", balance=3, **KEYS)
    sent = [
        client.post("/v3/transactions", json=items(1)[0], **by(key)).status_code for key in ("a1", "a2", "a1", "a2")
    ]
    assert sent == [200, 200, 200, 423]
    assert client.post("/v3/transactions", json=items(1)[0], **by("alone")).status_code == 200


def test_rates_are_per_key(start):
    client = start(key="a1", get_batches_per_second=1.0, time_scale=0.001, **KEYS)
    answers = [client.get("/v3/batches", **by(key)).status_code for key in ("a1", "a1", "a2", "b1", "b2")]
    # The keys of a rotation count together.
    assert answers == [200, 429, 200, 200, 429]


def test_an_organization_may_change_with_the_settings(start):
    client = start(key="a1", unthrottled=True, max_webhooks=1, **KEYS)
    assert client.post("/v3/webhooks", json=HOOK).status_code == 200
    moved = start(key="a2", unthrottled=True, max_webhooks=1, organization=("acme=a2", "second=a1"))
    assert moved.get("/v3/webhooks", **by("a1")).json()["data"]
    assert moved.post("/v3/webhooks", json=HOOK).status_code == 200
