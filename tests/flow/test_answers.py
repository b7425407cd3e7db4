"""Results that do not fit: what is sound lands, what is not is asked for again, and nothing is bought twice for it."""

from __future__ import annotations

import pytest

from pipeline.errors import EnrichError
from pipeline.flow import collecting, operating
from pipeline.flow.answers import RESULT_GETS
from pipeline.ledger import documents
from pipeline.ledger import operating as ledger_operating
from pipeline.ledger.states import State
from pipeline.sandbox.books import Books

RESULTS = "GET /v3/batches/{id}/results"
SINGLE = "GET /v3/transactions/{id}"


def changed(do, **more):
    return {"call": RESULTS, "do": do, **more}


def calls(steps, route):
    return Books(steps.api).summary().requests.get(route, 0)


@pytest.fixture
def play(steps_for, bank_file):
    """Ten rows through a sandbox with these faults, to the end."""

    def run(*faults, **given):
        steps = steps_for(backoff_base=0, faults=faults, **given)
        steps.ingest(bank_file(10))
        steps.key = steps.plan()[0]
        steps.finish()
        assert set(map(tuple, steps.reasons().values())) == {("first",)}, "nothing is sent again for a bad answer"
        return steps

    return run


ONCE = {
    "missing": changed("missing_items", nth=[1], at=[2, 5]),
    "null": changed("null_items", nth=[1], at=[2]),
    "an id of another type": changed("set_items", nth=[1], path="id", value=7, ids=["tx-3"]),
    "another id": changed("set_items", nth=[1], path="id", value="foreign", ids=["tx-3"]),
    "cut": {"call": RESULTS, "nth": [1], "do": "truncate", "how": "json", "keep": 0.6},
    "none to be found": {"call": RESULTS, "nth": [1], "do": "truncate", "how": "json", "keep": 0.01},
    "not completed": changed("set", nth=[1], path="status", value="processing"),
    "an unknown status": changed("set", nth=[1], path="status", value="paused"),
    "409": {"call": RESULTS, "nth": [1], "do": "status", "status": 409},
    "404": {"call": RESULTS, "nth": [1, 2], "do": "status", "status": 404},
    "503": {"call": RESULTS, "nth": [1], "do": "status", "status": 503},
    "dropped": {"call": RESULTS, "nth": [1], "do": "drop", "when": "after"},
    "cut off": {"call": RESULTS, "nth": [1], "do": "truncate", "how": "length"},
    "next_cursor": changed("set", nth=[1], path="next_cursor", value="x"),
}


@pytest.mark.parametrize("fault", ONCE.values(), ids=ONCE)
def test_what_is_missing_once_is_had_from_a_second_look(play, fault):
    steps = play(fault)
    assert steps.check()["enriched"] == 10
    assert calls(steps, RESULTS) >= 2
    assert calls(steps, SINGLE) == 0


ALWAYS = {
    "missing": (changed("missing_items", at=[2, 5]), 0),
    "null": (changed("null_items", at=[2]), 0),
    "no text as id": (changed("set_items", path="id", value=None, ids=["tx-3"]), 0),
    "cut": ({"call": RESULTS, "do": "truncate", "how": "json", "keep": 0.5}, 0),
    "404": ({"call": RESULTS, "do": "status", "status": 404}, 0),
    "nothing to be found in it": ({"call": RESULTS, "do": "truncate", "how": "json", "keep": 0.01}, 0),
}


@pytest.mark.parametrize(("fault", "lost"), ALWAYS.values(), ids=ALWAYS)
def test_what_stays_missing_is_asked_for_one_by_one(play, fault, lost):
    steps = play(fault)
    counts = steps.check()
    assert (counts["enriched"], counts["item_error"]) == (10 - lost, lost)
    assert calls(steps, RESULTS) == RESULT_GETS
    assert calls(steps, SINGLE) > 0
    with steps.ws.ledger.read() as conn:
        kinds = [row.kind for row in documents.answers(conn, steps.key, 1)]
    assert kinds[-1] == documents.SINGLES


def test_what_is_nowhere_is_called_missing_and_everything_else_lands(play):
    gone = {"call": SINGLE, "ids": ["tx-2"], "do": "status", "status": 404}
    steps = play(changed("missing_items", ids=["tx-2", "tx-5"]), gone)
    counts = steps.check()
    assert (counts["enriched"], counts["item_error"]) == (9, 1)
    assert steps.rows("error_code")["tx-2"] == "result_missing"
    # Never bought again without a person, who may.
    operating.retry(steps.ws, steps.key, who="ana", why="gone at the API")
    steps.finish()
    assert steps.reasons()["tx-2"] == ["first", "operator"]


SOUND = {
    "reordered": (changed("reordered_items"), ""),
    "a foreign item": (changed("extra_items"), "results[10]: an id that was not sent"),
    "doubled": (changed("duplicate_items", at=[4]), "results[5]: an id that was there before"),
    "another total": (changed("wrong_total"), "total: it says 11, but there are 10 items"),
    "ten times as large": (changed("padding"), ""),
    "a new category": (changed("set_items", path="categories.general", value="space travel", at="all"), ""),
    "a new type": (changed("set_items", path="entities.counterparty.type", value="robot", at="all"), ""),
}


@pytest.mark.parametrize(("fault", "problem"), SOUND.values(), ids=SOUND)
def test_what_is_only_odd_lands_at_once(steps_for, bank_file, fault, problem):
    steps = steps_for(faults=[fault])
    steps.ingest(bank_file(10))
    (key,) = steps.plan()
    steps.submit()
    steps.wait()
    problems = steps.collect().landed[key].problems
    assert problem in problems if problem else not [p for p in problems if not p.endswith("said once")]
    assert steps.check()["enriched"] == 10
    assert calls(steps, RESULTS) == 1


DAMAGED = {
    "half a surrogate pair": changed("lone_surrogate", ids=["tx-3"]),
    "not UTF-8": changed("bad_utf8", ids=["tx-3"]),
    "a wrong type": changed("set_items", path="entities.counterparty.name", value=17, ids=["tx-3"]),
    "a text for a section": changed("set_items", path="entities", value="none", ids=["tx-3"]),
}


@pytest.mark.parametrize("fault", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_value_costs_its_section_and_nothing_else(play, fault):
    steps = play(fault)
    rows = steps.rows("state", "counterparty_name", "category")
    assert {state for state, *_ in rows.values()} == {"enriched"}
    without = {i for i, (_, name, _) in rows.items() if name is None}
    assert without == {"tx-3"}
    assert all(category for *_, category in rows.values())
    assert steps.check()["enriched"] == 10


def test_unknown_fields_are_kept_and_reported_once(steps_for, bank_file):
    steps = steps_for(batch_size=5, faults=[changed("unknown_fields")])
    steps.ingest(bank_file(10))
    first, second = steps.plan()
    steps.submit()
    steps.wait()
    landed = steps.collect().landed
    said = [p for key in (first, second) for p in landed[key].problems if p.endswith("said once")]
    assert len(said) == len(set(said)) > 2
    assert all("[]" in p or "[" not in p for p in said)
    assert all(extra for extra in steps.rows("extra").values())


def test_results_of_another_batch_are_never_landed(steps_for, bank_file):
    """What the API calls our batch has none of our items: a person has to look, and may have them sent again."""
    foreign = changed("set_items", path="id", value="theirs", at="all")
    gone = {"call": SINGLE, "do": "status", "status": 404}
    steps = steps_for(backoff_base=0, faults=[foreign, gone])
    steps.ingest(bank_file(3))
    (key,) = steps.plan()
    steps.finish()
    assert steps.row(key).state == State.HELD
    assert "none of its 3 items is in the results" in steps.row(key).reason
    assert steps.check()["held"] == 3
    assert ledger_operating.retry(steps.ws.ledger, key, who="ana", why="look again") == State.COMPLETED
    steps.finish()
    assert steps.row(key).state == State.HELD
    operating.retry(steps.ws, key, who="ana", why="buy them again", send=True)
    assert steps.row(key).state == State.PLANNED
    steps.submit()
    assert set(map(tuple, steps.reasons().values())) == {("first", "operator")}


def test_an_api_that_is_down_for_long_holds_nothing(steps_for, bank_file):
    steps = steps_for(backoff_base=0, faults=[{"call": RESULTS, "do": "status", "status": 503}])
    steps.ingest(bank_file(3))
    (key,) = steps.plan()
    steps.submit()
    steps.wait()
    for _ in range(2 * collecting.COLLECT_TRIES):
        assert key in collecting.collect(steps.ws, steps.client, [key]).failed
    assert steps.row(key).state == State.COMPLETED
    assert steps.row(key).next_attempt_at > steps.row(key).state_since


def test_a_person_cannot_adopt_what_is_not_the_batch(steps_for, bank_file):
    steps = steps_for(batch_size=3)
    steps.ingest(bank_file(8))
    first, second, third = steps.plan()
    steps.submit(first, third)
    steps.wait()
    (of_first,) = [steps.row(first).vendor_batch_id]
    with pytest.raises(EnrichError, match="are not of"):
        operating.adopt(steps.ws, steps.client, second, of_first, who="ana", why="guess")
    with pytest.raises(EnrichError, match="has 2 items"):
        operating.adopt(steps.ws, steps.client, second, steps.row(third).vendor_batch_id, who="ana", why="guess")
    with pytest.raises(EnrichError, match=r"is completed, not planned or unconfirmed or held"):
        operating.adopt(steps.ws, steps.client, first, of_first, who="ana", why="guess")
    assert steps.row(second).state == State.PLANNED
