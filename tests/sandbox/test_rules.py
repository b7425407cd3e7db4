"""Rules of a key: the language, what it does to a transaction, and the routes."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sandbox.engine import enrich
from pipeline.sandbox.personal.rule_check import ACTIONS, OPERATORS, READABLE, SETTABLE, RuleError, check
from pipeline.sandbox.personal.rule_run import Subject, apply
from pipeline.sandbox.schema import Item, Location

ITEM = Item(
    "t", "SQ *STARBUCKS 00001", dt.date(2024, 5, 1), 12.5, "outgoing", "USD", "h", Location("1 Main Street", "US")
)
WEBSITE = {"==": [{"get": "website"}, "starbucks.com"]}


def applied(*rules, item=ITEM, holder_type="consumer", name="Ada"):
    for rule in rules:
        check(rule)
    found = enrich(item, holder_type)
    return apply(list(rules), Subject(item, holder_type, lambda: name, found))


def holds(condition, **more):
    """Whether a condition holds, told by a label."""
    found = applied({"if": condition, "then": [{"add_label": "yes"}], "else": [{"add_label": "no"}]}, **more)
    assert found["categories"]["general"] in ("yes", "no")
    return found["categories"]["general"] == "yes"


def test_the_example_of_the_docs():
    rule = {"if": WEBSITE, "then": [{"set": "logo", "to": "https://example.com/logo.png"}]}
    changed = applied(rule)
    untouched = enrich(ITEM, "consumer")
    assert changed["entities"]["counterparty"]["logo"] == "https://example.com/logo.png"
    assert untouched["entities"]["counterparty"]["logo"] == "https://logos.ntropy.com/starbucks.com"
    changed["entities"]["counterparty"]["logo"] = untouched["entities"]["counterparty"]["logo"]
    assert changed == untouched


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (True, True),
        (False, False),
        (WEBSITE, True),
        ({"!": WEBSITE}, False),
        ({"!": [WEBSITE]}, False),
        ({"&&": [WEBSITE, True, True]}, True),
        ({"&&": [WEBSITE, False]}, False),
        ({"||": [False, WEBSITE]}, True),
        ({"||": [False, False]}, False),
        ({"==": [{"get": "amount"}, 12.5]}, True),
        ({"==": [{"get": "person"}, None]}, True),
        ({"==": [{"get": "merchant"}, None]}, False),
        ({"<": [{"get": "amount"}, 12.5]}, False),
        ({"<=": [{"get": "amount"}, 12.5]}, True),
        ({">": [{"get": "amount"}, 12]}, True),
        ({">=": [{"get": "amount"}, 13]}, False),
        ({"==": [{"+": [1, 2, 3]}, 6]}, True),
        ({"==": [{"+": ["a", "b"]}, "ab"]}, True),
        ({"==": [{"-": [{"get": "amount"}, 2.5]}, 10]}, True),
        ({"==": [{"*": [2, 3]}, 6]}, True),
        ({"==": [{"/": [1, 2]}, 0.5]}, True),
        ({"==": [{"//": [7, 2]}, 3]}, True),
        ({"==": [{"/": [1, 0]}, 1]}, False),
        ({"!": {"==": [{"//": [1, 0]}, 1]}}, False),
        ({"is_substring": ["STARBUCKS", {"get": "description"}]}, True),
        ({"is_substring": ["starbucks", {"get": "description"}]}, False),
        ({"is_substring": ["starbucks", {"to_lower": {"get": "description"}}]}, True),
        ({"starts_with": [{"get": "description"}, "SQ *"]}, True),
        ({"ends_with": [{"get": "description"}, "00001"]}, True),
        ({"starts_with": [{"get": "person"}, "A"]}, False),
        ({"==": [{"to_upper": [{"get": "merchant"}]}, "STARBUCKS"]}, True),
        ({"has_label": "Coffee Shop"}, True),
        ({"has_label": "rent"}, False),
        ({"has_mcc": 5814}, True),
        ({"has_mcc": 1}, False),
        ({"==": [{"get": "merchant_id"}, "d4bc3c80-ec1a-3da2-836e-2a4ca4758be5"]}, True),
        ({"==": [{"get": "entry_type"}, "outgoing"]}, True),
        ({"==": [{"get": "country"}, "US"]}, True),
        ({"==": [{"get": "account_holder_type"}, "consumer"]}, True),
        ({"==": [{"get": "account_holder_id"}, "h"]}, True),
        ({"==": [{"get": "account_holder_name"}, "Ada"]}, True),
        ({"==": [{"get": "transaction_type"}, "consumer"]}, True),
    ],
)
def test_conditions(condition, expected):
    assert holds(condition) is expected


def test_actions():
    found = applied(
        {"set": "merchant", "to": {"+": [{"get": "merchant"}, " Coffee"]}},
        {"set": "website", "to": "example.com"},
        {"set": "merchant_id", "to": "mine"},
        {"set": "location", "to": "Seattle"},
        {"add_mcc": 1},
        {"add_mcc": 2},
        {"remove_mcc": 5814},
    )
    party = found["entities"]["counterparty"]
    assert (party["name"], party["website"], party["id"]) == ("Starbucks Coffee", "example.com", "mine")
    assert party["mccs"] == [1, 2]
    assert found["location"]["raw_address"] == "Seattle"
    assert found["location"]["structured"] == enrich(ITEM, "consumer")["location"]["structured"]
    assert applied({"set_mcc": [7, 8]})["entities"]["counterparty"]["mccs"] == [7, 8]
    assert applied({"set_mcc": 7})["entities"]["counterparty"]["mccs"] == [7]
    assert applied({"set": "website", "to": None})["entities"]["counterparty"]["website"] is None


def test_labels():
    assert applied({"add_label": "treat"})["categories"]["general"] == "treat"
    assert applied({"set_labels": ["a", "b"]})["categories"]["general"] == "b"
    assert applied({"set_labels": "a"})["categories"]["general"] == "a"
    assert applied({"remove_label": "COFFEE SHOP"})["categories"]["general"] == "not enough information"
    assert applied({"add_label": "a"}, {"remove_label": "a"})["categories"]["general"] == "coffee shop"
    assert applied({"remove_label": "rent"})["categories"]["general"] == "coffee shop"


def test_rules_see_what_the_ones_before_have_done():
    found = applied(
        {"set": "website", "to": "other.example"},
        {"if": WEBSITE, "then": [{"add_label": "never"}], "else": [{"if": True, "then": [{"add_label": "nested"}]}]},
    )
    assert found["categories"]["general"] == "nested"


def test_a_person():
    found = applied({"set": "person", "to": "Grace"}, {"if": {"==": [{"get": "person"}, "Grace"]}, "then": []})
    assert (found["entities"]["counterparty"]["name"], found["entities"]["counterparty"]["type"]) == ("Grace", "person")


def test_the_type_decides_which_categories():
    found = applied({"set": "transaction_type", "to": "business"})
    assert found["categories"] == enrich(ITEM, "business")["categories"]
    assert applied({"set": "transaction_type", "to": "nonsense"}) == enrich(ITEM, "consumer")


def test_a_counterparty_where_there_was_none():
    item = ITEM.__class__("t", "MONTHLY MAINTENANCE FEE", ITEM.date, 5.0, "outgoing", "USD", "h", None)
    assert enrich(item, "consumer")["entities"]["counterparty"] is None
    party = applied({"set": "merchant", "to": "My Bank"}, item=item)["entities"]["counterparty"]
    assert party.keys() == enrich(ITEM, "consumer")["entities"]["counterparty"].keys()
    assert (party["name"], party["type"], party["mccs"]) == ("My Bank", "organization", [])
    assert applied({"add_mcc": 5}, item=item)["entities"]["counterparty"] is None


def test_an_expression_without_a_value_does_nothing():
    untouched = enrich(ITEM, "consumer")
    assert applied({"set": "merchant", "to": {"to_lower": {"get": "person"}}}) == untouched
    assert applied({"add_label": {"get": "person"}}) == untouched
    assert applied({"add_mcc": {"/": [1, 0]}}) == untouched
    for computed in ({"/": [3, 2]}, {"-": [0, 1]}, {"+": [9999, 1]}, {"*": [1e200, 1e200]}):
        assert applied({"add_mcc": computed}) == untouched
    assert applied({"set_mcc": [{"+": [9998, 1]}, 0, 7.0]})["entities"]["counterparty"]["mccs"] == [9999, 0, 7]


def test_a_text_does_not_grow_without_end():
    twice = {"set": "merchant", "to": {"+": [{"get": "merchant"}, {"get": "merchant"}]}}
    name = "Starbucks" * 2**10
    assert applied(*[twice] * 600)["entities"]["counterparty"]["name"] == name
    for growing in ({"to_upper": "\u0149" * 6_000}, {"+": [name] * 1_500}, "a" * 10_001):
        assert applied({"set": "merchant", "to": growing}) == enrich(ITEM, "consumer")
    assert applied({"set": "merchant", "to": "a" * 10_000})["entities"]["counterparty"]["name"] == "a" * 10_000


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ([], "rule: should be an object"),
        ({}, "should have if, set"),
        ({"if": True}, "rule.then"),
        ({"if": "text", "then": []}, "rule.if: should be of kind boolean"),
        ({"if": {"get": "amount"}, "then": []}, "rule.if"),
        ({"if": True, "then": {}}, "rule.then: should be a list"),
        ({"if": True, "then": [{"set": "logo"}]}, "rule.then[0].to: is missing"),
        ({"if": True, "then": [], "else": [{"jump": 1}]}, "rule.else[0]"),
        ({"if": True, "then": [], "otherwise": []}, "may have"),
        ({"set": "amount", "to": "1"}, "rule.set"),
        ({"set": ["logo"], "to": "1"}, "rule.set"),
        ({"set": "logo", "to": 1}, "rule.to: should be of kind text"),
        ({"set": "logo", "to": {"get": "amount"}}, "rule.to"),
        ({"add_label": 1}, "rule.add_label"),
        ({"add_label": ["a"]}, "rule.add_label"),
        ({"add_label": "a", "add_mcc": 1}, "should have"),
        ({"add_mcc": "5814"}, "rule.add_mcc"),
        ({"set_mcc": [5814, 1e30]}, "rule.set_mcc: should be a whole number from 0 to 9999"),
        ({"add_mcc": -1}, "rule.add_mcc: should be a whole number"),
        ({"remove_mcc": 10_000}, "rule.remove_mcc: should be a whole number"),
        ({"if": True, "then": [{"add_mcc": 1.5}]}, "rule.then[0].add_mcc: should be a whole number"),
        ({"set_labels": ["a", 1]}, "rule.set_labels"),
        ({"if": {"get": "colour"}, "then": []}, "rule.if.get"),
        ({"if": {"get": ["website"]}, "then": []}, "rule.if.get"),
        ({"if": {"xor": [True, True]}, "then": []}, "no operator"),
        ({"if": {"!": [True, True]}, "then": []}, "number of operands"),
        ({"if": {"==": ["a", 1]}, "then": []}, "of one kind"),
        ({"if": {"<": ["a", "b"]}, "then": []}, "kind number"),
        ({"if": {"==": [{"+": [True, True]}, 2]}, "then": []}, "text or numbers"),
        ({"if": {"==": [1, 1], "!": True}, "then": []}, "one operator"),
        ({"if": {"has_mcc": "1"}, "then": []}, "kind number"),
    ],
)
def test_what_is_refused(rule, where):
    with pytest.raises(RuleError) as raised:
        check(rule)
    assert where in str(raised.value)


def test_depth_is_limited():
    deep = True
    for _ in range(200):
        deep = {"!": deep}
    with pytest.raises(RuleError, match="levels deep"):
        check({"if": deep, "then": []})
    rule = {"add_label": "a"}
    for _ in range(200):
        rule = {"if": True, "then": [rule]}
    with pytest.raises(RuleError, match="levels deep"):
        check(rule)


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "a", "starbucks.com"]),
    st.sampled_from(sorted(READABLE)).map(lambda name: {"get": name}),
)  # fmt: skip
_EXPRESSIONS = st.recursive(
    _LEAVES,
    lambda inner: st.dictionaries(
        st.sampled_from(sorted(OPERATORS)), st.lists(inner, min_size=1, max_size=3), max_size=1
    ),
    max_leaves=8,
)
_SIMPLE = st.one_of(
    st.builds(lambda name, to: {"set": name, "to": to}, st.sampled_from(SETTABLE), _EXPRESSIONS),
    st.builds(lambda name, to: {name: to}, st.sampled_from(sorted(ACTIONS)), _EXPRESSIONS),
)
_RULES = st.one_of(_SIMPLE, st.builds(lambda test, then: {"if": test, "then": then}, _EXPRESSIONS, st.lists(_SIMPLE)))


@settings(max_examples=500, deadline=None)
@given(st.lists(_RULES, max_size=4), st.sampled_from(["consumer", "business", None]))
def test_what_passes_the_check_can_be_applied(rules, holder_type):
    passed = []
    for rule in rules:
        try:
            check(rule)
        except RuleError:
            continue
        passed.append(rule)
    before = enrich(ITEM, holder_type or "consumer")
    copied = repr(before)
    found = apply(passed, Subject(ITEM, holder_type, lambda: None, before))
    assert found.keys() == before.keys()
    assert isinstance(found["categories"]["general"], str)
    assert repr(before) == copied, "what the engine remembers stays as it was"


TREAT = {"if": WEBSITE, "then": [{"set_labels": ["treat"]}]}
FEE = {"add_label": "fee"}


def rules_of(caller):
    return caller.get("/v3/rules").raise_for_status().json()


def test_the_ruleset_is_read_changed_and_emptied(caller):
    assert rules_of(caller) == []
    assert caller.post("/v3/rules", json=TREAT).json()["id"] == "0"
    assert caller.post("/v3/rules", json=FEE).json() == {"id": "1", **FEE}
    assert rules_of(caller) == [{"id": "0", **TREAT}, {"id": "1", **FEE}]
    assert caller.patch("/v3/rules/0", json={"id": "0", **FEE}).json() == {"id": "0", **FEE}
    gone = caller.delete("/v3/rules/1")
    assert gone.status_code == 200
    assert rules_of(caller) == [{"id": "0", **FEE}]
    caller.post("/v3/rules/replace", json=[TREAT]).raise_for_status()
    assert rules_of(caller) == [{"id": "0", **TREAT}]
    assert caller.get("/v3/rules", headers={"X-API-Key": "somebody else"}).json() == []
    caller.post("/v3/rules/replace", json=[]).raise_for_status()
    assert rules_of(caller) == []


def test_rules_count_for_what_is_accepted_from_then_on(caller, items):
    caller.post("/v3/account_holders", json={"id": "h", "type": "consumer", "name": "Ada"}).raise_for_status()
    before = caller.finished(items(2, "before", account_holder_id="h"))
    named = {"if": {"==": [{"get": "account_holder_name"}, "Ada"]}, "then": [{"set": "merchant", "to": "Hers"}]}
    caller.post("/v3/rules/replace", json=[TREAT, named]).raise_for_status()
    after = caller.finished(items(700, "after", account_holder_id="h"))
    caller.post("/v3/rules/replace", json=[]).raise_for_status()
    seen = {
        (one["categories"]["general"], one["entities"]["counterparty"]["name"])
        for one in caller.get(f"/v3/batches/{after}/results").json()["results"]
    }
    assert seen == {("treat", "Hers")}
    first = caller.get(f"/v3/batches/{before}/results").json()["results"][0]
    assert (first["categories"]["general"], first["entities"]["counterparty"]["name"]) == ("coffee shop", "Starbucks")
    assert caller.get("/v3/transactions/after0").json()["categories"]["general"] == "treat"


def test_refused_changes_leave_the_ruleset(caller):
    caller.post("/v3/rules", json=TREAT).raise_for_status()
    wrong = {"set": "amount", "to": "1"}
    for refused in (
        caller.post("/v3/rules", json={"set_mcc": [1e30]}),
        caller.post("/v3/rules", json=wrong),
        caller.post("/v3/rules/replace", json=[FEE, wrong]),
        caller.patch("/v3/rules/0", json=wrong),
        caller.patch("/v3/rules/1", json=FEE),
        caller.delete("/v3/rules/1"),
        caller.delete("/v3/rules/-1"),
    ):
        assert refused.status_code == 400
        assert isinstance(refused.json()["detail"], str)
    for refused in (
        caller.post("/v3/rules", json=[]),
        caller.post("/v3/rules", content=b"{"),
        caller.post("/v3/rules", content=b"[" * 20_000),
        caller.post("/v3/rules/replace", json=TREAT),
        caller.post("/v3/rules/replace", json=["text"]),
        caller.patch("/v3/rules/first", json=FEE),
        caller.delete("/v3/rules/first"),
    ):
        assert refused.status_code == 422
    assert rules_of(caller) == [{"id": "0", **TREAT}]


def test_the_ruleset_may_have_50_kib(caller):
    half = {"add_label": "x" * (25 * 1024)}
    caller.post("/v3/rules", json=half).raise_for_status()
    refused = caller.post("/v3/rules", json=half)
    assert refused.status_code == 413
    assert caller.post("/v3/rules/replace", json=[half, half]).status_code == 413
    assert len(rules_of(caller)) == 1


def test_call_rates(start):
    client = start(rules_per_second=1.0, entities_per_second=1.0, time_scale=0.001)
    assert [client.get("/v3/rules").status_code for _ in range(2)] == [200, 429]
    website = {"website": "netflix.com"}
    assert [client.post("/v3/entities/resolve", json=website).status_code for _ in range(2)] == [200, 429]
