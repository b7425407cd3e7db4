"""Operations of a person: hold, release, retry, adopt, send rows again, the circuit."""

from __future__ import annotations

from ledger_ends import few
from ledger_model import Circuit, Try
from ledger_processes import always
from ledger_sends import vendor_id
from ledger_world import Op

from pipeline.errors import ConflictError, EnrichError
from pipeline.ledger import circuit as real_circuit
from pipeline.ledger import operating
from pipeline.ledger.states import Attempt, State

WHO = {"who": "person", "why": "because"}


def keys(world):
    return [(key,) for key in world.batches]


def is_in(*states):
    return lambda world, key, *_: world.batches[key].state in states


def hold(world, key):
    operating.hold(world.ledger, key, **WHO)
    world.batches[key].goto(State.HELD, held_from=State.PLANNED)


def may_release(world, key):
    batch = world.batches[key]
    return batch.state is State.HELD and (batch.held_from is not State.PLANNED or batch.attempts < batch.allowed)


def release(world, key):
    batch = world.batches[key]
    assert operating.release(world.ledger, key, **WHO) is batch.held_from
    batch.goto(batch.held_from, held_from=None, collect_tries=0)


def retry(world, key, send):
    batch = world.batches[key]
    to = State.PLANNED if send or batch.held_from in {None, State.ERRORED} else batch.held_from
    assert operating.retry(world.ledger, key, send=send, **WHO) is to
    batch.goto(to, held_from=None, collect_tries=0, retry_at=None)
    if to is State.PLANNED:
        batch.allowed = max(batch.allowed, batch.attempts) + 1
        batch.next_reason = "operator" if batch.attempts else batch.next_reason
        if batch.tries and batch.last.state is Attempt.SUBMITTED:
            batch.last.state, batch.last.finished = Attempt.SUPERSEDED, world.now


def gets_an_attempt(batch):
    """Whether one that is adopted is an attempt of its own: the latest did not arrive, or has an id."""
    return (
        not batch.tries
        or batch.last.state in {Attempt.NOT_SENT, Attempt.REFUSED}
        or batch.last.vendor is not None
    )  # fmt: skip


def to_adopt(world):
    """Batches with an id of the API: a strange one, the one that its answer will say, or one that is known."""
    known = next((t.vendor for _, t in world.model.tries() if t.vendor is not None), None)
    for key, batch in world.batches.items():
        yield key, f"x-{key}-{len(batch.tries)}"
        if not gets_an_attempt(batch):
            yield key, vendor_id(key, batch.last.sequence)
        if known is not None:
            yield key, known


def may_adopt(world, key, vendor):
    return world.batches[key].state in operating.ADOPTABLE and not is_known(world, vendor)


def is_known(world, vendor):
    return any(t.vendor == vendor for _, t in world.model.tries())


def adopt(world, key, vendor):
    batch = world.batches[key]
    operating.adopt(world.ledger, key, vendor, **WHO)
    if gets_an_attempt(batch):
        reason = "operator" if batch.attempts and batch.next_reason == "first" else batch.next_reason
        batch.tries.append(Try(len(batch.tries) + 1, reason, len(batch.items), None, world.now, 0))
    batch.last.state, batch.last.vendor = Attempt.SUBMITTED, vendor
    batch.goto(
        State.SUBMITTED, vendor=vendor, held_from=None, attempts=batch.charges(), fence=batch.fence + 1, retry_at=None
    )  # fmt: skip


def landed(world):
    """Landed batches with the file that a person saw there, the present one or a past one."""
    for path, items in world.written.items():
        kind, _, _ = path.partition("/")
        if kind == "transactions" and few(world):
            yield world.batch_of[path], path, items


def send_again(world, key, path, items):
    """The first row of the file goes on in a batch of its own."""
    batch = world.batches[key]
    version = (batch.version or 0) + 1
    new, files = world.cut(batch, [items[:1]], "operator")
    rest = [world.write_file("transactions", items[1:], key, version)] if items[1:] else []
    operating.send_rows_again(world.ledger, key, new[0], add=[*rest, *files], remove=[path], version=version, **WHO)
    world.born(new, files, [path])
    world.add_live(rest)
    batch.version, batch.moved = version, batch.moved + 1


def probe_now(world):
    real_circuit.probe_now(world.ledger)
    if world.model.circuit is not None and world.model.circuit.kind != "restored":
        world.model.circuit.probe_after = world.now


def close(world):
    open_ = world.model.circuit is not None and world.model.circuit.kind != "restored"
    with world.ledger.write() as conn:
        assert real_circuit.close(conn) is open_
    world.model.close("refusal", "outage")


def put_back(world):
    """The ledger is a backup's: nothing goes out until it has been reconciled."""
    with world.ledger.write() as conn:
        real_circuit.open_restored(conn, reason="older than the journal", now=world.now)
    if world.model.circuit is None or world.model.circuit.kind != "restored":
        world.model.circuit = Circuit("restored", world.now)


def reconciled(world):
    with world.ledger.write() as conn:
        real_circuit.closed_by_reconciling(conn)
    world.model.close("restored")


ANYBODY = (EnrichError,)
WITH_SEND = (True, False)

PEOPLE = [
    Op("hold", keys, is_in(State.PLANNED), hold, hold, ANYBODY),
    Op("release", keys, may_release, release, release, ANYBODY),
    Op("retry", lambda w: [(k, send) for k in w.batches for send in WITH_SEND], is_in(State.HELD, State.QUARANTINED),
       retry, retry, ANYBODY),
    Op("adopt", to_adopt, may_adopt, adopt, adopt, ANYBODY),
    Op("send_rows_again", landed, lambda w, _, path, __: path in w.model.live, send_again, send_again,
       (ConflictError,)),
    Op("probe_now", lambda w: [()] if w.model.circuit else [], always, probe_now),
    Op("close_circuit", lambda w: [()] if w.model.circuit else [], always, close),
]  # fmt: skip

PUT_BACK = Op("put_back", lambda _: [()], always, put_back)
RECONCILED = Op("reconciled", lambda _: [()], always, reconciled)
