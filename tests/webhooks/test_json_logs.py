"""With ENRICH_LOG_FORMAT=json every line of the receiver is a JSON object, and no secret is in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import httpx
from receivers import ROOT, TOKEN


def test_each_line_is_an_object(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ENRICH_", "DAGSTER_"))}
    given = {"PYTHONPATH": str(ROOT), "ENRICH_LOG_FORMAT": "json", "ENRICH_WEBHOOK_TOKEN": TOKEN}
    command = [sys.executable, "-c", "from pipeline.cli import app; app()", "webhooks", "serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--data-dir", "data"], cwd=tmp_path, env=kept | given, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            ready = json.loads(child.stderr.readline())
            url = ready["message"].removeprefix("receiver ready on ")
            assert httpx.post(url, json={}, trust_env=False).status_code == 401
            child.send_signal(signal.SIGTERM)
            out, err = child.communicate(timeout=60)
        finally:
            child.kill()
    assert (child.returncode, out) == (0, b"")
    lines = [json.loads(line) for line in err.splitlines()]
    assert [(line["level"], line["logger"]) for line in lines] == [("WARNING", "pipeline.webhooks.app")]
    assert lines[0]["message"].startswith("answered 401: ")
    assert set(ready) == {"time", "level", "logger", "message"}
    assert TOKEN.encode() not in err
