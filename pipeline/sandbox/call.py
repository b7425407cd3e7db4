"""One request on its way through the sandbox: who calls, with what, and how an answer is made.

Belongs here: what every handler needs. A handler is a plain function from a `Call` to a Starlette response; it runs
in a worker thread, so that SQLite may take its time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response, StreamingResponse

from pipeline.sandbox.errors import ApiError
from pipeline.sandbox.keys import Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.sandbox.config import SandboxConfig
    from pipeline.sandbox.faults.engine import Faults, Visit
    from pipeline.sandbox.limits import CallRates
    from pipeline.sandbox.store import Store

_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What the handlers of one server process share."""

    config: SandboxConfig
    store: Store
    rates: CallRates
    faults: Faults
    keys: Mapping[str, Place]
    """The keys that are accepted; none: every key is."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `owner` is the number of the key's data in the state file; 0 on routes without a key."""

    sandbox: Sandbox
    owner: int
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    visit: Visit | None = None
    """The call as the faults see it; None when there is no fault plan."""
    skew: int = 0
    """Microseconds that the server's clock is off by, for this call."""
    content_type: str = ""

    @property
    def store(self) -> Store:
        """The state file."""
        return self.sandbox.store

    @property
    def config(self) -> SandboxConfig:
        """The settings."""
        return self.sandbox.config


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; `content` is anything that msgspec encodes."""
    return Response(_ENCODER.encode(content), status, headers, "application/json")


class Streamed(StreamingResponse):
    """JSON that is sent as it is computed."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        """Take the parts, to be read in a worker thread."""
        super().__init__(parts, media_type="application/json")
        self.parts = parts


def whole(response: Response) -> bytes:
    """The whole body of an answer that has not been sent."""
    return b"".join(response.parts) if isinstance(response, Streamed) else bytes(response.body)


def encode(content: Any) -> bytes:
    """JSON bytes."""
    return _ENCODER.encode(content)


def owner_of(sandbox: Sandbox, key: str | None) -> int:
    """The number of the data that belongs to `key`; raises 403 without one, 401 for a wrong one.

    403 without a key was seen on the real API (fact sheet, section 1), 401 is documented. The key is not stored.
    """
    if not key:
        raise ApiError(403, "Not authenticated: the X-API-Key header is missing")
    if sandbox.keys and key not in sandbox.keys:
        raise ApiError(401, "Invalid API key")
    place = sandbox.keys.get(key, Place(None, key))
    fingerprint = hashlib.sha256(place.first_key.encode()).hexdigest()[:32]
    sql = "SELECT id, organization FROM owners WHERE fingerprint = ?"
    row = sandbox.store.connection().execute(sql, (fingerprint,)).fetchone()
    if row is None or row[1] != place.organization:
        put = (
            "INSERT INTO owners (fingerprint, organization) VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET organization = excluded.organization"
        )
        with sandbox.store.write() as con:
            con.execute(put, (fingerprint, place.organization))
            row = con.execute(sql, (fingerprint,)).fetchone()
    return int(row[0])
