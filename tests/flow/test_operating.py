"""The operator's hand: adopting by a person, the doctor, and what `enrich status` says."""

from __future__ import annotations

import httpx
import pytest

from pipeline.api.client import ApiClient
from pipeline.errors import EnrichError
from pipeline.flow import operating
from pipeline.flow.doctoring import examine
from pipeline.flow.status import read_status
from pipeline.flow.submitting import submit
from pipeline.ledger import circuit, schema
from pipeline.ledger import operating as ledger_operating
from pipeline.ledger.states import State

POST = "POST /v3/batches"
LOST = {"call": POST, "nth": [1], "do": "drop", "when": "after"}


def findings(steps):
    return {found.what: found for found in examine(steps.ws, steps.client, who="ana")}


@pytest.fixture
def lost(steps_for, bank_file):
    """One batch that the API has and whose answer never came."""
    steps = steps_for(grace=2_592_000, faults=[LOST])
    steps.ingest(bank_file(6))
    (steps.key,) = steps.plan()
    steps.submit()
    assert steps.row(steps.key).state == State.UNCONFIRMED
    (there,) = httpx.get(f"{steps.ws.settings.url}/v3/batches", headers={"X-API-Key": "sandbox-key"}).json()["data"]
    steps.there = there["id"]
    return steps


def test_a_person_adopts_a_lost_batch_and_it_is_not_sent_again(lost):
    said = operating.adopt(lost.ws, lost.client, lost.key, lost.there, who="ana", why="seen in the API's list")
    assert lost.there in said
    lost.finish()
    assert lost.check()["enriched"] == 6
    assert [(a.state, a.vendor_batch_id, a.reason) for a in lost.attempts(lost.key)] == [
        ("completed", lost.there, "first")
    ]
    (action,) = lost.ws.ledger.rows(schema.operator_actions.select())
    assert (action.who, action.action, action.why) == ("ana", "adopt", "seen in the API's list")
    with pytest.raises(EnrichError, match="not planned or unconfirmed or held"):
        operating.adopt(lost.ws, lost.client, lost.key, lost.there, who="ana", why="twice")


def test_a_planned_batch_may_be_adopted_when_its_ledger_forgot_that_it_was_sent(lost, steps_for, bank_file):
    """Another data folder over the same account, as after a loss: it plans the same rows and is told where they are."""
    other = steps_for("other", server=_Server(lost.ws.settings.url))
    other.api = lost.api
    other.ingest(bank_file(6))
    (key,) = other.plan()
    operating.adopt(other.ws, other.client, key, lost.there, who="ana", why="the disk was lost")
    other.finish()
    assert other.check()["enriched"] == 6
    assert [(a.state, a.reason) for a in other.attempts(key)] == [("completed", "first")]


class _Server:
    def __init__(self, url):
        self.url = url


def test_status_names_what_is_at_risk_and_what_happens_when(lost):
    report = read_status(lost.ws)
    assert (report.spending.spent, report.spending.at_risk, report.spending.today) == (6, 6, 6)
    (sentence,) = report.next_steps
    assert "is looked for in the API's list, and sent again if it is not there after" in sentence
    assert report.since[State.UNCONFIRMED] == lost.row(lost.key).state_since
    assert not report.needs_person


def test_status_counts_rows_by_the_states_that_the_tables_show(steps_for, bank_file):
    steps = steps_for(batch_size=10)
    steps.ingest(bank_file(20))
    _, second = steps.plan()
    ledger_operating.hold(steps.ws.ledger, second, who="a person", why="")
    steps.finish()
    steps.ingest(bank_file(4, name="b.csv", start=20))
    steps.plan()
    steps.ingest(bank_file(3, name="c.csv", start=24))
    assert read_status(steps.ws).rows_by_state == {"landed": 10, "held": 10, "in_flight": 4, "waiting": 3}


def test_status_names_a_cap_that_stops_everything(steps_for, bank_file):
    steps = steps_for(spend_cap_day=5)
    steps.ingest(bank_file(6))
    (key,) = steps.plan()
    steps.submit()
    report = read_status(steps.ws)
    why = "ENRICH_SPEND_CAP_DAY of 5 credits would be exceeded by a batch of 6: 0 are spent"
    assert report.needs == [f"{key} is not sent: {why}"]
    assert report.next_steps == []
    assert report.needs_person


def test_the_doctor_finds_nothing_wrong_where_nothing_is(steps_for, bank_file):
    steps = steps_for()
    steps.ingest(bank_file(3))
    steps.plan()
    steps.finish()
    steps.check()
    assert [found for found in findings(steps).values() if found.ok is False] == []


def test_the_doctor_closes_a_circuit_that_a_refused_key_opened_once_the_key_is_taken(steps_for, bank_file):
    steps = steps_for(sandbox={"api_key": ("good",)})
    steps.ingest(bank_file(3))
    steps.plan()
    report = steps_submit(steps)
    assert "the API key is wrong" in " ".join(report.failed.values())
    assert findings(steps)["circuit"].ok is False
    assert findings(steps)["API"].ok is False
    with ApiClient(base_url=steps.ws.settings.url, api_key="good", time_scale=200) as good:
        steps.client = good
        seen = findings(steps)
        assert seen["API"].ok
        assert seen["circuit"].says.startswith("closed now")
        steps.finish()
    (action,) = steps.ws.ledger.rows(schema.operator_actions.select())
    assert (action.who, action.action) == ("ana", "close circuit")
    assert steps.check()["enriched"] == 3


def steps_submit(steps):
    """Without the holders' sync, which a refused key stops before."""
    return submit(steps.ws, steps.client, steps.keys(State.PLANNED))


def test_credits_that_ran_out_are_tried_with_one_batch_only(steps_for, bank_file):
    steps = steps_for(batch_size=5, probe_seconds=2_592_000, sandbox={"balance": 5})
    steps.ingest(bank_file(15))
    steps.plan()
    report = steps.submit()
    assert (len(report.submitted), len(report.failed), len(report.skipped)) == (1, 1, 1)
    with steps.ws.ledger.read() as conn:
        assert (circuit.opened(conn).kind, circuit.opened(conn).status) == (circuit.REFUSAL, 423)
    assert all("the circuit is open" in why for why in steps.submit().skipped.values())
    seen = findings(steps)
    assert seen["circuit"].ok is False
    assert "out of credits" in seen["circuit"].says
    report = steps.submit()  # the doctor let one batch try at once
    assert (len(report.submitted), len(report.failed), len(report.skipped)) == (0, 1, 1)


def test_nobody_is_told_that_a_restored_ledger_sends_again_by_itself(steps_for, bank_file):
    steps = steps_for()
    steps.ingest(bank_file(3))
    steps.plan()
    with steps.ws.ledger.write() as conn:
        circuit.open_restored(
            conn, reason="older than what was sent; run `enrich reconcile`", now=steps.ws.ledger.now()
        )
    (need,) = read_status(steps.ws).needs
    assert need.endswith("older than what was sent; run `enrich reconcile`")
    seen = findings(steps)["circuit"]
    assert (seen.ok, seen.hint) == (False, "Nothing else closes it.")
    assert "the circuit is open" in " ".join(steps.submit().skipped.values())


def test_only_a_planned_batch_can_be_held(steps_for, bank_file):
    steps = steps_for()
    steps.ingest(bank_file(3))
    (key,) = steps.plan()
    ledger_operating.hold(steps.ws.ledger, key, who="ana", why="")
    assert steps.row(key).reason == "held by ana"
    with pytest.raises(EnrichError, match="is held already: held by ana"):
        ledger_operating.hold(steps.ws.ledger, key, who="ana", why="")
    with pytest.raises(EnrichError, match="no batch nonsense"):
        ledger_operating.hold(steps.ws.ledger, "nonsense", who="ana", why="")
    ledger_operating.release(steps.ws.ledger, key, who="ana", why="")
    steps.finish()
    with pytest.raises(EnrichError, match="has landed and none of its items has an error"):
        operating.retry(steps.ws, key, who="ana", why="")
