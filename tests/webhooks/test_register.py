"""Our webhook at the API, against a server that answers from a script or keeps webhooks as the API would."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from scripted_server import Reply

from pipeline.api.errors import ApiError, BadValue, ConnectionLost
from pipeline.errors import ConfigError
from pipeline.flow import webhooks
from pipeline.ledger import inbox

URL = "https://hooks.example/webhooks/ntropy"
TOKEN = "tok-SECRET-0123456789"


class Hooks(ThreadingHTTPServer):
    """`/v3/webhooks` as documented: 10 at most, absent means unchanged, tokens shown in clear."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hooks = {}
        self.seen = []
        self.lose_answers = 0
        self.lock = threading.Lock()
        self.made = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, url=URL, **changes):
        self.made += 1
        hook = {
            "id": f"w-{self.made}", "created_at": f"2024-01-01T00:00:{self.made:02d}Z", "url": url,
            "events": ["batches.completed", "batches.error"], "enabled": True, "token": TOKEN,
        } | changes  # fmt: skip
        self.hooks[hook["id"]] = hook
        return hook["id"]

    def calls(self, *methods):
        return [seen for seen in self.seen if seen[0] in methods]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hooks

    def log_message(self, *_):
        pass

    def _answer(self, status, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _handle(self):
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        api, id_ = self.server, self.path.removeprefix("/v3/webhooks").removeprefix("/")
        with api.lock:
            api.seen.append((self.command, self.path, body))
            status, answer = self._act(api, id_, body)
            lost = self.command == "POST" and api.lose_answers > 0
            api.lose_answers -= lost
        if lost:
            self.close_connection = True
            return
        self._answer(status, answer)

    def _act(self, api, id_, body):
        if self.command == "POST" and len(api.hooks) >= 10:
            return 400, {"detail": f"too many webhooks, cannot add {body['token']}"}
        if self.command == "POST":
            return 200, api.hooks[api.add(**body)]
        if id_ and id_ not in api.hooks:
            return 404, {"detail": "not found"}
        if self.command == "DELETE":
            del api.hooks[id_]
            return 204, None
        if self.command == "PATCH":
            api.hooks[id_] |= body
            return 200, api.hooks[id_]
        return 200, {"data": list(api.hooks.values()), "next_cursor": None}

    do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815 - the library's names


@pytest.fixture
def api():
    hooks = Hooks()
    thread = threading.Thread(target=hooks.serve_forever, args=(0.01,))
    thread.start()
    yield hooks
    hooks.shutdown()
    thread.join()
    hooks.server_close()


@pytest.fixture
def ws(workspace_for):
    return workspace_for(webhook_token=f"{TOKEN},tok-OLD-0123456789")


@pytest.fixture
def client(api, client_for):
    return client_for(api.url, retries=1)


def test_registered_once_however_often(api, ws, client):
    first = webhooks.register(ws, client, URL)
    assert (first.did, first.deleted) == ("created", [])
    (post,) = api.calls("POST")
    assert post[2] == {"url": URL, "events": ["batches.completed", "batches.error"], "token": TOKEN}
    again = webhooks.register(ws, client, URL)
    assert (again.did, again.webhook_id) == ("unchanged", first.webhook_id)
    assert len(api.calls("POST", "PATCH", "DELETE")) == 1
    assert inbox.registered(ws.ledger) == {first.webhook_id: URL}


@pytest.mark.parametrize(
    "change",
    [{"enabled": False}, {"token": "tok-OLD-0123456789"}, {"token": None}, {"events": ["batches.completed"]}],
    ids=["off", "old token", "no token", "fewer events"],
)
def test_what_differs_is_changed(api, ws, client, change):
    there = api.add(**change)
    done = webhooks.register(ws, client, URL)
    assert (done.webhook_id, done.did) == (there, "changed")
    hook = api.hooks[there]
    assert (hook["enabled"], hook["token"], set(hook["events"])) == (True, TOKEN, set(inbox.BATCH_EVENTS))
    assert api.calls("POST") == []
    assert webhooks.register(ws, client, URL).did == "unchanged"


def test_the_order_of_events_is_no_difference(api, ws, client):
    api.add(events=["batches.error", "batches.completed"])
    assert webhooks.register(ws, client, URL).did == "unchanged"


def test_other_spellings_of_the_address_are_the_same(api, ws, client):
    there = api.add(url="HTTPS://Hooks.Example:443/webhooks/ntropy")
    assert webhooks.register(ws, client, URL).webhook_id == there


def test_others_are_left_alone(api, ws, client):
    others = [api.add(url=url, enabled=False) for url in (URL + "/2", "https://other.example/", "http://[bad", "")]
    mine = webhooks.register(ws, client, URL).webhook_id
    assert set(api.hooks) == {*others, mine}
    assert not any(api.hooks[id_]["enabled"] for id_ in others)


def test_doubles_are_deleted_and_the_oldest_stays(api, ws, client):
    first, second, third = (api.add() for _ in range(3))
    done = webhooks.register(ws, client, URL)
    assert (done.webhook_id, done.deleted, done.did) == (first, [second, third], "unchanged")
    assert set(api.hooks) == {first}


def test_two_at_once_leave_one(api, ws, client):
    ready = threading.Barrier(4)
    done = []

    def go():
        ready.wait()
        done.append(webhooks.register(ws, client, URL))

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 4
    (left,) = api.hooks
    assert webhooks.register(ws, client, URL).webhook_id == left
    assert set(inbox.registered(ws.ledger)) == {left}


def test_an_answer_that_got_lost_makes_no_second_one(api, ws, client):
    api.lose_answers = 1
    done = webhooks.register(ws, client, URL)
    assert set(api.hooks) == {done.webhook_id}
    assert len(api.calls("POST")) == 1


def test_a_create_that_did_not_happen_is_an_error(server, ws, client_for):
    empty = Reply(body={"data": [], "next_cursor": None})
    server.script = [empty, Reply(when="never"), empty]
    with pytest.raises(ConnectionLost):
        webhooks.register(ws, client_for(server.url, retries=0), URL)
    assert inbox.registered(ws.ledger) == {}


def test_ten_of_others(api, ws, client):
    for n in range(10):
        api.add(url=f"https://other.example/{n}")
    with pytest.raises(ConfigError, match="there are 10 webhooks already") as caught:
        webhooks.register(ws, client, URL)
    assert "enrich webhooks delete ID" in (caught.value.hint or "")
    assert isinstance(caught.value.__cause__, BadValue)
    assert TOKEN not in str(caught.value) + repr(caught.value.__cause__.detail)


@pytest.mark.parametrize(
    "url", ["hooks.example", "ftp://h/x", "https://", "https://u:p@h/", "https://h/" + "x" * 1_015, "http://[h"]
)
def test_urls_that_are_refused_before_anything_is_sent(api, ws, client, url):
    with pytest.raises(ConfigError):
        webhooks.register(ws, client, url)
    assert api.seen == []


def test_without_a_token_only_when_asked_for(api, client, workspace_for):
    with pytest.raises(ConfigError, match="no webhook token"):
        webhooks.register(workspace_for("a"), client, URL)
    assert api.seen == []
    webhooks.register(workspace_for("b", webhook_insecure=True), client, URL)
    assert "token" not in api.calls("POST")[0][2]


class TestKeptEnabled:
    """What the API has switched off."""

    def test_only_ours_is_switched_on(self, api, ws, client):
        mine = webhooks.register(ws, client, URL).webhook_id
        other = api.add(url="https://other.example/")
        assert webhooks.ensure_enabled(ws, client).switched_on == []
        for hook in api.hooks.values():
            hook["enabled"] = False
        before = len(api.seen)
        kept = webhooks.ensure_enabled(ws, client)
        assert (kept.switched_on, kept.gone) == ([mine], [])
        assert (api.hooks[mine]["enabled"], api.hooks[other]["enabled"]) == (True, False)
        assert api.seen[before:] == [
            ("GET", "/v3/webhooks", None), ("PATCH", f"/v3/webhooks/{mine}", {"enabled": True}),
        ]  # fmt: skip
        assert api.hooks[mine]["token"] == TOKEN

    def test_nothing_registered_asks_nothing(self, api, ws, client):
        kept = webhooks.ensure_enabled(ws, client)
        assert (kept.switched_on, kept.gone, api.seen) == ([], [], [])

    def test_one_that_somebody_deleted(self, api, ws, client):
        mine = webhooks.register(ws, client, URL).webhook_id
        api.hooks.clear()
        assert webhooks.ensure_enabled(ws, client).gone == [mine]


def test_deleted(api, ws, client):
    mine = webhooks.register(ws, client, URL).webhook_id
    assert webhooks.delete(ws, client, mine)
    assert not webhooks.delete(ws, client, mine)
    assert (api.hooks, inbox.registered(ws.ledger)) == ({}, {})


def test_a_delete_that_failed_is_still_ours(server, ws, client, client_for):
    mine = webhooks.register(ws, client, URL).webhook_id
    server.script = [Reply(403)]
    with pytest.raises(ApiError):
        webhooks.delete(ws, client_for(server.url, retries=0), mine)
    assert mine in inbox.registered(ws.ledger)
