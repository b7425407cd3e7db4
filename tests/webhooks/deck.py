"""What a chaos of deliveries consists of, dealt from a seed: kinds, bodies, and what each has to be answered.

Belongs here: the deliveries. Who sends them and who is killed meanwhile is in `chaos`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from receivers import TOKEN

from pipeline.ledger.inbox import BATCH_EVENTS, Event

LIMIT = 1_048_576
PAYLOAD = "PAYLOAD-SECRET"
"""In every body that is made up, in wrong tokens too: none of it may be in a log."""

SHARES = {
    "real": 0.40, "altered": 0.05, "contradicting": 0.12, "unknown type": 0.08, "unknown batch": 0.08,
    "wrong token": 0.14, "garbage": 0.11, "too long": 0.02,
}  # fmt: skip
ANSWERS = dict.fromkeys(SHARES, 202) | {"wrong token": 401, "garbage": 400, "too long": 413}

STATUSES = ("completed", "error", "processing", "not heard of", None)
UNKNOWN_TYPES = ("bank_statements.completed", "reports.pending", "batches.paused", "batches.Completed")
WRONG_TOKENS = (None, "", f"wrong-{PAYLOAD}", TOKEN + "x", TOKEN[:-1], TOKEN.lower(), f"{TOKEN},{TOKEN}", "\xff\xfe")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One POST. `event`: the row that it may become; None: nothing may be stored of it."""

    kind: str
    body: bytes
    event: Event | None = None
    token: str | None = TOKEN
    way: str = "whole"
    """`announced`: only a length beyond the limit is sent; `chunks`: one byte beyond the limit, and no end."""


def real(body: bytes) -> Delivery:
    """A delivery as the API makes it."""
    said = json.loads(body)
    data = said["data"]
    return Delivery("real", body, Event(said["event_id"], said["event_type"], data["id"], data["status"]))


def deal(seed: int, count: int, bodies: Sequence[bytes]) -> list[Delivery]:
    """So many deliveries around these real ones, in an order of the seed's choice."""
    dealer = _Dealer(random.Random(seed), [real(body) for body in bodies])
    found = []
    for kind, share in SHARES.items():
        found += dealer.some(kind, round(count * share))
    dealer.chance.shuffle(found)
    return found


class _Dealer:
    def __init__(self, chance: random.Random, reals: Sequence[Delivery]) -> None:
        self.chance, self._reals = chance, reals

    def some(self, kind: str, count: int) -> list[Delivery]:
        """Real ones in turn, so that none is left out. Of what is made up half is new and half is repeated."""
        if kind == "real":
            return [self._reals[n % len(self._reals)] for n in range(count)]
        make: Callable[[int], Delivery] = getattr(self, "_" + kind.replace(" ", "_"))
        new = [make(n) for n in range(count - count // 2)]
        return new + self.chance.choices(new, k=count // 2)

    def _one(self) -> Event:
        event = self.chance.choice(self._reals).event
        assert event
        return event

    def _claim(self, kind: str, event_id: str, batch_id: str | None) -> Delivery:
        event = Event(event_id, self.chance.choice(BATCH_EVENTS), batch_id, self.chance.choice(STATUSES))
        return Delivery(kind, _body(event), event)

    def _altered(self, _: int) -> Delivery:
        """The id of a real event and its batch, with another type or status."""
        one = self._one()
        return self._claim("altered", one.event_id, one.vendor_batch_id)

    def _contradicting(self, n: int) -> Delivery:
        return self._claim("contradicting", f"contradicting-{n}", self._one().vendor_batch_id)

    def _unknown_batch(self, n: int) -> Delivery:
        return self._claim("unknown batch", f"unknown-batch-{n}", f"batch-of-nobody-{n % 50}")

    def _unknown_type(self, n: int) -> Delivery:
        event = Event(f"unknown-type-{n}", self.chance.choice(UNKNOWN_TYPES))
        return Delivery("unknown type", _body(event, self._one().vendor_batch_id), event)

    def _wrong_token(self, n: int) -> Delivery:
        """With a real event's body, or a well-made one of an id that is nobody else's."""
        token = WRONG_TOKENS[n % len(WRONG_TOKENS)]
        made = _body(Event(f"stranger-{n}", "batches.completed", self._one().vendor_batch_id, "completed"))
        return Delivery("wrong token", self.chance.choice((made, self.chance.choice(self._reals).body)), token=token)

    def _too_long(self, n: int) -> Delivery:
        # A mebibyte is sent by one in ten: it costs as much as a hundred others.
        head = _body(Event(f"too-long-{n}", "batches.completed", self._one().vendor_batch_id, "completed"))
        return Delivery("too long", head, way="announced" if n % 10 else "chunks")

    def _garbage(self, n: int) -> Delivery:
        """No document, or one that is not as documented; each has an id to be found by, should it be stored."""
        whole = _body(Event(f"garbage-{n}", "batches.completed", self._one().vendor_batch_id, "completed"))
        said = json.loads(whole)
        bodies = (
            b"", b"\xff\xfe" + whole, whole[: self.chance.randrange(1, len(whole))], b"[" + whole + b"]", whole + b"}",
            whole.replace(b"completed", b"\xff\xfe"), whole.replace(b"garbage", b"\\u0000garbage"),
            whole.replace(b"garbage", b"\\ud800garbage"), b"[" * 5_000 + whole, f"{PAYLOAD}={n}".encode(),
            *(json.dumps({**said, **change}).encode() for change in _CHANGES),
            *(json.dumps({name: said[name] for name in said if name != left_out}).encode() for left_out in said),
        )  # fmt: skip
        return Delivery("garbage", bodies[n % len(bodies)])


_CHANGES: tuple[dict[str, object], ...] = (
    {"event_id": None}, {"event_id": ""}, {"event_id": 7}, {"event_id": PAYLOAD * 20}, {"event_type": None},
    {"event_type": PAYLOAD * 20}, {"data": [PAYLOAD]}, {"data": PAYLOAD}, {"data": {"status": "completed"}},
    {"data": {"id": 7}}, {"data": {"id": ""}}, {"data": {"id": PAYLOAD * 20}}, {"data": {"id": "b", "status": [1]}},
)  # fmt: skip


def _body(event: Event, batch_id: str | None = None) -> bytes:
    data = {"id": event.vendor_batch_id or batch_id, "status": event.status, "note": PAYLOAD}
    return json.dumps({"event_id": event.event_id, "event_type": event.event_type, "data": data}).encode()
