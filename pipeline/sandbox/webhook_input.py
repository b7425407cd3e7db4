"""Bodies of the webhook routes in, their known fields or a 422 with every problem out.

Belongs here: the rules for a webhook's fields (fact sheet, section 5), worded as pydantic does. Unknown fields are
ignored, as everywhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlsplit

from pipeline.sandbox.errors import ApiError, invalid, problem
from pipeline.sandbox.schema import HEADER_PATTERN, MAX_TOKEN, MAX_URL, Event
from pipeline.sandbox.validation import Problems, loads, not_an_object, text_field

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS: tuple[str, ...] = get_args(Event)
"""The seven of the OpenAPI document."""


def new(body: bytes) -> dict[str, Any]:
    """The fields of POST /v3/webhooks: `url` and `events` for certain, `token` and `hmac_secret`; raises 422."""
    return _fields(body, required=("url", "events"), optional=("token", "hmac_secret"))


def changes(body: bytes) -> dict[str, Any]:
    """The fields that PATCH /v3/webhooks/{id} gives; null clears `token` and `hmac_secret`; raises 422.

    The SDK sends null for a token that is taken away and leaves out what it does not change.
    """
    return _fields(body, required=(), optional=("url", "events", "token", "hmac_secret", "enabled"))


def _fields(body: bytes, *, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Any]:
    raw = loads(body)
    if not isinstance(raw, dict):
        raise invalid(not_an_object(["body"]))
    problems: Problems = []
    for name in (*required, *optional):
        if name not in raw:
            if name in required:
                problems.append(problem(["body", name], "missing", "Field required"))
        else:
            _CHECKS[name](raw, problems)
    if problems:
        raise ApiError(422, problems)
    return {name: raw[name] for name in (*required, *optional) if name in raw}


def _token(raw: dict[str, Any], problems: Problems) -> None:
    """Every delivery carries it in a header: one that no header can carry would never arrive."""
    token = text_field(raw, "token", ["body"], problems, required=False, longest=MAX_TOKEN)
    if token is not None and not re.fullmatch(HEADER_PATTERN, token):
        text = f"String should match pattern '{HEADER_PATTERN}'"
        problems.append(problem(["body", "token"], "string_pattern_mismatch", text))


def _url(raw: dict[str, Any], problems: Problems) -> None:
    before = len(problems)
    url = text_field(raw, "url", ["body"], problems, shortest=1, longest=MAX_URL)
    if len(problems) == before and not _is_address(str(url)):
        text = "Input should be a valid URL with the scheme http or https"
        problems.append(problem(["body", "url"], "url_parsing", text))


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Reading the port is what checks it.
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return known and url.isprintable() and " " not in url


def _events(raw: dict[str, Any], problems: Problems) -> None:
    value = raw["events"]
    if not isinstance(value, list):
        problems.append(problem(["body", "events"], "list_type", "Input should be a valid list"))
        return
    names = [f"'{one}'" for one in EVENTS]
    text = f"Input should be {', '.join(names[:-1])} or {names[-1]}"
    for at, one in enumerate(value):
        if one not in EVENTS:
            problems.append(problem(["body", "events", at], "enum", text))


def _enabled(raw: dict[str, Any], problems: Problems) -> None:
    if not isinstance(raw["enabled"], bool):
        problems.append(problem(["body", "enabled"], "bool_type", "Input should be a valid boolean"))


def _secret(raw: dict[str, Any], problems: Problems) -> None:
    text_field(raw, "hmac_secret", ["body"], problems, required=False)


_CHECKS: dict[str, Callable[[dict[str, Any], Problems], None]] = {
    "url": _url,
    "events": _events,
    "token": _token,
    "hmac_secret": _secret,
    "enabled": _enabled,
}
"""What adds the problems of a field that is there."""
