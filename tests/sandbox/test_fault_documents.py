"""Fault plans: documents that are not what they should be."""

from __future__ import annotations

import json

import pytest

from pipeline.sandbox.faults.documents import UNKNOWN_FIELD

RESULTS = "GET /v3/batches/{id}/results"


@pytest.fixture
def damaged(faulty, items, request):
    """Sends ten items, and returns the results without a plan and with the rules given, whose call is the results."""

    def make(*rules):
        client = faulty()
        prefix = request.node.name.split("[")[0] + "-"
        batch = client.finished(items(10, prefix))
        sound = client.get(f"/v3/batches/{batch}/results").json()
        faulty(*({"call": RESULTS, **rule} for rule in rules))
        answer = client.get(f"/v3/batches/{batch}/results")
        assert answer.status_code == 200
        return sound, answer

    return make


def _ids(document):
    return [one["id"] for one in document["results"]]


def test_missing_items(damaged):
    sound, answer = damaged({"do": "missing_items", "at": [0, 7]})
    assert _ids(answer.json()) == [one for at, one in enumerate(_ids(sound)) if at not in (0, 7)]
    assert answer.json()["total"] == 10


def test_items_picked_by_id(damaged):
    sound, answer = damaged({"do": "missing_items", "ids": ["test_items_picked_by_id-4", "elsewhere"]})
    assert _ids(answer.json()) == [one for one in _ids(sound) if not one.endswith("-4")]


def test_all_items_missing(damaged):
    _, answer = damaged({"do": "missing_items", "at": "all"})
    assert answer.json()["results"] == []


def test_extra_items(damaged):
    sound, answer = damaged({"do": "extra_items", "give": ["foreign-1", "foreign-2"]})
    assert _ids(answer.json()) == [*_ids(sound), "foreign-1", "foreign-2"]
    assert answer.json()["results"][-1]["entities"] == sound["results"][0]["entities"]


def test_duplicate_items(damaged):
    sound, answer = damaged({"do": "duplicate_items", "at": [1]})
    ids = _ids(sound)
    assert _ids(answer.json()) == [*ids[:2], *ids[1:]]


def test_reordered_items(damaged):
    sound, answer = damaged({"do": "reordered_items"})
    assert answer.json()["results"] == sound["results"][::-1]


def test_total_that_differs(damaged):
    sound, answer = damaged({"do": "wrong_total", "by": -3})
    assert answer.json() == {**sound, "total": 7}


def test_null_items(damaged):
    sound, answer = damaged({"do": "null_items", "at": [2]})
    found = answer.json()["results"]
    assert found[2] is None
    assert [*found[:2], *found[3:]] == [*sound["results"][:2], *sound["results"][3:]]


def test_unknown_status_and_next_cursor(damaged):
    sound, answer = damaged(
        {"do": "set", "path": "status", "value": "partially_completed"},
        {"do": "set", "path": "next_cursor", "value": "abc"},
    )
    assert answer.json() == {**sound, "status": "partially_completed", "next_cursor": "abc"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("entities.counterparty.type", "government"),
        ("entities", "text"),
        ("categories", 5),
        ("location.structured", []),
        ("error", {"code": 17}),
        ("entities.counterparty.mccs", {"a": 1}),
        ("created_at", "yesterday"),
        ("id", 12345),
        ("", "text"),
    ],
)
def test_values_set_in_one_item(damaged, path, value):
    sound, answer = damaged({"do": "set_items", "path": path, "value": value, "at": [3]})
    found = answer.json()["results"]
    there = found[3]
    for step in path.split(".") if path else ():
        there = there[step]
    assert there == value
    assert found[:3] + found[4:] == sound["results"][:3] + sound["results"][4:]
    if path:
        untouched = {name: part for name, part in sound["results"][3].items() if name != path.split(".")[0]}
        assert {name: found[3][name] for name in untouched} == untouched


def test_unknown_fields_at_every_level(damaged):
    sound, answer = damaged({"do": "unknown_fields"})
    found = answer.json()
    assert UNKNOWN_FIELD in found
    for item in found["results"]:
        assert UNKNOWN_FIELD in item
        assert all(UNKNOWN_FIELD in item[section] for section in ("entities", "categories"))
        assert all(UNKNOWN_FIELD in one for one in item["entities"]["intermediaries"])

    def without(value):
        if isinstance(value, dict):
            return {name: without(part) for name, part in value.items() if name != UNKNOWN_FIELD}
        return [without(part) for part in value] if isinstance(value, list) else value

    assert without(found) == sound


def test_lone_surrogate(damaged):
    sound, answer = damaged({"do": "lone_surrogate", "at": [0]})
    assert answer.content.count(b"\\ud800") == 1
    name = json.loads(answer.content)["results"][0]["entities"]["counterparty"]["name"]
    assert name == (sound["results"][0]["entities"]["counterparty"]["name"] or "") + "\ud800"


def test_bytes_that_are_no_utf8(damaged):
    sound, answer = damaged({"do": "bad_utf8", "path": "categories.general", "at": [1, 2]})
    with pytest.raises(UnicodeDecodeError):
        answer.content.decode()
    mended = json.loads(answer.content.replace(b"\xc3\x28\xff", b""))
    assert mended == sound


def test_padding(damaged):
    sound, answer = damaged({"do": "padding", "factor": 10})
    size = len(json.dumps(sound, separators=(",", ":"), ensure_ascii=False).encode())
    assert 9.9 * size < len(answer.content) < 10.2 * size
    assert answer.json()["results"] == sound["results"]


def test_changes_go_in_order(damaged):
    sound, answer = damaged({"do": "reordered_items"}, {"do": "missing_items", "at": [0]})
    assert _ids(answer.json()) == _ids(sound)[:-1][::-1]


def test_damaged_once_per_batch(faulty, items):
    client = faulty({"call": RESULTS, "each": True, "nth": [1], "do": "missing_items"})
    batches = [client.send_batch(items(3, f"once{n}-")).json()["id"] for n in range(2)]
    for batch in batches:
        # Before it is completed there is no document, so nothing to damage and nothing to count.
        client.ended(batch)
        assert [len(client.get(f"/v3/batches/{batch}/results").json()["results"]) for _ in range(3)] == [2, 3, 3]
    fired = client.get("/sandbox/faults").json()["rules"][0]["by_id"]
    assert fired == {batch: {"seen": 3, "fired": 1} for batch in batches}


def test_refused_results_are_no_document(faulty, items):
    client = faulty(
        {"call": RESULTS, "nth": [1], "do": "missing_items"}, {"call": "POST /v3/batches", "do": "batch_never_ends"}
    )
    stuck = client.send_batch(items(2, "refused-")).json()["id"]
    assert client.get(f"/v3/batches/{stuck}/results").status_code == 409
    assert client.get("/sandbox/faults").json()["rules"][0]["seen"] == 0


def test_batch_by_number(faulty, items):
    client = faulty()
    batches = [client.finished(items(2, f"bn{n}-")) for n in range(2)]
    numbers = {one.id: one.nth for one in client.books.batches()}
    for name in (numbers[batches[1]], batches[1]):
        faulty({"call": RESULTS, "batches": [name], "do": "missing_items"})
        sizes = [len(client.get(f"/v3/batches/{one}/results").json()["results"]) for one in batches]
        assert sizes == [2, 1]


def test_unknown_status_of_a_batch_and_in_the_list(faulty, items):
    client = faulty(
        {"call": "GET /v3/batches/{id}", "nth": [1], "do": "set", "path": "status", "value": "paused"},
        {"call": "GET /v3/batches", "do": "set_items", "path": "status", "value": "queued", "at": [1]},
    )
    batches = [client.send_batch(items(1, f"paused{n}-")).json()["id"] for n in range(2)]
    assert client.get(f"/v3/batches/{batches[0]}").json()["status"] == "paused"
    assert client.ended(batches[0])["status"] == "completed"
    listed = client.get("/v3/batches").json()["data"]
    assert [one["id"] for one in listed] == batches[::-1]
    assert listed[0]["status"] != "queued"
    assert listed[1]["status"] == "queued"


def test_answers_without_a_document_are_left_alone(faulty, items):
    client = faulty({"call": "*", "do": "set", "path": "total", "value": 1})
    client.holder("h")
    assert client.delete("/v3/account_holders/h").status_code == 204
    assert client.get("/v3/account_holders/h").json() == {"detail": "Account holder not found"}
    assert client.send_batch(items(2, "alone-")).json()["total"] == 1


def test_other_answers_too(faulty, items):
    client = faulty(
        {"call": "POST /v3/batches", "nth": [2], "do": "set", "path": "id", "value": None},
        {"call": "GET /v3/transactions/{id}", "ids": ["o-0"], "do": "set", "path": "categories", "value": "none"},
        {"call": "POST /v3/account_holders", "ids": ["h"], "do": "set", "path": "type", "value": "trust"},
    )
    client.finished(items(2, "o-"))
    assert client.send_batch(items(2, "o2-")).json()["id"] is None
    assert client.get("/v3/transactions/o-0").json()["categories"] == "none"
    assert client.get("/v3/transactions/o-1").json()["categories"] != "none"
    assert [client.holder(one).json()["type"] for one in ("h", "g")] == ["trust", "consumer"]
