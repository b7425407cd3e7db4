"""Planned batches to the API, by one sender at a time, never twice.

The order of things is design.md's "Sending, in two steps": intent recorded, POST with its last byte held back, released
by a guarded update, outcome recorded. What a failure means is decided by whether the last byte was released.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, NoReturn

from pipeline.api.client import ApiClient
from pipeline.api.encode import encode_batch
from pipeline.api.errors import ApiError, ConnectionFailed, FateUnknown, Invalid, NotSent, RateLimited, TooLarge
from pipeline.crashpoints import point
from pipeline.errors import IntegrityError
from pipeline.flow import journal
from pipeline.flow.erring import set_aside, split_by_size
from pipeline.flow.plan_files import read_plan
from pipeline.flow.senders import recover_dead_senders
from pipeline.flow.turn import Turn, sender
from pipeline.flow.workspace import Workspace
from pipeline.lake import files, tables
from pipeline.lake.durable import StorageError
from pipeline.ledger import batches, circuit, holders, manifest, outcomes, sending
from pipeline.ledger.batches import LostClaimError
from pipeline.ledger.claims import Claim
from pipeline.ledger.due import is_due
from pipeline.ledger.lease import LostLeaseError
from pipeline.ledger.postgres import since_boot
from pipeline.ledger.sending import Intent, NoCapacityError
from pipeline.ledger.states import State

CLOCK_AGE = 60.0
"""Seconds for which the server's clock is taken from its last answer; it was two hours old after a pause."""

OPENING_STATUSES = frozenset({401, 403, 404, 405, 423})
"""Refusals that no other batch would escape: they open the circuit (key, address or balance)."""


@dataclass(slots=True)
class SubmitReport:
    """What became of each batch of one step, by key."""

    submitted: dict[str, str] = field(default_factory=dict)
    """Key to the API's batch id."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Key to why it was left for later; nothing is wrong with it."""
    failed: dict[str, str] = field(default_factory=dict)
    """Key to what went wrong."""
    recovered: int = 0
    """Batches whose sending process had died."""
    disk: str | None = None
    """What the disk did not take, if anything: no trouble of a batch."""


class StopSendingError(Exception):
    """What happened to one batch would happen to the next: leave the others for later."""


def submit(
    ws: Workspace,
    client: ApiClient,
    keys: Sequence[str],
    *,
    run_id: str | None = None,
) -> SubmitReport:
    """Send those of `keys` that are planned, whose holders are confirmed and for which there is room.

    Never raises for what the API answers: see the report.
    """
    report = SubmitReport()
    try:
        _submit(ws, client, keys, report, run_id)
    finally:
        # Whatever was left for later may be asked for again at once, not only after `dispatch_seconds`.
        batches.undispatch(ws.ledger, [*report.skipped, *report.failed])
    return report


def _submit(
    ws: Workspace,
    client: ApiClient,
    keys: Sequence[str],
    report: SubmitReport,
    run_id: str | None,
) -> None:
    with sender(ws) as turn:
        if turn is None:
            report.skipped = dict.fromkeys(keys, "another process is sending")
            return
        report.recovered = recover_dead_senders(ws, turn)
        with ws.claimed(keys, {State.PLANNED}) as claims:
            report.skipped = {key: "not planned, or another step has it" for key in keys if key not in claims}
            _send_all(ws, client, turn, claims, report, run_id)


def _send_all(
    ws: Workspace,
    client: ApiClient,
    turn: Turn,
    claims: dict[str, Claim],
    report: SubmitReport,
    run_id: str | None,
) -> None:
    rest = list(claims)
    try:
        while rest:
            _learn_server_time(ws, client, report, rest)
            key = rest.pop(0)
            try:
                _send_one(ws, client, turn, claims[key], report, run_id)
            except LostLeaseError as lost:
                report.skipped[key] = str(lost)
                raise StopSendingError(str(lost)) from lost
            except LostClaimError as lost:  # put on hold by a person, or taken over while this process was stopped
                report.skipped[key] = str(lost)
    except StopSendingError as stop:
        for key in rest:
            report.skipped[key] = str(stop)


def _learn_server_time(ws: Workspace, client: ApiClient, report: SubmitReport, rest: list[str]) -> None:
    """Read the server's clock before an intent: the window in which a lost batch is looked for begins there.

    With our own clock twenty minutes ahead, a batch that was accepted lay outside of it and was sent again. A refused
    key is noticed here too, before anything is sent.
    """
    if client.silence < CLOCK_AGE:
        return
    try:
        next(client.iter_batches(page_size=1), None)
    except ApiError as error:
        report.failed[rest.pop(0)] = str(error)
        open_if_final(ws, error)
        raise StopSendingError(str(error)) from error


def open_if_final(ws: Workspace, error: ApiError) -> bool:
    """Open the circuit after a refusal that no other call would escape; True when it was one."""
    if error.status not in OPENING_STATUSES:
        return False
    with ws.ledger.write() as conn:
        circuit.open_circuit(
            conn, status=error.status, reason=str(error), now=ws.ledger.now(), probe_seconds=ws.limits.probe_seconds
        )
        manifest.touch(conn)
    return True


def _send_one(
    ws: Workspace, client: ApiClient, turn: Turn, claim: Claim, report: SubmitReport, run_id: str | None
) -> None:
    key = claim.batch_key
    row = batches.by_keys(ws.ledger, [key])[key]
    if not is_due(row.next_attempt_at, ws.ledger.now(), ws.ledger.longest.retry):
        report.skipped[key] = f"its back-off lasts until {row.next_attempt_at:%H:%M:%S} UTC"
        return
    try:
        plan = read_plan(ws, key)
    except IntegrityError as error:  # it stopped every other batch as well
        why = f"{error}; `enrich rebuild` makes it again, then `enrich release {key}`"
        outcomes.hold_claimed(ws.ledger, claim, reason=why)
        report.failed[key] = f"held: {why}"
        return
    if not _holders_ready(ws, claim, plan["account_holder_id"].drop_nulls().unique().to_list(), report):
        return
    body = encode_batch(plan)
    point("submit.before_reserve")
    try:
        intent = sending.reserve(
            ws.ledger, claim, ws.limits, fingerprint=sha256(body).hexdigest(), server_clock=_naive(client.server_time),
            run_id=run_id, lease=turn.lease,
        )  # fmt: skip
    except NoCapacityError as full:
        report.skipped[key] = str(full)
        raise StopSendingError(str(full)) from full
    point("submit.after_reserve")
    _journal(ws, row, intent, report)
    point("submit.after_journal")
    _post(ws, client, turn, intent, body, report)


def _journal(ws: Workspace, row: Any, intent: Intent, report: SubmitReport) -> None:
    try:
        journal.note_intent(ws.archive, row, intent.sequence, at=intent.reserved_at)
    except StorageError as error:
        _not_noted(ws, intent, error, report)


def _not_noted(ws: Workspace, intent: Intent, error: StorageError, report: SubmitReport) -> NoReturn:
    """A ledger that is put back later must be found out, so nothing goes out without its line in the journal."""
    retry_at = ws.later(ws.settings.scaled(ws.settings.backoff_base / 2))
    sending.not_sent(ws.ledger, intent, ws.bucket, error=str(error), retry_at=retry_at)
    report.failed[intent.claim.batch_key] = report.disk = str(error)
    raise StopSendingError(str(error)) from error


def waits_for_holders(ws: Workspace, key: str) -> bool:
    """Whether a planned batch names a holder that has yet to be created: a run for it would only put it off.

    Asked for nevertheless it would lie for `dispatch_seconds` once its holders are there.
    """
    with ws.ledger.read() as conn:
        plan_files = [row.path for row in manifest.live(conn, "plan", batch_key=key)]
    try:
        named = files.read_table(ws.lake, plan_files, ["account_holder_id"], table=tables.PLAN)["account_holder_id"]
    except IntegrityError:  # the step that is to send it says so, and holds it
        return False
    return holders.WANTED in holders.unconfirmed(ws.ledger, set(named.drop_nulls())).values()


def _holders_ready(ws: Workspace, claim: Claim, ids: list[str], report: SubmitReport) -> bool:
    missing = holders.unconfirmed(ws.ledger, ids)
    wrong = sorted(i for i, state in missing.items() if state == holders.MISMATCH)
    if wrong:
        why = f"{len(wrong)} of its account holders cannot be used, such as {wrong[0]}; see account_holders.detail"
        outcomes.hold_claimed(ws.ledger, claim, reason=why)
        report.failed[claim.batch_key] = f"held: {why}"
    elif missing:
        report.skipped[claim.batch_key] = f"{len(missing)} of its account holders are not created yet"
    return not missing


def _post(ws: Workspace, client: ApiClient, turn: Turn, intent: Intent, body: bytes, report: SubmitReport) -> None:
    key = intent.claim.batch_key
    released = False

    def release() -> None:
        nonlocal released
        point("submit.before_release")
        noted = journal.note_let_go(ws.archive, key, intent.sequence, at=ws.ledger.now())
        point("submit.after_note")
        began = since_boot()
        try:
            sending.release(ws.ledger, intent, turn.lease)
        except BaseException:  # a full disk, say: the byte is withheld, and three such disks must not hold the batch
            with suppress(StorageError):  # then it is looked for until the grace is over
                journal.take_back(ws.archive, noted)
            raise
        turn.renewed_at(began)
        released = True
        point("submit.after_release")
        turn.require_certain()

    try:
        batch = client.submit_batch(body, release=release)
    except LostClaimError as lost:
        if released:
            sending.not_sent(ws.ledger, intent, ws.bucket, error=str(lost), retry_at=None, let_go=True)
        raise
    except StorageError as error:
        _not_noted(ws, intent, error, report)
    except FateUnknown as error:
        point("unconfirmed.before_commit")
        sending.unconfirmed(ws.ledger, key, intent.sequence, error=str(error), request_id=error.request_id)
        point("unconfirmed.after_commit")
        report.failed[key] = f"unconfirmed: {error}"
        raise StopSendingError("the fate of the batch before is not known yet") from error
    except ApiError as error:
        _refused(ws, intent, error, report, released=released)
    else:
        point("submit.after_answer")
        if sending.submitted(ws.ledger, intent, ws.bucket, vendor_batch_id=batch.id, request_id=client.request_id):
            report.submitted[key] = batch.id
            point("submit.after_record")
        else:
            report.failed[key] = f"attempt {intent.sequence} was accepted after it had been sent again: charged twice"


def _refused(ws: Workspace, intent: Intent, error: ApiError, report: SubmitReport, *, released: bool) -> None:
    """Provably not accepted: nothing was charged. What follows depends on whether it could ever be accepted."""
    key, text = intent.claim.batch_key, str(error)
    report.failed[key] = text
    opens = error.status in OPENING_STATUSES
    later = error.fate == "transient" or isinstance(error, (NotSent, ConnectionFailed)) or error.status is None
    retry_at = None if opens or not later else _retry_at(ws, error)
    point("refused.before_commit")
    if released:
        sending.refused(ws.ledger, intent, ws.bucket, error=text, request_id=error.request_id, retry_at=retry_at)
    else:
        sending.not_sent(ws.ledger, intent, ws.bucket, error=text, retry_at=retry_at)
    point("refused.after_commit")
    if opens or later:
        open_if_final(ws, error)
        raise StopSendingError(f"the API did not take the batch before: {text}")
    report.failed[key] = _refused_for_good(ws, intent.claim, error)


def _retry_at(ws: Workspace, error: ApiError) -> datetime:
    """When to try again. Too many calls or credits concern the account, so every other batch waits as well."""
    s = ws.settings
    wait = s.scaled(error.retry_after if error.retry_after is not None else s.backoff_base / 2)
    refusal = error.__cause__ if isinstance(error, NotSent) else error
    if isinstance(refusal, RateLimited):
        return sending.throttled(ws.ledger, seconds=wait, longest=s.scaled(s.backoff_max))
    return ws.later(min(wait, ws.ledger.longest.retry))


def _refused_for_good(ws: Workspace, claim: Claim, error: ApiError) -> str:
    """These items would be refused again: the ones that the API names are set aside and the others are sent."""
    text = str(error)
    row = batches.by_keys(ws.ledger, [claim.batch_key])[claim.batch_key]
    if isinstance(error, TooLarge) and row.rows > 1:
        split_by_size(ws, claim, row, text)
        return f"split: {text}"
    bad = _positions(error, row.rows) if isinstance(error, Invalid) else set()
    if bad:
        set_aside(ws, claim, row, bad, text)
        return f"{len(bad)} of its items are quarantined, the others are sent in a batch of their own: {text}"
    outcomes.hold_claimed(ws.ledger, claim, reason=text)
    return f"held: {text}"


def _positions(error: Invalid, rows: int) -> set[int]:
    """Indexes of the items that a 422 names, as in `["body", "data", 3, "amount"]`."""
    named = (part[2] for part, _ in error.locations if part[:2] == ("body", "data") and len(part) > 2)  # noqa: PLR2004
    return {index for index in named if isinstance(index, int) and 0 <= index < rows}


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else (moment - (moment.utcoffset() or timedelta(0))).replace(tzinfo=None)
