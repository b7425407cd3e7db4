"""Documents that are not what they should be: a sound answer's body in, a damaged one out.

Belongs here: what the rules of documents do. Nothing here counts or sends.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.sandbox.faults import rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

UNKNOWN_FIELD = "field_of_tomorrow"
_UNKNOWN = {"since": "tomorrow"}
_SURROGATE = "@@lone-surrogate@@"
_NO_UTF8 = "@@no-utf-8@@"
_BYTES = {_SURROGATE.encode(): b"\\ud800", _NO_UTF8.encode(): b"\xc3\x28\xff"}


def damage(body: bytes, changes: Sequence[rules.DocumentRule]) -> bytes:
    """Apply the changes in their order to a JSON body."""
    document = msgspec.json.decode(body)
    for change in changes:
        document = _changed(document, change)
    made = msgspec.json.encode(document)
    for mark, raw in _BYTES.items():
        made = made.replace(mark, raw)
    return made


def _changed(document: Any, change: rules.DocumentRule) -> Any:
    match change:
        case rules.Set():
            return _with(document, change.path.split("."), change.value)
        case rules.WrongTotal():
            return {**document, "total": document["total"] + change.by}
        case rules.Padding():
            missing = int(len(msgspec.json.encode(document)) * (change.factor - 1))
            return {**document, "padding": "x" * missing}
        case rules.UnknownFields():
            document = {**document, UNKNOWN_FIELD: _UNKNOWN}
    name = "results" if "results" in document else "data"
    items = document.get(name)
    # Not a list any more: an earlier rule has set something else there.
    return {**document, name: _changed_items(items, change)} if isinstance(items, list) else document


def _changed_items(items: list[Any], change: rules.DocumentRule) -> list[Any]:
    match change:
        case rules.ReorderedItems():
            return items[::-1]
        case rules.ExtraItems():
            return items + [{**items[0], "id": identity} for identity in change.give] if items else items
        case rules.UnknownFields():
            return [_with_unknown(item) for item in items]
        case rules.PickedItems():
            picked = _picked(items, change)
            made = [_one(item, change) if at in picked else [item] for at, item in enumerate(items)]
            return [item for several in made for item in several]
    return items


def _picked(items: list[Any], change: rules.PickedItems) -> set[int]:
    if change.ids is not None:
        return {at for at, item in enumerate(items) if isinstance(item, dict) and item.get("id") in change.ids}
    return set(range(len(items))) if change.at == "all" else set(change.at)


def _one(item: Any, change: rules.PickedItems) -> list[Any]:
    """What stands in the place of a picked item."""
    made = [item]
    match change:
        case rules.MissingItems():
            made = []
        case rules.NullItems():
            made = [None]
        case rules.DuplicateItems():
            made = [item, item]
        case rules.SetItems():
            made = [_with(item, change.path.split(".") if change.path else [], change.value)]
        case rules.LoneSurrogate():
            made = [_with_end(item, change.path, _SURROGATE)]
        case rules.BadUtf8():
            made = [_with_end(item, change.path, _NO_UTF8)]
    return made


def _with(value: Any, path: list[str], new: Any) -> Any:
    """A copy of `value` with `new` at the path. A number steps into a list; what is null on the way becomes {}."""
    return _altered(value, path, lambda _: new)


def _with_end(item: Any, path: str, end: str) -> Any:
    return _altered(item, path.split("."), lambda old: (old if isinstance(old, str) else "") + end)


def _altered(value: Any, path: list[str], new: Callable[[Any], Any]) -> Any:
    if not path:
        return new(value)
    step, *rest = path
    if isinstance(value, list):
        made = copy.copy(value)
        at = int(step) if step.isdecimal() else len(value)
        if at < len(value):
            made[at] = _altered(value[at], rest, new)
        return made
    known = value if isinstance(value, dict) else {}
    return {**known, step: _altered(known.get(step), rest, new)}


def _with_unknown(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    deeper = {name: _section_with_unknown(value) for name, value in item.items()}
    return {**deeper, UNKNOWN_FIELD: _UNKNOWN}


def _section_with_unknown(value: Any) -> Any:
    """Sections and whatever lies within them."""
    if isinstance(value, dict):
        return {**{name: _section_with_unknown(part) for name, part in value.items()}, UNKNOWN_FIELD: _UNKNOWN}
    if isinstance(value, list):
        return [_section_with_unknown(part) for part in value]
    return value
