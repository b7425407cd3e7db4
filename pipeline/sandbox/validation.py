"""Bodies in, valid structs or a 422 with every problem out.

Belongs here: the fast path (one typed decode of the whole body) and, only when that fails, the slow path that words the
problems as pydantic does, since the real server is FastAPI: `loc` is ["body", "data", 17, "amount"].
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any

import msgspec

from pipeline.sandbox.config import MAX_BATCH_ITEMS
from pipeline.sandbox.errors import ApiError, invalid, problem
from pipeline.sandbox.schema import (
    COUNTRY_PATTERN,
    CURRENCIES,
    MAX_DESCRIPTION,
    MAX_ID,
    OPERATION,
    BatchInput,
    HolderInput,
    Item,
    ItemInput,
    Location,
    to_item,
)

Problems = list[dict[str, Any]]
_BATCH = msgspec.json.Decoder(BatchInput)
_ITEM = msgspec.json.Decoder(ItemInput)
_HOLDER = msgspec.json.Decoder(HolderInput)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a body can do to msgspec: it fits no struct or is no JSON, it is no UTF-8, it is nested too deeply."""
_MISSING = object()
_COUNTRY = re.compile(COUNTRY_PATTERN)
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]00:?00)?)?", re.ASCII)


def batch(body: bytes) -> tuple[list[Item], str]:
    """Items and priority of a POST /v3/batches body; raises 422."""
    try:
        given = _BATCH.decode(body)
    except _UNREADABLE:
        return _slow_batch(loads(body))
    if not all(item.currency in CURRENCIES for item in given.data):
        return _slow_batch(loads(body))
    return [to_item(item) for item in given.data], given.priority or "default"


def transaction(body: bytes) -> Item:
    """The item of a POST /v3/transactions body; raises 422."""
    try:
        given = _ITEM.decode(body)
    except _UNREADABLE:
        given = None
    if given is not None and given.currency in CURRENCIES:
        return to_item(given)
    problems: Problems = []
    item = _item(loads(body), ["body"], problems)
    if item is None:
        raise ApiError(422, problems)
    return item


def holder(body: bytes) -> HolderInput:
    """The body of POST /v3/account_holders; raises 422."""
    try:
        return _HOLDER.decode(body)
    except _UNREADABLE:
        raw = loads(body)
    problems: Problems = []
    if not isinstance(raw, dict):
        raise invalid(not_an_object(["body"]))
    text_field(raw, "id", ["body"], problems, shortest=1, longest=MAX_ID)
    _choice(raw, "type", ["body"], problems, ("consumer", "business"))
    text_field(raw, "name", ["body"], problems, required=False)
    text_field(raw, "category_id", ["body"], problems, required=False)
    raise ApiError(422, problems)


def assignment(body: bytes) -> str:
    """The holder's id in a body of POST /v3/transactions/{id}/assign; raises 422."""
    raw = loads(body)
    if not isinstance(raw, dict):
        raise invalid(not_an_object(["body"]))
    problems: Problems = []
    holder_id = text_field(raw, "account_holder_id", ["body"], problems)
    if problems or holder_id is None:
        raise ApiError(422, problems)
    return holder_id


def loads(body: bytes) -> Any:
    """Any JSON body; raises 422."""
    try:
        return msgspec.json.decode(body)
    except _UNREADABLE as error:
        where = re.search(r"byte (\d+)", str(error))
        raise invalid(problem(["body", int(where[1]) if where else 0], "json_invalid", "JSON decode error")) from error


def _slow_batch(raw: Any) -> tuple[list[Item], str]:
    if not isinstance(raw, dict):
        raise invalid(not_an_object(["body"]))
    problems: Problems = []
    _choice(raw, "operation", ["body"], problems, (OPERATION,))
    if raw.get("priority") is not None:
        _choice(raw, "priority", ["body"], problems, ("default", "low"))
    items = _items(raw.get("data", _MISSING), problems)
    if problems:
        raise ApiError(422, problems)
    return items, raw.get("priority") or "default"


def _items(data: Any, problems: Problems) -> list[Item]:
    loc: list[str | int] = ["body", "data"]
    if data is _MISSING:
        problems.append(problem(loc, "missing", "Field required"))
    elif not isinstance(data, list):
        problems.append(problem(loc, "list_type", "Input should be a valid list"))
    elif not data:
        problems.append(problem(loc, "too_short", "List should have at least 1 item after validation, not 0"))
    elif len(data) > MAX_BATCH_ITEMS:
        text = f"List should have at most {MAX_BATCH_ITEMS} items after validation, not {len(data)}"
        problems.append(problem(loc, "too_long", text))
    else:
        made = [_item(raw, [*loc, index], problems) for index, raw in enumerate(data)]
        return [item for item in made if item is not None]
    return []


def _item(raw: Any, loc: list[str | int], problems: Problems) -> Item | None:
    """One item, or None with its problems added. Accepts what pydantic converts: "12.50", midnight datetimes."""
    if not isinstance(raw, dict):
        problems.append(not_an_object(loc))
        return None
    before = len(problems)
    identity = text_field(raw, "id", loc, problems, shortest=1, longest=MAX_ID)
    description = text_field(raw, "description", loc, problems, longest=MAX_DESCRIPTION)
    date = _date(raw, loc, problems)
    amount = _amount(raw, loc, problems)
    entry_type = _choice(raw, "entry_type", loc, problems, ("incoming", "outgoing"))
    currency = _choice(raw, "currency", loc, problems, CURRENCIES)
    holder_id = text_field(raw, "account_holder_id", loc, problems, required=False)
    location = _location(raw.get("location"), [*loc, "location"], problems)
    if len(problems) > before or date is None:
        return None
    return Item(str(identity), description or "", date, amount, str(entry_type), str(currency), holder_id, location)


def text_field(
    raw: dict[str, Any],
    name: str,
    loc: list[str | int],
    problems: Problems,
    *,
    required: bool = True,
    shortest: int = 0,
    longest: int | None = None,
) -> str | None:
    """The text of a field, or None with its problem added; None as well for one that is not there and need not be."""
    value = raw.get(name, _MISSING)
    if value is _MISSING or (value is None and not required):
        if required:
            problems.append(problem([*loc, name], "missing", "Field required"))
        return None
    if not isinstance(value, str):
        problems.append(problem([*loc, name], "string_type", "Input should be a valid string"))
        return None
    if len(value) < shortest:
        problems.append(problem([*loc, name], "string_too_short", "String should have at least 1 character"))
    if longest is not None and len(value) > longest:
        text = f"String should have at most {longest} characters"
        problems.append(problem([*loc, name], "string_too_long", text))
    return value


def _choice(
    raw: dict[str, Any], name: str, loc: list[str | int], problems: Problems, allowed: tuple[str, ...] | frozenset[str]
) -> str | None:
    value = raw.get(name, _MISSING)
    if value is _MISSING:
        problems.append(problem([*loc, name], "missing", "Field required"))
    elif not isinstance(value, str) or value not in allowed:
        names = [f"'{one}'" for one in sorted(allowed)]
        listed = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
        problems.append(problem([*loc, name], "enum", f"Input should be {listed}"))
    else:
        return value
    return None


def _amount(raw: dict[str, Any], loc: list[str | int], problems: Problems) -> float:
    value = raw.get("amount", _MISSING)
    where = [*loc, "amount"]
    if value is _MISSING:
        problems.append(problem(where, "missing", "Field required"))
        return 0.0
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            text = "Input should be a valid number, unable to parse string as a number"
            problems.append(problem(where, "float_parsing", text))
            return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        problems.append(problem(where, "float_type", "Input should be a valid number"))
        return 0.0
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        problems.append(problem(where, "finite_number", "Input should be a finite number"))
    elif value < 0:
        problems.append(problem(where, "greater_than_equal", "Input should be greater than or equal to 0"))
    return value


def _date(raw: dict[str, Any], loc: list[str | int], problems: Problems) -> dt.date | None:
    value = raw.get("date", _MISSING)
    where = [*loc, "date"]
    if value is _MISSING:
        problems.append(problem(where, "missing", "Field required"))
        return None
    if not isinstance(value, str):
        problems.append(problem(where, "date_type", "Input should be a valid date"))
        return None
    written = _DATE.fullmatch(value)
    try:
        return dt.date.fromisoformat(written[1] if written else "")
    except ValueError:
        text = "Input should be a valid date in the format YYYY-MM-DD"
        problems.append(problem(where, "date_from_datetime_parsing", text))
        return None


def _location(value: Any, loc: list[str | int], problems: Problems) -> Location | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        problems.append(not_an_object(loc))
        return None
    address = text_field(value, "raw_address", loc, problems, required=False)
    country = text_field(value, "country", loc, problems, required=False)
    if country is not None and not _COUNTRY.match(country):
        text = f"String should match pattern '{COUNTRY_PATTERN}'"
        problems.append(problem([*loc, "country"], "string_pattern_mismatch", text))
    return Location(address, country)


def not_an_object(loc: list[str | int]) -> dict[str, Any]:
    """The problem of something else in an object's place."""
    text = "Input should be a valid dictionary or object to extract fields from"
    return problem(loc, "model_attributes_type", text)
