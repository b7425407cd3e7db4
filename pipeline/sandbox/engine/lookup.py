"""Tables beside this module, and phrases found in a list of tokens on word borders.

Belongs here: reading and searching that rules, places and trades share. One dictionary look-up per token, and further
ones only at a token that starts a known phrase: a hundred regular expressions would cost fifty times that.
"""

from __future__ import annotations

import csv
import io
from importlib.resources import files
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Found(NamedTuple, Generic[T]):
    """A phrase found at tokens `start` to `end` (exclusive)."""

    start: int
    end: int
    value: T


class Phrases(Generic[T]):
    """Phrases of one or more tokens, each with a value."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, ...], T] = {}
        self._lengths: dict[str, tuple[int, ...]] = {}

    def add(self, phrase: list[str], value: T) -> None:
        """Add a phrase; the first value of a phrase stays."""
        key = tuple(phrase)
        self._values.setdefault(key, value)
        lengths = {*self._lengths.get(key[0], ()), len(key)}
        self._lengths[key[0]] = tuple(sorted(lengths, reverse=True))

    def may_find(self, tokens: list[str]) -> bool:
        """Whether a phrase may stand there: a token begins one. Costs next to nothing."""
        return not self._lengths.keys().isdisjoint(tokens)

    def find(self, tokens: list[str], *, overlapping: bool = False) -> Iterator[Found[T]]:
        """Every phrase, the longest at each place, from left to right."""
        at = 0
        while at < len(tokens):
            for length in self._lengths.get(tokens[at], ()):
                value = self._values.get(tuple(tokens[at : at + length])) if at + length <= len(tokens) else None
                if value is not None:
                    yield Found(at, at + length, value)
                    at += 1 if overlapping else length
                    break
            else:
                at += 1


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file beside this module."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def read_packed(name: str) -> list[list[str]]:
    """The rows of a compressed table in `data`, split at tabs."""
    packed = files(__package__).joinpath("data", name).read_bytes()
    text = zstandard.ZstdDecompressor().decompress(packed).decode()
    return [line.split("\t") for line in text.splitlines()]
