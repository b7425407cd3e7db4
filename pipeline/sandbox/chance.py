"""Everything that looks random, drawn from hashes so that it comes out the same again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def draw(*parts: object) -> float:
    """A number in [0, 1) that depends on `parts` alone."""
    return digest(str(part) for part in parts) / 2**64


def digest(parts: Iterable[str]) -> int:
    """64 bits that depend on `parts` and their order."""
    made = hashlib.blake2b(digest_size=8)
    for part in parts:
        made.update(part.encode("utf-8", "surrogatepass"))
        made.update(b"\x1f")
    return int.from_bytes(made.digest(), "big")
