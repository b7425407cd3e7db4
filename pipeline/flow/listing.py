"""What the API lists, and which of it the ledger knows: as its own, or as somebody else's.

Belongs here: what reconciling an older ledger needs to know of the list, of results and of foreign batches. What is
decided from it is `reconciling`'s; `recovering` looks at the list as well, with a ledger that is up to date.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select

from pipeline.api.client import ApiClient
from pipeline.api.errors import BadAnswer, NotFound, NotReady
from pipeline.api.results import decode_item, read_results
from pipeline.flow.workspace import Workspace
from pipeline.ledger import schema

MARGIN = timedelta(days=1)
"""How much before its last attempt the ledger is believed to know everything: more than clocks are ever apart."""

_FOUND = "reconciled: "
"""How reasons begin that were found by reconciling. Recovery only compares with unconfirmed batches of the ledger."""


def unknown_since(ws: Workspace, noticed: datetime) -> datetime:
    """From where on the list has batches that the ledger may not know, on the server's clock (naive UTC).

    By the attempts of before it was noticed to be older: those adopted since would move it past what is undecided.
    """
    a = schema.attempts
    last = select(func.max(func.coalesce(a.c.server_clock, a.c.reserved_at))).where(a.c.reserved_at < noticed)
    moment = ws.ledger.rows(last)[0][0]
    return moment - MARGIN if moment is not None else datetime.min  # noqa: DTZ901 - as all times of the ledger


def known_ids(ws: Workspace, noticed: datetime) -> set[str]:
    """Ids of batches that are attempts of ours, or foreign for good.

    What recovery called foreign since the ledger was noticed to be older is doubted: it may be of a batch that this
    ledger has as planned, or not yet.
    """
    a, f = schema.attempts, schema.foreign_batches
    ours = ws.ledger.rows(select(a.c.vendor_batch_id).where(a.c.vendor_batch_id.is_not(None)))
    trusted = (f.c.seen_at < noticed) | f.c.reason.startswith(_FOUND)
    return {row.vendor_batch_id for row in [*ours, *ws.ledger.rows(select(f.c.vendor_batch_id).where(trusted))]}


def is_ours(ws: Workspace, vendor_id: str) -> None:
    """Take back that a batch is foreign, if that was noted. Before it is adopted: a process may die in between."""
    f = schema.foreign_batches
    with ws.ledger.write() as conn:
        conn.execute(delete(f).where(f.c.vendor_batch_id == vendor_id))


def is_foreign(ws: Workspace, vendor_id: str, reason: str) -> None:
    """Note that a batch is nobody's here, for good."""
    f = schema.foreign_batches
    with ws.ledger.write() as conn:
        conn.execute(delete(f).where(f.c.vendor_batch_id == vendor_id))
        values = {"vendor_batch_id": vendor_id, "reason": f"{_FOUND}{reason}", "seen_at": ws.ledger.now()}
        conn.execute(insert(f).values(**values))


def ids_in_results(ws: Workspace, client: ApiClient, vendor_id: str) -> list[str]:
    """Ids in a batch's results, in their order, each once; none where they cannot be read now."""
    with ws.scratch() as scratch:
        path = scratch / "results.json"
        try:
            client.download_results(vendor_id, path)
            items = [decode_item(raw) for raw in read_results(path).items]
        except (NotReady, NotFound, BadAnswer):
            return []
    return list(dict.fromkeys(item.id for item in items if item.id is not None))
