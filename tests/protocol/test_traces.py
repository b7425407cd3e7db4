"""Where the code once was not the protocol as designed: the model's traces, played for real."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from explore import explore, replay
from model_parts import DONE, ERROR, PROCESSING, Rules, World
from player import SIZE, TICK

from pipeline.flow.recovering import recover
from pipeline.ledger import batches, claims, outcomes, sending
from pipeline.ledger.batches import LostClaimError
from pipeline.ledger.states import State

A, B = 0, 1
LATER = (Rules().grace + 1) * TICK


def row(player, k):
    return batches.by_keys(player.ledger, [player.keys[k]])[player.keys[k]]


def let_go(player, k, **given):
    """Reserve and release: from here on it may arrive."""
    intent = player.reserve(k, **given)
    sending.release(player.ledger, intent)
    return intent


def lose(player, k, **given):
    """Send, and get no answer."""
    intent = let_go(player, k, **given)
    sending.unconfirmed(player.ledger, player.keys[k], intent.sequence, error="timed out")
    claims.release_claims(player.ledger, intent.claim.owner)


def look(player, *listed):
    """The real recovery, over what is listed."""
    player.api.batches = list(listed)
    with suppress(LostClaimError):  # somebody else decided
        recover(player.ws, player.client)


def test_a_paused_recoverer_does_not_decide_of_a_later_attempt(player_for):
    """The trace of `Rules(writes_name_attempt=False)`, up to the write that lets A be charged twice."""
    weak, world = Rules(writes_name_attempt=False), World()
    player = player_for(world)
    for before, step, after in replay(explore(weak, world).trace, weak, world):
        if str(step) == "process 2: proves absent A":
            with pytest.raises(LostClaimError):
                player.absent(before.processes[1].intents[0], errored=False)
            return
        player.play(before, step, after)
    pytest.fail("the trace has another end")


def test_a_recovery_whose_walk_takes_long_does_not_decide_of_a_later_attempt(recovering_player_for):
    player = recovering_player_for(World())
    lose(player, A)
    player.clock.pass_(LATER)

    def another_process():
        sending.absent(player.ledger, player.keys[A], 1, evidence="looked", hold=False, errored=False)
        lose(player, A)  # and this one arrives: charged

    player.api.during_list = another_process
    look(player)
    assert (row(player, A).state, row(player, A).sequence) == (State.UNCONFIRMED, 2)


@pytest.mark.parametrize("earlier_errors", [0, 1])
def test_what_another_process_is_sending_is_not_disowned(recovering_player_for, earlier_errors):
    """Two of equal total. B waits for its answer, and is done at the API before that is lost.

    The veto of its first transaction keeps B from being sent again, if that can be read, as long as it has not been in
    error before; after that it is charged twice.
    """
    player = recovering_player_for(World(ours=2))
    for n in range(earlier_errors):
        end_in_error(player, B, n)
    lose(player, A)
    answered_never = let_go(player, B)
    done = player.listed((B, answered_never.sequence), DONE)
    look(player, done)
    sending.unconfirmed(player.ledger, player.keys[B], answered_never.sequence, error="timed out")
    player.clock.pass_(LATER)
    look(player, done)
    assert row(player, B).state == State.SUBMITTED


def end_in_error(player, k, n):
    intent = let_go(player, k)
    sending.submitted(player.ledger, intent, SIZE, vendor_batch_id=f"errored-{n}", request_id=None)
    outcomes.report(player.ledger, f"errored-{n}", "failed", progress=0, outage_after=99)
    claims.release_claims(player.ledger, intent.claim.owner)
    claim = claims.claim_batches(player.ledger, [player.keys[k]], {State.ERRORED}, owner="o#c", seconds=60)
    outcomes.plan_again(player.ledger, claim[player.keys[k]], retry_at=player.clock.now, reason="it ended in error")
    claims.release_claims(player.ledger, "o#c")


def test_an_error_batch_is_the_reason_for_each_batch_that_it_may_have_been(recovering_player_for):
    """Two of equal total, A lost before it arrived, B in error: B's second charge must have the reason batch_error."""
    player = recovering_player_for(World(ours=2))
    lose(player, A)
    player.clock.pass_(LATER - TICK)
    lose(player, B)
    errored = player.listed((B, 1), ERROR)
    player.clock.pass_(TICK)
    look(player, errored)
    assert (row(player, A).state, row(player, B).state) == (State.PLANNED, State.UNCONFIRMED)
    player.clock.pass_(LATER)
    look(player, errored)
    assert (row(player, B).state, row(player, B).next_reason) == (State.PLANNED, "batch_error")


def test_a_pause_before_the_intent_does_not_hide_our_batch(recovering_player_for):
    """The server's clock is that of the client's last answer, and the process slept for two hours after it.

    A back-off or a laptop's lid will do. The window is then over, grace and margin included, before it has begun.
    """
    player = recovering_player_for(World())
    next(player.client.iter_batches(page_size=1), None)
    player.clock.pass_(timedelta(hours=2))
    lose(player, A, server_clock=player.client.server_time.replace(tzinfo=None))
    ours = player.listed((A, 1), PROCESSING)
    player.clock.pass_(LATER)
    look(player, ours)
    assert row(player, A).state == State.UNCONFIRMED
