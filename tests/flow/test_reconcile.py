"""A ledger older than what was sent: it refuses to send until it was compared with the API's list.

The sandbox's books are the witness: in the end everything is enriched and every item is charged as often as before.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from datetime import timedelta

import httpx
import pytest
from filelock import FileLock
from sqlalchemy import select, update

from pipeline.errors import EnrichError
from pipeline.flow.backing_up import backup
from pipeline.flow.listing import MARGIN, ids_in_results, unknown_since
from pipeline.flow.publishing import publish_warehouse
from pipeline.flow.reconciling import MISSING, UNREAD, reconcile
from pipeline.flow.recovering import recover
from pipeline.flow.restoring import restore
from pipeline.lake.warehouse import query
from pipeline.ledger import circuit, claims, operating, outcomes, schema, sending
from pipeline.ledger.states import CHARGED_ATTEMPTS, State

ADVICE = "run `enrich reconcile`"


def circuit_of(ws):
    with ws.ledger.read() as conn:
        return circuit.opened(conn)


def look(steps, **given):
    return reconcile(steps.ws, steps.client, who="ana", **given)


def put_faults(steps, *rules):
    httpx.put(f"{steps.ws.settings.url}/sandbox/faults", json={"rules": list(rules)}).raise_for_status()


class Past:
    """A data folder whose ledger is put back to what it was when `remember` was called."""

    def __init__(self, steps, again, folder):
        self.steps, self._again, self._folder = steps, again, folder

    def remember(self):
        backup(self.steps.ws, self._folder)

    def return_(self, **given):
        """Put the ledger back; returns the steps over it, with other settings if they are given."""
        self.steps.ws.ledger.close()
        restore(self._folder, self.steps.ws.settings, replace=True)
        return self._again(**given)


@pytest.fixture
def past_of(steps_for, sandbox_for, tmp_path):
    """`past_of(sandbox={...}, batch_size=10)`; no grace unless it is given."""

    def make(*, sandbox=None, **given):
        server = sandbox_for(name="data-api", **(sandbox or {}))
        settings = {"batch_size": 10, "grace": 0, "backoff_base": 0, **given}

        def again(**more):
            return steps_for(server=server, **{**settings, **more})

        return Past(again(), again, tmp_path / "backup")

    return make


def assert_all_is_well(steps, books, rows, charged):
    """Everything enriched and published, and ledger and API agree on every batch and every credit."""
    published = publish_warehouse(steps.ws)
    assert (published.violations, published.published) == ([], True)
    assert query(steps.ws.home, "SELECT state, count(*) FROM transactions GROUP BY 1").rows == [("enriched", rows)]
    assert books.summary().items_charged == charged
    a, f = schema.attempts, schema.foreign_batches
    known = {r.vendor_batch_id: r.credits for r in steps.ws.ledger.rows(select(a)) if r.state in CHARGED_ATTEMPTS}
    foreign = {r.vendor_batch_id for r in steps.ws.ledger.rows(select(f))}
    assert {b.id: b.charged for b in books.batches() if b.id not in foreign} == known


def test_an_older_ledger_sends_nothing_whatever_happens(past_of, bank_file, books_of):
    past = past_of(grace=200_000)
    past.steps.ingest(bank_file(20))
    first, second = past.steps.plan()
    past.steps.submit(first)
    past.remember()
    past.steps.finish()
    steps = past.return_()
    opened = circuit_of(steps.ws)
    assert (opened.kind, opened.reason) == (
        circuit.RESTORED,
        f"this ledger is older than what was sent from this folder: 1 batches are unknown to it; {ADVICE}",
    )
    before = books_of().summary().posts
    assert ADVICE in steps.submit().skipped[second]
    circuit.probe_now(steps.ws.ledger)
    assert ADVICE in steps.submit().skipped[second]
    with steps.ws.ledger.write() as conn:
        circuit.closed_by_acceptance(conn)
        assert not circuit.close(conn)
        now = steps.ws.ledger.now()
        circuit.open_circuit(conn, status=401, reason="key", now=now, probe_seconds=0)
        circuit.open_for_outage(conn, reason="outage", now=now, probe_seconds=0)
    steps.wait()
    assert steps.collect().landed.keys() == {first}  # watching, collecting and publishing go on
    assert publish_warehouse(steps.ws).published
    assert circuit_of(steps.ws) == opened
    assert ADVICE in steps.submit().skipped[second]
    assert books_of().summary().posts == before


def test_planned_batches_that_had_been_sent_are_adopted(past_of, bank_file, books_of):
    past = past_of()
    past.steps.ingest(bank_file(30))
    keys = past.steps.plan()
    operating.hold(past.steps.ws.ledger, keys[2], who="ana", why="not yet")
    past.remember()
    operating.release(past.steps.ws.ledger, keys[2], who="ana", why="")
    past.steps.finish()
    steps = past.return_()
    report = look(steps)
    assert list(report.adopted) == keys[::-1]
    assert (report.unknown, report.moved, report.foreign, report.waiting, report.closed) == (3, {}, {}, {}, True)
    assert circuit_of(steps.ws) is None
    assert_all_is_well(steps, books_of(), 30, 30)
    assert [a.state for key in keys for a in steps.attempts(key)] == ["completed"] * 3
    assert look(steps).not_before is None  # nothing to do any more
    steps.ingest(bank_file(5, name="new.csv", start=30))
    steps.plan()
    steps.finish()
    assert_all_is_well(steps, books_of(), 35, 35)


@pytest.mark.parametrize("size", [4, 7, 25, 40])
def test_rows_that_were_cut_otherwise_are_moved_into_batches_as_they_were_sent(past_of, bank_file, books_of, size):
    """Sent in tens. The older ledger has waiting rows, and cuts the rest of them with others of its own."""
    past = past_of()
    past.steps.ingest(bank_file(25))
    past.remember()
    past.steps.plan()
    past.steps.finish()
    sent = books_of().batches()
    steps = past.return_(batch_size=size)
    if size < 40:
        steps.plan()
    steps.ingest(bank_file(6, name="more.csv", start=25))
    report = look(steps)
    assert sorted({**report.moved, **report.adopted}.values()) == sorted(batch.id for batch in sent)
    assert report.closed
    steps.plan()
    steps.finish()
    assert_all_is_well(steps, books_of(), 31, 31)
    for key, vendor_id in {**report.moved, **report.adopted}.items():
        rows = query(
            steps.ws.home, f"SELECT transaction_id FROM transactions WHERE batch_key = '{key}' ORDER BY position"
        )
        ids = [i for (i,) in rows.rows]
        in_results = ids_in_results(steps.ws, steps.client, vendor_id)
        assert ids == in_results if key in report.moved else sorted(ids) == sorted(in_results)


def test_a_batch_of_which_only_a_part_was_sent_is_split_in_two(past_of, bank_file, books_of):
    past = past_of()
    past.steps.ingest(bank_file(10))
    past.remember()
    past.steps.plan()
    past.steps.finish()
    steps = past.return_()
    steps.ingest(bank_file(5, name="more.csv", start=10))
    steps = past._again(batch_size=15)
    (key,) = steps.plan()
    report = look(steps)
    (child,) = report.moved
    row, moved = steps.row(key), steps.row(child)
    assert (row.state, row.rows, row.rows_moved) == (State.SPLIT, 15, 15)
    assert "10 of its 15 rows had been sent already" in row.reason
    assert (moved.parent_key, moved.generation, moved.state) == (key, 1, State.LANDED)
    (rest,) = steps.keys(State.PLANNED)
    assert (steps.row(rest).rows, steps.row(rest).parent_key) == (5, key)
    steps.finish()
    assert_all_is_well(steps, books_of(), 15, 15)


def test_the_rest_of_a_held_batch_stays_held(past_of, bank_file, books_of):
    past = past_of()
    past.steps.ingest(bank_file(10))
    past.remember()
    past.steps.plan()
    past.steps.finish()
    steps = past.return_(batch_size=15)
    steps.ingest(bank_file(5, name="more.csv", start=10))
    (key,) = steps.plan()
    operating.hold(steps.ws.ledger, key, who="ana", why="not yet")
    assert look(steps).closed
    (rest,) = steps.keys(State.HELD)
    assert (steps.row(rest).rows, steps.row(rest).reason) == (5, "ana: not yet")
    steps.finish()
    assert books_of().summary().items_charged == 10
    operating.release(steps.ws.ledger, rest, who="ana", why="now")
    steps.finish()
    assert_all_is_well(steps, books_of(), 15, 15)


def test_a_quarantined_item_that_a_person_had_sent_again_is_adopted(past_of, bank_file, books_of):
    past = past_of(sandbox={"error_batch_nth": (2,)})
    past.steps.ingest(bank_file(11))
    _, key = past.steps.plan()
    past.steps.submit()
    past.steps.wait()
    ws = past.steps.ws
    with ws.claimed([key], {State.ERRORED}) as mine:
        outcomes.quarantine(ws.ledger, mine[key], reason="it makes its batches fail")
    past.remember()
    operating.retry(ws.ledger, key, who="ana", why="")
    past.steps.finish()
    steps = past.return_()
    report = look(steps)
    assert (list(report.adopted), report.closed) == ([key], True)
    assert_all_is_well(steps, books_of(), 11, 12)


def test_batches_of_somebody_else_are_foreign_but_not_before_the_grace_is_over(past_of, bank_file, books_of):
    past = past_of(grace=100_000)
    past.steps.ingest(bank_file(10))
    past.steps.plan()
    past.remember()
    items = [
        {
            "id": f"foreign-{i}", "description": "X", "date": "2026-01-01", "amount": 1, "entry_type": "outgoing",
            "currency": "USD",
        }
        for i in range(10)
    ]  # fmt: skip
    body = {"operation": "POST /v3/transactions", "data": items}
    url = past.steps.ws.settings.url
    answer = httpx.post(f"{url}/v3/batches", json=body, headers={"X-API-Key": "sandbox-key"}).raise_for_status()
    vendor_id = answer.json()["id"]
    steps = past.return_()
    time.sleep(0.2)  # the sandbox's batch takes 15 s / 200
    early = look(steps)
    assert not early.closed
    assert early.foreign == {}
    assert list(early.waiting.values()) == [[vendor_id]]
    assert early.not_before > steps.ws.ledger.now()
    assert circuit_of(steps.ws).kind == circuit.RESTORED
    late = look(past._again(grace=0))
    assert late.foreign == {vendor_id: "none of its items is known here"}
    assert late.closed
    steps.finish()
    assert_all_is_well(steps, books_of(), 10, 20)


def test_before_the_grace_is_over_what_is_certain_is_decided_and_nothing_is_sent(past_of, bank_file, books_of):
    past = past_of(grace=100_000)
    past.steps.ingest(bank_file(20))
    first, second = past.steps.plan()
    past.remember()
    past.steps.submit(first)
    past.steps.wait()
    steps = past.return_()
    report = look(steps)
    assert (list(report.adopted), report.waiting, report.closed) == ([first], {}, False)
    assert ADVICE in steps.submit().skipped[second]
    assert steps.row(first).state == State.LANDED
    assert books_of().summary().items_charged == 10


def test_what_is_still_processing_is_waited_for(past_of, bank_file, books_of):
    past = past_of()
    past.steps.ingest(bank_file(10))
    (key,) = past.steps.plan()
    past.remember()
    past.steps.finish()
    steps = past.return_()
    put_faults(steps, {"call": "GET /v3/batches", "do": "set", "path": "data.0.status", "value": "processing"})
    (why,) = look(steps).waiting
    assert "still processing: run it again" in why
    assert circuit_of(steps.ws).kind == circuit.RESTORED
    put_faults(steps)
    report = look(steps)
    assert (list(report.adopted), report.closed) == ([key], True)
    assert_all_is_well(steps, books_of(), 10, 10)


@pytest.mark.parametrize("before", ["planned", "submitted"])
def test_an_error_batch_that_had_been_sent_again_is_not_sent_a_third_time(past_of, bank_file, books_of, before):
    past = past_of(sandbox={"error_batch_nth": (1,)})
    past.steps.ingest(bank_file(10))
    (key,) = past.steps.plan()
    if before == "submitted":
        past.steps.submit()
    past.remember()
    past.steps.finish()
    errored, completed = (batch.id for batch in books_of().batches())
    steps = past.return_()
    report = look(steps)
    assert report.adopted == {key: completed}
    assert list(report.foreign) == ([errored] if before == "planned" else [])
    assert report.closed
    assert_all_is_well(steps, books_of(), 10, 20)
    reasons = [a.reason for a in steps.attempts(key)]
    assert reasons == (["first"] if before == "planned" else ["first", "batch_error"])


def test_rows_of_a_batch_that_another_step_works_on_are_left_alone(past_of, bank_file, books_of):
    past = past_of(sandbox={"error_batch_nth": (1,)})
    past.steps.ingest(bank_file(10))
    (key,) = past.steps.plan()
    past.steps.submit()
    past.remember()
    past.steps.finish()
    steps = past.return_()
    steps.wait()
    with steps.ws.claimed([key], {State.ERRORED}):
        report = look(steps)
        assert list(report.waiting) == [f"hold items of batches that are under way or held here, such as {key}"]
        assert (steps.row(key).state, report.closed) == (State.ERRORED, False)
    assert look(steps).closed
    assert_all_is_well(steps, books_of(), 10, 20)


def test_halves_and_single_items_that_had_been_sent_are_found_again(past_of, bank_file, books_of):
    """A batch that errored until it was halved: the older ledger halves it again, and finds those halves."""
    past = past_of(max_attempts=1, sandbox={"error_batch_nth": (2, 3)})
    past.steps.ingest(bank_file(18))
    past.steps.plan()
    past.steps.submit()
    past.steps.wait()  # one completes, so that the other is halved and not taken for an outage, now and later
    past.remember()
    past.steps.finish()
    charged = books_of().summary().items_charged
    assert charged > 18
    steps = past.return_()
    report = look(steps)
    assert report.closed, report
    assert report.adopted
    steps.finish()
    assert_all_is_well(steps, books_of(), 18, charged)


def test_items_that_had_been_sent_again_in_a_batch_of_their_own_are_found_again(past_of, bank_file, books_of):
    past = past_of(sandbox={"item_error_share": 0.3, "item_error_attempts": 2}, item_attempts=3)
    past.steps.ingest(bank_file(20))
    past.steps.plan()
    past.steps.submit()
    past.remember()
    past.steps.finish()
    charged = books_of().summary().items_charged
    assert charged > 20
    steps = past.return_()
    report = look(steps)
    assert report.closed, report
    assert len(report.adopted) >= 2  # twice sent again, found one after the other in one look
    steps.finish()
    assert_all_is_well(steps, books_of(), 20, charged)


def test_every_look_begins_at_the_same_place_in_the_list(past_of, bank_file):
    """What the first look adopts is of today; begun from there, the second would miss what it left undecided."""
    past = past_of(grace=100_000)
    past.steps.ingest(bank_file(20))
    first, _ = past.steps.plan()
    past.steps.submit(first)
    past.remember()
    past.steps.finish()
    steps = past.return_()
    last_month = steps.ws.ledger.now() - timedelta(days=30)
    a = schema.attempts
    with steps.ws.ledger.write() as conn:
        conn.execute(update(a).values(server_clock=last_month, reserved_at=last_month))
    noticed = circuit_of(steps.ws).opened_at
    assert unknown_since(steps.ws, noticed) == last_month - MARGIN
    assert len(look(steps).adopted) == 1
    assert unknown_since(steps.ws, noticed) == last_month - MARGIN


def test_transactions_of_a_file_that_was_not_read_yet_are_waited_for(past_of, bank_file, books_of):
    past = past_of()
    past.steps.ingest(bank_file(10))
    past.remember()
    later = bank_file(15, name="later.csv", start=10)
    past.steps.ingest(later)
    past.steps.plan()
    past.steps.finish()
    steps = past.return_()
    report = look(steps)
    assert (len(report.waiting[UNREAD]), report.closed) == (3, False)  # with rows of both files, or of the new one
    (unread,) = report.unread
    assert unread.startswith("archive/")
    assert (steps.ws.home / unread).is_file()
    assert report.foreign == {}
    steps.ingest(later)
    report = look(steps)
    assert (report.unread, report.closed, len(report.moved)) == ([], True, 3)
    steps.plan()
    steps.finish()
    assert_all_is_well(steps, books_of(), 25, 25)


@pytest.mark.sqlite
def test_a_ledger_that_was_deleted_is_built_again_without_paying_again(past_of, bank_file, books_of):
    past = past_of()
    past.steps.ingest(bank_file(25))
    past.steps.plan()
    past.steps.finish()
    past.steps.ws.ledger.close()
    shutil.rmtree(past.steps.ws.home / "ledger")
    steps = past._again()
    assert f"3 batches are unknown to it; {ADVICE}" in circuit_of(steps.ws).reason
    assert len(look(steps).waiting[UNREAD]) == 3
    steps.ingest(bank_file(25))
    keys = steps.plan()
    assert all(ADVICE in why for why in steps.submit().skipped.values())
    assert sorted(look(steps).adopted) == keys
    assert_all_is_well(steps, books_of(), 25, 25)


@pytest.mark.sqlite
def test_on_a_new_machine_nobody_knows_what_was_sent_since(past_of, bank_file, books_of, tmp_path):
    past = past_of(grace=100_000)
    past.steps.ingest(bank_file(20))
    first, second = past.steps.plan()
    past.remember()
    past.steps.submit(first)
    past.steps.wait()
    past.steps.ws.ledger.close()
    shutil.rmtree(past.steps.ws.home)
    restore(tmp_path / "backup", past.steps.ws.settings)
    steps = past._again()
    assert "restored from a backup of" in circuit_of(steps.ws).reason
    assert ADVICE in steps.submit().skipped[second]
    report = look(steps)
    assert (list(report.adopted), report.closed) == ([first], False)
    steps = past._again(grace=0)
    assert look(steps).closed
    steps.finish()
    assert_all_is_well(steps, books_of(), 20, 20)


@pytest.mark.sqlite
def test_a_ledger_file_that_somebody_copied_back_is_noticed_too(past_of, bank_file, books_of, tmp_path):
    past = past_of()
    past.steps.ingest(bank_file(10))
    past.steps.plan()
    ledger = past.steps.ws.home / "ledger" / "ledger.sqlite"
    with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(tmp_path / "copy")) as target:
        source.backup(target)
    past.steps.finish()
    past.steps.ws.ledger.close()
    for path in ledger.parent.glob("ledger.sqlite*"):
        path.unlink()
    shutil.copy(tmp_path / "copy", ledger)
    steps = past._again()
    assert "1 batches are unknown" in circuit_of(steps.ws).reason
    assert look(steps).closed
    steps.finish()
    assert_all_is_well(steps, books_of(), 10, 10)


def test_what_recovery_calls_foreign_meanwhile_is_doubted(past_of, bank_file, books_of):
    """Recovery compares with the one unconfirmed batch of the older ledger; the other batch is planned in it."""
    past = past_of()
    past.steps.ingest(bank_file(20))
    first, second = past.steps.plan()
    past.steps.submit("none")  # creates the account holders
    ws = past.steps.ws
    claim = claims.claim_batches(ws.ledger, [first], {State.PLANNED}, owner="gone/boot/1/1#a", seconds=1)[first]
    intent = sending.reserve(ws.ledger, claim, ws.limits, fingerprint="", server_clock=None, run_id=None)
    sending.release(ws.ledger, intent)
    claims.release_claims(ws.ledger, claim.owner)
    past.remember()
    sending.recover_dead_senders(ws.ledger, ws.bucket)
    assert list(recover(ws, past.steps.client).absent) == [first]
    past.steps.submit(first)
    past.steps.submit(second)
    past.steps.finish()
    steps = past.return_()
    sending.recover_dead_senders(steps.ws.ledger, steps.ws.bucket)
    recover(steps.ws, steps.client)
    (foreign,) = steps.ws.ledger.rows(select(schema.foreign_batches))
    assert (steps.row(first).state, steps.row(second).state) == (State.SUBMITTED, State.PLANNED)
    report = look(steps)
    assert report.adopted == {second: foreign.vendor_batch_id}
    assert steps.ws.ledger.rows(select(schema.foreign_batches)) == []
    steps.finish()
    assert_all_is_well(steps, books_of(), 20, 20)


def test_items_that_landed_from_another_batch_are_named_as_charged_twice(past_of, bank_file, books_of):
    """The same ten were sent once more by a person, after the backup and after they had landed."""
    past = past_of()
    past.steps.ingest(bank_file(10))
    past.steps.plan()
    past.steps.finish()
    past.remember()
    items = [
        {"id": f"tx-{i}", "description": "X", "date": "2026-01-01", "amount": 1, "entry_type": "outgoing",
         "currency": "USD"}
        for i in range(10)
    ]  # fmt: skip
    body = {"operation": "POST /v3/transactions", "data": items}
    url = past.steps.ws.settings.url
    httpx.post(f"{url}/v3/batches", json=body, headers={"X-API-Key": "sandbox-key"}).raise_for_status()
    steps = past.return_()
    time.sleep(0.2)
    (reason,) = look(steps).foreign.values()
    assert "charged twice" in reason
    assert_all_is_well(steps, books_of(), 10, 20)


def test_a_person_may_say_what_is_not_ours(past_of, bank_file, books_of):
    past = past_of(sandbox={"time_scale": 0.01}, time_scale=100)  # batches take longer than the test
    past.steps.ingest(bank_file(10))
    past.steps.plan()
    past.remember()
    past.steps.submit()
    (batch,) = books_of().batches()
    steps = past.return_()
    assert not look(steps).closed
    with pytest.raises(EnrichError, match="nonsense is not among the batches"):
        look(steps, not_ours=["nonsense"])
    report = look(steps, not_ours=[batch.id], why="the other team's")
    assert (report.foreign, report.closed) == ({batch.id: "ana says that it is not ours"}, True)
    actions = steps.ws.ledger.rows(select(schema.operator_actions).order_by(schema.operator_actions.c.id))
    assert [(a.who, a.action) for a in actions][-1] == ("ana", "reconcile and close circuit")
    assert "the other team's" in actions[-1].why


def test_results_that_lack_an_item_are_looked_at_again(past_of, bank_file, books_of):
    """Moving the nine would leave the tenth to be sent again, and paid for again."""
    past = past_of(grace=100_000)
    past.steps.ingest(bank_file(10))
    past.remember()
    past.steps.plan()
    past.steps.finish()
    steps = past.return_()
    rule = {"call": "GET /v3/batches/{id}/results", "to": 1, "do": "missing_items", "at": [3]}
    put_faults(steps, rule)
    assert list(look(steps).waiting) == [MISSING]
    assert len(look(steps).moved) == 1
    steps = past._again(grace=0)
    assert look(steps).closed
    steps.finish()
    assert_all_is_well(steps, books_of(), 10, 10)


@pytest.mark.sqlite
def test_only_one_process_reconciles_or_sends(past_of, bank_file):
    past = past_of()
    past.steps.ingest(bank_file(10))
    past.steps.plan()
    past.remember()
    steps = past.return_()
    with (
        FileLock(steps.ws.home / "ledger" / "sender.lock"),
        pytest.raises(EnrichError, match="sending or reconciling"),
    ):
        look(steps)
    assert look(steps).closed
