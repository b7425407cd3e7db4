"""The reads of the API that recovery makes, over real HTTP on loopback, answered from what a test says there is.

The sandbox would do, but for its clock: here a test decides when a batch is listed, ends, and what its `Date` says.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Listed:
    """A batch as the API lists it. `ids`: of its results."""

    id: str
    status: str
    created_at: datetime
    ids: tuple[str, ...]


class ApiStub:
    """A server. Set `batches`. `during_list` is called once, after the next list was made and before it is sent."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.batches: list[Listed] = []
        self.during_list: Callable[[], None] | None = None
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, answer = stub.answer(self.path.partition("?")[0])
                body = json.dumps(answer).encode()
                self.send_response_only(status)
                self.send_header("Date", format_datetime(stub.clock().replace(tzinfo=UTC), usegmt=True))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def answer(self, path: str) -> tuple[int, Any]:
        if path == "/v3/batches":
            return 200, self._list()
        asked = next((batch for batch in self.batches if path == f"/v3/batches/{batch.id}"), None)
        if asked is not None:
            return 200, _shown(asked)
        completed = [batch for batch in self.batches if batch.status == "completed"]
        found = next((batch for batch in completed if path == f"/v3/batches/{batch.id}/results"), None)
        if found is not None:
            results = [_item(i) for i in found.ids]
            return 200, {"id": found.id, "status": "completed", "total": len(results), "results": results}
        transaction = path.removeprefix("/v3/transactions/")
        if any(transaction in batch.ids for batch in completed):
            return 200, _item(transaction)
        return 404, {"detail": "not found"}

    def _list(self) -> dict[str, Any]:
        newest_first = sorted(self.batches, key=lambda batch: batch.created_at, reverse=True)
        data = [_shown(batch) for batch in newest_first]
        if (meanwhile := self.during_list) is not None:
            self.during_list = None
            meanwhile()
        return {"data": data, "next_cursor": None}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def _shown(batch: Listed) -> dict[str, Any]:
    moment = f"{batch.created_at.isoformat()}Z"
    return {
        "id": batch.id, "operation": "POST /v3/transactions", "status": batch.status, "progress": 0,
        "created_at": moment, "updated_at": moment, "total": len(batch.ids),
    }  # fmt: skip


def _item(id_: str) -> dict[str, str]:
    return {"id": id_, "created_at": "2026-03-01T12:00:00Z"}
