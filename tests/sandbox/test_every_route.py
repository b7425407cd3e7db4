"""What holds of every route alike: keys, methods, request ids, rates."""

from __future__ import annotations

import json
import re
import socket

import httpx
import pytest

from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess
from pipeline.sandbox.routes import V3

CALLS = [(method, re.sub(r"\{.*?\}", "x", path)) for path, methods in V3 for method in methods]
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    config = SandboxConfig(api_key=("right",), time_scale=500, unthrottled=True)
    with SandboxProcess(tmp_path_factory.mktemp("guarded"), config) as process:
        yield process.url


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_keys_and_request_ids(guarded, method, path):
    for headers, status in (({}, 403), ({"X-API-Key": ""}, 403), ({"X-API-Key": "wrong"}, 401)):
        refused = httpx.request(method, guarded + path, headers={**headers, "X-Request-ID": "mine"})
        assert refused.status_code == status
        assert isinstance(refused.json()["detail"], str)
        assert refused.headers["X-Request-ID"] == "mine"
    answered = httpx.request(method, guarded + path, headers={"X-API-Key": "right"})
    assert answered.status_code not in (401, 403, 405, 500)
    assert len(answered.headers["X-Request-ID"]) == 32
    assert answered.headers["Date"]


@pytest.mark.parametrize(("path", "methods"), [(re.sub(r"\{.*?\}", "x", path), methods) for path, methods in V3])
def test_other_methods(guarded, path, methods):
    for method in METHODS - methods.keys():
        refused = httpx.request(method, guarded + path, headers={"X-API-Key": "right"})
        assert refused.status_code == 405
        assert refused.headers["Allow"] == ", ".join(methods)
        assert refused.headers["X-Request-ID"]


def test_every_route_has_a_rate_of_its_settings():
    names = {operation.rate for _, methods in V3 for operation in methods.values()}
    config = SandboxConfig()
    assert all(getattr(config, f"{name}_per_second") > 0 for name in names)


def test_unknown_routes(guarded):
    refused = httpx.get(f"{guarded}/v3/transactions/bulk/none/such", headers={"X-API-Key": "right"})
    assert refused.status_code == 404
    refused = httpx.get(f"{guarded}/v3/nothing", headers={"X-API-Key": "right"})
    assert (refused.status_code, bool(refused.headers["X-Request-ID"])) == (404, True)


def test_what_is_no_http_gets_an_answer_like_any_other(guarded):
    address = httpx.URL(guarded)
    with socket.create_connection((address.host, address.port)) as connection:
        connection.sendall(b"HELLO\r\n\r\n")
        answered = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = answered.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert status == "HTTP/1.1 400 Bad Request"
    assert len(headers["x-request-id"]) == 32
    assert headers["date"]
    assert headers["content-type"] == "application/json"
    assert (json.loads(body).keys(), headers["content-length"]) == ({"detail"}, str(len(body)))
