"""What a format reader hands over: the text of the wanted columns, and the records that have no columns at all.

Belongs here: the shape between the readers and the interpretation of values. Nothing here knows a format or a mapping.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

PLAIN = "\x02"
"""Put before a number that came typed (JSON, Parquet): its decimal mark is a point, whatever the file's text uses."""


_SHOWN_LENGTH = 40


class Problem(str):
    """Why a value cannot be used; stands in the place of the value."""

    __slots__ = ()


def quoted(value: str) -> str:
    """A value as it is shown in a reason: in quotes, control characters visible, not too long."""
    return repr(value if len(value) <= _SHOWN_LENGTH else value[:_SHOWN_LENGTH] + "…")


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that cannot be taken apart: its number, the reason, and how it stands in the file."""

    number: int
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one file. Together `texts` and `broken` hold every one of them.

    `texts`: String columns by their name in the mapping; a value that is missing is "". `numbers`: record number of
    each row of it. `raw`: text of row i as it stands in the file. `records`: the independent count. `iso_dates`:
    columns that came as dates.
    """

    texts: pl.DataFrame
    numbers: Sequence[int]
    broken: list[Broken]
    raw: Callable[[int], str]
    records: int
    facts: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    iso_dates: frozenset[str] = frozenset()
