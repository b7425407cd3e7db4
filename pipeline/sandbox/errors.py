"""What the sandbox refuses, and how it says so.

Belongs here: the one exception that handlers raise to answer with an error body, and the troubles of starting a server.
Bodies follow the fact sheet, section 1.2: a list of `loc`/`msg`/`type` for 422, a plain sentence for every other code.
"""

from __future__ import annotations

from typing import Any


class SandboxError(Exception):
    """The sandbox cannot start or cannot read its state; the message says what to do."""


class ApiError(Exception):
    """An answer other than 2xx: `status`, and `detail` as it stands in the JSON body."""

    def __init__(self, status: int, detail: Any, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.detail = detail
        self.headers = headers or {}


def not_found(what: str) -> ApiError:
    """404: no such resource under this key."""
    return ApiError(404, f"{what} not found")


def too_many(why: str) -> ApiError:
    """429. No source shows a real one; the SDK reads `Retry-After`, whole seconds, at least 1."""
    return ApiError(429, why, headers={"Retry-After": "1"})


def invalid(*problems: dict[str, Any]) -> ApiError:
    """422 in FastAPI's form, one entry per problem."""
    return ApiError(422, list(problems))


def problem(loc: list[str | int], kind: str, msg: str) -> dict[str, Any]:
    """One entry of a 422 body. The offending value is left out: it would carry personal data into logs."""
    return {"loc": loc, "msg": msg, "type": kind}
