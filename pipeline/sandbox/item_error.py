"""The `error` of an item, from what was stored when it was accepted.

Belongs here: this one question, which the answers and the books ask; the books do without the engine.
"""

from __future__ import annotations

import msgspec

from pipeline.sandbox.submit import UNKNOWN_HOLDER

_MESSAGES = {
    "account_holder_not_found": "The account holder of this transaction does not exist",
    "internal_error": "This transaction could not be processed",
}


def item_error(holder_kind: str, flawed: int, fault: bytes | None) -> dict[str, str] | None:
    """Code and message from the columns of `items`, or None. What a fault plan has decided goes first."""
    if fault is not None:
        return msgspec.json.decode(fault, type=dict[str, str])
    code = "account_holder_not_found" if holder_kind == UNKNOWN_HOLDER else "internal_error" if flawed else None
    return {"code": code, "message": _MESSAGES[code]} if code else None


def error_code(holder_kind: str, flawed: int, fault: bytes | None) -> str | None:
    """The code alone."""
    error = item_error(holder_kind, flawed, fault)
    return error["code"] if error else None
