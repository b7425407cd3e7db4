"""Fault plans: the format, and how what is wrong with one is told."""

from __future__ import annotations

import json

import pytest

from pipeline.sandbox import faults
from pipeline.sandbox.config import SandboxConfig, from_args
from pipeline.sandbox.errors import SandboxError
from pipeline.sandbox.faults.kinds import FAULTS
from pipeline.sandbox.faults.plan import CALLS, FaultPlanError, read_plan
from pipeline.sandbox.paths import plain
from pipeline.sandbox.process import SandboxProcess
from pipeline.sandbox.routes import V3

LIST = {"call": "GET /v3/batches", "do": "status", "status": 503}


def test_every_call_there_is():
    there = {f"{method} {plain(path)}" for path, methods in V3 for method in methods}
    assert set(CALLS) == there


def test_every_fault_is_documented():
    documented = set(str(faults.__doc__).replace("\n", " ").split(" "))
    assert set(FAULTS) - documented == set()
    assert len(FAULTS) > 20


def test_examples_of_the_documentation_are_plans():
    text = str(faults.__doc__)
    examples = [part[: part.index("}]}") + 3] for part in text.split("\n\n    ") if part.startswith('{"rules"')]
    assert [len(read_plan(one.encode()).rules) for one in examples] == [2, 3]


BAD = [
    ({**LIST, "stauts": 1}, "stauts", "unknown field"),
    ({"call": "GET /v3/batches", "do": "status"}, "status", "missing required"),
    ({**LIST, "status": "503"}, "status", "Expected `int`"),
    ({**LIST, "do": "explode"}, "do", "one of bad_utf8, batch_error"),
    ({"call": "GET /v3/batches"}, "do", "missing required"),
    ({"do": "drop", "when": "after"}, "call", "missing required"),
    ({**LIST, "call": "GET /v3/batch"}, "call", "no such call"),
    ({**LIST, "nth": [0]}, "nth", ">= 1"),
    ({**LIST, "nth": 3}, "nth", "Expected `array"),
    ({**LIST, "share": 1.5}, "share", "<= 1"),
    ({**LIST, "from": 5, "to": 4}, "to", "smaller"),
    ({**LIST, "ids": ["a"]}, "ids", "about no id"),
    ({**LIST, "batches": [1]}, "batches", "goes with"),
    ({**LIST, "each": True}, "each", "needs ids"),
    ({**LIST, "status": 204}, "status", "no body"),
    ({**LIST, "retry_after": "a\r\nb"}, "retry_after", "matching regex"),
    ({"call": "GET /v3/batches", "do": "batch_error"}, "call", "goes with"),
    ({"call": "GET /v3/batches", "do": "webhook_lost"}, "call", "goes with"),
    ({"call": "POST /v3/batches", "do": "webhook_repeated", "copies": 1}, "copies", ">= 2"),
    ({"call": "POST /v3/batches", "do": "item_error"}, "ids", "needs them"),
    ({"call": "GET /v3/batches/{id}", "do": "missing_items"}, "call", "have items"),
    ({"call": "POST /v3/batches", "do": "drop", "when": "later"}, "when", "Invalid enum"),
]


@pytest.mark.parametrize(("rule", "field", "text"), BAD)
def test_bad_rule_is_refused_by_number_and_field(faulty, rule, field, text):
    client = faulty(LIST)
    refused = client.put("/sandbox/faults", json={"rules": [LIST, rule]})
    assert refused.status_code == 422
    problem = refused.json()["detail"][0]
    assert problem["loc"] == ["body", "rules", 1, field]
    assert problem["msg"].startswith(f"rule 2, {field}: ")
    assert text in problem["msg"]
    # The plan before it stays in force.
    assert client.get("/v3/batches").status_code == 503


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"rules": 1}', b'{"rule": []}', b'{"rules": [], "seed": 1}'])
def test_bad_plan_is_refused(faulty, body):
    refused = faulty().put("/sandbox/faults", content=body)
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["msg"].startswith("the plan")


def test_all_problems_are_told():
    with pytest.raises(FaultPlanError, match=r"rule 1, nth: .*; rule 3, call: ") as caught:
        read_plan(json.dumps({"rules": [{**LIST, "nth": []}, LIST, {**LIST, "call": "x"}]}).encode())
    assert [one.rule for one in caught.value.problems] == [1, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the fault plan .*No such file"),
        ("{", "fault plan: the plan"),
        (json.dumps({"rules": [LIST, {**LIST, "tims": 3}]}), "fault plan: rule 2, tims: .*unknown field"),
    ],
    ids=["missing", "no JSON", "wrong field"],
)
def test_server_refuses_to_start_with_a_bad_file(tmp_path, text, message):
    path = tmp_path / "plan.json"
    if text is not None:
        path.write_text(text)
    server = SandboxProcess(tmp_path / "state", SandboxConfig(fault_plan=path))
    with pytest.raises(SandboxError, match=message):
        server.start()


def test_the_knob_goes_through_a_command_line(tmp_path):
    config = SandboxConfig(fault_plan=tmp_path / "plan.json")
    assert from_args(config.to_args()) == config
    assert SandboxConfig().fault_plan is None
