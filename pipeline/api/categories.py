"""Reading a category set: the names for each direction, in the API's order."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from pipeline.api.answers import UNREADABLE, complaint
from pipeline.api.errors import WrongShape


class _Set(msgspec.Struct, frozen=True):
    incoming: list[str]
    outgoing: list[str]


@dataclass(frozen=True, slots=True)
class CategorySet:
    """Names of categories by direction."""

    incoming: list[str]
    outgoing: list[str]

    @property
    def size(self) -> int:
        """Categories of both directions."""
        return len(self.incoming) + len(self.outgoing)


def decode_set(raw: bytes | msgspec.Raw) -> CategorySet:
    """The set. Raises `WrongShape` for another one than two lists of names, such as a set of an older kind."""
    try:
        found = msgspec.json.decode(raw, type=_Set)
    except UNREADABLE as cause:
        raise WrongShape("GET /v3/categories/{id}", note=complaint(cause)) from cause
    return CategorySet(found.incoming, found.outgoing)
