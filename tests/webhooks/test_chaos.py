"""Deliveries twice, late, contradicting, forged and broken, to a receiver that is killed; and none at all.

Each real event has one effect, and what has no receiver is found by polling.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from chaos import PATIENCE, SENDERS, Doomed, Sender
from deck import ANSWERS, PAYLOAD, deal
from fabric import Fabric
from receivers import TOKEN

from pipeline.flow.publishing import publish_warehouse
from pipeline.flow.webhooks import register
from pipeline.ledger import batches, schema
from pipeline.partitions import LANDED_ASSETS

ALL = bool(os.environ.get("ENRICH_ALL_CRASHES"))
DELIVERIES, KILLS = (10_000, 8) if ALL else (2_000, 3)
"""On two quiet cores 10,000 take 22 s and 2,000 half of that; all with ENRICH_ALL_CRASHES (`make verify`)."""
SEED = 1
BATCHES, ROWS = 40, 5
ERRORS = (7, 23)
"""Numbers of batches whose first attempt ends in error: their events are true, and late once they are sent again."""

SLOWLY = {
    "time_scale": 8 if ALL else 20, "batch_jitter": 0, "max_processing": BATCHES + 1, "error_batch_nth": ERRORS,
    "webhook_failures": 1_000,
}  # fmt: skip
SLOWER = [
    {"call": "POST /v3/batches", "from": first, "to": first + 9, "do": "batch_slow", "factor": factor}
    for first, factor in ((11, 3), (21, 6), (31, 9))
]
"""Ten batches end at a time, the last ones after 7 s, or 17 s: there are events of open and of landed ones throughout.

In the order of their plan, since a run takes a range of partitions: 22 runs for ends at random took 50 s.
"""


@pytest.fixture
def fabric_for(tmp_path, sandbox_for, client_for):
    """A fabric over a new data folder and a sandbox: `fabric_for({"time_scale": 200}, rules, batch_size=5)`."""
    opened = []

    def make(sandbox, rules=(), **given):
        (tmp_path / "faults.json").write_text(json.dumps({"rules": list(rules)}))
        sandbox = sandbox | {"fault_plan": tmp_path / "faults.json"}
        server = sandbox_for(name="api", **sandbox)
        client = client_for(server.url, time_scale=sandbox["time_scale"])
        given |= {"base_url": server.url, "time_scale": sandbox["time_scale"]}
        opened.append(Fabric(tmp_path, client, tmp_path / "api", **given))
        return opened[-1]

    yield make
    for fabric in opened:
        fabric.close()


def work_until(fabric, is_over):
    """Turns of the fabric until nothing is left to do, and then one that finds nothing."""
    end = time.monotonic() + PATIENCE
    while not (is_over() and fabric.is_done()):
        assert time.monotonic() < end, batches.counts_by_state(fabric.ws.ledger)
        fabric.turn()
        time.sleep(0.05)
    fabric.turn()  # what the last runs did may be told to Dagster by this one
    assert fabric.turn() == 0


@pytest.mark.slow
def test_each_real_event_has_one_effect(fabric_for, bank_file, tmp_path):
    fabric = fabric_for(SLOWLY, SLOWER, batch_size=ROWS, max_in_flight=BATCHES, backoff_base=0)
    doomed = Doomed(tmp_path / "data", SEED, KILLS, DELIVERIES)
    try:
        register(fabric.ws, fabric.client, doomed.url)
        keys = fabric.send(bank_file(BATCHES * ROWS))
        sender = Sender(doomed.url, deal(SEED, DELIVERIES, fabric.event_bodies()))
        with ThreadPoolExecutor(SENDERS + 2) as pool:
            tasks = [*sender.start(pool), pool.submit(doomed.die, sender)]
            tasks.append(pool.submit(fabric.look_until, sender.is_over))
            try:
                work_until(fabric, lambda: all_ended(tasks) and all_delivered(fabric))
            finally:
                sender.give_up()
    finally:
        code = doomed.stop()
    assert (code, doomed.kills) == (0, KILLS)
    check_answers(sender)
    check_inbox(fabric, sender)
    check_effects(fabric, keys)
    check_log(doomed.log(), sender)


def all_ended(tasks):
    """Whether all have; raises what one of them raised."""
    return len([task.result() for task in tasks if task.done()]) == len(tasks)


def all_delivered(fabric):
    """Whether what the sandbox itself had to deliver, each end of a batch, has arrived through all the kills."""
    own, accepted = fabric.books().deliveries(), fabric.books().batches()
    return len(own) == len(accepted) and {one.state for one in own} == {"delivered"}


def check_answers(sender):
    """Every delivery was answered what its kind is answered, and no event was new twice."""
    answers = sender.answers
    assert len(answers) == len(sender.deck) == DELIVERIES
    assert {(one.delivery.kind, one.status) for one in answers} == set(ANSWERS.items())
    new = Counter(one.delivery.event.event_id for one in answers if one.new)
    assert set(new.values()) == {1}
    # A real one may have been new to the sandbox, and of one in doubt the answer that said so is lost.
    known = {one.delivery.event.event_id for one in answers if one.delivery.kind in {"real", "altered"}}
    made_up = {one.delivery.event.event_id for one in answers if one.status == 202} - known
    assert made_up - sender.in_doubt <= set(new)


def check_inbox(fabric, sender):
    """What was answered 202 is there once, as one of its deliveries had it; nothing else is; all is taken."""
    rows = fabric.ws.ledger.rows(schema.webhook_inbox.select())
    said = {one.delivery.event for one in sender.answers if one.status == 202}
    own = {one.event_id for one in fabric.books().deliveries()}
    assert Counter(row.event_id for row in rows) == Counter({event.event_id for event in said} | own)
    found = {(row.event_id, row.event_type, row.vendor_batch_id, row.status) for row in rows}
    expected = {(event.event_id, event.event_type, event.vendor_batch_id, event.status) for event in said}
    assert {row for row in found if row[0] not in own} <= expected
    assert all(row.taken_at for row in rows)
    outcomes = {
        kind: {row.outcome for row in rows if row.event_id.startswith(kind)} for kind in ("unknown-t", "unknown-b")
    }
    assert outcomes == {"unknown-t": {"ignored"}, "unknown-b": {"unknown batch"}}
    # What a claim says has no say: an open batch that is said to have ended in error is looked at, and is open.
    failed = {one.id for one in fabric.books().batches() if one.outcome == "error"}
    assert len(failed) == len(ERRORS)
    assert {row.vendor_batch_id for row in rows if row.outcome == "error"} <= failed
    assert {row.vendor_batch_id for row in rows if row.outcome == "completed"}.isdisjoint(failed)


def check_effects(fabric, keys):
    """Each batch landed once, and was charged once for each of its attempts."""
    attempts = fabric.ws.ledger.rows(schema.attempts.select())
    assert Counter((one.state, one.reason) for one in attempts) == {
        ("completed", "first"): BATCHES - len(ERRORS), ("errored", "first"): len(ERRORS),
        ("completed", "batch_error"): len(ERRORS),
    }  # fmt: skip
    assert {one.vendor_batch_id for one in attempts} == {one.id for one in fabric.books().batches()}
    assert len(keys) == BATCHES
    check_landed_once(fabric, keys, charged_again=len(ERRORS) * ROWS)


def check_landed_once(fabric, keys, charged_again=0):
    """One version, one charge, one results document and one materialisation of each batch."""
    ledger, books, rows = fabric.ws.ledger, fabric.books(), len(keys) * ROWS
    assert {(row.state, row.landed_version) for row in batches.by_keys(ledger, keys).values()} == {("landed", 1)}
    times = Counter(charge.times for charge in books.charges())
    assert times == Counter({1: rows - charged_again, 2: charged_again})
    assert books.summary().requests["GET /v3/batches/{id}/results"] == len(keys)
    documents = ledger.rows(schema.documents.select().where(schema.documents.c.kind == "results"))
    assert sorted(one.batch_key for one in documents) == sorted(keys)
    for asset in LANDED_ASSETS:
        assert sorted(fabric.materialized(asset)) == sorted(keys)
    report = publish_warehouse(fabric.ws)
    assert report.violations == []
    assert report.counts["enriched"] == rows


def check_log(log, sender):
    """The refusals are in it, in few lines, and nothing of what was sent."""
    for status in (400, 401, 413):
        assert f"answered {status}" in log
    assert len(log.splitlines()) < sum(one.status != 202 for one in sender.answers) / 2
    for secret in (TOKEN, TOKEN.lower(), TOKEN[:-1], PAYLOAD, "stranger-", "garbage-"):
        assert secret not in log
    for batch in {one.delivery.event.vendor_batch_id for one in sender.answers if one.delivery.event}:
        assert batch is None or batch not in log


FEWER = 15
POLLED = {"time_scale": 200, "max_processing": FEWER, "webhook_failures": 1_000, "webhook_retry_seconds": 1_000}


def test_with_no_receiver_at_all_everything_completes_by_polling(fabric_for, bank_file):
    """The address is taken and nobody listens there: each delivery is refused, and none arrives anywhere."""
    fabric = fabric_for(POLLED, batch_size=ROWS, max_in_flight=FEWER)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        register(fabric.ws, fabric.client, f"http://127.0.0.1:{nobody.getsockname()[1]}/webhooks/ntropy")
        keys = fabric.send(bank_file(FEWER * ROWS))
        work_until(fabric, lambda: all_refused(fabric))
    assert len(keys) == FEWER
    check_landed_once(fabric, keys)
    assert fabric.ws.ledger.rows(schema.webhook_inbox.select()) == []


def all_refused(fabric):
    """Whether each batch's end was to be delivered, was tried, and has nowhere arrived."""
    tried = [one for one in fabric.books().deliveries() if one.attempts]
    assert {(one.state, one.last_status) for one in tried} <= {("waiting", None), ("given_up", None)}
    return len(tried) == FEWER
