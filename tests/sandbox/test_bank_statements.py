"""The bank statement routes, their limits, and what webhooks are told of a statement."""

from __future__ import annotations

import threading
import time

import httpx
import pytest
from statement_pdfs import british, drawing

from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess

EVENTS = ("bank_statements.completed", "bank_statements.error")


@pytest.fixture(scope="module")
def pdf():
    return british()


def _send(client, content, name="may.pdf", kind="application/pdf"):
    return client.post("/v3/bank_statements", files={"file": (name, content, kind)})


def _ended(client, identity):
    """Wait for the end of a statement; the suite's own time-out is the limit."""
    while True:
        found = client.get(f"/v3/bank_statements/{identity}").raise_for_status().json()
        if found["status"] != "processing":
            return found
        time.sleep(0.02)


def test_a_statement_is_read_shown_and_deleted(caller, pdf):
    made = _send(caller, pdf).raise_for_status().json()
    assert made.keys() == {"id", "name", "status", "created_at", "file", "error"}
    assert (made["name"], made["status"], made["error"]) == ("may.pdf", "processing", None)
    assert made["file"] == {"no_pages": 1, "size": len(pdf)}
    path = f"/v3/bank_statements/{made['id']}"
    assert _ended(caller, made["id"]) == {**made, "status": "completed"}
    results = caller.get(f"{path}/results").raise_for_status()
    assert caller.get(f"{path}/results").content == results.content
    (account,) = results.json()["accounts"]
    assert (account["opening_balance"], account["closing_balance"]) == (1000, 3442.5)
    assert account["transactions"][1].items() >= {
        "description": "SALARY ACME LTD", "date": "2024-05-03", "amount": 2500, "entry_type": "incoming",
        "currency": "GBP", "running_balance": 3487.5, "page_number": 1,
    }.items()  # fmt: skip
    gone = caller.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    for method, rest in (("GET", ""), ("GET", "/results"), ("POST", "/verify"), ("DELETE", "")):
        assert caller.request(method, path + rest).status_code == 404


def test_the_first_page_is_told_at_once(start, pdf):
    client = start(time_scale=1)
    path = f"/v3/bank_statements/{_send(client, pdf).json()['id']}"
    overview = client.post(f"{path}/verify").raise_for_status().json()
    assert overview.keys() == {"institution", "start_date", "end_date", "account_holder", "accounts"}
    assert (overview["institution"], overview["start_date"]) == ("Example Bank plc", "2024-05-01")
    assert overview["account_holder"]["name"] == "Jane Doe"
    assert overview["accounts"][0]["iso_currency_code"] == "GBP"
    assert client.get(path).json()["status"] == "processing"
    assert client.get(f"{path}/results").status_code == 409


def test_extracted_transactions_can_be_enriched(caller, pdf):
    identity = _send(caller, pdf).json()["id"]
    _ended(caller, identity)
    (account,) = caller.get(f"/v3/bank_statements/{identity}/results").json()["accounts"]
    batch = caller.finished(account["transactions"])
    assert len(caller.get(f"/v3/batches/{batch}/results").json()["results"]) == 3


@pytest.mark.parametrize("content", [b"", b"no PDF at all", british()[:900], drawing("Dear customer")])
def test_what_cannot_be_read_ends_in_error(caller, content):
    made = _send(caller, content).raise_for_status().json()
    assert made["error"] is None
    ended = _ended(caller, made["id"])
    assert ended["status"] == "error"
    assert ended["error"]["code"] == "invalid_bank_statement"
    assert ended["error"]["message"]
    path = f"/v3/bank_statements/{made['id']}"
    assert caller.get(f"{path}/results").status_code == 409
    assert caller.post(f"{path}/verify").status_code == 409


def test_what_is_no_upload(caller, pdf):
    url = "/v3/bank_statements"
    for sent in (
        {},
        {"json": {"file": "x"}},
        {"data": {"file": "x"}},
        {"files": {"other": pdf}},
        {"files": {"file": (None, pdf)}},
        {"content": pdf, "headers": {"content-type": "application/pdf"}},
        {"content": pdf, "headers": {"content-type": "multipart/form-data"}},
    ):
        refused = caller.post(url, **sent)
        assert refused.status_code == 422, sent.keys()
        assert refused.json()["detail"][0]["loc"] == ["body", "file"]
    assert _send(caller, b"a,b\n", "a.csv", "text/csv").status_code == 415
    form = {"content-type": "multipart/form-data; boundary=x"}
    assert caller.post(url, content=b"--x\r\nno header\r\n\r\n", headers=form).status_code == 400
    cut = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n' + pdf
    assert caller.post(url, content=cut, headers=form).status_code == 422
    parts = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 1000
    assert caller.post(url, content=parts + b"--x--\r\n", headers=form).status_code == 400
    assert caller.get(url).json()["data"] == []


def test_a_file_that_is_too_large(start, pdf):
    client = start(time_scale=500, max_statement_bytes=len(pdf))
    assert _send(client, pdf).status_code == 200
    assert _send(client, pdf + b"\n").status_code == 413


def test_too_many_pages(start, pdf):
    client = start(time_scale=500, max_statement_pages=0)
    ended = _ended(client, _send(client, pdf).json()["id"])
    assert "pages" in ended["error"]["message"]


def test_a_list_takes_both_vocabularies(caller, pdf):
    good, bad = (_send(caller, content).json()["id"] for content in (pdf, b"no"))
    for identity in (good, bad):
        _ended(caller, identity)

    def listed(**query):
        return [one["id"] for one in caller.get("/v3/bank_statements", params=query).raise_for_status().json()["data"]]

    assert listed() == [bad, good]
    assert listed(status="completed") == listed(status="processed") == [good]
    assert listed(status="error") == listed(status="failed") == [bad]
    assert listed(status="processing") == listed(status="queued") == []
    first = caller.get("/v3/bank_statements", params={"limit": 1}).json()
    assert listed(limit=1, cursor=first["next_cursor"]) == [good]
    assert caller.get("/v3/bank_statements", params={"status": "done"}).status_code == 422


def test_a_key_sees_its_own_statements_only(caller, shared_sandbox, pdf):
    path = f"/v3/bank_statements/{_send(caller, pdf).json()['id']}"
    with httpx.Client(base_url=shared_sandbox.url, headers={"X-API-Key": "somebody else"}, trust_env=False) as other:
        for method, rest in (("GET", ""), ("GET", "/results"), ("POST", "/verify"), ("DELETE", "")):
            assert other.request(method, path + rest).status_code == 404
        assert other.get("/v3/bank_statements").json()["data"] == []
    assert caller.get(path).status_code == 200


def test_both_ends_are_told(caller, receiver, pdf):
    caller.hook(receiver.url, *EVENTS)
    good, bad = (_send(caller, content).json()["id"] for content in (pdf, b"no"))
    told = {one.batch: one.event for one in receiver.wait(2)}
    assert told[good]["event_type"] == "bank_statements.completed"
    assert told[bad]["event_type"] == "bank_statements.error"
    for identity, event in told.items():
        assert event["data"] == _ended(caller, identity)


def test_statements_that_take_long_hold_up_nobody(start, pdf):
    client = start(unthrottled=True, time_scale=500)
    statuses = []

    def send():
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60, trust_env=False) as mine:
            statuses.append(_send(mine, pdf).status_code)

    senders = [threading.Thread(target=send) for _ in range(20)]
    for one in senders:
        one.start()
    begun = time.monotonic()
    assert client.get("/v3/batches").status_code == 200
    assert time.monotonic() - begun < 2
    for one in senders:
        one.join()
    # At most eight at once are let in; the rest are told to come again.
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 8


def test_a_crash_loses_no_statement(tmp_path, pdf, receiver):
    config = SandboxConfig(unthrottled=True, time_scale=30)
    headers = {"X-API-Key": "key"}
    first = SandboxProcess(tmp_path, config).start()
    with httpx.Client(base_url=first.url, headers=headers, trust_env=False) as client:
        client.post("/v3/webhooks", json={"url": receiver.url, "events": EVENTS}).raise_for_status()
        made = _send(client, pdf).raise_for_status().json()
    first.kill()
    with (
        SandboxProcess(tmp_path, config) as second,
        httpx.Client(base_url=second.url, headers=headers, trust_env=False) as client,
    ):
        (told,) = receiver.wait(1)
        assert _ended(client, made["id"]) == {**made, "status": "completed"} == told.event["data"]
        assert len(client.get(f"/v3/bank_statements/{made['id']}/results").json()["accounts"]) == 1
