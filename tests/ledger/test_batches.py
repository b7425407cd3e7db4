"""Guarded transitions and claims."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pipeline.errors import ConfigError
from pipeline.ledger import batches, claims, schema
from pipeline.ledger.batches import IllegalTransitionError, LostClaimError, move
from pipeline.ledger.db import LedgerError, open_ledger, sqlite_path, stamp_data_folder, version_table
from pipeline.ledger.states import NEXT, State


def test_the_migrations_build_what_is_declared(ledger):
    with ledger.engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"version_table": version_table(ledger.engine)})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.VERSION


def test_opening_again_keeps_what_is_there(ledger, planned):
    keys = planned(2)
    again = open_ledger(ledger.url)
    assert [row.batch_key for row in batches.in_states(again, State.PLANNED)] == keys
    again.close()


@pytest.mark.sqlite
def test_a_log_that_is_deleted_under_a_process_says_what_to_stop(ledger, planned):
    """The process that has it goes on; every other one said "check free space" of a disk with nothing wrong."""
    planned()
    path = sqlite_path(ledger.url)
    path.with_name(f"{path.name}-wal").unlink()
    planned()
    with pytest.raises(LedgerError, match="disk I/O error") as refused:
        batches.counts_by_state(other := open_ledger(ledger.url))
    assert "stop the daemon" in refused.value.hint
    assert "enrich restore" in refused.value.hint
    other.close()


def test_a_folder_belongs_to_one_account(ledger):
    stamp_data_folder(ledger, source="sandbox", account="default")
    stamp_data_folder(ledger, source="sandbox", account="default")
    with pytest.raises(ConfigError, match=r"belongs to sandbox/default, not to api\.ntropy\.com/default"):
        stamp_data_folder(ledger, source="api.ntropy.com", account="default")


@pytest.mark.parametrize(("frm", "to"), [(a, b) for a, b in itertools.product(State, State) if b not in NEXT[a]])
def test_a_transition_that_no_batch_may_make_raises(ledger, planned, clock, frm, to):
    (key,) = planned()
    with ledger.write() as conn, pytest.raises(IllegalTransitionError):
        move(conn, key, frm, to, now=clock.now)


def test_a_guarded_update_that_matches_nothing_raises_and_changes_nothing(ledger, planned, clock):
    (key,) = planned()
    with pytest.raises(LostClaimError), ledger.write() as conn:
        move(conn, key, State.SUBMITTED, State.COMPLETED, now=clock.now)
    assert batches.by_keys(ledger, [key])[key].state == State.PLANNED


def test_a_claim_keeps_others_out_until_it_expires(ledger, planned, clock):
    keys = planned(2)
    mine = claims.claim_batches(ledger, keys, {State.PLANNED}, owner="h/b/1/1#a", seconds=60)
    assert list(mine) == keys
    assert claims.claim_batches(ledger, keys, {State.PLANNED}, owner="h/b/2/2#b", seconds=60) == {}
    clock.pass_(40)
    claims.extend_claims(ledger, "h/b/1/1#a", seconds=60)
    clock.pass_(40)
    assert claims.claim_batches(ledger, keys, {State.PLANNED}, owner="h/b/2/2#b", seconds=60) == {}
    clock.pass_(21)
    theirs = claims.claim_batches(ledger, keys, {State.PLANNED}, owner="h/b/2/2#b", seconds=60)
    assert list(theirs) == keys


def test_the_old_owner_can_write_no_more_after_a_take_over(ledger, planned, clock):
    (key,) = planned()
    old = claims.claim_batches(ledger, [key], {State.PLANNED}, owner="h/b/1/1#a", seconds=60)[key]
    clock.pass_(61)
    claims.claim_batches(ledger, [key], {State.PLANNED}, owner="h/b/2/2#b", seconds=60)
    with pytest.raises(LostClaimError), ledger.write() as conn:
        move(conn, key, State.PLANNED, State.HELD, now=clock.now, claim=old)


def test_released_claims_are_free_and_keep_their_fence(ledger, planned):
    (key,) = planned()
    first = claims.claim_batches(ledger, [key], {State.PLANNED}, owner="h/b/1/1#a", seconds=60)[key]
    claims.release_claims(ledger, "h/b/1/1#a")
    second = claims.claim_batches(ledger, [key], {State.PLANNED}, owner="h/b/2/2#b", seconds=60)[key]
    assert second.fence == first.fence + 1


def test_the_claim_of_a_dead_process_is_taken_over_at_once(ledger, planned):
    (key,) = planned()
    script = "from pipeline.process import this_process; print(this_process())"
    tag = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert int(tag.split("/")[2]) != os.getpid()
    claims.claim_batches(ledger, [key], {State.PLANNED}, owner=f"{tag}#a", seconds=3600)
    assert key in claims.claim_batches(ledger, [key], {State.PLANNED}, owner="h/b/2/2#b", seconds=60)


def test_a_batch_asked_for_is_not_asked_for_again_until_its_time_is_over(ledger, planned, clock):
    first, second = planned(2)
    batches.dispatch(ledger, [first], seconds=120)
    assert [row.batch_key for row in batches.sendable(ledger)] == [second]
    clock.pass_(121)
    assert [row.batch_key for row in batches.sendable(ledger)] == [first, second]
