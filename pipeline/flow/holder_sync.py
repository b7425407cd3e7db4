"""Account holders created at the API before their transactions are sent.

100 holders/s are documented; one call handles what fits into its time, the rest is for the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.api.client import ApiClient
from pipeline.api.errors import ApiError, BadValue, NotFound
from pipeline.api.models import AccountHolder
from pipeline.crashpoints import point
from pipeline.flow.submitting import open_if_final
from pipeline.flow.workspace import Workspace
from pipeline.ledger import holders


@dataclass(slots=True)
class HolderReport:
    """How many were created, were there already, are there under another type, and are still wanted."""

    created: int = 0
    existed: int = 0
    mismatched: int = 0
    left: int = 0


def sync_holders(
    ws: Workspace, client: ApiClient, *, seconds: float = 60, progress: Callable[[int, int], None] | None = None
) -> HolderReport:
    """Create the wanted holders for at most `seconds`.

    "Already exists" is no failure (two processes may create the same): the holder is read and its type compared.
    Raises ApiError when the API cannot be reached or refuses the key; what was confirmed stays confirmed.
    """
    report = HolderReport()
    wanted = holders.wanted(ws.ledger)
    end = time.monotonic() + seconds
    for done, row in enumerate(wanted):
        if time.monotonic() > end:
            report.left = len(wanted) - done
            break
        _confirm(ws, client, row.account_holder_id, row.type, report)
        if progress:
            progress(done + 1, len(wanted))
    return report


def _existing(client: ApiClient, holder_id: str, error: ApiError) -> AccountHolder | None:
    """The holder that is there already, or None where the refusal has another cause."""
    if not isinstance(error, BadValue):
        return None
    try:
        return client.get_account_holder(holder_id)
    except NotFound:
        return None


def _confirm(ws: Workspace, client: ApiClient, holder_id: str, type_: str, report: HolderReport) -> None:
    try:
        there = client.create_account_holder(holder_id, type_)
        report.created += 1
        point("holders.after_create")
    except ApiError as error:
        if error.fate != "permanent" or open_if_final(ws, error):
            raise
        found = _existing(client, holder_id, error)
        if found is None:  # refused for what it is; the others are no worse for it
            holders.settle(ws.ledger, holder_id, holders.MISMATCH, detail=str(error))
            report.mismatched += 1
            return
        if found.type != type_:
            detail = f"the API has it as {found.type}, the files say {type_}"
            holders.settle(ws.ledger, holder_id, holders.MISMATCH, detail=detail)
            report.mismatched += 1
            return
        there, report.existed = found, report.existed + 1
    holders.settle(ws.ledger, holder_id, holders.CONFIRMED, category_id=there.category_id)
    point("holders.after_confirm")
