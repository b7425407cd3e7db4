"""The commands as a person types them."""

from __future__ import annotations

import json
import os

import forked_programs
import pytest
from receivers import TOKEN
from scripted_server import Reply

HOOK = {
    "id": "w-1", "created_at": "2024-04-11T08:15:00Z", "url": "https://h.example/x",
    "events": ["batches.completed", "batches.error"], "enabled": True, "token": TOKEN,
}  # fmt: skip


@pytest.fixture
def enrich(tmp_path, server):
    """Run `enrich webhooks …` against the scripted API."""

    def run(*args, code=0, **environment):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ENRICH_", "DAGSTER_"))}
        given = {"ENRICH_BASE_URL": server.url, "ENRICH_WEBHOOK_TOKEN": TOKEN, "COLUMNS": "200"} | environment
        done = forked_programs.run(["webhooks", *args], cwd=tmp_path, env=kept | given, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def page(*hooks):
    return Reply(body={"data": list(hooks), "next_cursor": None})


def test_register_list_delete(enrich, server):
    server.script = [page(), Reply(body=HOOK), page(HOOK)]
    assert "webhook w-1: created" in enrich("register", "--url", "https://h.example/x")
    other = HOOK | {"id": "w-2", "url": "https://o.example", "token": "short-one", "enabled": False}
    server.script = [page(HOOK, other)]
    listed = json.loads(enrich("list", "--json"))
    assert [(row["id"], row["registered here"], row["enabled"]) for row in listed] == [
        ("w-1", True, True), ("w-2", False, False),
    ]  # fmt: skip
    assert [row["token"] for row in listed] == [f"…{TOKEN[-4:]} (ours)", "…"]
    assert "w-2" in enrich("list")
    server.script = [Reply(204)]
    assert "deleted w-1" in enrich("delete", "w-1")
    server.script = [page()]
    assert "no webhooks" in enrich("list")


def test_troubles_are_sentences(enrich, server):
    assert "no webhook token" in enrich("register", "--url", "https://h/x", code=1, ENRICH_WEBHOOK_TOKEN="")
    server.script = [Reply(401)]
    out = enrich("register", "--url", "http://h.example/x", code=1)
    assert "the API key is wrong" in out
    assert "sends the token in clear" in out
    assert "Traceback" not in out


def test_send_says_what_came_back(enrich, receiver_for):
    receiver = receiver_for()
    assert enrich("send", "--url", receiver.url).startswith('202 {"new":true} (event test-')
    (row,) = receiver.stored()
    assert (row.event_type, row.outcome) == ("enrich.test", "ignored")
    assert enrich("send", "--url", receiver.url, code=1, ENRICH_WEBHOOK_TOKEN="wrong-token").startswith("401 ")
    assert "no answer from 127.0.0.1" in enrich("send", "--url", "http://127.0.0.1:9/", code=1)
    assert "no URL" in enrich("send", "--url", "http://[x", code=1)


def test_addresses_and_ids_that_cannot_be_are_refused_in_a_sentence(enrich, server):
    """Each of these was a traceback of urllib, http.client or of a codec."""
    assert "must be http:// or https://" in enrich("register", "--url", "http://[::1", code=1)
    for url in ("http://127.0.0.1:9/wébhook", "http://exa..mple/"):
        assert "cannot be sent as it is" in enrich("send", "--url", url, code=1)
    for webhook in ("", ".."):
        assert "the API has no webhook" in enrich("delete", webhook, code=1)
    assert server.seen == []


def test_clear_text_is_warned_of_however_the_scheme_is_spelt(enrich, server):
    server.script = [Reply(401)]
    assert "sends the token in clear" in enrich("register", "--url", "HTTP://h.example/x", code=1)
