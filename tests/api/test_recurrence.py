"""Recurring groups and category sets, decoded: what one cannot read costs no other, and nothing is quoted."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pipeline.api.categories import decode_set
from pipeline.api.errors import WrongShape
from pipeline.api.recurrence import decode_groups

GROUP: dict[str, Any] = {
    "id": "g1",
    "start_date": "2026-01-05",
    "end_date": "2026-04-05T00:00:00Z",
    "total_amount": 71.96,
    "average_amount": 17.99,
    "periodicity_in_days": 30.5,
    "periodicity": "semi-monthly",
    "counterparty": {"id": "c", "name": "Netflix", "website": "netflix.com", "type": "organization"},
    "categories": {"general": "digital content and streaming", "accounting": None},
    "transaction_ids": ["a", "b"],
    "entry_type": "outgoing",
}


def _raw(**changes: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps({**GROUP, **changes}).encode())


def test_a_group_is_read_with_exact_money_and_its_days() -> None:
    (found,) = decode_groups([_raw(total_amount=71.96000000000001)]).groups
    assert (found.group.total_amount, found.group.average_amount) == (Decimal("71.96000000000001"), Decimal("17.99"))
    assert (found.start, found.end, found.position, found.extra) == (date(2026, 1, 5), date(2026, 4, 5), 0, None)
    assert found.group.counterparty is not None
    assert found.group.counterparty.website == "netflix.com"


def test_what_the_sdk_does_not_have_may_be_missing_and_what_is_new_is_kept() -> None:
    fields = {name: value for name, value in GROUP.items() if name not in {"entry_type", "categories", "counterparty"}}
    known, new = decode_groups(
        [msgspec.Raw(json.dumps(fields).encode()), _raw(confidence=0.9, counterparty={"x": 1})]
    ).groups
    assert (known.group.entry_type, known.group.counterparty) == (None, None)
    assert json.loads(new.extra or "") == {"confidence": 0.9, "counterparty.x": 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"total_amount": "much"}, "Invalid decimal string - at `$.total_amount`"),
        ({"total_amount": "NaN"}, "an amount is too large, or no number"),
        ({"average_amount": 1e30}, "an amount is too large, or no number"),
        ({"end_date": "soon"}, "start_date or end_date is no date"),
        ({"transaction_ids": None}, "Expected `array`, got `null` - at `$.transaction_ids`"),
    ],
)
def test_a_group_that_does_not_fit_says_where_and_costs_no_other(changes: dict[str, Any], said: str) -> None:
    found = decode_groups([_raw(), _raw(**changes), _raw(id="g3")])
    assert [(one.position, one.group.id) for one in found.groups] == [(0, "g1"), (2, "g3")]
    assert found.problems == [f"[1]: {said}"]


def test_a_set_is_two_lists_of_names() -> None:
    found = decode_set(b'{"incoming": ["paycheck"], "outgoing": ["rent", "fuel"], "new": 1}')
    assert (found.incoming, found.outgoing, found.size) == (["paycheck"], ["rent", "fuel"], 3)


@pytest.mark.parametrize("body", [b"[]", b'{"incoming": []}', b'{"incoming": {"a": ["b"]}, "outgoing": []}', b"null"])
def test_a_set_of_another_kind_is_refused_by_its_path(body: bytes) -> None:
    with pytest.raises(WrongShape, match=r"Expected|missing"):
        decode_set(body)
