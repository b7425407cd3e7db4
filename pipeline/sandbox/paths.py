"""Ids in paths: what a caller has encoded stays part of the id, whatever the routes look like.

Belongs here: keeping an encoded slash apart from one that separates, until the routes have been told apart. ASGI gives
a path with both decoded, in which the transaction `x/assign` looks like a route of the transaction `x`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote

from starlette.convertors import Convertor, register_url_convertor

if TYPE_CHECKING:
    from starlette.types import Scope


class Id(Convertor[str]):
    """`{id:id}` in a route: the caller's own text, which may hold slashes, encoded or not, and is not empty."""

    regex: ClassVar[str] = "(?s:.+)"

    def convert(self, value: str) -> str:
        """The id of what `keep_encoded` has left in the path."""
        return value.replace("%2F", "/").replace("%25", "%")

    def to_string(self, value: str) -> str:
        """The id as `keep_encoded` writes it."""
        return _kept(value)


register_url_convertor("id", Id())


def plain(path: str) -> str:
    """A route without converters: /v3/transactions/{id}."""
    return re.sub(r":\w+\}", "}", path)


def keep_encoded(scope: Scope) -> Scope:
    """The request with its path decoded but for what was an encoded slash, or an encoded percent sign."""
    raw: bytes = scope["raw_path"]
    if b"%" not in raw:
        return scope
    return {**scope, "path": "/".join(_kept(unquote(part)) for part in raw.decode("ascii").split("/"))}


def _kept(text: str) -> str:
    return text.replace("%", "%25").replace("/", "%2F")
