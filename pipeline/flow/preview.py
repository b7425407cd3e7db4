"""What sending would come to, before anything is spent: batches, credits, time, and what is in the way. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.flow.planning import cuts
from pipeline.flow.workspace import Workspace
from pipeline.ledger import batches, holders, manifest, sending
from pipeline.ledger import credits as bucket
from pipeline.ledger.states import State


@dataclass(frozen=True, slots=True)
class Preview:
    """`cut`: items of the batches that waiting rows would make; `planned`: of those that are cut and not sent."""

    cut: list[int]
    planned: list[int]
    new_holders: int
    credits: int
    in_bucket: int
    seconds: float
    """Until the last of them can be sent, by credits and new account holders alone, on the API's clock."""
    obstacle: str | None


def preview(ws: Workspace) -> Preview:
    """Look at what waits and what is planned."""
    with ws.ledger.read() as conn:
        waiting = sum(row.rows for row in manifest.live(conn, "waiting"))
        level = bucket.level(conn, ws.bucket, now=ws.ledger.now())
    planned = [row.rows for row in batches.in_states(ws.ledger, State.PLANNED)]
    cut = cuts(waiting, 0, ws.settings, flush=True)
    credits_ = sum(cut) + sum(planned)
    new = holders.counts(ws.ledger).get(holders.WANTED, 0)
    s = ws.settings
    missing = max(0.0, credits_ - level)
    # 100 account holders a second are documented; half of that is used.
    seconds = missing / s.credits_per_second + new / (100 * s.rate_limit_share)
    with ws.ledger.read() as conn:
        largest = max([*cut, *planned], default=0)
        why = sending.obstacle(conn, ws.limits, largest, now=ws.ledger.now(), run_id=None) if largest else None
    if why is None and s.spend_cap_run is not None and credits_ > s.spend_cap_run:
        why = f"ENRICH_SPEND_CAP_RUN lets one run spend {s.spend_cap_run} of them"
    return Preview(cut, planned, new, credits_, int(level), seconds, why)
