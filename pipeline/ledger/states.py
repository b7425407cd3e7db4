"""The states of a batch and of an attempt, and which change may follow which. Pure data; nothing is read or written."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a batch is."""

    PLANNED = "planned"
    RESERVED = "reserved"
    SENDING = "sending"
    UNCONFIRMED = "unconfirmed"
    SUBMITTED = "submitted"
    COMPLETED = "completed"
    ERRORED = "errored"
    LANDED = "landed"
    HELD = "held"
    SPLIT = "split"
    QUARANTINED = "quarantined"


class Attempt(StrEnum):
    """What became of one try at sending a batch."""

    RESERVED = "reserved"
    SENDING = "sending"
    NOT_SENT = "not_sent"
    REFUSED = "refused"
    UNCONFIRMED = "unconfirmed"
    ABSENT = "absent"
    SUBMITTED = "submitted"
    COMPLETED = "completed"
    ERRORED = "errored"
    SUPERSEDED = "superseded"
    """The API took it and knew it no more; a person had it sent again. Charged, as far as anybody knows."""


NEXT: dict[State, frozenset[State]] = {
    # A request that is refused for some of its items, or for its size, is split before anything was charged.
    State.PLANNED: frozenset({State.RESERVED, State.HELD, State.SPLIT, State.SUBMITTED}),
    # Unconfirmed: the journal knows better than a ledger that was put back.
    State.RESERVED: frozenset({State.PLANNED, State.SENDING, State.UNCONFIRMED}),
    State.SENDING: frozenset({State.SUBMITTED, State.PLANNED, State.HELD, State.UNCONFIRMED}),
    State.UNCONFIRMED: frozenset({State.SUBMITTED, State.PLANNED, State.HELD}),
    State.SUBMITTED: frozenset({State.COMPLETED, State.ERRORED, State.HELD}),
    State.COMPLETED: frozenset({State.LANDED, State.HELD}),
    State.ERRORED: frozenset({State.PLANNED, State.HELD, State.SPLIT, State.QUARANTINED}),
    State.HELD: frozenset({State.PLANNED, State.UNCONFIRMED, State.SUBMITTED, State.COMPLETED, State.ERRORED}),
    State.LANDED: frozenset(),
    State.SPLIT: frozenset(),
    State.QUARANTINED: frozenset({State.PLANNED}),
}
"""Which state may follow which; everything else raises `IllegalTransitionError`.

Only a person takes a batch out of `held` or `quarantined`, or from `planned` straight to `submitted` (adopting).
"""

SLOT_STATES = frozenset({State.RESERVED, State.SENDING, State.UNCONFIRMED, State.SUBMITTED})
"""States that take one of the API's places. Slots are counted from these rows, never kept as a counter."""

OPEN_STATES = frozenset(State) - {State.LANDED, State.HELD, State.SPLIT, State.QUARANTINED}
"""States in which the pipeline itself has something left to do."""

CHARGED_ATTEMPTS = frozenset(Attempt) - {Attempt.NOT_SENT, Attempt.REFUSED, Attempt.ABSENT}
"""Attempts whose items were charged or may have been."""

ROW_STATE = {State.HELD: "held", State.QUARANTINED: "quarantined"}
"""State of the rows in a plan file, by the state of their batch; `in_flight` for every other."""
IN_FLIGHT = "in_flight"
