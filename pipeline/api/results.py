"""Reading a batch's results: the document, then item by item, losing as little as possible.

Belongs here: decoding and salvage. A document that cannot be read is an error; an item that does not fit loses only the
section that does not fit, and says so. Whether the ids are the ones that were sent is the landing's question.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from pipeline.api.answers import UNREADABLE, class_of, complaint
from pipeline.api.errors import NotReady, UnknownPaging
from pipeline.api.models import (
    Categories,
    EnrichedTransaction,
    Entities,
    ItemError,
    Location,
    classify,
)
from pipeline.damaged_json import cut_items, dump_leniently, load_leniently

if TYPE_CHECKING:
    from pathlib import Path

_SECTIONS: dict[str, Any] = {
    "created_at": datetime,
    "entities": Entities,
    "categories": Categories,
    "location": Location,
    "error": ItemError,
}


@dataclass(frozen=True, slots=True)
class ResultDocument:
    """A completed batch's results, items still undecoded and in the order in which they were sent.

    `problems`: what is wrong with the document as a whole, such as where it is cut; then `items` are those before it.
    """

    id: str | None
    total: int | None
    items: list[msgspec.Raw]
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DecodedItem:
    """One item. `problems` holds `path: what is wrong` for each part that is lost; never a value.

    `extra` is a JSON object from path to value of the fields that this version does not know, None when there are none:
    `{"entities.intermediaries[0].industry": "payments"}`.
    """

    id: str | None
    item: EnrichedTransaction | None
    problems: list[str] = field(default_factory=list)
    extra: bytes | None = None


class _Head(msgspec.Struct):
    status: str


class _Document(msgspec.Struct):
    id: str
    status: str
    total: int
    results: list[msgspec.Raw]
    next_cursor: msgspec.Raw = msgspec.Raw(b"null")


def read_results(path: Path) -> ResultDocument:
    """Read a downloaded results document. It is held in memory whole: 25-50 MB for the largest batch."""
    return parse_results(path.read_bytes(), path.name)


def parse_results(data: bytes, name: str) -> ResultDocument:
    """The items of a results document, also of one that is cut short, has a damaged text, or another shape around them.

    Raises `BadAnswer` when it has no items to be found (of its kinds `WrongShape` when it is not the documented one,
    and `UnknownPaging` when it shows a next cursor: documented to have none, it would be only a part), `NotReady` when
    its status is not `completed`.
    """
    call = f"results in {name}"
    try:
        # Undecoded parts are skipped without a look at their encoding: that is the item's trouble, and found there.
        found = msgspec.json.decode(data, type=_Document)
    except UNREADABLE as cause:
        cut = cut_items(data)
        if cut is None:
            _require_completed(call, _status(data))
            raise class_of(cause)(call, note=complaint(cause)) from cause
        status, items = cut
        _require_completed(call, status)
        return ResultDocument(None, None, items, [f"the document: {complaint(cause)}"])
    if bytes(found.next_cursor) != b"null":
        raise UnknownPaging(call, note="results have a next_cursor")
    _require_completed(call, found.status)
    problems = []
    if found.total != len(found.results):
        problems.append(f"total: it says {found.total}, but there are {len(found.results)} items")
    return ResultDocument(found.id, found.total, found.results, problems)


def _status(data: bytes) -> str | None:
    try:
        return msgspec.json.decode(data, type=_Head).status
    except UNREADABLE:
        return None


def _require_completed(call: str, status: str | None) -> None:
    if status is not None and classify(status) != "done":
        raise NotReady(call, note="the results' status is not completed")


_decode = msgspec.json.Decoder(EnrichedTransaction).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def decode_item(raw: msgspec.Raw) -> DecodedItem:
    """One item of `ResultDocument.items`. Never raises; see `DecodedItem.problems`.

    The types refuse unknown fields, so an item that decodes has none and nothing else needs to look for them; only the
    others take the slow way, section by section.
    """
    try:
        item = _decode(raw)
    except UNREADABLE:
        return _salvage(raw)
    return DecodedItem(item.id, item)


def _salvage(raw: msgspec.Raw) -> DecodedItem:
    problems: list[str] = []
    try:
        fields = _fields(raw)
    except UNREADABLE as cause:
        return DecodedItem(None, None, [_problem("", cause)])
    extra: dict[str, Any] = {}
    sections: dict[str, Any] = {}
    for name, value in fields.items():
        try:
            plain = msgspec.json.decode(value)
            if name not in _TREE:
                extra[name] = plain
            elif name != "id":
                known = split_known(plain, _TREE[name], name, extra)
                sections[name] = msgspec.convert(known, _SECTIONS[name] | None)
        except UNREADABLE as cause:
            problems.append(_problem(f".{name}", cause))
    extra_json = msgspec.json.encode(extra) if extra else None
    try:
        id_ = msgspec.json.decode(fields.get("id", msgspec.Raw(b"null")), type=str)
    except UNREADABLE as cause:
        # Without its id nobody can tell whose result it is.
        return DecodedItem(None, None, [_problem(".id", cause), *problems], extra_json)
    return DecodedItem(id_, EnrichedTransaction(id=id_, **sections), problems, extra_json)


def _fields(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """An item's sections. msgspec refuses half a surrogate pair even where it only skips; it may cost its section."""
    try:
        return _decode_fields(raw)
    except msgspec.ValidationError:
        raise
    except UNREADABLE:
        sections = load_leniently(bytes(raw))
        if not isinstance(sections, dict):
            raise
        return {name: msgspec.Raw(dump_leniently(value)) for name, value in sections.items()}


def _problem(path: str, cause: Exception) -> str:
    """`$.entities.counterparty.name: Expected …`: msgspec puts the path last, and counts it from the section."""
    what, _, inner = complaint(cause).partition(" - at `$")
    return f"${path}{inner.rstrip('`')}: {what}"


_Tree = dict[str, "_Tree"]


def tree_of(kind: Any) -> _Tree:
    """Names of the fields below a type, nested; `{}` for what is no struct. A list stands for its elements."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {each.encode_name: tree_of(each.type) for each in msgspec.structs.fields(kind)}
    return next((found for part in get_args(kind) if (found := tree_of(part))), {})


def split_known(value: Any, tree: _Tree, path: str, extra: dict[str, Any]) -> Any:
    """`value` without the fields that `tree` does not have; those go into `extra` under their paths."""
    if not tree:
        return value
    if isinstance(value, list):
        return [split_known(each, tree, f"{path}[{index}]", extra) for index, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    known: dict[str, Any] = {}
    for name, inner in value.items():
        if name in tree:
            known[name] = split_known(inner, tree[name], f"{path}.{name}", extra)
        else:
            extra[f"{path}.{name}"] = inner
    return known


_TREE = tree_of(EnrichedTransaction)
