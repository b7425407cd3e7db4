"""Batches that turn up late while others of ours are on their way: never disowned, never taken for another."""

from __future__ import annotations

import pytest
from model_parts import DONE, World
from test_traces import LATER, A, B, let_go, look, lose, row

from pipeline.flow.late import find_late
from pipeline.ledger import sending
from pipeline.ledger.states import State


def test_b_unconfirmed_is_not_disowned_by_late(recovering_player_for):
    player = recovering_player_for(World(ours=2))
    lose(player, A)
    player.clock.pass_(LATER)
    look(player)
    assert row(player, A).state == State.PLANNED
    lose(player, B)
    done = player.listed((B, 1), DONE)
    player.api.batches = [done]
    assert find_late(player.ws, player.client) == {}
    player.clock.pass_(LATER)
    look(player, done)
    assert row(player, B).state == State.SUBMITTED, (row(player, B).state, row(player, B).reason)


@pytest.mark.parametrize("unconfirmed", [True, False])
def test_second_attempt_is_not_taken_for_the_first(recovering_player_for, unconfirmed):
    player = recovering_player_for(World(ours=1))
    lose(player, A)
    player.clock.pass_(LATER)
    look(player)
    assert row(player, A).state == State.PLANNED
    i = let_go(player, A)
    if unconfirmed:
        sending.unconfirmed(player.ledger, player.keys[A], i.sequence, error="t")
    done = player.listed((A, 2), DONE)
    player.api.batches = [done]
    assert find_late(player.ws, player.client) == {}
    if not unconfirmed:
        sending.unconfirmed(player.ledger, player.keys[A], i.sequence, error="t")
    player.clock.pass_(LATER)
    look(player, done)
    assert row(player, A).state == State.SUBMITTED, (row(player, A).state, row(player, A).reason)
