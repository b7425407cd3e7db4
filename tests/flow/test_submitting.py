"""Sending over real HTTP: what goes out, what is refused, what stays unknown, and recovery from it."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from datetime import timedelta
from email.utils import formatdate

import httpx
import pytest
from filelock import FileLock

from pipeline.api.client import ApiClient
from pipeline.flow import recovering
from pipeline.flow.backoff import backoff
from pipeline.flow.choosing import sendable_now
from pipeline.flow.holder_sync import sync_holders
from pipeline.flow.plan_files import plan_file
from pipeline.flow.rebuilding import rebuild
from pipeline.flow.recovering import recover
from pipeline.flow.submitting import submit
from pipeline.ledger import circuit, holders
from pipeline.ledger.operating import release
from pipeline.ledger.states import State

KEY = {"X-API-Key": "sandbox-key"}


@pytest.fixture
def two_batches(steps_for, bank_file):
    def make(**given):
        steps = steps_for(batch_size=10, **given)
        steps.ingest(bank_file(20))
        steps.plan()
        return steps

    return make


def test_batches_are_sent_once_their_holders_exist(two_batches, books_of):
    steps = two_batches()
    keys = steps.keys(State.PLANNED)
    early = submit(steps.ws, steps.client, keys)
    assert list(early.skipped) == keys
    assert all("account holders are not created yet" in why for why in early.skipped.values())
    report = steps.submit()
    assert list(report.submitted) == keys
    assert [b.total for b in books_of().batches()] == [10, 10]
    assert {a.vendor_batch_id for key in keys for a in steps.attempts(key)} == {b.id for b in books_of().batches()}


def test_nothing_is_sent_twice_by_asking_twice(two_batches, books_of):
    steps = two_batches()
    keys = steps.keys(State.PLANNED)
    steps.submit()
    again = submit(steps.ws, steps.client, keys)
    assert again.submitted == {}
    assert books_of().summary().items_charged == 20


@pytest.mark.sqlite
def test_only_one_process_sends(two_batches, books_of):
    steps = two_batches()
    (steps.ws.home / "ledger").mkdir(exist_ok=True)
    with FileLock(steps.ws.home / "ledger" / "sender.lock"):
        report = steps.submit()
    assert set(report.skipped.values()) == {"another process is sending"}
    assert books_of().summary().posts.get("POST /v3/batches", 0) == 0


def test_slots_and_credits_are_never_exceeded(two_batches, books_of):
    steps = two_batches(max_in_flight=1, sandbox={"time_scale": 1})
    report = steps.submit()
    assert len(report.submitted) == 1
    assert "1 batches are under way" in next(iter(report.skipped.values()))
    assert books_of().summary().refused == {}


def test_an_api_that_is_not_there_costs_nothing(two_batches):
    steps = two_batches()
    keys = steps.keys(State.PLANNED)
    steps.submit(keys[0])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
        with ApiClient(base_url=dead, api_key="k") as client:
            report = submit(steps.ws, client, keys[1:])
    assert list(report.failed) == keys[1:]
    row = steps.row(keys[1])
    assert (row.state, row.attempts) == (State.PLANNED, 0)
    assert steps.attempts(keys[1]) == []


def test_a_refused_key_opens_the_circuit(two_batches):
    steps = two_batches(sandbox={"api_key": ("right",), "time_scale": 200})
    for holder in holders.wanted(steps.ws.ledger):
        holders.settle(steps.ws.ledger, holder.account_holder_id, holders.CONFIRMED)
    report = submit(steps.ws, steps.client, steps.keys(State.PLANNED))
    assert len(report.failed) == 1
    assert len(report.skipped) == 1
    with steps.ws.ledger.read() as conn:
        opened = circuit.opened(conn)
    assert opened.status == 401
    assert all(steps.row(key).attempts == 0 for key in steps.keys(State.PLANNED))


def test_a_wrong_type_at_the_api_holds_the_batch(two_batches):
    steps = two_batches()
    steps.client.create_account_holder("holder-0", "business")
    report = steps.submit()
    held = steps.keys(State.HELD)
    assert held == list(report.failed)
    assert "cannot be used, such as holder-0" in steps.row(held[0]).reason


class HalfServer:
    """Takes a whole request and then drops the connection, handing the request on to a real server first or not."""

    def __init__(self, target: str | None) -> None:
        self.target, self.seen = target, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        if head.startswith(b"GET"):  # the look at the server's clock before the first intent
            date = formatdate(usegmt=True).encode()
            answer = b'{"data": [], "next_cursor": null}'
            start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nDate: "
            connection.sendall(start + date + b"\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            return
        length = next(int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length"))
        while len(body) < length:
            body += connection.recv(65536)
        self.seen += 1
        if self.target:
            httpx.post(
                f"{self.target}/v3/batches", content=body, headers={"X-API-Key": "sandbox-key"}
            ).raise_for_status()

    def close(self) -> None:
        self.listener.close()


@pytest.fixture
def half_server():
    made: list[HalfServer] = []

    def make(target):
        made.append(HalfServer(target))
        return made[-1]

    yield make
    for server in made:
        server.close()


def lose_the_answer(steps, half_server, client_for, key, *, accept):
    server = half_server(steps.ws.settings.url if accept else None)
    report = submit(steps.ws, client_for(server.url), [key])
    assert server.seen == 1
    assert report.failed[key].startswith("unconfirmed")
    assert steps.row(key).state == State.UNCONFIRMED


def test_a_batch_whose_answer_was_lost_is_adopted_by_its_ids(two_batches, half_server, client_for, books_of):
    steps = two_batches()
    first, second = steps.keys(State.PLANNED)
    steps.submit(second)
    lose_the_answer(steps, half_server, client_for, first, accept=True)
    for _ in range(200):
        report = recover(steps.ws, steps.client)
        if report.adopted:
            break
        assert list(report.waiting) == [first]
    assert list(report.adopted) == [first]
    steps.finish()
    assert books_of().summary().items_charged == books_of().summary().distinct_items_charged == 20
    assert [a.state for a in steps.attempts(first)] == ["completed"]


def test_a_batch_that_never_arrived_is_sent_again_only_after_the_grace(two_batches, half_server, client_for, books_of):
    steps = two_batches(grace=100_000)
    first, _ = steps.keys(State.PLANNED)
    steps.submit(steps.keys(State.PLANNED)[1])
    lose_the_answer(steps, half_server, client_for, first, accept=False)
    assert "proved absent after" in recover(steps.ws, steps.client).waiting[first]
    assert submit(steps.ws, steps.client, [first]).submitted == {}
    # As if so much time had passed: it is told by the API's clock.
    steps.ws = replace(steps.ws, settings=steps.ws.settings.model_copy(update={"grace": 0}))
    assert list(recover(steps.ws, steps.client).absent) == [first]
    steps.finish()
    assert books_of().summary().items_charged == books_of().summary().distinct_items_charged == 20
    assert [(a.state, a.reason) for a in steps.attempts(first)] == [("absent", "first"), ("completed", "first")]


def test_with_resend_never_a_person_decides(two_batches, half_server, client_for):
    steps = two_batches(grace=0, resend="never")
    first, _ = steps.keys(State.PLANNED)
    steps.submit(steps.keys(State.PLANNED)[1])
    lose_the_answer(steps, half_server, client_for, first, accept=False)
    assert list(recover(steps.ws, steps.client).held) == [first]
    assert steps.row(first).state == State.HELD


def test_a_foreign_batch_of_the_same_size_is_never_adopted(two_batches, half_server, client_for, books_of):
    """Somebody else on the same key sends ten items while ours are lost on the way."""
    steps = two_batches(grace=200)
    first, second = steps.keys(State.PLANNED)
    steps.submit(second)
    lose_the_answer(steps, half_server, client_for, first, accept=False)
    items = [
        {
            "id": f"foreign-{i}",
            "description": "X",
            "date": "2026-01-01",
            "amount": 1,
            "entry_type": "outgoing",
            "currency": "USD",
        }
        for i in range(10)
    ]
    body = {"operation": "POST /v3/transactions", "data": items}
    httpx.post(
        f"{steps.ws.settings.url}/v3/batches", json=body, headers={"X-API-Key": "sandbox-key"}
    ).raise_for_status()
    steps.finish()
    assert books_of().charges(2) == []
    assert steps.keys(State.LANDED) == [first, second]


def test_our_own_clock_ahead_does_not_hide_our_batch(two_batches, half_server, client_for, books_of):
    """Candidates are looked for on the server's clock: by ours, twenty minutes ahead, the batch would lie before."""
    steps = two_batches(grace=0)
    first, second = steps.keys(State.PLANNED)
    steps.submit(second)
    clock = steps.ws.ledger.clock
    steps.ws.ledger.clock = lambda: clock() + timedelta(minutes=20)
    lose_the_answer(steps, half_server, client_for, first, accept=True)
    assert steps.attempts(first)[0].server_clock is not None
    assert recover(steps.ws, steps.client).absent == {}
    steps.ws.ledger.clock = clock
    steps.finish()
    assert books_of().summary().items_charged_more_than_once == 0


@pytest.mark.parametrize(
    ("seen", "adopted"),
    [(lambda ids: frozenset(sorted(ids)[1:]), True), (lambda _: frozenset(), False), (lambda ids: ids | {"x"}, False)],
    ids=["one missing", "none readable", "one too many"],
)
def test_results_that_do_not_fit_never_make_our_batch_a_foreign_one(
    two_batches, half_server, client_for, books_of, monkeypatch, seen, adopted
):
    """With one item missing it was disowned, proved absent and bought again."""
    steps = two_batches(grace=0)
    first, second = steps.keys(State.PLANNED)
    steps.submit(second)
    lose_the_answer(steps, half_server, client_for, first, accept=True)
    time.sleep(0.5)  # the sandbox's batch takes 15 s / 200
    real = recovering.ids_of
    monkeypatch.setattr(recovering, "ids_of", lambda *args: seen(real(*args)))
    report = recover(steps.ws, steps.client)
    assert (list(report.adopted), list(report.waiting)) == (([first], []) if adopted else ([], [first]))
    assert report.absent == {}
    assert books_of().summary().items_charged == 20


def test_two_lost_batches_of_equal_size_find_their_own(two_batches, half_server, client_for, books_of):
    steps = two_batches()
    first, second = steps.keys(State.PLANNED)
    sync_holders(steps.ws, steps.client)
    lose_the_answer(steps, half_server, client_for, second, accept=True)
    lose_the_answer(steps, half_server, client_for, first, accept=True)
    for _ in range(200):
        recover(steps.ws, steps.client)
        if not steps.keys(State.UNCONFIRMED):
            break
    steps.finish()
    vendor = {b.id: b.nth for b in books_of().batches()}
    assert [vendor[steps.row(key).vendor_batch_id] for key in (first, second)] == [2, 1]
    assert books_of().summary().items_charged_more_than_once == 0


def test_back_off_doubles_is_capped_and_has_jitter():
    values = [backoff(10, attempt, 60) for attempt in (1, 2, 3, 4, 5) for _ in range(50)]
    for index, whole in enumerate((10, 20, 40, 60, 60)):
        part = values[index * 50 : (index + 1) * 50]
        assert whole / 2 <= min(part) < max(part) <= whole


def test_a_plan_file_that_is_gone_stops_its_batch_and_no_other(steps_for, bank_file):
    steps = steps_for(batch_size=10)
    steps.ingest(bank_file(30))
    gone, *sound = steps.plan()
    sync_holders(steps.ws, steps.client)
    (steps.ws.lake / plan_file(steps.ws, gone).path).unlink()
    assert sendable_now(steps.ws) == [gone, *sound]
    report = steps.submit()
    assert set(report.submitted) == set(sound)
    assert "`enrich rebuild` makes it again" in report.failed[gone]
    assert steps.row(gone).state == State.HELD
    rebuild(steps.ws)
    release(steps.ws.ledger, gone, who="op", why="rebuilt")
    steps.submit()
    steps.finish()
    assert steps.check()["enriched"] == 30


def test_a_plan_file_that_is_gone_while_the_fate_is_unknown_is_made_up_for_by_the_archive(steps_for, bank_file):
    drop = {"call": "POST /v3/batches", "nth": [1, 2], "do": "drop", "when": "after"}
    steps = steps_for(batch_size=10, faults=[drop])
    steps.ingest(bank_file(20))
    first, second = steps.plan()
    steps.submit()
    steps.submit()
    assert steps.keys(State.UNCONFIRMED) == [first, second]
    (steps.ws.lake / plan_file(steps.ws, first).path).unlink()
    end = time.monotonic() + 20
    while steps.keys(State.UNCONFIRMED):
        assert time.monotonic() < end
        recover(steps.ws, steps.client)
        time.sleep(0.05)
    assert {steps.row(key).state for key in (first, second)} == {State.SUBMITTED}
