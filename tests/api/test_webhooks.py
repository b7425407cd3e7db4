"""Calls for webhooks: what is sent, what is repeated, what an error and a `repr` may show."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from scripted_server import Reply, Server

from pipeline.api import errors

if TYPE_CHECKING:
    from pipeline.api.client import ApiClient

TOKEN = "hook-token-9876543210"
HOOK: dict[str, Any] = {
    "id": "w-1", "created_at": "2024-04-11T08:15:00", "url": "https://h/x", "events": ["batches.completed"],
    "enabled": True, "token": TOKEN, "new": 1,
}  # fmt: skip


def test_the_list_is_followed_and_asks_for_nothing_undocumented(client: ApiClient, server: Server) -> None:
    server.script = [
        Reply(body={"data": [HOOK], "next_cursor": "c"}),
        Reply(body={"data": [HOOK | {"id": "w-2", "token": None}], "next_cursor": None}),
    ]
    first, second = client.webhooks.all()
    assert [seen.query for seen in server.seen] == [{}, {"cursor": "c"}]
    assert (first.id, first.token, first.created_at.isoformat()) == ("w-1", TOKEN, "2024-04-11T08:15:00+00:00")
    assert (second.id, second.token) == ("w-2", None)
    assert TOKEN not in repr(first) + str(first)


def test_one(client: ApiClient, server: Server) -> None:
    server.script = [Reply(body=HOOK)]
    assert client.webhooks.get("w-1").events == ["batches.completed"]
    assert server.seen[0].path == "/v3/webhooks/w-1"


def test_create_sends_what_is_given(client: ApiClient, server: Server) -> None:
    server.script = [Reply(body=HOOK)]
    client.webhooks.create("https://h/x", ("batches.completed",), token=TOKEN)
    client.webhooks.create("https://h/x", ["batches.completed"])
    bodies = [json.loads(seen.body) for seen in server.seen]
    assert bodies[0] == {"url": "https://h/x", "events": ["batches.completed"], "token": TOKEN}
    assert bodies[1] == {"url": "https://h/x", "events": ["batches.completed"]}


@pytest.mark.parametrize(
    ("reply", "times"), [(Reply(500), 1), (Reply(when="never"), 1), (Reply(429), 3), (Reply(503), 3)]
)
def test_create_is_repeated_only_where_nothing_was_done(
    client: ApiClient, server: Server, reply: Reply, times: int
) -> None:
    server.script = [reply]
    with pytest.raises(errors.ApiError):
        client.webhooks.create("https://h/x", [])
    assert len(server.seen) == times


def test_patch_always_says_whether_it_is_enabled(client: ApiClient, server: Server) -> None:
    server.script = [Reply(500), Reply(body=HOOK)]
    client.webhooks.patch("w-1", enabled=True)
    client.webhooks.patch("w-1", enabled=False, events=["a"], token=TOKEN)
    assert [(seen.method, json.loads(seen.body)) for seen in server.seen] == [
        ("PATCH", {"enabled": True}), ("PATCH", {"enabled": True}),
        ("PATCH", {"enabled": False, "events": ["a"], "token": TOKEN}),
    ]  # fmt: skip


def test_delete_is_done_at_204_only(client: ApiClient, server: Server) -> None:
    server.script = [Reply(204), Reply(404), Reply(200)]
    client.webhooks.delete("w-1")
    with pytest.raises(errors.NotFound):
        client.webhooks.delete("w-1")
    with pytest.raises(errors.BadAnswer):
        client.webhooks.delete("w-1")
    assert {(seen.method, seen.path) for seen in server.seen} == {("DELETE", "/v3/webhooks/w-1")}


@pytest.mark.parametrize("status", [400, 422, 500])
def test_an_error_does_not_quote_the_token(client: ApiClient, server: Server, status: int) -> None:
    server.script = [Reply(status, {"detail": f"cannot use {TOKEN}"})]
    for call in (
        lambda: client.webhooks.create("https://h/x", [], token=TOKEN),
        lambda: client.webhooks.patch("w-1", enabled=True, token=TOKEN),
    ):
        with pytest.raises(errors.ApiError) as caught:
            call()
        shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
        assert TOKEN not in shown
        assert "***" in shown
