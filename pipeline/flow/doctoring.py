"""Is everything in order here, and at the API? Said in sentences; closes the circuit where a look proves it.

Belongs here: the checks of `enrich doctor`. It sends no transaction, so that a look costs nothing.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime

from pipeline.api.client import ApiClient
from pipeline.api.errors import ApiError
from pipeline.flow.health import health
from pipeline.flow.workspace import Workspace
from pipeline.lake.warehouse import current
from pipeline.ledger import batches, circuit, manifest, operating
from pipeline.ledger.db import self_check
from pipeline.ledger.states import State

OUT_OF_CREDITS = 423
ROOM_BYTES = 1_000_000_000
SKEW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `ok`: None where it is a fact and no judgement."""

    what: str
    ok: bool | None
    says: str
    hint: str = ""


def examine(ws: Workspace, client: ApiClient, *, who: str) -> list[Finding]:
    """Look at everything. An open circuit is closed or gets its probe at once; see `_circuit`."""
    found = [_room(ws), _ledger(ws)]
    api = _api(ws, client)
    found += [api, *_clock(ws, client), _circuit(ws, api_ok=bool(api.ok), who=who)]
    return [*found, *_work(ws), _warehouse(ws)]


def _room(ws: Workspace) -> Finding:
    free = shutil.disk_usage(ws.home).free
    says = f"{ws.home}, {free / 1e9:.1f} GB free"
    return Finding("data folder", free > ROOM_BYTES, says, "Make room: nothing is lost, but nothing can be landed.")


def _ledger(ws: Workspace) -> Finding:
    with ws.ledger.read() as conn:
        verdict = self_check(conn)
        revision = manifest.revision(conn)
    return Finding(
        "ledger", verdict == "ok", f"revision {revision}, {verdict}", "`enrich restore` puts a backup in place."
    )


def _api(ws: Workspace, client: ApiClient) -> Finding:
    try:
        open_ = list(client.iter_batches(status="processing"))
    except ApiError as error:
        return Finding("API", False, str(error), error.hint or "It is tried again by itself.")
    ours = {row.vendor_batch_id for row in batches.in_states(ws.ledger, *State)}
    foreign = sum(batch.id not in ours for batch in open_)
    says = f"{ws.settings.source} answers and accepts the key; {len(open_)} batches are processing"
    if foreign:
        return Finding(
            "API", True, f"{says}, {foreign} of them not ours: they take places and credits that we count on"
        )
    return Finding("API", True, says)


def _clock(ws: Workspace, client: ApiClient) -> list[Finding]:
    if client.server_time is None:
        return []
    ours: datetime = ws.ledger.now()
    skew = (ours - client.server_time.replace(tzinfo=None)).total_seconds()
    where = "this machine's clock" if ws.ledger.one_host else "the clock of the ledger's server"
    hint = f"Set {where}: back-off and grace are counted on it."
    return [Finding("clock", abs(skew) < SKEW_SECONDS, f"{skew:+.0f} s from the API's", hint)]


def _circuit(ws: Workspace, *, api_ok: bool, who: str) -> Finding:
    """A key that the API takes again proves a refused key over; for credits and outages only a batch can tell."""
    with ws.ledger.write() as conn:
        opened = circuit.opened(conn)
        if opened is None:
            return Finding("circuit", True, "closed: batches are sent")
        if opened.kind == circuit.REFUSAL and opened.status != OUT_OF_CREDITS and api_ok:
            circuit.close(conn)
            operating.record(conn, ws.ledger.now(), who, "close circuit", None, opened.reason)
            manifest.touch(conn)
            return Finding("circuit", True, f"closed now; it was open since {opened.opened_at:%Y-%m-%d %H:%M} UTC")
    if opened.kind == circuit.RESTORED:
        return Finding("circuit", False, f"open: {opened.reason}", "Nothing else closes it.")
    circuit.probe_now(ws.ledger)
    hint = "The next batch that is sent tries whether that is over: run again, or let the sensors do it."
    return Finding("circuit", False, f"open: {opened.reason}", hint)


def _work(ws: Workspace) -> list[Finding]:
    report = health(ws)
    quarantined = batches.in_states(ws.ledger, State.QUARANTINED)
    unknown = batches.in_states(ws.ledger, State.UNCONFIRMED)
    hint = "`enrich status` lists them, with what to type."
    return [
        Finding("held batches", not report.held, str(len(report.held)), hint),
        Finding("quarantined batches", not quarantined, str(len(quarantined)), hint),
        Finding(
            "overdue batches", not report.overdue, str(len(report.overdue)), "They are watched, and land when they end."
        ),
        Finding("batches of unknown fate", None, str(len(unknown))),
    ]


def _warehouse(ws: Workspace) -> Finding:
    head = manifest.head(ws.ledger)
    behind = head.revision - head.published_revision
    if head.published_revision and current(ws.home) is None:
        return Finding(
            "warehouse", False, "warehouse.duckdb is gone", "`enrich rebuild` or `enrich run` makes it again."
        )
    says = f"revision {head.published_revision}" + (f", {behind} behind the data" if behind else ", up to date")
    return Finding("warehouse", behind == 0, says, "It is published by itself; if not, look at the check `identity`.")
