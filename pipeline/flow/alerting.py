"""What a person should be told now, each with a stable key and a sentence that says what to do.

Reads only; telling is `telling`'s. The sentences have batch keys, counts and times and no free text: a reason that the
API or a person gave may quote a transaction. `enrich status` shows the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from pipeline.flow.health import health
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches, circuit, inbox, manifest, schema, sending
from pipeline.ledger.states import State

EXAMPLES = 3
MOST_HELD = 20
"""Held batches that get an alert each; the rest share one, so that hundreds do not flood whoever is told."""

STALLED_AFTER = timedelta(days=1)
"""On the API's clock."""

Alert = tuple[str, str]
"""Stable key, and the sentence."""


def alerts(ws: Workspace) -> dict[str, str]:
    """Sentence by stable key of all that a person should know now. Costs milliseconds; calls nobody."""
    report = health(ws)
    found: list[Alert] = [*_overdue(report.overdue), *_held(sorted(report.held)), *_quarantined(ws), *_circuit(ws)]
    return dict([*found, *_caps(ws), *_stalled(ws, report.oldest_unfinished), *_webhooks(ws)])


def _such_as(keys: Sequence[str]) -> str:
    return ", ".join(keys[:EXAMPLES]) + (", …" if len(keys) > EXAMPLES else "")


def _overdue(keys: Sequence[str]) -> Iterator[Alert]:
    if keys:
        text = (
            f"{len(keys)} batch(es) are under way for longer than ENRICH_OVERDUE_AFTER ({_such_as(keys)}): they are"
            " watched and landed when they end; if none does, ask the API's support"
        )
        yield "overdue", text


def _held(keys: Sequence[str]) -> Iterator[Alert]:
    for key in keys[:MOST_HELD]:
        yield (
            f"held:{key}",
            f"batch {key} is held: see why with `enrich status`, then `enrich retry {key}` or `enrich release {key}`",
        )
    if rest := keys[MOST_HELD:]:
        yield "held:more", f"{len(rest)} more batches are held ({_such_as(rest)}): `enrich status` lists them all"


def _quarantined(ws: Workspace) -> Iterator[Alert]:
    rows = batches.in_states(ws.ledger, State.QUARANTINED)
    if rows:
        keys, items = [row.batch_key for row in rows], sum(row.rows for row in rows)
        text = (
            f"{items} item(s) are quarantined ({_such_as(keys)}): see why in `what_went_wrong`;"
            " `enrich retry BATCH` sends them again"
        )
        yield "quarantined", text


def _circuit(ws: Workspace) -> Iterator[Alert]:
    with ws.ledger.read() as conn:
        opened = circuit.opened(conn)
    if opened is not None:
        since = f"nothing is sent since {opened.opened_at:%Y-%m-%d %H:%M} UTC"
        yield f"circuit:{opened.kind}", f"{since}: {_what_is_wrong(opened)}"


def _what_is_wrong(opened: Any) -> str:
    if opened.kind == circuit.RESTORED:
        return "the ledger is older than what was sent; `enrich reconcile` compares it with the API's list"
    if opened.kind == circuit.OUTAGE:
        return "every batch ends in error; one tries again now and then, and if none completes ask the API's support"
    status = f" ({opened.status})" if opened.status else ""
    return f"the API refuses the key, or credits have run out{status}; mend it, then `enrich doctor`"


def _caps(ws: Workspace) -> Iterator[Alert]:
    """Caps that what waits will run into. The API tells no balance: that credits ran out shows at the circuit."""
    a, day = schema.attempts, ws.ledger.now().replace(hour=0, minute=0, second=0, microsecond=0)
    caps = (
        ("DAY", ws.settings.spend_cap_day, "tomorrow", day),
        ("MONTH", ws.settings.spend_cap_month, "next month", day.replace(day=1)),
    )
    with ws.ledger.read() as conn:
        waiting = sum(row.rows for row in manifest.live(conn, "waiting"))
        spent = {name: sending.spent(conn, a.c.reserved_at >= start) for name, _, _, start in caps}
        b = schema.batches
        planned = conn.execute(select(func.sum(b.c.rows - b.c.rows_moved)).where(b.c.state == State.PLANNED)).scalar()
    wanted = waiting + int(planned or 0)
    for name, cap, later, _ in caps:
        if cap is not None and wanted > (left := max(0, cap - spent[name])):
            text = (
                f"ENRICH_SPEND_CAP_{name} leaves {left} credits for {wanted} rows that wait:"
                f" raise it, or the rest is sent {later} at the soonest"
            )
            yield f"cap:{name.lower()}", text


def _stalled(ws: Workspace, oldest: float) -> Iterator[Alert]:
    """`oldest`: age in seconds of the oldest row that waits for the pipeline and not for a person."""
    limit = ws.settings.scaled(STALLED_AFTER.total_seconds())
    last: datetime | None = ws.ledger.rows(select(func.max(schema.batches.c.landed_at)))[0][0]
    if oldest > limit and (last is None or last < ws.later(-limit)):
        since = "ever" if last is None else f"since {last:%Y-%m-%d %H:%M} UTC"
        yield (
            "stalled",
            f"rows wait for longer than a day and nothing has landed {since}: `enrich doctor` looks for the cause",
        )


def _webhooks(ws: Workspace) -> Iterator[Alert]:
    texts = {
        inbox.OFF: "was switched off by the API after failed deliveries, and is on again: see that the receiver"
        " (`enrich webhooks serve`) can be reached; the poll does its work",
        inbox.GONE: "is gone at the API: `enrich webhooks register` makes it again; the poll does its work",
    }
    for webhook_id, trouble in inbox.troubles(ws.ledger).items():
        yield f"webhook:{webhook_id}", f"webhook {webhook_id} {texts[trouble]}"
