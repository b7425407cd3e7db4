"""What is PostgreSQL's own: one writer at a time, snapshots, the lease of the sender, lost connections, addresses."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from postgres_server import PASSWORD
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from pipeline.errors import ConfigError
from pipeline.ledger import batches, lease, manifest, postgres, schema, sending
from pipeline.ledger.batches import NewBatch
from pipeline.ledger.db import Ledger, LedgerError, impatient, open_ledger
from pipeline.ledger.lease import LostLeaseError
from pipeline.ledger.states import State
from pipeline.process import ProcessTag, this_process

pytestmark = pytest.mark.xdist_group("postgres")

HERE, ELSEWHERE = "host-a/boot/1/1#a", "host-b/boot/1/1#b"


@pytest.fixture
def ledger(database, clock):
    opened = open_ledger(database, clock=clock)
    yield opened
    opened.close()


def name_of(url):
    return url.rpartition("/")[2]


def touch(ledger):
    with ledger.write() as conn:
        manifest.touch(conn)


# -- transactions -------------------------------------------------------------------------------------------------


def test_a_writer_that_has_waited_sees_what_the_one_before_committed(postgres, database):
    open_ledger(database).close()
    # A server's default that would have the snapshot taken before the wait.
    postgres.execute(f"ALTER DATABASE {name_of(database)} SET default_transaction_isolation TO 'serializable'")
    ledger, begun = Ledger(database), threading.Event()

    def second():
        begun.set()
        touch(ledger)

    other = threading.Thread(target=second)
    with ledger.write() as conn:
        manifest.touch(conn)
        other.start()
        begun.wait(10)
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while postgres.execute(waits)[0][0] == 0:
            assert other.is_alive()
    other.join(30)
    assert manifest.head(ledger).revision == 2
    ledger.close()


def test_a_reader_has_one_snapshot_and_writes_nothing(ledger):
    with ledger.read() as conn:
        before = manifest.revision(conn)
        touch(ledger)
        assert manifest.revision(conn) == before
    with pytest.raises(LedgerError, match="read-only"), ledger.read() as conn:
        manifest.touch(conn)
    assert manifest.head(ledger).revision == before + 1


def test_a_commit_is_on_disk_whatever_the_server_says(postgres, ledger):
    postgres.execute(f"ALTER DATABASE {name_of(ledger.url)} SET synchronous_commit TO off")
    again = Ledger(ledger.url)
    with again.write() as conn:
        assert conn.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
    again.close()


def test_whoever_waits_too_long_is_told_so(ledger, monkeypatch):
    short = postgres._BEGIN_WRITE.replace(f"lock_timeout = '{postgres.WAIT_SECONDS}s'", "lock_timeout = '100ms'")
    assert short != postgres._BEGIN_WRITE
    with ledger.write():
        monkeypatch.setattr(postgres, "_BEGIN_WRITE", short)
        with pytest.raises(LedgerError, match="was locked by another program") as refused:
            touch(ledger)
    assert "pg_stat_activity" in refused.value.hint
    touch(ledger)


def test_whoever_is_impatient_does_not_wait_for_long(ledger):
    hasty = impatient(ledger, 0.1)
    began = time.monotonic()
    with ledger.write(), pytest.raises(LedgerError, match="was locked by another program"):
        touch(hasty)
    assert time.monotonic() - began < 10
    touch(hasty)
    hasty.close()


def test_a_writer_that_is_stopped_in_its_transaction_keeps_nobody_out(ledger, monkeypatch):
    name = "idle_in_transaction_session_timeout"
    short = postgres._BEGIN_WRITE.replace(f"{name} = '{postgres._PAUSE_SECONDS}s'", f"{name} = '100ms'")
    assert short != postgres._BEGIN_WRITE
    monkeypatch.setattr(postgres, "_BEGIN_WRITE", short)

    def stopped():
        with ledger.write() as conn:
            manifest.touch(conn)
            touch(ledger)  # waits until the server has ended the transaction around it
            manifest.touch(conn)

    with pytest.raises(LedgerError, match="connection to the ledger was lost"):
        stopped()
    assert manifest.head(ledger).revision == 1


def test_text_with_a_nul_is_kept_without_it(ledger, planned, clock):
    (key,) = planned()
    with ledger.write() as conn:
        batches.move(conn, key, State.PLANNED, State.HELD, now=clock.now, reason="a\0b")
    assert batches.by_keys(ledger, [key])[key].reason == "a\ufffdb"


# -- lost connections ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["ended", "restarted"])
def test_a_connection_lost_in_a_transaction_leaves_nothing_half_done(postgres, ledger, how):
    before = manifest.head(ledger).revision

    def interrupted():
        with ledger.write() as conn:
            manifest.touch(conn)
            if how == "ended":
                pid = conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
                postgres.execute(f"SELECT pg_terminate_backend({pid}, 10000)")
            else:
                postgres.kill()
                postgres.start()
            manifest.touch(conn)

    with pytest.raises(LedgerError, match="connection to the ledger was lost") as lost:
        interrupted()
    assert "run again" in lost.value.hint
    assert PASSWORD not in f"{lost.value} {lost.value.hint} {lost.value.__cause__}"
    touch(ledger)
    assert manifest.head(ledger).revision == before + 1


def test_a_server_that_is_not_there_is_a_trouble_in_words(postgres, database):
    ledger = open_ledger(database)
    ledger.now()
    postgres.stop()
    try:
        with pytest.raises(LedgerError, match=r"the ledger cannot be used|was lost"):
            touch(ledger)
        with pytest.raises(ConfigError) as refused:
            open_ledger(database)
        assert PASSWORD not in f"{refused.value} {refused.value.hint}"
        ledger.clock._read = (ledger.clock._read[0], ledger.clock._read[1] - 61)  # it is time to ask again
        assert ledger.now() > datetime.now(UTC).replace(tzinfo=None)
    finally:
        postgres.start()
    touch(ledger)
    ledger.close()


# -- addresses and tables -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_bare_address_means_the_driver_that_is_there(database, scheme):
    opened = open_ledger(database.replace("postgresql+psycopg2", scheme))
    assert opened.engine.dialect.driver == "psycopg2"
    opened.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql+psycopg://u:{}@127.0.0.1/x", "through psycopg2, not postgresql\\+psycopg"),
        ("mysql://u:{}@127.0.0.1/x", "on PostgreSQL or a SQLite file, not mysql"),
        ("postgresql//u:{}@127.0.0.1/x", "cannot be read"),
        ("postgresql://u:{}@127.0.0.1:port/x", "cannot be read"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_its_password(url, says):
    with pytest.raises(ConfigError, match=says) as refused:
        open_ledger(url.format(PASSWORD))
    assert PASSWORD not in f"{refused.value} {refused.value.hint}"


def test_a_wrong_password_and_a_missing_right_are_told(postgres, database):
    with pytest.raises(ConfigError, match="password authentication failed") as refused:
        open_ledger(database.replace(PASSWORD, "wrong-word"))
    assert "wrong-word" not in f"{refused.value} {refused.value.hint}"
    name = name_of(database)
    postgres.execute(f"DROP ROLE IF EXISTS guest_{name}")
    postgres.execute(f"CREATE ROLE guest_{name} LOGIN PASSWORD 'guest'")
    with pytest.raises(ConfigError, match="lacks a right") as refused:
        open_ledger(database.replace("enrich:", f"guest_{name}:").replace(PASSWORD, "guest"))
    assert "CREATE DATABASE" in refused.value.hint
    postgres.execute(f"DROP ROLE guest_{name}")


def test_two_processes_may_create_one_ledger_at_once(database):
    code = "import os; from pipeline.ledger.db import open_ledger; open_ledger(os.environ['TEST_URL']).close()"
    environment = os.environ | {"TEST_URL": database}
    both = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [child.wait(60) for child in both] == [0, 0]
    ledger = open_ledger(database)
    assert ledger.rows(select(schema.manifest_head.c.id)) == [(1,)]
    ledger.close()


def test_the_time_is_that_of_the_server(postgres, database):
    ledger = open_ledger(database)
    clock = "SELECT clock_timestamp() AT TIME ZONE 'UTC'"
    before, now, after = postgres.execute(clock)[0][0], ledger.now(), postgres.execute(clock)[0][0]
    assert before - timedelta(seconds=5) < now < after + timedelta(seconds=5)
    ledger.close()


# -- who is dead, who sends ---------------------------------------------------------------------------------------


def test_another_boot_or_host_is_no_dead_process_where_hosts_may_differ():
    me = this_process()
    rebooted = ProcessTag(me.host, "another", me.pid, me.started)
    gone = ProcessTag(me.host, me.boot, me.pid, "1")
    away = ProcessTag(f"not-{socket.gethostname()}", me.boot, me.pid, "1")
    assert [tag.is_dead(one_host=False) for tag in (me, rebooted, gone, away)] == [False, False, True, False]
    assert [tag.is_dead() for tag in (me, rebooted, gone, away)] == [False, True, True, False]


def test_one_has_the_lease_until_it_runs_out_or_is_given_up(ledger, clock):
    mine = lease.take(ledger, HERE, seconds=60)
    assert lease.take(ledger, ELSEWHERE, seconds=60) is None
    clock.pass_(40)
    with ledger.write() as conn:
        lease.renew(conn, mine, now=clock.now)
    clock.pass_(40)
    assert lease.take(ledger, ELSEWHERE, seconds=60) is None
    lease.give_up(ledger, mine)
    theirs = lease.take(ledger, ELSEWHERE, seconds=60)
    assert theirs.fence == mine.fence + 1
    clock.pass_(61)
    assert lease.take(ledger, HERE, seconds=60).fence == theirs.fence + 1


def test_the_lease_of_a_dead_process_of_this_host_is_taken_at_once(ledger):
    me = this_process()
    lease.take(ledger, f"{ProcessTag(me.host, me.boot, me.pid, '1')}#a", seconds=3600)
    assert lease.take(ledger, ELSEWHERE, seconds=60) is not None


def test_whoever_lost_the_lease_reserves_releases_and_recovers_nothing(ledger, planned, claim, limits, clock):
    first, second = planned(2)
    old = lease.take(ledger, HERE, seconds=60)
    reserve = {"fingerprint": "f", "server_clock": None, "run_id": None}
    intent = sending.reserve(ledger, claim(first, {State.PLANNED}, HERE), limits, **reserve, lease=old)
    other = claim(second, {State.PLANNED}, HERE)
    clock.pass_(61)
    lease.take(ledger, ELSEWHERE, seconds=60)
    for act in (
        lambda: sending.release(ledger, intent, old),
        lambda: sending.reserve(ledger, other, limits, **reserve, lease=old),
        lambda: sending.recover_dead_senders(ledger, limits.bucket, old),
    ):
        with pytest.raises(LostLeaseError):
            act()
    rows = batches.by_keys(ledger, [first, second])
    assert (rows[first].state, rows[second].state) == (State.RESERVED, State.PLANNED)


def test_a_lease_that_ran_out_and_that_nobody_took_still_holds(ledger, planned, claim, limits, clock):
    (key,) = planned()
    mine = lease.take(ledger, HERE, seconds=60)
    reserve = {"fingerprint": "f", "server_clock": None, "run_id": None}
    intent = sending.reserve(ledger, claim(key, {State.PLANNED}, HERE), limits, **reserve, lease=mine)
    clock.pass_(3600)
    sending.release(ledger, intent, mine)
    assert batches.by_keys(ledger, [key])[key].state == State.SENDING


def test_a_last_byte_that_was_withheld_after_all_costs_nothing(ledger, planned, claim, limits):
    (key,) = planned()
    intent = sending.reserve(
        ledger, claim(key, {State.PLANNED}), limits, fingerprint="f", server_clock=None, run_id=None
    )
    sending.release(ledger, intent)
    sending.not_sent(ledger, intent, limits.bucket, error="stopped", retry_at=None, let_go=True)
    with ledger.read() as conn:
        assert sending.spent(conn) == 0
    assert batches.by_keys(ledger, [key])[key].state == State.PLANNED


def test_two_batches_of_one_plan_number_are_the_callers_business(ledger, planned, clock):
    planned()
    with pytest.raises(IntegrityError), ledger.write() as conn:
        batches.insert_batches(conn, [NewBatch("x", 1, "other", 1, "a", "b", 1)], now=clock.now)
    with ledger.write() as conn:
        conn.execute(insert(schema.unknown_fields).values(path="p", batch_key="k", first_seen_at=clock.now))
