"""Every table made again from the ledger and the archive, with no network, and compared with what is there row for row.

The ledger is kept, since it says what was sent and what counts. What is lost is put back; what differs is shown, and
takes the place of what is there only when a person accepts it. Nothing is sent and nothing is published from here.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import polars as pl
from sqlalchemy import update

from pipeline.api.categories import CategorySet, decode_set
from pipeline.api.errors import ApiError
from pipeline.api.results import DecodedItem, decode_item
from pipeline.errors import ConflictError, IntegrityError
from pipeline.flow.answers import read_archived
from pipeline.flow.ingesting import holders_of
from pipeline.flow.landing import Landing, Stamp, build
from pipeline.flow.rebuild.known import Known, read_known
from pipeline.flow.rebuild.places import place_rows, planned
from pipeline.flow.rebuild.sources import read_again, settle_again
from pipeline.flow.rebuild.store import Store, open_store
from pipeline.flow.rebuild.swap import Comparison, TableReport
from pipeline.flow.recurrence import Answer, frame_of, owner_of, rows_of
from pipeline.flow.recurrence import read_archived as read_answers
from pipeline.flow.workspace import Workspace
from pipeline.lake import files, tables
from pipeline.lake.archive import open_archive
from pipeline.lake.durable import inside, new_file
from pipeline.ledger import holders, manifest, schema
from pipeline.ledger.db import chunks
from pipeline.ledger.states import State

_COUNTS = ("records", "accepted", "repeats", "rejected")


@dataclass(slots=True)
class RebuildReport:
    """What was compared at which revision; `committed` is the revision in which it was put in place, or None.

    `recounted`: names of the source files that give other numbers of rows than the ledger says. `categories`: sets of
    which an archived answer gives other lists.
    """

    revision: int
    sources: int
    batches: int
    tables: dict[str, TableReport]
    recounted: list[str]
    categories: list[str]
    seconds: float = 0.0
    committed: int | None = None

    @property
    def rows(self) -> int:
        """Rebuilt rows of all kinds of file."""
        return sum(table.rows for table in self.tables.values())

    @property
    def files(self) -> int:
        """Files that they were compared with."""
        return sum(table.files for table in self.tables.values())

    @property
    def lost(self) -> list[str]:
        """Live files that are missing or unreadable."""
        return [path for table in self.tables.values() for path in table.lost]

    @property
    def differs(self) -> bool:
        """Whether any row is not what it was."""
        return bool(self.recounted or self.categories) or any(table.differs for table in self.tables.values())


@dataclass(frozen=True, slots=True)
class _Made:
    """What a commit takes beside the files.

    Counts by file id that differ, holders of waiting rows with their types, and category lists by id that differ.
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    lists: dict[str, CategorySet] = field(default_factory=dict)


def rebuild(ws: Workspace, *, accept: bool = False) -> RebuildReport:
    """Make every table again and compare. Lost files are put back if nothing differs; with `accept`, all that differs.

    That is one commit of the manifest, which the caller publishes. Raises IntegrityError, with the file's name, when
    something in the archive is missing, damaged or does not have the rows any more; ConflictError when files changed
    meanwhile; StorageError. Nothing was changed then.
    """
    started = time.monotonic()
    known = read_known(ws.ledger)
    with ws.scratch() as scratch, open_store(scratch) as store:
        comparison = Comparison(ws.lake, scratch / "lake", known.live)
        made = _make(ws, store, known, comparison)
        recounted = [row.name for row in known.sources if row.file_id in made.counts]
        categories = sorted({row.category_set for row in known.category_lists if row.content_id in made.lists})
        report = RebuildReport(
            known.revision, len(known.sources), len(known.batches), comparison.tables, recounted, categories
        )
        if accept if report.differs else report.lost:
            report.committed = _commit(ws, known, comparison, made)
    report.seconds = time.monotonic() - started
    return report


def _make(ws: Workspace, store: Store, known: Known, comparison: Comparison) -> _Made:
    counts = _make_sources(ws, store, known, comparison)
    place_rows(ws, store, known, [row.name for row in known.sources if row.file_id in counts])
    for batch, rows in planned(store, known):
        _make_batch(ws, known, batch, rows, comparison)
    waiting = store.waiting()
    comparison.take(tables.WAITING, None, waiting, stem="rebuilt")
    _make_recurrence(ws, known, comparison)
    comparison.finish()
    return _Made(counts, holders_of(waiting), _lists_that_differ(ws, known))


def _make_sources(ws: Workspace, store: Store, known: Known, comparison: Comparison) -> dict[str, dict[str, int]]:
    """Read every source file again. Returns the counts of those files whose counts are not the ledger's."""
    holder_types: dict[str, str] = {}
    counts = {}
    for number, source in enumerate(known.sources):
        read = read_again(ws, store.folder, source)
        rows = settle_again(store, read, number, holder_types)
        comparison.take(tables.RAW_TRANSACTIONS, source.file_id, rows.accepted, stem=source.file_id)
        comparison.take(tables.REJECTED_ROWS, source.file_id, rows.rejected, stem=source.file_id)
        accepted = rows.accepted.height
        values = (read.records, accepted, accepted - rows.new.height, rows.rejected.height)
        if values != tuple(getattr(source, name) for name in _COUNTS):
            counts[source.file_id] = dict(zip(_COUNTS, values, strict=True))
    return counts


def _make_batch(ws: Workspace, known: Known, batch: Any, rows: pl.DataFrame, comparison: Comparison) -> None:
    key, version = batch.batch_key, batch.landed_version
    if batch.state != State.LANDED:
        comparison.take(tables.PLAN, key, rows, stem=key)
        return
    landing = _land_again(ws, known, batch, rows)
    for table, frame in ((tables.TRANSACTIONS, landing.transactions), (tables.INTERMEDIARIES, landing.intermediaries)):
        comparison.take(table, key, frame, stem=f"{key}-v{version}", version=version)


def _land_again(ws: Workspace, known: Known, batch: Any, rows: pl.DataFrame) -> Landing:
    """The landing of those rows of a batch that stayed in it. With no tries allowed, none of them moves on now."""
    paths = known.answers.get(batch.batch_key, [])
    if not paths:
        raise IntegrityError(f"batch {batch.batch_key}: it has landed, and the archive has no answer for it")
    stamp = Stamp(batch.batch_key, batch.landed_version, known.source, batch.landed_at)
    answers = [_read_answer(ws, batch.batch_key, path) for path in paths]
    return build(rows, answers, stamp, item_attempts=0)


def _read_answer(ws: Workspace, key: str, path: str) -> list[DecodedItem]:
    try:
        return [decode_item(raw) for raw in read_archived(ws, path).items]
    except ApiError as error:
        raise IntegrityError(f"batch {key}: its archived answer {path} cannot be read any more: {error}") from error


def _make_recurrence(ws: Workspace, known: Known, comparison: Comparison) -> None:
    """The groups of each bucket's holders, out of the last answer about each."""
    for bucket, holders_in_it in groupby(known.recurrence, lambda row: row.bucket):
        answers: dict[str, dict[str, Answer]] = {}
        rows: list[tuple[Any, ...]] = []
        for holder in holders_in_it:
            if holder.path not in answers:
                answers[holder.path] = read_answers(ws, holder.path)
            answer = answers[holder.path].get(holder.account_holder_id)
            if answer is None:
                raise IntegrityError(
                    f"holder {holder.account_holder_id}: its archived answer {holder.path} does not have it"
                )
            rows += rows_of(answer)
        frame = frame_of(rows).sort("account_holder_id", "position")
        comparison.take(tables.RECURRENCE_GROUPS, owner_of(bucket), frame, stem=owner_of(bucket))


def _lists_that_differ(ws: Workspace, known: Known) -> dict[str, CategorySet]:
    """Category lists of which the archived answer reads otherwise than the ledger says."""
    found = {}
    for row in known.category_lists:
        with open_archive(ws.archive, row.path) as stream:
            try:
                again = decode_set(stream.read())
            except ApiError as error:
                raise IntegrityError(
                    f"categories {row.category_set}: the archived answer {row.path} cannot be read any more: {error}"
                ) from error
        if (again.incoming, again.outgoing) != (row.incoming, row.outgoing):
            found[row.content_id] = again
    return found


def _commit(ws: Workspace, known: Known, comparison: Comparison, made: _Made) -> int:
    for file in comparison.added:
        with new_file(inside(ws.lake, file.path), root=ws.lake) as temporary:
            shutil.copyfile(comparison.written / file.path, temporary)
    try:
        return _swap(ws, known, comparison, made)
    except ConflictError as error:
        files.remove(ws.lake, [file.path for file in comparison.added])
        raise ConflictError(
            f"the data changed while revision {known.revision} was rebuilt, and nothing was put in place",
            hint="Run `enrich rebuild` again.",
        ) from error


def _swap(ws: Workspace, known: Known, comparison: Comparison, made: _Made) -> int:
    b, s, c, now = schema.batches, schema.source_files, schema.category_lists, ws.ledger.now()
    landed = [file.batch_key for file in comparison.added if file.kind == tables.TRANSACTIONS.name and file.batch_key]
    with ws.ledger.write() as conn:
        revision = manifest.commit(
            conn, add=comparison.added, remove=comparison.removed, now=now, read_revision=known.revision,
            unchanged=tuple(tables.FILE_TABLES),
        )  # fmt: skip
        for file_id, counts in made.counts.items():
            conn.execute(update(s).where(s.c.file_id == file_id).values(counts))
        for content_id, lists in made.lists.items():
            values = {"incoming": lists.incoming, "outgoing": lists.outgoing}
            conn.execute(update(c).where(c.c.content_id == content_id).values(values))
        holders.want(conn, made.holders, now=now)  # a row that is accepted only now may name a new one
        for keys in chunks(landed):  # publishing compares their ids with the archive once more
            conn.execute(update(b).where(b.c.batch_key.in_(keys)).values(verified_version=0))
    return revision
