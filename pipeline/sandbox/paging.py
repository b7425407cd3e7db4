"""Lists: query parameters in, one page and the cursor of the next out (fact sheet, section 1.1).

Belongs here: reading `limit`, `cursor`, `created_after`, `created_before`, and the page's shape. Every list is newest
first and walks a key of integers, so that entries made meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.sandbox.errors import invalid, problem
from pipeline.sandbox.life import SECOND

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.sandbox.call import Call

LAST = 2**62
LONGEST_LIMIT = 999_999_999
CURSOR_PATTERN = "^([0-9a-f]{1,15}-[0-9a-f]{1,15})?$"
"""Opaque to callers, and empty for the first page; below 2**60, so that SQLite can hold what is read."""
_UNENCODED_PLUS = re.compile(r" (\d\d:?\d\d)$")


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a list that is asked for; times in microseconds since 1970, both inclusive."""

    limit: int
    before: tuple[int, int]
    """Key (submission or holder number, position) of the last entry of the page before."""
    oldest: int
    newest: int

    def given(self, call: Call, **more: Any) -> dict[str, Any]:
        """Parameters of the query for a page: owner, the last number before it, times, one more row than it has."""
        span = {"before": self.before[0], "oldest": self.oldest, "newest": self.newest}
        return {"owner": call.owner, **span, "limit": self.limit + 1, **more}


def choice(call: Call, name: str, allowed: Collection[str]) -> str | None:
    """A query parameter that has one of these values, or is not there; raises 422."""
    asked = call.query.get(name)
    if asked is not None and asked not in allowed:
        *most, last = (f"'{one}'" for one in allowed)
        raise invalid(problem(["query", name], "enum", f"Input should be {', '.join(most)} or {last}"))
    return asked


def window(call: Call, default_limit: int) -> Window:
    """Read the paging parameters of a call; raises 422."""
    after, before = _moment(call, "created_after"), _moment(call, "created_before")
    if call.config.reverse_created_filters:
        after, before = before, after
    return Window(
        _limit(call, default_limit),
        _cursor(call),
        0 if after is None else after,
        LAST if before is None else before,
    )


def page(rows: list[tuple[tuple[int, int], Any]], limit: int) -> dict[str, Any]:
    """The page's body from up to `limit + 1` pairs of key and entry: the extra one tells that there is a next page."""
    more = len(rows) > limit
    cursor = None
    if more:
        cursor = "{:x}-{:x}".format(*rows[limit - 1][0])
    return {"next_cursor": cursor, "data": [entry for _, entry in rows[:limit]]}


def _limit(call: Call, default: int) -> int:
    text = call.query.get("limit")
    if text is None:
        return default
    where: list[str | int] = ["query", "limit"]
    if not re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII):
        msg = "Input should be a valid integer, unable to parse string as an integer"
        raise invalid(problem(where, "int_parsing", msg))
    if int(text) < 1:
        raise invalid(problem(where, "greater_than_equal", "Input should be greater than or equal to 1"))
    return min(int(text), call.config.max_page)


def _cursor(call: Call) -> tuple[int, int]:
    text = call.query.get("cursor")
    if not text:
        return (LAST, LAST)
    if not re.fullmatch(CURSOR_PATTERN, text):
        raise invalid(problem(["query", "cursor"], "value_error", "Value error, invalid cursor"))
    seq, position = text.split("-")
    return int(seq, 16), int(position, 16)


def _moment(call: Call, name: str) -> int | None:
    """Accepts T or space, Z, offsets and none (UTC), and a plus sign that arrived as a space."""
    text = call.query.get(name)
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(
            _UNENCODED_PLUS.sub(r"+\1", text) if len(text) > len("2024-01-01 00:00") else text
        )
    except ValueError as error:
        msg = "Input should be a valid datetime"
        raise invalid(problem(["query", name], "datetime_from_date_parsing", msg)) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds
