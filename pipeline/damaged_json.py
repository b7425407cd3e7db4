"""JSON that is damaged: what can still be taken out of a document that msgspec refuses.

Belongs here: finding the ends of the items of a cut document, and getting past half a surrogate pair. Slow, and only
used for documents that the strict way has refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

_ESCAPE = "surrogateescape"
_RESULTS = re.compile(r'"results"\s*:\s*\[')
_STATUS = re.compile(r'"status"\s*:\s*"([^"\\]*)"')
_BETWEEN = re.compile(r"[\s,]*")
_raw_decode = json.JSONDecoder().raw_decode


def cut_items(data: bytes) -> tuple[str | None, list[msgspec.Raw]] | None:
    """Status and items of a results document up to the place where it is no JSON; None when it has no items at all.

    The status is None when it does not stand before the items.
    """
    text = data.decode("utf-8", _ESCAPE)
    start = _RESULTS.search(text)
    if start is None:
        return None
    status = _STATUS.search(text, 0, start.start())
    items, at = [], start.end()
    while True:
        at = _end(_BETWEEN, text, at)
        try:
            _, end = _raw_decode(text, at)
        except (ValueError, RecursionError):  # the end of the list, or of the document
            break
        items.append(msgspec.Raw(text[at:end].encode("utf-8", _ESCAPE)))
        at = end
    return (status[1] if status else None, items) if items else None


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def load_leniently(data: bytes) -> Any:
    """Decoded JSON, with half surrogate pairs and bytes that are no UTF-8 kept; None when it is no JSON at all."""
    try:
        return json.loads(data.decode("utf-8", _ESCAPE))
    except (ValueError, RecursionError):
        return None


def dump_leniently(value: Any) -> bytes:
    """JSON of what `load_leniently` gave, in ASCII: what was damaged is refused again, and nothing else is."""
    return json.dumps(value).encode()
