"""The strictest rules that the API documents, one function per kind of value.

Belongs here: text in, the value that is sent or a `Problem` out. Sources: Ntropy's OpenAPI document and SDK 5.7.0 (id
and holder id 1 to 256 characters, description at most 1,024, closed lists of currencies and countries). One bad item
can refuse a whole batch, so whatever might be refused is rejected here.
"""

from __future__ import annotations

import hashlib
import re

from pipeline.ingest.codes import COUNTRIES, CURRENCIES, HOLDER_TYPES, MAX_ID
from pipeline.ingest.records import Problem, quoted

MAX_DESCRIPTION = 1024

SEPARATOR = "\x1f"
"""Between the parts that are hashed. No part can contain it: control characters are replaced or rejected."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]+")
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ALIASES = {"UK": "GB", "EL": "GR"}


def description(value: str) -> str | Problem:
    """The text as printed; runs of control characters (line ends, tabs, NUL) become one space. Empty is allowed."""
    text = _CONTROL.sub(" ", value).strip() if not value.isprintable() else value.strip()
    if len(text) > MAX_DESCRIPTION:
        return Problem(f"has {len(text):,} characters; {MAX_DESCRIPTION:,} are allowed")
    return text


def currency(value: str) -> str | Problem:
    """An ISO 4217 code that the API knows."""
    code = value.strip().upper()
    if not code:
        return Problem("is empty")
    return code if code in CURRENCIES else Problem(f"{quoted(value.strip())} is not a currency of the API")


def country(value: str) -> str | Problem:
    """A country code that the API knows; "" for none."""
    code = value.strip().upper()
    if not code or code in COUNTRIES:
        return code
    hint = f"; use {_ALIASES[code]}" if code in _ALIASES else ""
    return Problem(f"{quoted(value.strip())} is not a country of the API{hint}")


def holder_id(value: str) -> str | Problem:
    """An account holder's id, at most 256 characters; "" for none."""
    return _identifier(value)


def holder_type(value: str) -> str | Problem:
    """The type, consumer or business; "" for none."""
    kind = value.strip().lower()
    if not kind or kind in HOLDER_TYPES:
        return kind
    return Problem(f"{quoted(value.strip())} is neither consumer nor business")


def source_id(value: str, prefix: str) -> str | Problem:
    """The bank's own id, with prefix at most 256 characters; "" for none."""
    found = _identifier(value)
    if not isinstance(found, Problem) and len(prefix) + len(found) > MAX_ID:
        return Problem(f"has more than {MAX_ID} characters")
    return found


def transaction_id(identifier: str) -> str:
    """The id that is sent: the bank's own if it is safe in a URL path, otherwise `h-` and 32 hex digits of its hash."""
    if _SAFE_ID.fullmatch(identifier):
        return identifier
    return "h-" + hashlib.sha256(identifier.encode()).hexdigest()[:32]


def content_hash(parts: str) -> str:
    """Hash of everything that is sent but the id (32 hex digits). `parts` are joined with SEPARATOR."""
    return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()


def _identifier(value: str) -> str | Problem:
    text = value.strip()
    if not text.isprintable() and _CONTROL.search(text):
        return Problem("has control characters")
    if len(text) > MAX_ID:
        return Problem(f"has more than {MAX_ID} characters")
    return text
