"""A web server of Dagster over a folder, and the queries behind three of its pages: for `scale`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import httpx
from measure import clean_environment

from pipeline.instance import project_root
from pipeline.settings import Settings

STARTING = 120.0


class WebServer:
    """`dagster-webserver`, on a free port of loopback, until the block ends."""

    PAGES: ClassVar[dict[str, str]] = {
        "assets": "{assetNodes {assetKey {path} partitionStats {numMaterialized numFailed numPartitions}}}",
        "partitions": (
            '{assetNodeOrError(assetKey: {path: ["transactions"]}) {... on AssetNode {'
            "partitionKeysByDimension {name partitionKeys} assetPartitionStatuses {... on DefaultPartitionStatuses"
            " {materializedPartitions failedPartitions unmaterializedPartitions materializingPartitions}}}}}"
        ),
        "batches": (
            '{assetNodeOrError(assetKey: {path: ["transactions"]}) {... on AssetNode {'
            "assetMaterializations(limit: 100) {partition timestamp}}}}"
        ),
    }
    """The assets page's counts; the partitions page's keys with the state of each; the last 100 materialisations."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        root = project_root()
        environment = clean_environment() | {
            "DAGSTER_HOME": str(folder), "PYTHONPATH": str(root), "ENRICH_DATA_DIR": str(settings.home),
            "ENRICH_BASE_URL": settings.url,
        }  # fmt: skip
        command = [str(Path(sys.executable).parent / "dagster-webserver"), "-h", "127.0.0.1", "-p", str(port),
                   "-w", str(root / "deploy" / "workspace.yaml")]  # fmt: skip
        self._log = (folder / "web.log").open("wb")
        self._child = subprocess.Popen(command, cwd=folder, env=environment, stdout=self._log, stderr=self._log)
        self._http = httpx.Client(base_url=self._url, timeout=120, trust_env=False)

    def __enter__(self) -> Self:
        end = time.monotonic() + STARTING
        while self._child.poll() is None and time.monotonic() < end:
            try:
                if self._http.get("/server_info").is_success:
                    return self
            except httpx.TransportError:
                time.sleep(0.2)
        self._stop()
        raise SystemExit(f"the web server does not answer: {Path(self._log.name).read_text()[-2000:]}")

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop()

    def load(self, page: str) -> int:
        """Ask what the page asks; returns the answer's bytes. Raises SystemExit for an answer with errors."""
        answer = self._http.post("/graphql", json={"query": self.PAGES[page]})
        if not answer.is_success or "errors" in answer.json():
            raise SystemExit(f"{page}: {answer.text[:500]}")
        return len(answer.content)

    def _stop(self) -> None:
        self._http.close()
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(30)
        except subprocess.TimeoutExpired:
            self._child.kill()
            os.waitpid(self._child.pid, 0)
        self._log.close()
