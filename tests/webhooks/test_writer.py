"""The queue in front of the ledger: who is written, who is told what, and where it ends."""

from __future__ import annotations

import asyncio

import pytest
from receivers import Locked
from sqlalchemy.exc import SQLAlchemyError

from pipeline.ledger import inbox
from pipeline.ledger.db import LedgerError, impatient, open_ledger
from pipeline.ledger.inbox import Event
from pipeline.webhooks import writer as writers
from pipeline.webhooks.writer import MOST_WAITING, TooManyWaitingError, Writer


@pytest.fixture
def ledger(tmp_path):
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger' / 'ledger.sqlite'}")
    yield opened
    opened.close()


def events(n):
    return [Event(f"e-{i}", "batches.completed", f"b-{i}") for i in range(n)]


def ids(ledger):
    return {row.event_id for row in inbox.waiting(ledger, 10_000)}


async def outcomes(writer, wanted):
    task = asyncio.create_task(writer.run())
    found = await asyncio.gather(*(writer.put(event) for event in wanted), return_exceptions=True)
    writer.close()
    await task
    return found


def test_what_waits_is_one_transaction_and_each_is_told_its_own(ledger):
    inbox.receive(ledger, events(1)[0])
    wanted = [*events(3), events(3)[2]]
    assert asyncio.run(outcomes(Writer(ledger), wanted)) == [False, True, True, False]


def test_more_than_one_transaction_holds(ledger):
    assert writers.MOST_AT_ONCE < 1_200 < MOST_WAITING
    assert asyncio.run(outcomes(Writer(ledger), events(1_200))) == [True] * 1_200
    assert len(ids(ledger)) == 1_200


def test_beyond_what_may_wait_nobody_waits(ledger):
    found = asyncio.run(outcomes(Writer(ledger), events(MOST_WAITING + 3)))
    assert found[:MOST_WAITING] == [True] * MOST_WAITING
    assert [type(each) for each in found[MOST_WAITING:]] == [TooManyWaitingError] * 3
    assert len(ids(ledger)) == MOST_WAITING


def test_what_was_given_up_in_the_queue_is_not_written(ledger):
    async def play():
        writer = Writer(ledger)
        given_up, kept = (asyncio.create_task(writer.put(event)) for event in events(2))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        writer.close()
        await writer.run()
        return await kept

    assert asyncio.run(play())
    assert ids(ledger) == {"e-1"}


def test_a_failed_transaction_fails_its_own_only(ledger, tmp_path):
    hasty = impatient(ledger, 0.05)

    async def play():
        writer = Writer(hasty)
        task = asyncio.create_task(writer.run())
        with Locked(tmp_path):
            failed = await asyncio.gather(*(writer.put(event) for event in events(3)), return_exceptions=True)
            with pytest.raises(LedgerError):
                await writer.probe()
        passed = await writer.put(events(1)[0])
        writer.close()
        await task
        return failed, passed

    failed, passed = asyncio.run(play())
    hasty.close()
    assert [type(each) for each in failed] == [LedgerError] * 3
    assert passed
    assert ids(ledger) == {"e-0"}


def test_a_ledger_without_its_table_is_told_and_not_waited_for(ledger):
    with ledger.write() as conn:
        conn.exec_driver_sql("DROP TABLE webhook_inbox")
    (found,) = asyncio.run(outcomes(Writer(ledger), events(1)))
    assert isinstance(found, (LedgerError, SQLAlchemyError))
