"""Results on disk: whole under their name, or not there."""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING

import pytest
from scripted_server import Reply, Server

from pipeline.api import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.api.client import ApiClient

BODY = b'{"id": "b-1", "total": 0, "status": "completed", "results": []}' * 20_000


def test_downloaded(client: ApiClient, server: Server, tmp_path: Path) -> None:
    server.script = [Reply(body=BODY, pieces=5)]
    to = tmp_path / "new folder" / "b-1.json"
    download = client.download_results("b-1", to)
    assert to.read_bytes() == BODY
    assert download.bytes == len(BODY)
    assert download.sha256 == hashlib.sha256(BODY).hexdigest()
    assert download.request_id == "srv-1"
    assert [path.name for path in to.parent.iterdir()] == ["b-1.json"]
    assert server.seen[0].path == "/v3/batches/b-1/results"
    assert server.seen[0].headers["accept-encoding"] == "identity"
    assert client.server_time is not None


FAULTS = {
    "cut": (Reply(body=BODY, promise=len(BODY) + 1), errors.ConnectionLost, 3),
    "cut at once": (Reply(body=b"", promise=10), errors.ConnectionLost, 3),
    "chunks without an end": (
        Reply(body=b"5\r\nhello\r\n", promise=-1, headers={"Transfer-Encoding": "chunked"}),
        errors.ConnectionLost,
        3,
    ),
    "not ready": (Reply(409, {"detail": "processing"}), errors.NotReady, 1),
    "gone": (Reply(404), errors.NotFound, 1),
    "unavailable": (Reply(503), errors.Unavailable, 3),
    "too long": (Reply(body=BODY + b" "), errors.AnswerTooLong, 1),
    "not gzip": (Reply(body=BODY, headers={"Content-Encoding": "gzip"}), errors.BadAnswer, 3),
}


@pytest.mark.parametrize("earlier", [False, True], ids=["nothing there", "an earlier file"])
@pytest.mark.parametrize(("reply", "kind", "requests"), FAULTS.values(), ids=FAULTS)
def test_a_fault_leaves_nothing(
    client: ApiClient, server: Server, tmp_path: Path, reply: Reply, kind: type, requests: int, *, earlier: bool
) -> None:
    to = tmp_path / "b-1.json"
    if earlier:
        to.write_text("earlier")
    server.script = [reply]
    with pytest.raises(errors.ApiError) as caught:
        client.download_results("b-1", to, max_bytes=len(BODY))
    assert type(caught.value) is kind
    assert caught.value.request_id == "srv-1"
    assert len(server.seen) == requests
    assert [path.read_text() for path in tmp_path.iterdir()] == (["earlier"] if earlier else [])


def test_slower_than_the_time_out(make_client: Callable[..., ApiClient], server: Server, tmp_path: Path) -> None:
    server.script = [Reply(body=BODY, pieces=2, drip=0.6)]
    with pytest.raises(errors.TimedOut):
        make_client(read_timeout=0.2, retries=0).download_results("b-1", tmp_path / "b-1.json")
    assert not list(tmp_path.iterdir())


def test_a_cut_one_is_fetched_again_from_the_start(client: ApiClient, server: Server, tmp_path: Path) -> None:
    server.script = [Reply(body=BODY[:1000], promise=len(BODY)), Reply(body=BODY)]
    download = client.download_results("b-1", tmp_path / "b-1.json")
    assert download.sha256 == hashlib.sha256(BODY).hexdigest()
    assert client.calls == {"GET /v3/batches/{id}/results": 2}


def test_gzip_that_nobody_asked_for(client: ApiClient, server: Server, tmp_path: Path) -> None:
    server.script = [Reply(body=gzip.compress(BODY), headers={"Content-Encoding": "gzip"})]
    download = client.download_results("b-1", tmp_path / "b-1.json")
    assert (tmp_path / "b-1.json").read_bytes() == BODY
    assert download.bytes == len(BODY)


def test_a_disk_that_refuses(client: ApiClient, server: Server, tmp_path: Path) -> None:
    (tmp_path / "b-1.json").mkdir()
    (tmp_path / "b-1.json" / "x").touch()
    server.script = [Reply(body=BODY)]
    with pytest.raises(OSError, match="b-1"):
        client.download_results("b-1", tmp_path / "b-1.json")
    assert [path.name for path in tmp_path.iterdir()] == ["b-1.json"]
    assert len(server.seen) == 1
