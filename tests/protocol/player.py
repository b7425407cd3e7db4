"""Plays the model's steps on the real ledger, and compares the two after each.

What a process does becomes the ledger function that the code calls for it; what API, network and clock do becomes a
tick of the ledger's clock, or nothing. `RecoveringPlayer` makes one call of the real `recover` of a whole recovery.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from api_stub import ApiStub, Listed
from model_parts import (
    ACCEPTED,
    ATTEMPT,
    BEGUN,
    DECIDING,
    DONE,
    ERROR,
    PROCESSING,
    READING,
    THEIRS,
    All,
    Intent,
    Key,
    Rules,
    Step,
)  # fmt: skip
from sqlalchemy import select

from pipeline.api.client import ApiClient
from pipeline.flow.recovering import recover
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches, claims, outcomes, schema, sending
from pipeline.ledger.batches import LostClaimError
from pipeline.ledger.claims import Claim
from pipeline.ledger.credits import BucketSize
from pipeline.ledger.db import Ledger
from pipeline.ledger.sending import Limits
from pipeline.ledger.states import SLOT_STATES, State

TICK = timedelta(minutes=10)
STATUS = {PROCESSING: "processing", DONE: "completed", ERROR: "error"}
RECOVERING = {BEGUN, READING, DECIDING}
SIZE = BucketSize(capacity=10_000, per_second=0.001)


REASON = {False: "first", True: "batch_error"}


class DiffersError(AssertionError):
    """The ledger did something else than the model."""


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, time: timedelta) -> None:
        self.now += time


def vendor_id(key: Key) -> str:
    return f"vendor-{key[0]}-{key[1]}"


@dataclass
class Player:
    """`keys`: the batches of the ledger that play A and B, of ten rows each."""

    ledger: Ledger
    clock: Clock
    keys: list[str]
    slots: int
    intents: dict[int, sending.Intent] = field(default_factory=dict, init=False)
    owners: int = field(default=0, init=False)

    def play(self, before: All, step: Step, after: All) -> None:
        """One step. Raises DiffersError where the ledger does something else than the model."""
        if step.who.startswith("process"):
            i = int(step.who.removeprefix("process ")) - 1
            if before.processes[i].at in RECOVERING or after.processes[i].at in RECOVERING:
                self.recovering(i, before, step, after)
            else:
                self._sending(i, before, step)
        elif step.who in {"watch", "collect"}:
            self._collecting(before, step)
        elif step.who == "clock":
            self.clock.pass_(TICK)
        self.compare(after)

    # -- sending ------------------------------------------------------------------------------------------------

    def _sending(self, i: int, before: All, step: Step) -> None:
        k = before.processes[i].batch
        match step.what:
            case "tidies up after dead senders":
                sending.recover_dead_senders(self.ledger, SIZE)
            case "reserves":
                sending.recover_dead_senders(self.ledger, SIZE)
                self.intents[i] = self.reserve(step.batch)
            case "commits the release of":
                sending.release(self.ledger, self.intents[i])
            case "hands over the last byte of":
                pass
            case _:
                self._end_of_sending(i, before, step, (k, before.processes[i].attempt))
                claims.release_claims(self.ledger, self.intents.pop(i).claim.owner)  # of a killed one: it runs out

    def reserve(self, k: int, *, server_clock: datetime | None = None) -> sending.Intent:
        self.owners += 1
        key, owner = self.keys[k], f"other-host/boot/{self.owners}/1#a"
        claim = claims.claim_batches(self.ledger, [key], {State.PLANNED}, owner=owner, seconds=60).get(key)
        if claim is None:
            raise DiffersError(f"the ledger has {key} in another state than planned, or claimed")
        limits = Limits(SIZE, max_in_flight=self.slots, probe_seconds=60)
        return sending.reserve(self.ledger, claim, limits, fingerprint="f", server_clock=server_clock, run_id=None)

    def _end_of_sending(self, i: int, before: All, step: Step, key: Key) -> None:
        intent, error = self.intents[i], step.what
        match step.what:
            case "cannot connect for":
                sending.not_sent(self.ledger, intent, SIZE, error=error, retry_at=None)
            case "is refused":
                sending.refused(self.ledger, intent, SIZE, error=error, request_id=None, retry_at=None)
            case "gives up waiting for the answer to":
                sending.unconfirmed(self.ledger, self.keys[key[0]], key[1], error=error)
            case "records the answer for":
                args = {"vendor_batch_id": vendor_id(key), "request_id": None}
                current = sending.submitted(self.ledger, intent, SIZE, **args)
                same(f"{key}, current", current, before.own[key[0]].attempt == key[1])
            case "is killed while it sends":
                pass
            case _:
                raise DiffersError(f"the ledger has no such step: {step}")

    # -- recovering ---------------------------------------------------------------------------------------------

    def recovering(self, i: int, before: All, step: Step, _after: All) -> None:
        process = before.processes[i]
        decided = next((intent for intent in process.intents if intent.batch == step.batch), None)
        match step.what:
            case "proves by its ids, and adopts,":
                self.adopt(decided, next(key for key, place in process.seen if place == DONE))
            case "proves absent" | "finds one in error that may be":
                self.absent(decided, errored=step.what != "proves absent")
            case "finds that somebody else decided":
                with suppress(LostClaimError):
                    if process.at == READING:
                        self.adopt(decided, next(key for key, place in process.seen if place == DONE))
                    else:
                        self.absent(decided, errored=False)
                    raise DiffersError("the ledger has let a decision pass although somebody else had decided")

    def adopt(self, intent: Intent, sent: Key) -> None:
        sending.adopt(self.ledger, self.keys[intent.batch], intent.attempt, vendor_id(sent))

    def absent(self, intent: Intent, *, errored: bool) -> None:
        key = self.keys[intent.batch]
        sending.absent(self.ledger, key, intent.attempt, evidence="looked", hold=False, errored=errored)

    # -- watching and landing -----------------------------------------------------------------------------------

    def _collecting(self, before: All, step: Step) -> None:
        own, key = before.own[step.batch], self.keys[step.batch]
        match step.what:
            case "reports the end of":
                outcomes.report(self.ledger, vendor_id(own.sent), "done", progress=10)
            case "reports the error of":
                outcomes.report(self.ledger, vendor_id(own.sent), "failed", progress=3, outage_after=99)
            case "lands":
                claim = self._claim(key)
                outcomes.land(self.ledger, claim, add=[], remove=[], version=1, at=self.clock.now)
                claims.release_claims(self.ledger, claim.owner)
            case "plans again after its error":
                claim = self._claim(key)
                outcomes.plan_again(self.ledger, claim, retry_at=self.clock.now, reason=step.what)
                claims.release_claims(self.ledger, claim.owner)

    def _claim(self, key: str) -> Claim:
        states = {State.COMPLETED, State.ERRORED}
        return claims.claim_batches(self.ledger, [key], states, owner="other-host/boot/0/1#c", seconds=60)[key]

    # -- comparing ----------------------------------------------------------------------------------------------

    def compare(self, s: All) -> None:
        """State, attempt, reason, API's batch and fence of each; slots; that what was charged is counted."""
        rows = batches.by_keys(self.ledger, self.keys)
        attempts = {(row.batch_key, row.sequence): row for row in self.ledger.rows(select(schema.attempts))}
        for key, own in zip(self.keys, s.own, strict=True):
            row = rows[key]
            same(f"{key}, state and attempt", (row.state, row.sequence), (own.state, own.attempt))
            same(f"{key}, reason", row.next_reason, REASON[own.after_error])
            if own.state is State.SUBMITTED:
                same(f"{key}, batch", row.vendor_batch_id, vendor_id(own.sent))
            if own.state is State.UNCONFIRMED:
                ticks = (self.clock.now - attempts[key, own.attempt].unconfirmed_at) // TICK
                same(f"{key}, ticks since the fence", min(ticks, Rules().grace + 1), own.clock)
        self._compare_charges(s, attempts)

    def _compare_charges(self, s: All, attempts: dict[tuple[str, int], Any]) -> None:
        ours = [sent for sent in s.sent if sent.of != THEIRS]
        for sent in ours:
            attempt = attempts[self.keys[sent.of], sent.attempt]
            same(f"{sent.key}, reason", attempt.reason, REASON[sent.after_error])
            same(f"{sent.key}, id", attempt.vendor_batch_id, vendor_id(sent.key) if sent.book == ATTEMPT else None)
        with self.ledger.read() as conn:
            same("slots", batches.slots_in_use(conn), sum(own.state in SLOT_STATES for own in s.own))
            counted, charged = sending.spent(conn), 10 * sum(sent.place in ACCEPTED for sent in ours)
        if counted < charged:
            raise DiffersError(f"the ledger has counted {counted} credits, the model's API charged {charged}")


def same(what: str, in_ledger: object, in_model: object) -> None:
    if in_ledger != in_model:
        raise DiffersError(f"{what}: the ledger has {in_ledger}, the model {in_model}")


@dataclass
class RecoveringPlayer(Player):
    """Recovers for real, from the state in which a recovery begins; so nothing may come between its steps."""

    ws: Workspace
    client: ApiClient
    api: ApiStub
    ids: dict[int, tuple[str, ...]]
    begun: All | None = field(default=None, init=False)

    def recovering(self, i: int, before: All, _step: Step, after: All) -> None:
        if before.processes[i].at not in RECOVERING:
            self.begun = before
        if after.processes[i].at not in RECOVERING:
            self.api.batches = [
                self.listed(v.key, v.place) for v in self.begun.sent if v.place in ACCEPTED and v.listed
            ]
            recover(self.ws, self.client)

    def listed(self, key: Key, place: str) -> Listed:
        return Listed(vendor_id(key), STATUS[place], self.clock.now, self.ids[key[0]])

    def compare(self, s: All) -> None:
        if all(process.at not in RECOVERING for process in s.processes):
            super().compare(s)
