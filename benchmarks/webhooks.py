"""The webhook receiver beside a bare Starlette endpoint that stores nothing, at 200 deliveries a second.

An open loop: each delivery has its time, whether the one before was answered or not, and its latency counts from that
time, so that a stall is charged to all that it delays. The servers run in turn, each a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import msgspec
from measure import clean_environment, show

TOKEN = "benchmark-token"
READY = "receiver ready on "
CONNECTIONS = 16
WARM_UP = 100

BARE = "bare Starlette: reads the body, answers 202"
OURS = "ours: token, checks, one row, durable before 202"
ALONE = "ours, one transaction for each delivery"
VARIANTS = {BARE: "bare", OURS: "ours", ALONE: "alone"}


def serve_bare() -> None:
    import socket  # noqa: PLC0415 - in the server's process only

    import uvicorn  # noqa: PLC0415
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.requests import Request  # noqa: PLC0415
    from starlette.responses import JSONResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def receive(request: Request) -> JSONResponse:
        await request.body()
        return JSONResponse({"new": True}, 202)

    listener = socket.create_server(("127.0.0.1", 0))
    print(f"{READY}http://127.0.0.1:{listener.getsockname()[1]}/hook", flush=True)
    app = Starlette(routes=[Route("/hook", receive, methods=["POST"])])
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none")).run(sockets=[listener])


def serve_ours(at_once: int | None) -> None:
    from pipeline.cli import app  # noqa: PLC0415 - in the server's process only
    from pipeline.webhooks import writer  # noqa: PLC0415

    writer.MOST_AT_ONCE = at_once or writer.MOST_AT_ONCE
    app(["webhooks", "serve", "--port", "0"])


@contextmanager
def running(variant: str, folder: Path) -> Iterator[str]:
    """A server process; its URL."""
    environment = clean_environment() | {"ENRICH_WEBHOOK_TOKEN": TOKEN, "ENRICH_DATA_DIR": str(folder)}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    child = subprocess.Popen(
        [sys.executable, __file__, "--serve", variant], env=environment, cwd=folder, stdout=subprocess.PIPE, text=True
    )
    try:
        line = child.stdout.readline() if child.stdout else ""
        if not line.startswith(READY):
            sys.exit(f"{variant} did not start")
        yield line.removeprefix(READY).strip()
    finally:
        child.terminate()
        child.wait()


def request(url: str, number: int) -> bytes:
    batch = {
        "id": f"0b54c7de-6a2f-4b2c-9b1e-{number:012d}", "operation": "POST /v3/transactions", "status": "completed",
        "created_at": "2024-04-11T08:15:00Z", "updated_at": "2024-04-11T08:21:30Z", "progress": 5000, "total": 5000,
    }  # fmt: skip
    body = msgspec.json.encode({"event_id": f"event-{number:012d}", "event_type": "batches.completed", "data": batch})
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nX-Ntropy-Token: {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def deliver(url: str, first: int, count: int, rate: float) -> list[float]:
    """Seconds from each delivery's time to its answer. Raises when one is not answered 202."""
    due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    begin = time.perf_counter() + 0.1
    for n in range(count):
        due.put_nowait((begin + n / rate, request(url, first + n)))
    took: list[float] = []

    async def sender() -> None:
        reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        while not due.empty():
            at, message = due.get_nowait()
            await asyncio.sleep(at - time.perf_counter())
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            took.append(time.perf_counter() - at)
            if not head.startswith(b"HTTP/1.1 202 "):
                raise RuntimeError(head.decode())
        writer.close()

    await asyncio.gather(*(sender() for _ in range(CONNECTIONS)))
    return took


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def stored(folder: Path) -> int:
    from pipeline.ledger import schema  # noqa: PLC0415 - only to count
    from pipeline.ledger.db import Ledger  # noqa: PLC0415

    ledger = Ledger(f"sqlite:///{folder / 'ledger' / 'ledger.sqlite'}")
    try:
        return len(ledger.rows(schema.webhook_inbox.select()))
    finally:
        ledger.close()


def one_round(variant: str, options: argparse.Namespace) -> tuple[float, float, float]:
    """p50, p99 and the longest, in ms."""
    count = int(options.rate * options.seconds)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        with running(variant, folder) as url:
            asyncio.run(deliver(url, 0, WARM_UP, options.rate))
            took = asyncio.run(deliver(url, WARM_UP, count, options.rate))
        if variant != "bare" and stored(folder) != count + WARM_UP:
            sys.exit(f"{stored(folder)} rows for {count + WARM_UP} deliveries that were answered 202")
    return 1000 * percentile(took, 0.5), 1000 * percentile(took, 0.99), 1000 * max(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200, help="deliveries a second")
    parser.add_argument("--seconds", type=float, default=5, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where ledgers are made; default: the system's temporary folder")
    parser.add_argument("--serve", choices=list(VARIANTS.values()), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve == "bare":
        serve_bare()
    elif options.serve:
        serve_ours(1 if options.serve == "alone" else None)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    rounds = [{name: one_round(short, options) for name, short in VARIANTS.items()} for _ in range(options.rounds)]
    rows = []
    for name in VARIANTS:
        p50, p99, longest = (median(one[name][i] for one in rounds) for i in range(3))
        times = [median(one[name][i] / one[BARE][i] for one in rounds) for i in range(2)]
        spread = [one[name][1] for one in rounds]
        rows.append(
            (name, f"{p50:.1f}", f"{p99:.1f}", f"{min(spread):.1f}-{max(spread):.1f}", f"{longest:.1f}",
             *(f"{ratio:.1f}" for ratio in times))
        )  # fmt: skip
    header = ("variant", "p50 ms", "p99 ms", "min-max", "longest ms", "p50 times bare", "p99 times bare")
    show(f"{options.rate:g} deliveries a second, {options.seconds:g} s a round, {options.rounds} rounds", header, rows)


if __name__ == "__main__":
    main()
