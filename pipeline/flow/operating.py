"""What a person may do to a batch where files or the API have a say. Each is recorded with who, when and why.

What concerns the ledger alone (hold, release) is in `pipeline.ledger.operating`.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from pipeline.api.client import ApiClient
from pipeline.api.models import classify
from pipeline.errors import EnrichError
from pipeline.flow.plan_files import Made, Part, read_plan, with_children
from pipeline.flow.recovering import ids_of
from pipeline.flow.workspace import Workspace
from pipeline.lake import files, tables
from pipeline.ledger import batches, holders, manifest
from pipeline.ledger import operating as ledger_operating
from pipeline.ledger.manifest import NewFile
from pipeline.ledger.states import State


def retry(ws: Workspace, batch_key: str, *, who: str, why: str, send: bool = False) -> str:
    """Grant a batch another attempt; returns what happens now, in words.

    Held: sent again, or looked at again where the API has results for it (`send`: its items are sent again, and
    charged, all the same); its unusable account holders get another look. Quarantined: sent again. Landed: the items
    with an error are sent again in a batch of their own. Raises EnrichError for a batch in any other state.
    """
    with ws.ledger.read() as conn:
        row = batches.get(conn, batch_key)
    if row.state == State.LANDED:
        return _send_errors_again(ws, row, who=who, why=why)
    state = ledger_operating.retry(ws.ledger, batch_key, who=who, why=why, send=send)
    named = read_plan(ws, batch_key, ["account_holder_id"])["account_holder_id"]
    for holder, known in holders.unconfirmed(ws.ledger, set(named.drop_nulls())).items():
        if known == holders.MISMATCH:
            holders.settle(ws.ledger, holder, holders.WANTED)
    return f"{batch_key} is {state} again"


def _send_errors_again(ws: Workspace, row: Any, *, who: str, why: str) -> str:
    """The rows of a landed batch that have an error, into a child batch; the others as a new version of the batch."""
    with ws.ledger.read() as conn:
        live = manifest.live(conn, "transactions", "intermediaries", batch_key=row.batch_key)
    mine = [file.path for file in live if file.kind == "transactions"]
    between = [file.path for file in live if file.kind == "intermediaries"]
    rows = files.read_table(ws.lake, mine, table=tables.TRANSACTIONS).sort("position")
    failed = rows.filter(pl.col("state") == "item_error")
    if failed.is_empty():
        raise EnrichError(f"batch {row.batch_key} has landed and none of its items has an error")
    parties = files.read_table(ws.lake, between, table=tables.INTERMEDIARIES)
    version = row.landed_version + 1
    added = _new_version(ws, row.batch_key, version, tables.TRANSACTIONS, rows.filter(pl.col("state") != "item_error"))
    kept = parties.join(failed.select("transaction_id"), on="transaction_id", how="anti", maintain_order="left")
    added += _new_version(ws, row.batch_key, version, tables.INTERMEDIARIES, kept)

    def commit(made: Made) -> Made:
        ledger_operating.send_rows_again(
            ws.ledger, row.batch_key, made.batches[0], add=[*added, *made.files], remove=[file.path for file in live],
            version=version, who=who, why=why,
        )  # fmt: skip
        return made

    part = Part(failed.select(tables.PLAN.names), "operator", ws.settings.max_attempts, reason=f"{who}: {why}")
    (child,) = with_children(ws, row, [part], commit).batches
    return f"{child.rows} of the items of {row.batch_key}, all with an error, are planned again as {child.batch_key}"


def _new_version(ws: Workspace, key: str, version: int, table: tables.Table, rows: pl.DataFrame) -> list[NewFile]:
    if rows.is_empty():
        return []
    frame = rows.with_columns(version=pl.lit(version, dtype=pl.Int32))
    w = files.write_table(ws.lake, table, frame, stem=f"{key}-v{version}")
    return [NewFile(table.name, w.path, w.rows, w.bytes, w.sha256, batch_key=key, version=version)]


def adopt(ws: Workspace, client: ApiClient, batch_key: str, vendor_batch_id: str, *, who: str, why: str) -> str:
    """Say which of the API's batches a planned, unconfirmed or held one is; returns what happens now, in words.

    Nothing is sent. Raises EnrichError when the API's batch cannot be this one: another size, other items, or in error.
    Raises ApiError when it cannot be read.
    """
    with ws.ledger.read() as conn:
        row = batches.get(conn, batch_key)
    ledger_operating.require(row, *ledger_operating.ADOPTABLE)
    there = client.get_batch(vendor_batch_id)
    if there.total != row.rows:
        raise EnrichError(f"{vendor_batch_id} has {there.total} items, and batch {batch_key} has {row.rows}")
    verdict = classify(there.status)
    if verdict == "failed":
        raise EnrichError(f"{vendor_batch_id} ended in error, so there is nothing to adopt")
    if verdict == "done":
        mine = set(read_plan(ws, batch_key, ["transaction_id"])["transaction_id"])
        found = ids_of(ws, client, vendor_batch_id) or frozenset()
        if not found or not found <= mine:
            raise EnrichError(
                f"{len(found - mine)} of {len(found)} items in the results of {vendor_batch_id} are not of {batch_key}",
                hint="Compare its ids with `SELECT transaction_id FROM transactions WHERE batch_key = …`.",
            )
    ledger_operating.adopt(ws.ledger, batch_key, vendor_batch_id, who=who, why=why)
    return f"{batch_key} is {vendor_batch_id} at the API; its results are landed when they are there"
