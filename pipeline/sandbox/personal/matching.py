"""From a category of ours to one of a caller's own set.

Belongs here: `best_match`, on words alone: the same words, then what `hints.csv` gives for the category, the most
special first, then a spelling nearly alike. Our way: no source tells how the real service chooses.
"""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from importlib.resources import files

from rapidfuzz import fuzz

NOT_ENOUGH = "not enough information"
"""Also the answer when nothing of a custom set fits, listed or not (fact sheet, section 6)."""
_WORD = re.compile(r"[a-z0-9]+")
_SMALL = frozenset({"and", "or", "of", "the", "for", "to", "from", "a", "at", "in", "on"})
_NEARLY = 88.0
"""Of 100: a letter missed or swapped, not another word."""
_SHORT_WORD = 3


@lru_cache(maxsize=4096)
def best_match(category: str, labels: tuple[str, ...]) -> str:
    """The label that says what `category` says, or `not enough information`."""
    words = {label: _words(label) for label in labels}
    own = _words(category)
    same = [label for label in labels if label.casefold() == category.casefold() or words[label] == own]
    if same:
        return same[0]
    for hint in (own, *_HINTS.get(category.casefold(), ())):
        holding = [label for label in labels if hint and hint <= words[label]]
        if holding:
            return min(holding, key=lambda label: len(words[label]))
    nearly = {label: fuzz.token_sort_ratio(category.casefold(), label.casefold()) for label in labels}
    best = max(labels, key=lambda label: nearly[label], default=None)
    return best if best is not None and nearly[best] >= _NEARLY else NOT_ENOUGH


def _words(text: str) -> frozenset[str]:
    return frozenset(_singular(word) for word in _WORD.findall(text.casefold()) if word not in _SMALL)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > _SHORT_WORD + 1:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > _SHORT_WORD else word


def _load() -> dict[str, tuple[frozenset[str], ...]]:
    text = files(__package__).joinpath("hints.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {row["category"].casefold(): tuple(_words(hint) for hint in row["hints"].split("|")) for row in rows}


_HINTS = _load()
