"""Error batches: halved until the item at fault is alone, but never because of an outage."""

from __future__ import annotations

import httpx
import pytest

from pipeline.flow.erring import LONE_TRIES, halves
from pipeline.flow.status import read_status
from pipeline.lake.warehouse import query
from pipeline.ledger import batches, circuit, outcomes
from pipeline.ledger import operating as ledger_operating
from pipeline.ledger.states import Attempt, State
from pipeline.sandbox.books import Books

POST = "POST /v3/batches"
QUICK = {"backoff_base": 1, "probe_seconds": 2, "max_attempts": 2}


def poison(*ids):
    return {"call": POST, "ids": list(ids), "do": "batch_error"}


def opened(ws):
    with ws.ledger.read() as conn:
        return circuit.opened(conn)


def test_one_item_that_fails_its_batch_ends_alone_and_everything_else_lands(steps_for, bank_file):
    steps = steps_for(batch_size=20, faults=[poison("tx-7")], **QUICK)
    steps.ingest(bank_file(40))
    root, _ = steps.plan()
    steps.finish()
    assert steps.check() | {"quarantined": 1, "enriched": 39, "held": 0} == steps.check()
    (alone,) = batches.in_states(steps.ws.ledger, State.QUARANTINED)
    assert (alone.rows, alone.first_id, alone.root_key) == (1, "tx-7", root)
    assert alone.vendor_batch_id in alone.reason
    assert alone.vendor_batch_id in {batch.id for batch in Books(steps.api).batches()}
    assert "tx-7" not in steps.rows("state")
    assert steps.row(root).state == State.SPLIT
    # Whole retries first, then a path of halves, each tried once, and the item alone as often as a batch.
    charged = steps.reasons()["tx-7"]
    assert charged[:2] == ["first", "batch_error"]
    assert set(charged[2:-1]) == {"split"}
    assert charged[-1] == "batch_error"
    states = query(steps.ws.home, "SELECT state, rows, rows_moved FROM batches WHERE batch_key = '" + root + "'").rows
    assert states == [("split", 20, 20)]


def test_children_are_visible_as_such_and_carry_the_reason_of_their_charge(steps_for, bank_file):
    steps = steps_for(batch_size=8, faults=[poison("tx-0")], **QUICK)
    steps.ingest(bank_file(16))
    root = steps.plan()[0]
    steps.finish()
    with steps.ws.ledger.read() as conn:
        first, second = (batches.get(conn, key) for key in batches.children(conn, root))
    assert {(row.parent_key, row.generation, row.rows) for row in (first, second)} == {(root, 1, 4)}
    assert [row.state for row in (first, second)] == [State.SPLIT, State.LANDED]
    assert [a.reason for a in steps.attempts(second.batch_key)] == ["split"]
    assert "go on in 2 batches" in first.reason or first.state == State.SPLIT


def test_several_items_at_fault_are_all_found(steps_for, bank_file):
    bad = {"tx-3", "tx-4", "tx-29"}
    steps = steps_for(batch_size=16, probe_budget=20, faults=[poison(*bad)], **QUICK)
    steps.ingest(bank_file(48))
    steps.plan()
    steps.finish(seconds=60)
    counts = steps.check()
    assert (counts["quarantined"], counts["enriched"]) == (3, 45)
    assert {row.first_id for row in batches.in_states(steps.ws.ledger, State.QUARANTINED)} == bad


def test_an_outage_is_not_taken_for_bad_items(steps_for, bank_file):
    """Every batch ends in error for a while: a single item probes, the rest waits, and nothing is quarantined."""
    outage = {"call": POST, "to": 8, "do": "batch_error"}
    steps = steps_for(batch_size=40, faults=[outage], **QUICK)
    steps.ingest(bank_file(80))
    steps.plan()
    steps.finish(seconds=60)
    assert opened(steps.ws) is None
    counts = steps.check()
    assert (counts["enriched"], counts["quarantined"], counts["held"]) == (80, 0, 0)
    # Two batches twice each at most before the circuit opened, then probes of one item.
    errored = [batch for batch in Books(steps.api).batches() if batch.status == "error"]
    assert len(errored) == 8
    assert sum(batch.total for batch in errored) <= 4 * 40 + 4 * 1
    assert sorted(batch.total for batch in errored)[:3] == [1, 1, 1]


def test_a_lone_item_at_fault_is_quarantined_in_the_end_and_the_circuit_closes(steps_for, bank_file):
    steps = steps_for(batch_size=1, faults=[poison("tx-0")], backoff_base=0.1, max_attempts=2)
    steps.ingest(bank_file(1))
    (key,) = steps.plan()
    steps.finish()
    assert steps.row(key).state == State.QUARANTINED
    assert "with none to compare with" in steps.row(key).reason
    assert len(steps.attempts(key)) == 2 + LONE_TRIES
    assert opened(steps.ws) is None
    assert steps.check()["quarantined"] == 1


def test_errors_in_a_row_open_the_circuit_and_status_says_so(steps_for, bank_file):
    steps = steps_for(batch_size=5, max_attempts=5, outage_after=3, faults=[{"call": POST, "do": "batch_error"}])
    steps.ingest(bank_file(15))
    keys = steps.plan()
    steps.submit()
    steps.wait()
    assert opened(steps.ws).kind == circuit.OUTAGE
    steps.collect()
    posts = Books(steps.api).summary().posts[POST]
    assert {why.split(":")[0] for why in steps.submit(*keys).skipped.values()} <= {
        "the circuit is open",
        *(why.split(":")[0] for why in steps.submit(*keys).skipped.values() if "back-off" in why),
    }
    assert Books(steps.api).summary().posts[POST] == posts
    (said,) = [need for need in read_status(steps.ws).needs if "nothing is sent" in need]
    assert "the last 3 batches to end all ended in error" in said


def test_the_search_stops_at_its_budget_and_a_person_may_go_on(steps_for, bank_file):
    steps = steps_for(batch_size=16, probe_budget=1.5, faults=[poison("tx-1", "tx-14")], **QUICK)
    steps.ingest(bank_file(32))
    root = steps.plan()[0]
    steps.finish()
    held = batches.in_states(steps.ws.ledger, State.HELD)
    assert held
    assert all("ENRICH_PROBE_BUDGET" in row.reason for row in held)
    with steps.ws.ledger.read() as conn:
        assert outcomes.spent_looking(conn, root) <= 1.5 * 16
    steps.check()
    # Asked again nothing changes; with another attempt it fails again and is held again.
    assert ledger_operating.release(steps.ws.ledger, held[0].batch_key, who="ana", why="look") == State.ERRORED
    steps.finish()
    assert steps.row(held[0].batch_key).state == State.HELD
    generous = steps.ws.settings.model_copy(update={"probe_budget": 20})
    object.__setattr__(steps.ws, "settings", generous)
    for row in batches.in_states(steps.ws.ledger, State.HELD):
        ledger_operating.release(steps.ws.ledger, row.batch_key, who="ana", why="a larger budget")
    steps.finish(seconds=60)
    assert steps.check()["quarantined"] == 2


def test_a_quarantined_item_that_healed_lands_when_a_person_retries_it(steps_for, bank_file):
    steps = steps_for(batch_size=4, faults=[poison("tx-2")], **QUICK)
    steps.ingest(bank_file(8))
    steps.plan()
    steps.finish()
    (alone,) = batches.in_states(steps.ws.ledger, State.QUARANTINED)
    httpx.delete(f"{steps.ws.settings.url}/sandbox/faults").raise_for_status()
    ledger_operating.retry(steps.ws.ledger, alone.batch_key, who="ana", why="said to be cured")
    steps.finish()
    assert steps.row(alone.batch_key).state == State.LANDED
    assert steps.attempts(alone.batch_key)[-1].reason == "operator"
    assert steps.check()["enriched"] == 8


def test_items_that_the_api_refuses_are_set_aside_and_the_others_are_sent(steps_for, bank_file):
    steps = steps_for(batch_size=10, faults=[{"call": POST, "ids": ["tx-4", "tx-6"], "do": "item_invalid"}])
    steps.ingest(bank_file(10))
    (key,) = steps.plan()
    report = steps.submit()
    assert "2 of its items are quarantined" in report.failed[key]
    steps.finish()
    counts = steps.check()
    assert (counts["quarantined"], counts["enriched"]) == (2, 8)
    assert steps.row(key).state == State.SPLIT
    assert [a.state for a in steps.attempts(key)] == [Attempt.REFUSED]
    # Nothing was charged for the refusal, so the rest was charged for the first time.
    assert set(map(tuple, steps.reasons().values())) == {("first",)}


def test_a_batch_that_is_too_large_is_halved_for_nothing(steps_for, bank_file):
    too_large = {"call": POST, "nth": [1, 2], "do": "status", "status": 413}
    steps = steps_for(batch_size=12, faults=[too_large])
    steps.ingest(bank_file(12))
    (key,) = steps.plan()
    steps.finish()
    assert steps.row(key).state == State.SPLIT
    assert steps.check()["enriched"] == 12
    assert sorted(batch.total for batch in Books(steps.api).batches()) == [3, 3, 6]
    assert set(map(tuple, steps.reasons().values())) == {("first",)}


@pytest.mark.parametrize("status", [413, 422])
def test_a_batch_that_is_refused_for_no_item_is_held(steps_for, bank_file, status):
    steps = steps_for(batch_size=1, faults=[{"call": POST, "do": "status", "status": status}])
    steps.ingest(bank_file(1))
    (key,) = steps.plan()
    assert steps.submit().failed[key].startswith("held: ")
    assert steps.row(key).state == State.HELD
    assert steps.check()["held"] == 1


@pytest.mark.parametrize("retry_after", [None, "2"])
def test_a_429_makes_every_batch_wait_and_costs_nothing(steps_for, bank_file, retry_after):
    rule = {"call": POST, "nth": [1], "do": "status", "status": 429}
    steps = steps_for(batch_size=5, faults=[rule | ({"retry_after": retry_after} if retry_after else {})])
    steps.ingest(bank_file(10))
    first, second = steps.plan()
    report = steps.submit()
    assert first in report.failed
    assert "did not take the batch before" in report.skipped[second]
    assert Books(steps.api).summary().posts[POST] == 1
    steps.finish()
    assert steps.check()["enriched"] == 10
    assert [a.state for a in steps.attempts(first)] == [Attempt.REFUSED, Attempt.COMPLETED]


def test_halves_hold_every_row_once_in_order(steps_for, bank_file):
    steps = steps_for()
    steps.ingest(bank_file(7))
    (key,) = steps.plan()
    from pipeline.flow.plan_files import read_plan  # noqa: PLC0415 - the frame is all that is wanted of it

    rows = read_plan(steps.ws, key)
    first, second = halves(rows)
    assert (first.height, second.height) == (4, 3)
    assert [*first["transaction_id"], *second["transaction_id"]] == rows["transaction_id"].to_list()
    assert [part.height for part in halves(rows.head(1))] == [1]
