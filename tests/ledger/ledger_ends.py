"""Operations of planner, poller, webhook and collector: files in, reports, what becomes of an end."""

from __future__ import annotations

import pytest
from ledger_model import IDLE
from ledger_processes import always
from ledger_sends import LOST
from ledger_world import PROBE_SECONDS, Op

from pipeline.errors import ConflictError, EnrichError
from pipeline.ledger import manifest, outcomes
from pipeline.ledger.batches import IllegalTransitionError, LostClaimError, insert_batches, move
from pipeline.ledger.documents import RESULTS, Document
from pipeline.ledger.states import NEXT, Attempt, State

MOST_BATCHES = 14
DEADLY = 1


def commit(world, add, remove=(), new=(), **given):
    """A planner's commit; the model is told of the files."""
    with world.ledger.write() as conn:
        revision = manifest.commit(conn, add=add, remove=remove, now=world.now, **given)
        insert_batches(conn, new, now=world.now)
    plans = [file for file in add if file.kind == "plan"]
    world.born(new, plans, remove)
    world.add_live(file for file in add if file.kind != "plan")
    world.model.waiting_changed = revision


def ingest(world, rows):
    items = range(world.items, world.items + rows)
    world.items += rows
    commit(world, [world.write_file("waiting", items)])


def look(world):
    with world.ledger.read() as conn:
        paths = tuple(row.path for row in manifest.live(conn, "waiting"))
        if paths:
            world.looks.append((manifest.revision(conn), paths))


def plan(world, seen, paths):
    """Cut what was seen into batches of four; what is over waits."""
    items = [i for path in paths for i in world.written[path]]
    parts = [items[:4], items[4:8]]
    new, files = world.cut(None, [part for part in parts if part], "first")
    rest = [world.write_file("waiting", items[8:])] if items[8:] else []
    commit(world, [*files, *rest], paths, new, read_revision=seen, unchanged={"waiting"})


def vendors(world):
    ours = [(b.vendor, v) for b in world.batches.values() if b.vendor is not None for v in ("done", "failed")]
    late = [(t.vendor, "done") for _, t in world.model.tries() if t.vendor is not None]
    return [*ours, *late, ("nobodys", "done")]


def by_vendor(world, vendor):
    return next((b for b in world.batches.values() if b.vendor == vendor), None)


def is_open(world, vendor, _):
    batch = by_vendor(world, vendor)
    return batch is not None and batch.state is State.SUBMITTED


def call_report(world, vendor, verdict):
    return outcomes.report(
        world.ledger, vendor, verdict, progress=1, outage_after=world.outage_after, probe_seconds=PROBE_SECONDS
    )


def report(world, vendor, verdict):
    batch, model = by_vendor(world, vendor), world.model
    to = State.COMPLETED if verdict == "done" else State.ERRORED
    assert call_report(world, vendor, verdict) is to
    batch.goto(to)
    batch.last.state, batch.last.finished = Attempt(to.value), world.now
    if to is State.COMPLETED:
        model.close("outage")
    elif model.errors_in_a_row() >= world.outage_after and model.circuit is None:
        model.open("outage", world.later(PROBE_SECONDS))


def still_waiting(world, vendor, _):
    assert call_report(world, vendor, "waiting") is None


def plan_again(world, key, claim):
    outcomes.plan_again(world.ledger, claim, retry_at=world.later(5), reason="error", grant=1)
    batch = world.batches[key]
    batch.goto(State.PLANNED, next_reason="batch_error", allowed=batch.allowed + 1, retry_at=world.later(5))


def quarantine(world, key, claim):
    outcomes.quarantine(world.ledger, claim, reason="alone")
    world.batches[key].goto(State.QUARANTINED, next_reason="batch_error")
    world.model.close("outage")


def hold_errored(world, key, claim):
    outcomes.hold_errored(world.ledger, claim, reason="budget")
    world.batches[key].goto(State.HELD, held_from=State.ERRORED, next_reason="batch_error")


def halves(items):
    middle = (len(items) + 1) // 2
    return [part for part in (items[:middle], items[middle:]) if part]


def go_on(world, key, claim, frm, reason, *, states=(), outage=None):
    """Split: the rows go on in two batches."""
    batch, paths = world.batches[key], world.live_path(key)
    new, files = world.cut(batch, halves(batch.items), reason, states)
    outcomes.split(
        world.ledger, claim, frm, new, add=files, remove=paths, reason="halved", outage=outage,
        probe_seconds=PROBE_SECONDS,
    )  # fmt: skip
    world.born(new, files, paths)
    batch.goto(State.SPLIT, moved=len(batch.items), retry_at=None)
    if outage is not None and world.model.circuit is None:
        world.model.open("outage", world.later(PROBE_SECONDS))


def split_errored(world, key, claim, outage):
    go_on(world, key, claim, State.ERRORED, "split", outage=outage)


def split_planned(world, key, claim, aside):
    """Too large, or refused for its first items: these are set aside."""
    states = (State.QUARANTINED, State.PLANNED) if aside else ()
    go_on(world, key, claim, State.PLANNED, world.batches[key].next_reason, states=states)


def land(world, key, claim, again):
    """Some of the items, or all, go on in a batch of their own."""
    batch, paths = world.batches[key], world.live_path(key)
    moved, stay = batch.items[:again], batch.items[again:]
    new, files = world.cut(batch, [moved] if moved else [], "item_error")
    version = (batch.version or 0) + 1
    landed = [world.write_file("transactions", stay, key, version)] if stay else []
    outcomes.land(
        world.ledger, claim, add=[*landed, *files], remove=paths, version=version, at=world.now, children=new,
        document=Document(RESULTS, f"results-{key}", len(batch.items)),
    )  # fmt: skip
    world.born(new, files, paths)
    world.add_live(landed)
    batch.goto(State.LANDED, version=version, moved=len(moved), retry_at=None)


def collect_later(world, key, claim):
    batch = world.batches[key]
    tries = outcomes.collect_later(world.ledger, claim, error="not ready", retry_at=world.later(5))
    batch.collect_tries, batch.retry_at = batch.collect_tries + 1, world.later(5)
    assert tries == batch.collect_tries


def hold_completed(world, key, claim):
    outcomes.hold_completed(world.ledger, claim, reason="unreadable")
    batch = world.batches[key]
    batch.goto(State.HELD, held_from=State.COMPLETED, collect_tries=batch.collect_tries + 1)


def lost(world, key):
    outcomes.lost(world.ledger, key, reason="404")
    world.batches[key].goto(State.HELD, held_from=State.SUBMITTED)


def hold_claimed(world, key, claim):
    outcomes.hold_claimed(world.ledger, claim, reason="422")
    world.batches[key].goto(State.HELD, held_from=State.PLANNED)


def hold_deadly(world):
    deadly = [b for b in world.batches.values() if b.kills >= DEADLY and b.state in IDLE]
    assert set(outcomes.hold_deadly(world.ledger, kills=DEADLY)) == {b.key for b in deadly}
    for batch in deadly:
        batch.goto(State.HELD, held_from=batch.state, kills=0)


def wrong_moves(world):
    """From where the batch is to where it may not go, and from where it is not."""
    for key, batch in world.batches.items():
        yield from ((key, batch.state, to) for to in State if to not in NEXT[batch.state])
        yield from ((key, frm, min(NEXT[frm])) for frm in State if NEXT[frm] and frm is not batch.state)


def wrong_move(world, key, frm, to):
    wanted = LostClaimError if to in NEXT[frm] else IllegalTransitionError
    with pytest.raises(EnrichError) as raised, world.ledger.write() as conn:
        move(conn, key, frm, to, now=world.now)
    assert raised.type is wanted
    raise raised.value


def owned(state):
    return lambda w, _, claim, *__: w.holds(claim, state)


def claims_with(*extras, least=1, most=99):
    """Claims on batches of a size, once with each of `extras`."""

    def find(world):
        found = [c for c in world.my_claims() if least <= len(world.batches[c[0]].items) <= most]
        return [(*c, extra) for c in found for extra in extras] if extras else found

    return find


def few(world):
    return len(world.batches) < MOST_BATCHES


CHANGED = (LostClaimError, ConflictError)
"""A split or a landing that comes too late finds its plan file gone, or its claim."""

PLANS = [
    Op("ingest", lambda w: [(2,), (4,), (9,)] if few(w) else [], always, ingest),
    Op("look", lambda w: [()] if w.model.waiting_changed > max(w.looks)[0] else [], always, look),
    Op("plan", lambda w: w.looks if few(w) else [],
       lambda w, seen, paths: w.model.waiting_changed <= seen and set(paths) <= w.model.live.keys(),
       plan, plan, (ConflictError,)),
]  # fmt: skip

ENDS = [
    Op("report", vendors, is_open, report, call_report, ()),
    Op("still_waiting", vendors, is_open, still_waiting, still_waiting, ()),
    Op("plan_again", claims_with(), owned(State.ERRORED), plan_again, plan_again, LOST),
    Op("quarantine", claims_with(most=1), owned(State.ERRORED), quarantine, quarantine, LOST),
    Op("hold_errored", claims_with(), owned(State.ERRORED), hold_errored, hold_errored, LOST),
    Op("split_errored", claims_with(None, "outage", least=2), owned(State.ERRORED), split_errored, split_errored,
       CHANGED),
    Op("split_planned", claims_with(True, False, least=2), owned(State.PLANNED), split_planned, split_planned, CHANGED),
    Op("land", claims_with(0), owned(State.COMPLETED), land, land, CHANGED),
    Op("land_with_again", claims_with(1, 2, least=2), owned(State.COMPLETED), land, land, CHANGED),
    Op("collect_later", claims_with(), owned(State.COMPLETED), collect_later, collect_later, LOST),
    Op("hold_completed", claims_with(), owned(State.COMPLETED), hold_completed, hold_completed, LOST),
    Op("lost", lambda w: [(k,) for k in w.batches], lambda w, k: w.batches[k].state is State.SUBMITTED, lost, lost,
       LOST),
    Op("hold_claimed", claims_with(), owned(State.PLANNED), hold_claimed, hold_claimed, LOST),
    Op("hold_deadly", lambda w: [()] if any(b.kills >= DEADLY for b in w.batches.values()) else [], always,
       hold_deadly),
    Op("wrong_move", wrong_moves, lambda *_: False, wrong_move, wrong_move, (LostClaimError, IllegalTransitionError)),
]  # fmt: skip
