"""Reading a holder's recurring groups, one by one: a group that does not fit costs no other.

Belongs here: decoding. Which holders are asked about, and where the groups go, is `pipeline.flow.recurrence`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.api.answers import UNREADABLE, complaint
from pipeline.api.models import RecurrenceGroup
from pipeline.api.results import split_known, tree_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_TREE = tree_of(RecurrenceGroup)
_plain = msgspec.json.Decoder(float_hook=Decimal).decode
_json = msgspec.json.Encoder(decimal_format="number").encode
_MOST = Decimal(10) ** 14
"""An amount from here on fits no column (DECIMAL(18,4)), and is no amount."""


@dataclass(frozen=True, slots=True)
class DecodedGroup:
    """A group, its first and last day, and a JSON object of the fields that this version does not know, or None."""

    position: int
    group: RecurrenceGroup
    start: date
    end: date
    extra: str | None


@dataclass(slots=True)
class DecodedGroups:
    """The groups of one answer that could be read; `problems`: `[position]: what is wrong` for each other."""

    groups: list[DecodedGroup] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class _UnusableError(Exception):
    """A value of the right type that means nothing."""


def decode_groups(raws: Sequence[msgspec.Raw]) -> DecodedGroups:
    """Read each group. Never raises; money stays exact, as the digits that were sent."""
    found = DecodedGroups()
    for position, raw in enumerate(raws):
        extra: dict[str, Any] = {}
        try:
            known = split_known(_plain(raw), _TREE, "", extra)
            group = msgspec.convert(known, RecurrenceGroup)
            start, end = _day(group.start_date), _day(group.end_date)
            _require_amounts(group)
        except UNREADABLE as cause:
            found.problems.append(f"[{position}]: {complaint(cause)}")
        except _UnusableError as cause:
            found.problems.append(f"[{position}]: {cause}")
        else:
            named = {path.removeprefix("."): value for path, value in extra.items()}
            text = _json(named).decode() if named else None
            found.groups.append(DecodedGroup(position, group, start, end, text))
    return found


def _day(text: str) -> date:
    """The day of a date, or of a date with a time."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError as cause:
        raise _UnusableError("start_date or end_date is no date") from cause


def _require_amounts(group: RecurrenceGroup) -> None:
    if not all(amount.is_finite() and abs(amount) < _MOST for amount in (group.total_amount, group.average_amount)):
        raise _UnusableError("an amount is too large, or no number")
