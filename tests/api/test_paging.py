"""Lists: every page to the end, filters again on each, and no going in circles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scripted_server import Reply, Server

from pipeline.api import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.api.client import ApiClient

    ABatch = Callable[..., dict[str, Any]]


def test_every_page_with_every_filter(client: ApiClient, server: Server, a_batch: ABatch) -> None:
    server.script = [
        Reply(body={"data": [a_batch("1"), a_batch("2")], "next_cursor": "a/+="}),
        Reply(503),
        Reply(body={"data": [], "next_cursor": "b", "novelty": 1}),
        Reply(body={"data": [a_batch("3", novelty=[])], "next_cursor": None}),
    ]
    batches = client.iter_batches(status="processing", page_size=2)
    assert not server.seen, "pages are fetched as they are consumed"
    assert [batch.id for batch in batches] == ["1", "2", "3"]
    base = {"status": "processing", "limit": "2"}
    cursors = [{}, {"cursor": "a/+="}, {"cursor": "a/+="}, {"cursor": "b"}]
    assert [seen.query for seen in server.seen] == [base | cursor for cursor in cursors]


def test_no_filter_and_the_default_size(client: ApiClient, server: Server) -> None:
    server.script = [Reply(body={"data": [], "next_cursor": None})]
    assert list(client.iter_batches()) == []
    assert server.seen[0].query == {"limit": "100"}


@pytest.mark.parametrize("cursors", [["a", "a"], ["a", "b", "a"]])
def test_a_repeated_cursor(client: ApiClient, server: Server, a_batch: ABatch, cursors: list[str]) -> None:
    server.script = [Reply(body={"data": [a_batch()], "next_cursor": cursor}) for cursor in cursors]
    with pytest.raises(errors.UnknownPaging) as caught:
        list(client.iter_batches())
    assert caught.value.request_id == "srv-1"
    assert caught.value.fate == "permanent"
    assert len(server.seen) == len(cursors)


@pytest.mark.parametrize(
    "body",
    [{"data": []}, {"next_cursor": None}, [], {"data": None, "next_cursor": None}, {"data": [1], "next_cursor": 1}],
)
def test_a_page_of_another_shape(client: ApiClient, server: Server, body: Any) -> None:
    """A missing `next_cursor` is not the last page: taking it for that would lose the rest without a word."""
    server.script = [Reply(body=body)]
    with pytest.raises(errors.WrongShape):
        list(client.iter_batches())


def test_a_malformed_entry_is_named(client: ApiClient, server: Server, a_batch: ABatch) -> None:
    server.script = [Reply(body={"data": [a_batch(), a_batch(total="x")], "next_cursor": None})]
    with pytest.raises(errors.WrongShape, match=r"\$\.data\[1\]\.total"):
        list(client.iter_batches())


def test_holders(client: ApiClient, server: Server) -> None:
    holder = {"id": "h", "type": "consumer", "created_at": "2024-01-01T00:00:00Z"}
    server.script = [
        Reply(body={"data": [holder], "next_cursor": "c"}),
        Reply(body={"data": [holder | {"id": "i"}], "next_cursor": None}),
    ]
    assert [each.id for each in client.iter_account_holders()] == ["h", "i"]
    assert client.calls == {"GET /v3/account_holders": 2}
