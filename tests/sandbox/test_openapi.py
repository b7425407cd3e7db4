"""The sandbox against its own description: what is in it is served, what is served is in it."""

from __future__ import annotations

import re

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from statement_pdfs import british

from pipeline.sandbox.app import build_app
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.openapi.contracts import CONTRACTS
from pipeline.sandbox.openapi.document import document
from pipeline.sandbox.process import SandboxProcess

KEY = "right"
CHAIN_KEYS = tuple(f"chain-{number}" for number in range(100))
METHODS = {"get", "post", "put", "patch", "delete", "options", "trace"}


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A server that knows its keys, so that a wrong one can be told, and on which all is done at once."""
    config = SandboxConfig(time_scale=1e9, unthrottled=True, max_webhooks=10_000, api_key=(KEY, *CHAIN_KEYS))
    with SandboxProcess(tmp_path_factory.mktemp("openapi"), config) as process:
        yield process


@pytest.fixture(scope="module")
def session():
    """One connection for all calls: to open one each time is most of the work."""
    with requests.Session() as made:
        made.trust_env = False
        made.headers["X-API-Key"] = KEY
        yield made


@pytest.fixture
def client(described):
    with httpx.Client(base_url=described.url, headers={"X-API-Key": KEY}, timeout=60, trust_env=False) as made:
        yield made


def _loaded(content):
    made = schemathesis.openapi.from_dict(content)
    made.config.generation.update(
        deterministic=True,
        # Unknown parameters are ignored, as unknown fields are (open question Q19), so that sending some is no mistake.
        allow_extra_parameters=False,
        # Each call is given the right key; what happens without it is the business of the check `ignored_auth`.
        with_security_parameters=False,
    )
    return made


API, OWN = document(), document(own=True)
PATHS = {**API["paths"], **OWN["paths"]}
SCHEMAS = {path: schema for content in (API, OWN) for schema in (_loaded(content),) for path in content["paths"]}
TRIED = {
    "derandomize": True,
    "deadline": None,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


# A plan that fits the schema need not fit together, and one that does makes the server misbehave, which is its purpose:
# `test_fault_plan` tries them.
NOT_TRIED = {"admin_put_faults", "admin_end_faults"}


MAY_BE_REFUSED = {
    # The second holder of an id, however valid it is; the same small ids are drawn again.
    "POST /v3/account_holders",
    # Name and website exclude each other, and not every text names somebody.
    "POST /v3/entities/resolve",
    # From a person's to a company's: chains of calls make both.
    "POST /v3/transactions/{id}/assign",
    # A rule is a small program: that it is an object is all that a schema can say, and most objects are no rule.
    "POST /v3/rules",
    "POST /v3/rules/replace",
    "PATCH /v3/rules/{id}",
    # There are none at most positions; documented as 400.
    "DELETE /v3/rules/{id}",
}
"""Operations that answer 400 to what fits the schema."""


def _excluded(case):
    return [positive_data_acceptance] if case.operation.label in MAY_BE_REFUSED else []


def _try(path, method):
    @SCHEMAS[path].include(path=path, method=method.upper()).parametrize()
    @settings(max_examples=8, **TRIED)
    def attempt(case, described, session):
        case.call_and_validate(base_url=described.url, session=session, excluded_checks=_excluded(case))

    return attempt


# One test of its own for each operation. A single parametrized one would do, but schemathesis 4.32 under pytest 9.2
# gives all of its cases the same id, of which pytest-xdist runs one.
globals().update(
    {
        f"test_answers_are_as_described_{operation['operationId']}": _try(path, method)
        for path, operations in PATHS.items()
        for method, operation in operations.items()
        if operation["operationId"] not in NOT_TRIED
    }
)


def test_what_is_made_is_found_changed_and_deleted(described, session):
    """Chains of calls: the ids of what one has made are given to the next ones, by the document's links."""

    keys = iter(CHAIN_KEYS)

    class Chain(SCHEMAS["/v3/batches"].as_state_machine()):
        def setup(self):
            # Each chain begins with nothing, else Hypothesis finds that the same steps lead elsewhere.
            self.key = next(keys)

        def get_call_kwargs(self, case):  # noqa: ARG002
            return {"base_url": described.url, "session": session, "headers": {"X-API-Key": self.key}}

        def validate_response(self, response, case, additional_checks=None, **more):  # noqa: ARG002
            # As the parent does it, but for the checks left out.
            case.validate_response(
                response, excluded_checks=_excluded(case), transport_kwargs=more, recorder=self.recorder
            )

    Chain.run(settings=settings(max_examples=20, stateful_step_count=8, **TRIED))


def test_what_is_served_is_described(client, tmp_path):
    for path, content in (("/openapi.json", API), ("/sandbox/openapi.json", OWN)):
        served = client.get(path).raise_for_status().json()
        assert served["openapi"] == "3.1.0"
        assert served["paths"].keys() == content["paths"].keys()
    assert not API["paths"].keys() & OWN["paths"].keys()
    routes = build_app(SandboxConfig(state=tmp_path))._app.routes
    assert {re.sub(r":\w+\}", "}", route.path) for route in routes} == PATHS.keys()


def test_a_method_is_answered_if_and_only_if_it_is_described(client):
    for path, operations in PATHS.items():
        for method in METHODS:
            # No body: what is described answers anything but 405.
            answered = client.request(method.upper(), path.replace("{id}", "x"))
            assert (answered.status_code != 405) == (method in operations), (method, path)
            if answered.status_code == 405:
                allowed = {one.lower() for one in answered.headers["Allow"].split(", ")} - {"head"}
                assert allowed == operations.keys()


def test_every_operation_is_told_apart_and_explained():
    operations = [one for table in PATHS.values() for one in table.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"] for one in operations)


def test_answers_have_no_field_more_or_less_than_described(client, items):
    """What generated calls seldom reach: a 200 of every operation, with something in it."""
    seen = set()

    def call(method, path, label=None, **sent):
        request = client.build_request(method, path, **sent)
        request.read()
        answered = client.send(request).raise_for_status()
        operation = SCHEMAS[label or path][label or path][method]
        operation.validate_response(answered)
        seen.add(operation.label)
        return answered.json() if answered.content else None

    made = {**_transactions(call, items), **_personal(call, items), **_documents(call)}
    for path, identity in made.items():
        call("GET", path.format(id=identity), path)
    for name in ("batches", "account_holders", "transactions", "webhooks", "reports", "bank_statements"):
        assert call("GET", f"/v3/{name}", params={"limit": 1})["data"]
    rule = {"call": "POST /v3/batches", "ids": ["shape-0"], "do": "item_error", "times": 1}
    call("PUT", "/sandbox/faults", json={"rules": [rule]})
    for path in PATHS:
        if path.startswith("/sandbox/") or "/" not in path[1:]:
            call("GET", path)
    call("DELETE", "/sandbox/faults")
    for path, identity in made.items():
        if "delete" in PATHS[path]:
            call("DELETE", path.format(id=identity), path)
    described = {f"{method.upper()} {path}" for path, table in PATHS.items() for method in table}
    assert seen == described & CONTRACTS.keys()
    assert described <= CONTRACTS.keys(), "an operation whose answers may be anything"


def _transactions(call, items):
    call("POST", "/v3/account_holders", json={"id": "of-shapes", "type": "business"})
    sent = [
        *items(2, "shape-", account_holder_id="of-shapes", location={"raw_address": "1 Main St", "country": "US"}),
        *items(1, "stray-", account_holder_id="nobody"),
    ]
    batch = call("POST", "/v3/batches", json={"operation": "POST /v3/transactions", "data": sent})["id"]
    while call("GET", f"/v3/batches/{batch}", "/v3/batches/{id}")["status"] == "processing":
        pass
    assert len(call("GET", f"/v3/batches/{batch}/results", "/v3/batches/{id}/results")["results"]) == 3
    call("POST", "/v3/account_holders", json={"id": "other", "type": "business"})
    assign = "/v3/transactions/{id}/assign"
    call("POST", "/v3/transactions/shape-0/assign", assign, json={"account_holder_id": "other"})
    for month in range(1, 7):
        (item,) = items(1, f"m{month}-", account_holder_id="other", amount=9.99)
        call("POST", "/v3/transactions", json={**item, "description": "NETFLIX.COM", "date": f"2024-0{month}-01"})
    groups = "/v3/account_holders/{id}/recurring_groups"
    assert call("POST", "/v3/account_holders/other/recurring_groups", groups)
    return {"/v3/transactions/{id}": "shape-1", "/v3/account_holders/{id}": "of-shapes"}


def _personal(call, items):
    call("POST", "/v3/categories/own", "/v3/categories/{id}", json={"incoming": ["Salary"], "outgoing": ["Rent"]})
    call("POST", "/v3/categories/consumer/reset", "/v3/categories/{id}/reset")
    rule = {"set": "merchant", "to": "Own"}
    call("POST", "/v3/rules", json=rule)
    call("POST", "/v3/rules/replace", json=[rule])
    assert call("GET", "/v3/rules")
    call("PATCH", "/v3/rules/0", "/v3/rules/{id}", json=rule)
    call("POST", "/v3/transactions", json=items(1, "ruled-")[0])
    call("DELETE", "/v3/rules/0", "/v3/rules/{id}")
    entity = call("POST", "/v3/entities/resolve", json={"website": "netflix.com"})["id"]
    return {"/v3/categories/{id}": "own", "/v3/entities/{id}": entity}


def _documents(call):
    told = {"transaction_id": "shape-1", "description": "Not them", "fields": [".entities.counterparty"]}
    report = call("POST", "/v3/reports", json=told)["id"]
    hook = call("POST", "/v3/webhooks", json={"url": "http://127.0.0.1:9/", "events": ["batches.completed"]})["id"]
    call("PATCH", f"/v3/webhooks/{hook}", "/v3/webhooks/{id}", json={"enabled": False, "token": "t"})
    shown = "/v3/bank_statements/{id}"
    statement = call("POST", "/v3/bank_statements", files={"file": ("may.pdf", british(), "application/pdf")})["id"]
    call("POST", f"/v3/bank_statements/{statement}/verify", f"{shown}/verify")
    while call("GET", f"/v3/bank_statements/{statement}", shown)["status"] == "processing":
        pass
    assert call("GET", f"/v3/bank_statements/{statement}/results", f"{shown}/results")["accounts"]
    return {"/v3/reports/{id}": report, "/v3/webhooks/{id}": hook, shown: statement}
