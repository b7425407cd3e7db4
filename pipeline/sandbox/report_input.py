"""The body of POST /v3/reports: its shape, and which fields of a transaction can be reported.

Belongs here: the paths, which are read off the shape of an enriched transaction, and the problems of a 422.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, inspect

from pipeline.sandbox.errors import ApiError, invalid, problem
from pipeline.sandbox.openapi.shapes import Enriched
from pipeline.sandbox.validation import Problems, loads, not_an_object, text_field

if TYPE_CHECKING:
    from collections.abc import Iterator

_REPORTABLE = ("entities", "categories", "location")


def _paths(kind: inspect.Type, names: tuple[str, ...] = ()) -> Iterator[str]:
    """Patterns of all paths below a type, as many as it has parts at any depth; a list may be given an index."""
    if isinstance(kind, inspect.UnionType):
        for option in kind.types:
            yield from _paths(option, names)
    elif isinstance(kind, inspect.ListType):
        yield r"\[[0-9]*\]"
        for path in _paths(kind.item_type, names):
            yield r"(\[[0-9]*\])?" + path
    elif isinstance(kind, inspect.StructType):
        for field in kind.fields:
            if names and field.name not in names:
                continue
            yield rf"\.{field.name}"
            yield from (rf"\.{field.name}{path}" for path in _paths(field.type))


FIELD_PATTERN = f"^({'|'.join(_paths(inspect.type_info(Enriched), _REPORTABLE))})$"
_FIELD = re.compile(FIELD_PATTERN)
MAX_REPORT_TEXT = 10_000
"""Not documented: a report is a few sentences."""


class ReportInput(msgspec.Struct):
    """Body of POST /v3/reports. A field is a path such as `.entities.counterparty`."""

    transaction_id: Annotated[str, Meta(min_length=1)]
    description: Annotated[str, Meta(max_length=MAX_REPORT_TEXT)]
    fields: list[Annotated[str, Meta(pattern=FIELD_PATTERN)]]


def report(body: bytes) -> ReportInput:
    """The body of POST /v3/reports; raises 422."""
    raw = loads(body)
    if not isinstance(raw, dict):
        raise invalid(not_an_object(["body"]))
    problems: Problems = []
    identity = text_field(raw, "transaction_id", ["body"], problems, shortest=1)
    description = text_field(raw, "description", ["body"], problems, longest=MAX_REPORT_TEXT)
    fields = _fields(raw, problems)
    if problems:
        raise ApiError(422, problems)
    return ReportInput(str(identity), description or "", fields)


def _fields(raw: dict[str, Any], problems: Problems) -> list[str]:
    given = raw.get("fields")
    if "fields" not in raw:
        problems.append(problem(["body", "fields"], "missing", "Field required"))
    elif not isinstance(given, list):
        problems.append(problem(["body", "fields"], "list_type", "Input should be a valid list"))
    else:
        for at, one in enumerate(given):
            if not isinstance(one, str):
                problems.append(problem(["body", "fields", at], "string_type", "Input should be a valid string"))
            elif not _FIELD.fullmatch(one):
                text = "Value error, no such field; one is written like .entities.counterparty"
                problems.append(problem(["body", "fields", at], "value_error", text))
        return given
    return []
