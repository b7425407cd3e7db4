"""What the ledger says at one revision, as far as the tables can be made again from it and the archive.

Read once, in one transaction: a batch that lands while its neighbours are rebuilt changes nothing here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from pipeline.lake import tables
from pipeline.ledger import category_sets, documents, manifest, recurrence, schema
from pipeline.ledger.db import Ledger

Owner = tuple[str, str | None]
"""A kind of file, and the batch key, file id or bucket of holders whose rows are in it. Waiting files: nobody's."""


@dataclass(frozen=True, slots=True)
class Known:
    """The ledger's side. `sources` in the order in which they came, `batches` in the order in which they were cut.

    `children`: keys of the batches that a batch's rows went on to. `plans`: path of each batch's archived plan.
    `answers`: paths of the archived answers of each batch's last attempt, in order. `recurrence`: holders that the API
    was asked about, by bucket; `category_lists`: every list of a set. `live`: the manifest's files.
    """

    revision: int
    source: str
    sources: list[Any]
    batches: list[Any]
    children: dict[str, list[str]]
    plans: dict[str, str]
    answers: dict[str, list[str]]
    recurrence: list[Any]
    category_lists: list[Any]
    live: dict[Owner, list[Any]]


def read_known(ledger: Ledger) -> Known:
    """Read all of it at the newest revision."""
    b, s = schema.batches, schema.source_files
    with ledger.read() as conn:
        batches = list(conn.execute(select(b).order_by(b.c.plan_seq)))
        plans, answers = _documents(conn, {row.batch_key: row.sequence for row in batches})
        return Known(
            manifest.revision(conn),
            conn.execute(select(schema.data_folder.c.source)).scalar_one(),
            list(conn.execute(select(s).order_by(s.c.revision))),
            batches,
            _children(batches),
            plans,
            answers,
            recurrence.answered(conn),
            category_sets.lists(conn),
            _live(conn),
        )


def _children(batches: list[Any]) -> dict[str, list[str]]:
    children = defaultdict(list)
    for row in batches:
        if row.parent_key is not None:
            children[row.parent_key].append(row.batch_key)
    return children


def _documents(conn: Connection, sequences: dict[str, int]) -> tuple[dict[str, str], dict[str, list[str]]]:
    d = schema.documents
    plans, answers = {}, defaultdict(list)
    for row in conn.execute(select(d).order_by(d.c.batch_key, d.c.sequence, d.c.nth)):
        if row.kind == documents.PLAN:
            plans[row.batch_key] = row.path
        elif row.sequence == sequences[row.batch_key]:
            answers[row.batch_key].append(row.path)
    return plans, answers


def _live(conn: Connection) -> dict[Owner, list[Any]]:
    live = defaultdict(list)
    for row in manifest.live(conn):
        # A waiting file may carry the id of the file that it came from, but planning mixes what is left of several.
        owner = None if row.kind == tables.WAITING.name else row.batch_key or row.file_id
        live[row.kind, owner].append(row)
    return live
