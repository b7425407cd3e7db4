"""What a person is told: which things, with what text, how often, and that nothing secret is in it."""

from __future__ import annotations

import logging
import socket
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from alert_receivers import alert_receiver
from pydantic import SecretStr
from sqlalchemy import update

from pipeline.errors import ConfigError
from pipeline.flow import telling
from pipeline.flow.alerting import MOST_HELD, alerts
from pipeline.flow.health import health
from pipeline.flow.status import read_status
from pipeline.flow.sweeping import sweep
from pipeline.flow.telling import tell
from pipeline.flow.watching import watch
from pipeline.flow.webhooks import ensure_enabled, register
from pipeline.ledger import circuit, inbox, operating, schema
from pipeline.ledger.db import Ledger
from pipeline.ledger.states import State
from pipeline.settings import load_settings

LOG = logging.getLogger("alerts-under-test")
HOLD = {"who": "ann", "why": "SQ *BLUE BOTTLE COFFEE"}


@pytest.fixture
def receiver():
    with alert_receiver() as server:
        yield server


@pytest.fixture
def planned(steps_for, bank_file):
    """Steps with planned batches of five rows."""

    def make(n=2, **given):
        steps = steps_for(batch_size=5, **given)
        steps.ingest(bank_file(5 * n))
        return steps, steps.plan()

    return make


@pytest.fixture
def later():
    """The data folder at a later time."""
    opened = []

    def make(ws, **delta):
        ledger = Ledger(ws.ledger.url, clock=lambda: ws.ledger.now() + timedelta(**delta))
        opened.append(ledger)
        return replace(ws, ledger=ledger)

    yield make
    for ledger in opened:
        ledger.close()


def with_settings(ws, **given):
    return replace(ws, settings=ws.settings.model_copy(update=given))


def open_circuit(ws, **given):
    with ws.ledger.write() as conn:
        circuit.open_circuit(
            conn, **{"status": 423, "reason": "no credits for sandbox-key", "probe_seconds": 600, **given},
            now=ws.ledger.now(),
        )  # fmt: skip


def test_nothing_is_told_of_work_that_goes_well(planned):
    steps, _ = planned()
    assert alerts(steps.ws) == {}
    steps.finish()
    assert alerts(steps.ws) == {}


def test_overdue_batches_are_one_alert_change_no_state_and_land_when_they_end(planned):
    steps, keys = planned(5, overdue_after=1e-6)
    steps.submit()
    found = alerts(steps.ws)
    assert list(found) == ["overdue"]
    assert found["overdue"].startswith(f"5 batch(es) are under way for longer than ENRICH_OVERDUE_AFTER ({keys[0]}, ")
    assert keys[3] not in found["overdue"]
    assert [line for line in read_status(steps.ws).needs if "is overdue" in line]
    assert steps.keys(State.SUBMITTED) == keys
    steps.wait()
    steps.collect()
    assert steps.keys(State.LANDED) == keys
    assert alerts(steps.ws) == {}
    assert len(steps.rows()) == 25


def test_overdue_is_counted_on_the_clock_of_the_api(planned, later):
    steps, keys = planned(1, overdue_after=21_600, faults=[{"call": "POST /v3/batches", "do": "batch_slow",
                                                           "factor": 10_000}])  # fmt: skip
    steps.submit()
    assert health(steps.ws).overdue == []
    assert health(later(steps.ws, seconds=21_600 / 200 - 60)).overdue == []
    assert health(later(steps.ws, seconds=21_600 / 200 + 1)).overdue == keys
    watch(steps.ws, steps.client)
    assert steps.keys(State.SUBMITTED) == keys


def test_each_held_batch_is_an_alert_without_the_reason(planned):
    steps, keys = planned(2)
    operating.hold(steps.ws.ledger, keys[1], **HOLD)
    found = alerts(steps.ws)
    assert list(found) == [f"held:{keys[1]}"]
    assert f"`enrich release {keys[1]}`" in found[f"held:{keys[1]}"]
    assert "BOTTLE" not in str(found)
    assert "ann" not in str(found)


def test_many_held_batches_do_not_flood(planned):
    steps, keys = planned(MOST_HELD + 5)
    for key in keys:
        operating.hold(steps.ws.ledger, key, **HOLD)
    found = alerts(steps.ws)
    assert len(found) == MOST_HELD + 1
    assert found["held:more"].startswith("5 more batches are held")


def test_quarantined_items_are_one_alert(planned):
    steps, keys = planned(2)
    b = schema.batches
    with steps.ws.ledger.write() as conn:
        conn.execute(update(b).where(b.c.batch_key == keys[0]).values(state=State.QUARANTINED, reason="SQ *SHOP"))
    found = alerts(steps.ws)
    assert list(found) == ["quarantined"]
    assert found["quarantined"].startswith(f"5 item(s) are quarantined ({keys[0]})")
    assert "SQ" not in found["quarantined"]


def test_an_open_circuit_is_told_by_its_kind_and_quotes_nothing(planned):
    steps, _ = planned(1)
    open_circuit(steps.ws)
    found = alerts(steps.ws)
    assert list(found) == ["circuit:refusal"]
    assert "(423)" in found["circuit:refusal"]
    assert "sandbox-key" not in str(found)
    with steps.ws.ledger.write() as conn:
        circuit.close(conn)
        circuit.open_for_outage(conn, reason="x", now=steps.ws.ledger.now(), probe_seconds=9)
    assert list(alerts(steps.ws)) == ["circuit:outage"]
    with steps.ws.ledger.write() as conn:
        circuit.open_restored(conn, reason="x", now=steps.ws.ledger.now())
    assert "`enrich reconcile`" in alerts(steps.ws)["circuit:restored"]


def test_caps_count_what_is_planned_and_what_waits_against_what_was_spent(planned, bank_file):
    steps, keys = planned(2)  # 10 rows
    steps.submit(keys[0])
    steps.ingest(bank_file(3, name="more.csv", start=100))
    assert alerts(with_settings(steps.ws, spend_cap_day=13, spend_cap_month=13)) == {}
    found = alerts(with_settings(steps.ws, spend_cap_day=12, spend_cap_month=13))
    assert list(found) == ["cap:day"]
    assert found["cap:day"].startswith("ENRICH_SPEND_CAP_DAY leaves 7 credits for 8 rows that wait")
    assert list(alerts(with_settings(steps.ws, spend_cap_month=3))) == ["cap:month"]


def test_rows_that_wait_for_a_day_while_nothing_lands_are_told(planned, later):
    steps, _ = planned(1)
    day = 86_400 / 200
    assert alerts(later(steps.ws, seconds=day - 60)) == {}
    assert "nothing has landed ever" in alerts(later(steps.ws, seconds=day + 1))["stalled"]
    steps.finish()
    assert alerts(later(steps.ws, seconds=day + 1)) == {}


def test_something_that_landed_lately_is_no_standstill(planned, later):
    steps, keys = planned(2)
    b = schema.batches
    ws = later(steps.ws, seconds=86_400 / 200 + 1)
    assert list(alerts(ws)) == ["stalled"]
    with ws.ledger.write() as conn:
        conn.execute(update(b).where(b.c.batch_key == keys[0]).values(landed_at=ws.ledger.now()))
    assert alerts(ws) == {}


def test_webhooks_that_were_switched_off_or_are_gone(steps_for):
    steps = steps_for(webhook_token="t0ken-t0ken")
    mine = register(steps.ws, steps.client, "https://example.org/hook").webhook_id
    ensure_enabled(steps.ws, steps.client)
    assert alerts(steps.ws) == {}
    steps.client.webhooks.patch(mine, enabled=False)
    ensure_enabled(steps.ws, steps.client)
    assert "switched off" in alerts(steps.ws)[f"webhook:{mine}"]
    assert "t0ken" not in str(alerts(steps.ws))
    ensure_enabled(steps.ws, steps.client)  # it is on
    assert alerts(steps.ws) == {}
    steps.client.webhooks.delete(mine)
    ensure_enabled(steps.ws, steps.client)
    assert "`enrich webhooks register`" in alerts(steps.ws)[f"webhook:{mine}"]
    inbox.forget_registered(steps.ws.ledger, mine)
    assert alerts(steps.ws) == {}


def test_a_sweep_looks_after_the_webhooks(steps_for):
    steps = steps_for(webhook_token="t0ken-t0ken")
    mine = register(steps.ws, steps.client, "https://example.org/hook").webhook_id
    steps.client.webhooks.patch(mine, enabled=False)
    assert sweep(steps.ws, steps.client).webhooks.switched_on == [mine]
    assert list(alerts(steps.ws)) == [f"webhook:{mine}"]
    assert sweep(steps.ws, steps.client).webhooks.switched_on == []
    assert alerts(steps.ws) == {}


def test_told_once_then_once_a_day_then_its_end_and_again_when_it_comes_back(planned, later, receiver):
    steps, (key,) = planned(1, alert_url=receiver.url)
    operating.hold(steps.ws.ledger, key, **HOLD)
    assert tell(steps.ws, LOG) == 1
    (first,) = receiver.take()
    assert first == {
        "source": "sandbox", "account": "default", "alert": f"held:{key}", "text": alerts(steps.ws)[f"held:{key}"],
        "since": first["since"], "cleared": None,
    }  # fmt: skip
    assert tell(steps.ws, LOG) == 0
    now = with_settings(later(steps.ws, hours=23), time_scale=1)  # on the API's clock nothing stalls then
    assert tell(now, LOG) == 0
    day = with_settings(later(steps.ws, hours=24, seconds=1), time_scale=1)
    assert tell(day, LOG) == 1
    assert tell(day, LOG) == 0
    assert receiver.take() == [first]
    operating.release(steps.ws.ledger, key, who="ann", why="")
    assert tell(steps.ws, LOG) == 1
    assert tell(steps.ws, LOG) == 0
    (over,) = receiver.take()
    assert over == {**first, "cleared": over["cleared"]}
    assert over["cleared"] >= first["since"]
    operating.hold(steps.ws.ledger, key, **HOLD)
    assert tell(steps.ws, LOG) == 1
    assert [(one["alert"], one["cleared"]) for one in receiver.take()] == [(f"held:{key}", None)]


def test_what_a_receiver_did_not_take_is_told_again_and_no_redirect_is_followed(planned, receiver, caplog):
    steps, keys = planned(2, alert_url=receiver.url)
    for key in keys:
        operating.hold(steps.ws.ledger, key, **HOLD)
    receiver.statuses += [500, 307]
    assert tell(steps.ws, LOG) == 0
    assert len(receiver.take()) == 2
    receiver.statuses += [302]
    assert tell(steps.ws, LOG) == 1  # one that is refused does not keep back the next
    assert tell(steps.ws, LOG) == 1
    assert [one["alert"] for one in receiver.take()] == [f"held:{keys[0]}", f"held:{keys[1]}", f"held:{keys[0]}"]
    assert receiver.strays == []
    assert tell(steps.ws, LOG) == 0
    assert f"answered 500 to held:{keys[0]}" in caplog.text


def test_one_that_ended_before_anybody_was_told_is_forgotten(planned, receiver):
    steps, (key,) = planned(1, alert_url=receiver.url)
    receiver.statuses += [503]
    operating.hold(steps.ws.ledger, key, **HOLD)
    assert tell(steps.ws, LOG) == 0
    operating.release(steps.ws.ledger, key, who="ann", why="")
    receiver.take()
    assert tell(steps.ws, LOG) == 0
    assert receiver.take() == []


def test_the_receivers_address_is_in_no_log_whether_it_answers_or_not(planned, receiver, caplog):
    caplog.set_level(logging.DEBUG)
    steps, (key,) = planned(1, alert_url=receiver.url)
    operating.hold(steps.ws.ledger, key, **HOLD)
    gone = "http://127.0.0.1:9/hook/s3cret-path?token=s3cret-token"
    assert tell(with_settings(steps.ws, alert_url=steps.ws.settings.alert_url.__class__(gone)), LOG) == 0
    assert "cannot be reached: ConnectError" in caplog.text
    receiver.statuses += [500]
    assert tell(steps.ws, LOG) == 0
    assert tell(steps.ws, LOG) == 1
    assert f"alert held:{key}" in caplog.text
    assert "s3cret" not in caplog.text
    assert "s3cret" not in repr(steps.ws.settings)
    assert "BOTTLE" not in caplog.text


@pytest.mark.parametrize("value", ["ftp://s3cret.example", "s3cret", "https:///s3cret"])
def test_an_address_that_is_none_is_refused_and_not_quoted(value):
    with pytest.raises(ConfigError, match="ENRICH_ALERT_URL: an address") as refused:
        load_settings(alert_url=value)
    assert "s3cret" not in f"{refused.value}{refused.value.__cause__}"


def test_without_a_receiver_the_log_is_told(planned, caplog):
    caplog.set_level(logging.INFO)
    steps, (key,) = planned(1)
    operating.hold(steps.ws.ledger, key, **HOLD)
    assert [tell(steps.ws, LOG), tell(steps.ws, LOG)] == [1, 0]
    assert [record.levelname for record in caplog.records if record.name == LOG.name] == ["WARNING"]
    operating.release(steps.ws.ledger, key, who="ann", why="")
    assert tell(steps.ws, LOG) == 1
    assert f"alert held:{key} is over" in caplog.text


def test_a_receiver_that_sends_its_answer_byte_by_byte_holds_up_nobody(planned, caplog, monkeypatch):
    """Each byte began httpx's time-out anew: the tick hung, and each minute one more thread of the code server."""
    monkeypatch.setattr(telling, "TIMEOUT", 1.0)
    steps, (key,) = planned(1)
    operating.hold(steps.ws.ledger, key, **HOLD)
    done = threading.Event()

    def answer(listener):
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 204 No Content\r\nx: ")
            while not done.wait(0.1):
                try:
                    connection.sendall(b"y")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        began = time.monotonic()
        with_receiver = with_settings(
            steps.ws, alert_url=SecretStr(f"http://127.0.0.1:{listener.getsockname()[1]}/s3cret")
        )
        timer = threading.Timer(20, done.set)
        timer.start()
        assert tell(with_receiver, LOG) == 0
        assert time.monotonic() - began < 10
        timer.cancel()
        done.set()
        thread.join()
    assert "the receiver of alerts cannot be reached: TimeoutError" in caplog.text
    assert "s3cret" not in caplog.text
