"""How a batch is sent, and what is done when nobody knows whether it arrived: a model of explicit states.

Here is the protocol of design.md ("Sending, in two steps", "Recovery") with the world that it lives in, as one
function: `steps(state, rules, world)` gives everything that can happen next. What the state consists of is in
`model_parts`, the search in `explore`.

Two processes share one ledger. Each is idle, sends a batch, or recovers:

    send:     idle ─ reserve ─► RESERVED ─ release ─► RELEASED ─ last byte ─► WAITING ─ answer or time-out ─► idle
    recover:  idle ─ begin ─► BEGUN ─ walk the list ─► READING the ids of what is done ─► DECIDING one by one ─► idle

Whoever sends has the lock from `reserve` until it is idle again. A kill makes a process idle, at any step. A pause
(SIGSTOP) needs no step of its own: a process that takes none while time passes is paused, for as long as one likes.
Each step is one commit, or one thing that somebody else does; between two of them everybody may take any number.

The world: a request whose last byte is out is in the network for up to `late` ticks, then it arrives or is lost; once
accepted (and charged) it is listed within `lag` ticks; it ends done or in error. Somebody else may use the account.
All batches have the same total, the worst case. Each new attempt needs a fault before it, so that with so many `faults`
the states are finite, without a bound on attempts.

Left out, and why that hides nothing. The window of candidates: without it there are more of them, which costs waiting
only. The veto of a first transaction that exists: a 404 proves nothing, so it may always come, and the veto only turns
sending again into holding. Attempts used up and candidates that never end: a person decides. The walk is one look: the
list at the moment of the look is the least that a walk begun earlier may have found.
"""

from __future__ import annotations

from collections.abc import Iterator

from model_parts import (
    ACCEPTED,
    ATTEMPT,
    BEGUN,
    CHARGED_TWICE,
    DECIDING,
    DONE,
    ERROR,
    FOREIGN,
    IDLE,
    NETWORK,
    PROCESSING,
    READING,
    RELEASED,
    RESERVED,
    SENDING_STEPS,
    THEIRS,
    UNEXPLAINED,
    WAITING,
    WRONG_LANDING,
    All,
    Intent,
    Key,
    Process,
    Rules,
    Sent,
    Step,
    World,
)  # fmt: skip

from pipeline.ledger.states import SLOT_STATES, State

Next = Iterator[tuple[Step, All]]
Seen = tuple[tuple[Key, str], ...]


def steps(s: All, rules: Rules, world: World) -> Next:
    """Everything that can happen next."""
    for i, process in enumerate(s.processes):
        who = f"process {i + 1}"
        if process.at == IDLE:
            yield from _begin_sending(s, rules, world, i, who)
            yield from _begin_recovery(s, rules, i, who)
        elif process.at in SENDING_STEPS:
            yield from _send(s, rules, i, who)
            if s.faults:
                yield Step(who, "is killed while it sends", process.batch), _idle(s, i).fault()
        else:
            yield from _recover(s, rules, i, who)
            yield Step(who, "is killed while it recovers"), _idle(s, i)
    yield from _collect(s)
    yield from _world(s, world)
    if (later := _tick(s, rules, world)) is not None:
        yield Step("clock", "a tick passes"), later


def _idle(s: All, i: int) -> All:
    return s.with_process(i, Process())


# -- sending ----------------------------------------------------------------------------------------------------


def _begin_sending(s: All, rules: Rules, world: World, i: int, who: str) -> Next:
    """Take the lock, tidy up after dead senders, reserve. One step: under the lock nobody else does any of it."""
    if any(p.at in SENDING_STEPS and (rules.lock != "lease" or p.stale < rules.lease) for p in s.processes):
        return
    tidied = _tidied(s, rules) if rules.tidies_up else s
    if tidied.own != s.own:
        yield Step(who, "tidies up after dead senders"), tidied
    if sum(own.state in SLOT_STATES for own in tidied.own) >= world.slots:
        return
    for k, own in enumerate(tidied.own):
        if own.state is State.PLANNED:
            new = own._replace(state=State.RESERVED, attempt=own.attempt + 1, clock=0, sent=None)
            yield Step(who, "reserves", k), tidied.with_own(k, new).with_process(i, Process(RESERVED, k, new.attempt))


def _tidied(s: All, rules: Rules) -> All:
    """Nobody is sending: what is reserved was provably never let go, what is sending may have arrived."""
    for k, own in enumerate(s.own):
        if own.state is State.RESERVED:
            s = s.with_own(k, own._replace(state=State.PLANNED, clock=0))
        elif own.state is State.SENDING:
            s = _unconfirmed(s, rules, k)
    return s


def _unconfirmed(s: All, rules: Rules, k: int) -> All:
    """The commit that is the fence."""
    if rules.window == "begun late":
        s = s._replace(sent=tuple(v._replace(before_fence=v.place in ACCEPTED) for v in s.sent))
    clock = s.own[k].clock if rules.grace_from == "intent" else 0
    return s.with_own(k, s.own[k]._replace(state=rules.unknown_fate, clock=clock))


def _send(s: All, rules: Rules, i: int, who: str) -> Next:
    process = s.processes[i]
    k, own = process.batch, s.own[process.batch]
    reserved = own.attempt == process.attempt and own.state is State.RESERVED
    first, second = (RESERVED, RELEASED) if rules.holds_back_last_byte else (RELEASED, RESERVED)
    if process.at == WAITING:
        yield from _outcome(s, rules, i, who)
        return
    after = process._replace(at=RELEASED if process.at == RESERVED else WAITING, stale=0)
    if process.at == second:
        sent = Sent(k, process.attempt, own.after_error)
        yield Step(who, "hands over the last byte of", k), s.with_sent(sent).with_process(i, after)
    elif process.at == first and reserved:  # the guarded update
        released = s.with_own(k, own._replace(state=State.SENDING))
        yield Step(who, "commits the release of", k), released.with_process(i, after)
    else:
        yield Step(who, "has lost its reservation of", k), _idle(s, i)
    if process.at == RESERVED and reserved and s.faults:
        yield Step(who, "cannot connect for", k), _idle(s.with_own(k, own._replace(state=State.PLANNED)), i).fault()


def _outcome(s: All, rules: Rules, i: int, who: str) -> Next:
    """The answer, in the end; or a refusal; or, at any time, a time-out."""
    process, own = s.processes[i], s.own[s.processes[i].batch]
    k, key = process.batch, (process.batch, process.attempt)
    sent, current = s.find(key), own.attempt == process.attempt
    if sent is not None and sent.place in ACCEPTED:
        known = s.booked(key, ATTEMPT)
        if current and own.state in {State.SENDING, State.UNCONFIRMED}:
            known = known.with_own(k, own._replace(state=State.SUBMITTED, clock=0, sent=key))
        yield Step(who, "records the answer for", k), _idle(known, i)
    elif sent is not None and s.faults and current and own.state is State.SENDING:
        refused = s.without(key).with_own(k, own._replace(state=State.PLANNED, clock=0))
        yield Step(who, "is refused", k), _idle(refused, i).fault()
    fenced = _unconfirmed(s, rules, k) if own.state is State.SENDING else s
    yield Step(who, "gives up waiting for the answer to", k), _idle(fenced, i)


# -- recovering -------------------------------------------------------------------------------------------------


def _begin_recovery(s: All, rules: Rules, i: int, who: str) -> Next:
    if all(own.state is not State.UNCONFIRMED for own in s.own):
        return
    if rules.walk == "full, before the intents":
        yield Step(who, "walks the list"), s.with_process(i, Process(BEGUN, seen=_listed(s)))
    else:
        begun = Process(BEGUN, intents=_intents(s, rules))
        yield Step(who, "reads the intents, notes the time"), s.with_process(i, begun)


def _intents(s: All, rules: Rules) -> tuple[Intent, ...]:
    unconfirmed = ((k, own) for k, own in enumerate(s.own) if own.state is State.UNCONFIRMED)
    return tuple(Intent(k, own.attempt, own.clock > rules.grace) for k, own in unconfirmed)


def _listed(s: All) -> Seen:
    """What a full walk finds and the ledger does not know."""
    return tuple((v.key, v.place) for v in s.sent if v.listed and v.book is None and not v.before_fence)


def _recover(s: All, rules: Rules, i: int, who: str) -> Next:
    process = s.processes[i]
    if process.at == DECIDING:
        yield _decide(s, rules, i, who)
    elif process.at == READING:
        yield _read_ids(s, rules, i, who)
    elif rules.walk == "full, before the intents":
        yield Step(who, "reads the intents, notes the time"), _seen(s, rules, i, _intents(s, rules), process.seen)
    else:
        yield Step(who, "walks the list"), _seen(s, rules, i, process.intents, _listed(s))
        if rules.walk == "first page" and _listed(s):
            yield Step(who, "walks the first page of the list"), _seen(s, rules, i, process.intents, ())


def _seen(s: All, rules: Rules, i: int, intents: tuple[Intent, ...], seen: Seen) -> All:
    """Next are the ids of those that are done; then the decisions, where there is anything to decide."""
    if rules.adoption == "ids" and any(place == DONE for _, place in seen):
        return s.with_process(i, Process(READING, intents=intents, seen=seen))
    unknown = {sent.key for sent in s.sent if sent.book is None}
    seen = tuple((key, place) for key, place in seen if key in unknown)
    intents = tuple(intent for intent in intents if _is_decided(rules, intent, seen))
    return s.with_process(i, Process(DECIDING, intents=intents, seen=seen) if intents else Process())


def _is_decided(rules: Rules, intent: Intent, seen: Seen) -> bool:
    live = sum(place != ERROR for _, place in seen)
    if live:
        return rules.adoption == "total" and live == 1  # of several, nothing tells which
    return intent.over or rules.absence_at == "use" or (rules.error_is == "ours" and bool(seen))


def _read_ids(s: All, rules: Rules, i: int, who: str) -> tuple[Step, All]:
    """By ids only: ours is adopted, somebody else's is foreign for good, what another process is sending is left."""
    process = s.processes[i]
    key = next(key for key, place in process.seen if place == DONE)
    of, rest = key[0], tuple(pair for pair in process.seen if pair[0] != key)
    wanted = next((intent for intent in process.intents if intent.batch == of), None)
    if wanted is not None:
        if not _still(s, rules, wanted):
            return Step(who, "finds that somebody else decided", of), _idle(s, i)
        intents = tuple(intent for intent in process.intents if intent is not wanted)
        return Step(who, "proves by its ids, and adopts,", of), _seen(_adopted(s, of, key), rules, i, intents, rest)
    if of == THEIRS or rules.foreign_if == "no ids of the intents":
        return Step(who, "disowns by its ids", of), _seen(s.booked(key, FOREIGN), rules, i, process.intents, rest)
    left = (*rest, (key, PROCESSING))
    return Step(who, "finds by its ids, and leaves,", of), _seen(s, rules, i, process.intents, left)


def _still(s: All, rules: Rules, intent: Intent) -> bool:
    """The guard of a recoverer's write."""
    own = s.own[intent.batch]
    return own.state is State.UNCONFIRMED and (own.attempt == intent.attempt or not rules.writes_name_attempt)


def _adopted(s: All, k: int, key: Key) -> All:
    return s.booked(key, ATTEMPT).with_own(k, s.own[k]._replace(state=State.SUBMITTED, clock=0, sent=key))


def _decide(s: All, rules: Rules, i: int, who: str) -> tuple[Step, All]:
    process = s.processes[i]
    (k, _, over), rest = process.intents[0], process.intents[1:]
    then = process._replace(intents=rest) if rest else Process()
    if not _still(s, rules, process.intents[0]):
        return Step(who, "finds that somebody else decided", k), _idle(s, i)
    live = [key for key, place in process.seen if place != ERROR]
    if live:
        return Step(who, "adopts by its total", k), _adopted(s, k, live[0]).with_process(i, then)
    own, errored = s.own[k], [key for key, _ in process.seen]
    if rules.absence_at == "use":
        over = own.clock > rules.grace
    if not over and not (errored and rules.error_is == "ours"):
        return Step(who, "waits for the grace of", k), s.with_process(i, then)
    for key in errored if rules.errored_is_disowned else ():
        s = s.booked(key, FOREIGN)
    gone = own._replace(state=State.PLANNED, clock=0, after_error=own.after_error or bool(errored))
    what = "finds one in error that may be" if errored else "proves absent"
    return Step(who, what, k), s.with_own(k, gone).with_process(i, then)


# -- watching and landing, the API, the network, time -----------------------------------------------------------


def _collect(s: All) -> Next:
    """What follows where the ledger has the batch's id. Whoever does it, each is one guarded update."""
    for k, own in enumerate(s.own):
        sent = s.find(own.sent)
        place = sent.place if sent is not None else None
        if own.state is State.SUBMITTED and place == DONE:
            yield Step("watch", "reports the end of", k), s.with_own(k, own._replace(state=State.COMPLETED))
        elif own.state is State.SUBMITTED and place == ERROR:
            yield Step("watch", "reports the error of", k), s.with_own(k, own._replace(state=State.ERRORED))
        elif own.state is State.COMPLETED:
            landed = s.with_own(k, own._replace(state=State.LANDED))
            wrong = own.sent is None or own.sent[0] != k
            yield Step("collect", "lands", k), landed._replace(broken=WRONG_LANDING) if wrong else landed
        elif own.state is State.ERRORED:
            again = own._replace(state=State.PLANNED, after_error=True, sent=None)
            yield Step("collect", "plans again after its error", k), s.with_own(k, again)


def _world(s: All, world: World) -> Next:
    if s.theirs:
        new = Sent(THEIRS, s.theirs, place=PROCESSING, listed=True)
        yield Step("API", "accepts", THEIRS), s.with_sent(new)._replace(theirs=s.theirs - 1)
    for sent in s.sent:
        if sent.place == NETWORK:
            yield Step("API", "accepts", sent.of), _accepted(s, sent, listed=world.lag == 0)
            if s.faults:
                yield Step("network", "loses", sent.of), s.without(sent.key).fault()
        elif not sent.listed:
            yield Step("API", "lists", sent.of), s.with_sent(sent._replace(listed=True, age=0))
        if sent.place == PROCESSING:
            yield Step("API", "completes", sent.of), s.with_sent(sent._replace(place=DONE))
            if s.faults:
                yield Step("API", "ends in error", sent.of), s.with_sent(sent._replace(place=ERROR)).fault()


def _accepted(s: All, sent: Sent, *, listed: bool) -> All:
    """Charged. Never while another of the same batch is alive, and after one in error only with that as its reason."""
    others = {v.place for v in s.sent if v.of == sent.of and v.key != sent.key}
    broken = ""
    if others & {PROCESSING, DONE}:
        broken = CHARGED_TWICE
    elif ERROR in others and not sent.after_error:
        broken = UNEXPLAINED
    return s.with_sent(sent._replace(place=PROCESSING, listed=listed, age=0))._replace(broken=broken)


def _tick(s: All, rules: Rules, world: World) -> All | None:
    """One tick later; None while something must happen first, and where no time is counted."""
    if any(v.ages and v.age >= (world.late if v.place == NETWORK else world.lag) for v in s.sent):
        return None
    counted = {State.UNCONFIRMED} if rules.grace_from == "fence" else {State.RESERVED, State.SENDING, State.UNCONFIRMED}
    later = s._replace(
        sent=tuple(v._replace(age=v.age + 1) if v.ages else v for v in s.sent),
        own=tuple(o._replace(clock=min(o.clock + 1, rules.grace + 1)) if o.state in counted else o for o in s.own),
    )
    if rules.lock == "lease":
        sending = (p._replace(stale=min(p.stale + 1, rules.lease)) if p.at in SENDING_STEPS else p for p in s.processes)
        later = later._replace(processes=tuple(sending))
    return None if later == s else later
