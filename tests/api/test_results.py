"""Decoding: unknown things are kept, a wrong thing loses its section only, and nothing raises."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api import errors
from pipeline.api.models import Batch, Categories, EnrichedTransaction, classify
from pipeline.api.results import DecodedItem, decode_item, read_results

if TYPE_CHECKING:
    from pathlib import Path

STARBUCKS = {
    "id": "d4bc3c80-ec1a-3da2-836e-2a4ca4758be5",
    "name": "Starbucks",
    "website": "starbucks.com",
    "logo": "https://logos.ntropy.com/starbucks.com",
    "phone_number": None,
    "mccs": [5814, 5812],
    "parent": {"id": "p", "name": "Parent", "website": "parent.example"},
    "type": "organization",
}
SQUARE: dict[str, Any] = {
    "id": "916bc837-55ef-3106-88f6-5a8269ca9f2a",
    "name": "Square, Inc.",
    "mccs": [],
    "parent": None,
}
ITEM: dict[str, Any] = {
    "id": "t-1",
    "created_at": "2024-04-11T08:15:00",
    "entities": {"counterparty": STARBUCKS, "intermediaries": [SQUARE]},
    "categories": {"general": "coffee shop", "accounting": None},
    "location": {"raw_address": None, "structured": {"city": "Seattle", "latitude": 47, "longitude": -122.3}},
    "error": {"code": "from the future", "message": "odd"},
}
"""The sample of docs.ntropy.com/batches, with an error as well: an item may have both."""


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(value if isinstance(value, bytes) else json.dumps(value).encode())


def changed(path: str, value: Any) -> dict[str, Any]:
    """`ITEM` with the value at a dotted path replaced or added."""
    copy: dict[str, Any] = json.loads(json.dumps(ITEM))
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = copy
    for part in way:
        place = place[part]
    place[last] = value
    return copy


def test_a_whole_item() -> None:
    decoded = decode_item(raw(ITEM))
    assert (decoded.id, decoded.problems, decoded.extra) == ("t-1", [], None)
    item = decoded.item
    assert item is not None
    assert item.created_at == datetime(2024, 4, 11, 8, 15, tzinfo=UTC)
    assert item.entities is not None
    assert item.entities.counterparty is not None
    assert item.entities.counterparty.type == "organization"
    assert item.entities.counterparty.parent is not None
    assert item.entities.counterparty.parent.website == "parent.example"
    assert item.entities.intermediaries is not None
    assert [each.name for each in item.entities.intermediaries] == ["Square, Inc."]
    assert item.location is not None
    assert item.location.structured is not None
    assert item.location.structured.latitude == 47.0
    assert item.error is not None
    assert item.error.code == "from the future"


@pytest.mark.parametrize("fields", [{}, dict.fromkeys(("created_at", "entities", "categories", "location", "error"))])
def test_only_an_id(fields: dict[str, None]) -> None:
    assert decode_item(raw({"id": "t", **fields})) == DecodedItem("t", EnrichedTransaction("t"))


@pytest.mark.parametrize("field", ["intermediaries", "counterparty"])
def test_null_below_entities(field: str) -> None:
    assert decode_item(raw(changed(f"entities.{field}", None))).problems == []


SALVAGE = {
    "entities": ("entities.counterparty.name", 5, "$.entities.counterparty.name: Expected `str | null`, got `int`"),
    "mccs": ("entities.counterparty.mccs", ["58x"], "$.entities.counterparty.mccs[0]: Expected `int`, got `str`"),
    "entities text": ("entities", "none", "$.entities: Expected `object | null`, got `str`"),
    "categories": ("categories.general", ["a"], "$.categories.general: Expected `str | null`, got `array`"),
    "location": ("location.structured.latitude", "47", "$.location.structured.latitude: Expected `float | null`"),
    "error": ("error.code", None, "$.error.code: Expected `str`, got `null`"),
    "error empty": ("error", {}, "$.error: Object missing required field `code`"),
    "created_at": ("created_at", "yesterday", "$.created_at: Invalid RFC3339 encoded datetime"),
}


@pytest.mark.parametrize(("path", "value", "problem"), SALVAGE.values(), ids=SALVAGE)
def test_a_wrong_type_loses_its_section_only(path: str, value: Any, problem: str) -> None:
    decoded = decode_item(raw(changed(path, value)))
    section = path.split(".", maxsplit=1)[0]
    whole = decode_item(raw(ITEM)).item
    assert whole is not None
    assert decoded.item == msgspec.structs.replace(whole, **{section: None})
    assert len(decoded.problems) == 1
    assert decoded.problems[0].startswith(problem)
    assert decoded.extra is None


def test_several_wrong_sections_and_something_unknown() -> None:
    item = changed("entities", 1) | {"location": [], "created_at": 5, "error": None, "new": True}
    decoded = decode_item(raw(item))
    assert decoded.item == EnrichedTransaction("t-1", categories=Categories("coffee shop"))
    assert [problem.split(":")[0] for problem in decoded.problems] == ["$.created_at", "$.entities", "$.location"]
    assert decoded.extra == b'{"new":true}'


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "$: Expected `object`, got `null`"),
        ([], "$: Expected `object`, got `array`"),
        ("x", "$: Expected `object`, got `str`"),
        ({}, "$.id: Expected `str`, got `null`"),
        ({"id": 5}, "$.id: Expected `str`, got `int`"),
        (b'{"id": "a", ', "$: Input data was truncated"),
        (b"[" * 100_000, "$"),
    ],
    ids=["null", "array", "text", "no id", "int id", "cut", "deep"],
)
def test_what_is_no_item(value: Any, problem: str) -> None:
    decoded = decode_item(raw(value))
    assert decoded.id is None
    assert decoded.item is None
    assert decoded.problems[0].startswith(problem)


EXTRA = {
    "top": ("new", {"a": [1]}, {"new": {"a": [1]}}),
    "counterparty": ("entities.counterparty.employees", 5, {"entities.counterparty.employees": 5}),
    "parent": ("entities.counterparty.parent.x", None, {"entities.counterparty.parent.x": None}),
    "list": ("entities.intermediaries.0.industry", "pay", {"entities.intermediaries[0].industry": "pay"}),
    "structured": ("location.structured.zip", "1", {"location.structured.zip": "1"}),
    "error": ("error.hint", "é", {"error.hint": "é"}),
}


@pytest.mark.parametrize(("path", "value", "extra"), EXTRA.values(), ids=EXTRA)
def test_unknown_fields_are_kept_with_their_paths(path: str, value: Any, extra: dict[str, Any]) -> None:
    decoded = decode_item(raw(changed(path, value)))
    assert decoded.extra is not None
    assert json.loads(decoded.extra) == extra
    assert decoded.problems == []
    assert decoded.item == decode_item(raw(ITEM)).item


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
paths = st.sampled_from(
    [
        *("id", "new", "created_at", "categories", "categories.general", "error", "error.code", "location.structured"),
        *("entities", "entities.counterparty", "entities.counterparty.mccs"),
        *("entities.intermediaries", "entities.intermediaries.0"),
    ]
)


@given(paths, json_values)
def test_any_value_anywhere(path: str, value: Any) -> None:
    """Never raises, never loses another section, and what is lost is listed."""
    decoded = decode_item(raw(changed(path, value)))
    if path == "id":
        assert (decoded.item is None) == (not isinstance(value, str))
        return
    assert decoded.item is not None
    whole = decode_item(raw(ITEM)).item
    section = path.split(".", maxsplit=1)[0]
    for name in ("created_at", "entities", "categories", "location", "error"):
        if name != section:
            assert getattr(decoded.item, name) == getattr(whole, name)
    if decoded.problems:
        assert getattr(decoded.item, section) is None


@given(st.binary(max_size=50))
def test_any_bytes(data: bytes) -> None:
    assert decode_item(raw(data)).item is None


class TestDocument:
    """`read_results`."""

    GOOD: ClassVar = {"id": "b", "total": 2, "status": "completed", "results": [ITEM, None], "novelty": 1}

    def read(self, folder: Path, value: Any) -> Any:
        path = folder / "b.json"
        path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        return read_results(path)

    def test_good(self, tmp_path: Path) -> None:
        document = self.read(tmp_path, self.GOOD | {"next_cursor": None})
        assert (document.id, document.total, document.problems) == ("b", 2, [])
        assert [decode_item(item).id for item in document.items] == ["t-1", None]

    @pytest.mark.parametrize("status", ["processing", "error", "brand new"])
    def test_not_completed(self, tmp_path: Path, status: str) -> None:
        for value in (self.GOOD | {"status": status}, {"id": "b", "status": status}):
            with pytest.raises(errors.NotReady):
                self.read(tmp_path, value)

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            (b"", errors.BadAnswer),
            (b"<html>", errors.BadAnswer),
            (b'{"results":' + b"[" * 100_000, errors.BadAnswer),
            ([], errors.WrongShape),
            (GOOD | {"results": None}, errors.WrongShape),
            (GOOD | {"results": {}}, errors.WrongShape),
            ({"id": "b", "total": 0, "status": "completed"}, errors.WrongShape),
            (GOOD | {"next_cursor": "x"}, errors.UnknownPaging),
            (GOOD | {"next_cursor": {}}, errors.UnknownPaging),
        ],
    )
    def test_unreadable(self, tmp_path: Path, value: Any, kind: type) -> None:
        with pytest.raises(errors.BadAnswer) as caught:
            self.read(tmp_path, value)
        assert type(caught.value) is kind
        assert "b.json" in str(caught.value)
        assert "Star" not in str(caught.value)

    WHOLE: ClassVar = json.dumps(GOOD).encode()
    DAMAGED: ClassVar = {
        "cut in the end": (WHOLE[:-3], ["t-1", None], "the document: Input data was truncated"),
        "cut in the second item": (WHOLE.replace(b"null], ", b"nu"), ["t-1"], "the document: JSON is malformed"),
        "cut in the first item": (WHOLE[: WHOLE.index(b"Starbucks")], None, ""),
        "followed by something": (WHOLE + b"x", ["t-1", None], "the document: JSON is malformed"),
        "half a surrogate pair": (WHOLE.replace(b"Starbucks", b"\\ud800"), ["t-1", None], "the document: JSON"),
        "not UTF-8": (WHOLE.replace(b"Starbucks", b"Star\xffbucks"), ["t-1", None], None),
        "another total": (json.dumps(GOOD | {"total": 7}).encode(), ["t-1", None], "total: it says 7, but there are 2"),
        "a total of no number": (json.dumps(GOOD | {"total": "2"}).encode(), ["t-1", None], "the document: Expected"),
        "no id": (json.dumps(GOOD | {"id": None}).encode(), ["t-1", None], "the document: Expected"),
        "a status of no text": (json.dumps(GOOD | {"status": 1}).encode(), ["t-1", None], "the document: Expected"),
    }

    @pytest.mark.parametrize(("data", "ids", "problem"), DAMAGED.values(), ids=DAMAGED)
    def test_what_is_sound_in_a_damaged_document_is_read(self, tmp_path, data, ids, problem) -> None:
        if ids is None:
            with pytest.raises(errors.BadAnswer):
                self.read(tmp_path, data)
            return
        document = self.read(tmp_path, data)
        assert [decode_item(item).id for item in document.items] == ids
        if problem is None:
            assert document.problems == []
        else:
            (found,) = document.problems
            assert found.startswith(problem)
            assert "Star" not in found

    @pytest.mark.parametrize("damage", [b"\\ud800", b"Star\xffbucks"])
    def test_a_damaged_text_costs_its_section_only(self, tmp_path, damage) -> None:
        first = self.read(tmp_path, self.WHOLE.replace(b"Starbucks", damage)).items[0]
        decoded = decode_item(first)
        assert decoded.item is not None
        assert (decoded.item.entities, decoded.item.categories) == (None, Categories("coffee shop"))
        assert len(decoded.problems) == 1
        assert decoded.problems[0].startswith("$.entities")


@pytest.mark.parametrize(
    ("status", "meaning"),
    [("completed", "done"), ("error", "failed"), ("processing", "waiting"), ("finished", "waiting"), ("", "waiting")],
)
def test_statuses(status: str, meaning: str) -> None:
    assert classify(status) == meaning
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    batch = Batch("b", "op", status, moment, moment, 0, 1)
    assert (batch.is_done, batch.is_error) == (meaning == "done", meaning == "failed")
