"""What recurs in each account holder's history, asked of the API again when the history has grown.

The API computes it over everything that it has of a holder, so a refresh is worth its call only after rows were landed.
Answers are archived as they came, several holders to a document; the groups go into one file per bucket of holders,
which is rewritten as a whole. A holder that cannot be had is tried again later and keeps its last groups.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import duckdb
import msgspec
import polars as pl

from pipeline.api.client import ApiClient
from pipeline.api.errors import ApiError
from pipeline.api.models import Categories, Counterparty
from pipeline.api.recurrence import DecodedGroup, DecodedGroups, decode_groups
from pipeline.crashpoints import point
from pipeline.errors import ConflictError, EnrichError
from pipeline.flow.backoff import backoff
from pipeline.flow.workspace import Workspace
from pipeline.lake import archive, files, tables
from pipeline.lake.durable import unique
from pipeline.lake.snapshot import reader
from pipeline.ledger import kept_answers, manifest, recurrence
from pipeline.ledger.db import LedgerError
from pipeline.ledger.manifest import NewFile
from pipeline.ledger.recurrence import Refreshed

AT_ONCE = 50
"""Holders of one commit: 10 s of calls at half the documented rate, and what a killed process has to ask again."""
REFRESH_SECONDS = 240.0
"""How long one run asks; what is left is for the next. A run is ended after 15 min."""
COMMITS = 5
"""Times that a commit is tried while other processes refresh holders of the same buckets."""

_FOR_ALL = frozenset({401, 403, 423})
"""Refusals of the key or the account, and not of one holder."""
_IN_A_ROW = 3
"""Holders that fail for a passing reason one after the other, after which it is the API that fails."""
_FOUR = Decimal(1).scaleb(-tables.MONEY_SCALE)


@dataclass(slots=True)
class RefreshReport:
    """Holders with new groups, their groups, holders that failed with the last reason, and holders still due."""

    refreshed: int = 0
    groups: int = 0
    failed: int = 0
    trouble: str | None = None
    unreadable: int = 0
    left: int = 0


class Answer(msgspec.Struct, frozen=True):
    """One holder in an archived document: the groups as they came, and when they were asked for (naive UTC)."""

    account_holder_id: str
    asked_at: datetime
    groups: list[msgspec.Raw]


class _Document(msgspec.Struct, frozen=True):
    answers: list[Answer]


@dataclass(slots=True)
class _Asked:
    """What a chunk of calls came to. `stopped_by`: an error that the next holder would meet as well."""

    answers: list[Answer] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    stopped_by: ApiError | None = None


def note_histories(ws: Workspace) -> int:
    """Look through the files that were landed since the last look; returns how many histories have grown.

    A row that only moved to another file (its batch has a new version) is no news: it keeps the time of its landing.
    """
    with ws.ledger.read() as conn:
        revision, seen = manifest.revision(conn), recurrence.seen_revision(conn)
        paths = [ws.lake / row.path for row in manifest.live(conn, "transactions") if row.added_revision > seen]
    newest: dict[str, datetime] = {}
    if paths:
        with duckdb.connect() as connection:
            newest = dict(
                connection.execute(
                    f"SELECT account_holder_id, max(enriched_at) FROM {reader(paths)}"  # noqa: S608
                    " WHERE state = 'enriched' AND account_holder_id IS NOT NULL GROUP BY account_holder_id"
                ).fetchall()
            )
    if not newest and revision == seen:
        return 0
    with ws.ledger.write() as conn:
        return recurrence.note_histories(conn, newest, revision=revision, now=ws.ledger.now())


def is_wanted(ws: Workspace) -> bool:
    """Whether a refresh would find something to do, and is not switched off."""
    return ws.settings.recurrence == "auto" and recurrence.is_wanted(ws.ledger)


def refresh(
    ws: Workspace,
    client: ApiClient,
    *,
    seconds: float = REFRESH_SECONDS,
    progress: Callable[[int], None] | None = None,
) -> RefreshReport:
    """Ask about the holders whose histories have grown, for at most `seconds`.

    Safe to end at any point and to run twice at once. Raises ApiError when the API cannot be reached or refuses the
    key, IntegrityError or StorageError for files; what was answered before is kept.
    """
    report = RefreshReport()
    note_histories(ws)
    end = time.monotonic() + seconds
    while time.monotonic() < end and (rows := recurrence.claim(ws.ledger, AT_ONCE)):
        claimed = {row.account_holder_id: row for row in rows}
        point("recurrence.after_claim")
        with _given_back(ws, claimed):
            asked = _ask(client, list(claimed), end, ws.ledger.now)
            _keep(ws, claimed, asked, report)
        if asked.stopped_by is not None:
            raise asked.stopped_by
        if progress:
            progress(report.refreshed + report.failed)
    report.left = recurrence.counts(ws.ledger).due
    return report


@contextmanager
def _given_back(ws: Workspace, holders: Collection[str]) -> Iterator[None]:
    """Give the holders back when something went wrong with them; a process that is killed keeps them for minutes."""
    try:
        yield
    except BaseException:
        with suppress(LedgerError), ws.ledger.write() as conn:  # the error before says more
            recurrence.release(conn, holders)
        raise


def _ask(client: ApiClient, holders: Sequence[str], end: float, now: Callable[[], datetime]) -> _Asked:
    asked, passing = _Asked(), 0
    for holder in holders:
        if time.monotonic() > end:
            break
        try:
            asked.answers.append(Answer(holder, now(), client.get_recurring_groups(holder)))
            passing = 0
        except ApiError as error:
            passing = passing + 1 if error.fate == "transient" else 0
            if error.status in _FOR_ALL or passing == _IN_A_ROW:
                asked.stopped_by = error
                break
            asked.failures[holder] = str(error)
    return asked


def _keep(ws: Workspace, claimed: Mapping[str, Any], asked: _Asked, report: RefreshReport) -> None:
    """Archive the answers, rewrite the files of their buckets, and note it all, in one commit; give the rest back."""
    if not (asked.answers or asked.failures or asked.stopped_by):  # the time was up
        with ws.ledger.write() as conn:
            recurrence.release(conn, list(claimed))
        return
    decoded = {answer.account_holder_id: decode_groups(answer.groups) for answer in asked.answers}
    path = _archive(ws, asked.answers) if asked.answers else ""
    point("recurrence.after_archive")
    frames = _frames(asked.answers, decoded)
    for _ in range(COMMITS):
        try:
            _commit(ws, claimed, asked, decoded, path, frames)
            break
        except ConflictError:
            continue
    else:
        raise EnrichError(
            "other processes kept writing the recurring groups", hint="What was not kept is asked for again by itself."
        )
    point("recurrence.after_commit")
    report.refreshed += len(asked.answers)
    report.groups += sum(len(found.groups) for found in decoded.values())
    report.unreadable += sum(bool(found.problems) for found in decoded.values())
    report.failed += len(asked.failures)
    report.trouble = next(reversed(asked.failures.values()), report.trouble)


def _archive(ws: Workspace, answers: Sequence[Answer]) -> str:
    with ws.scratch() as scratch:
        file = scratch / "recurring.json"
        file.write_bytes(msgspec.json.encode(_Document(list(answers))))
        return archive.archive_file(ws.archive, file, name=f"recurring-{unique()}.json").path


def read_archived(ws: Workspace, path: str) -> dict[str, Answer]:
    """Answers of an archived document by holder. Raises IntegrityError when it is missing or damaged."""
    with archive.open_archive(ws.archive, path) as stream:
        document = msgspec.json.decode(stream.read(), type=_Document)
    return {answer.account_holder_id: answer for answer in document.answers}


def _commit(
    ws: Workspace,
    claimed: Mapping[str, Any],
    asked: _Asked,
    decoded: Mapping[str, DecodedGroups],
    path: str,
    frames: Mapping[int, pl.DataFrame],
) -> None:
    with ws.ledger.read() as conn:
        read_revision = manifest.revision(conn)
        live = defaultdict(list)
        for row in manifest.live(conn, tables.RECURRENCE_GROUPS.name):
            live[row.file_id].append(row.path)
    holders = list(decoded)
    removed, added = [], []
    for bucket, fresh in frames.items():
        old = live[owner_of(bucket)]
        kept = files.read_table(ws.lake, old, table=tables.RECURRENCE_GROUPS)
        kept = kept.filter(~pl.col("account_holder_id").is_in(holders))
        removed += old
        rows = pl.concat([kept, fresh]).sort("account_holder_id", "position")
        if rows.height:
            added.append(_write(ws, bucket, rows))
    done = [
        Refreshed(a.account_holder_id, a.asked_at, len(found.groups), _said(found, len(a.groups)))
        for a in asked.answers
        for found in (decoded[a.account_holder_id],)
    ]
    s = ws.settings
    with ws.ledger.write() as conn:
        now = ws.ledger.now()
        manifest.commit(
            conn, add=added, remove=removed, now=now, read_revision=read_revision,
            unchanged=(tables.RECURRENCE_GROUPS.name,),
        )  # fmt: skip
        if done:
            kept_answers.add(conn, kept_answers.RECURRING, path, len(done), now=now)
            recurrence.refreshed(conn, claimed, done, path)
        for holder, error in asked.failures.items():
            wait = backoff(s.scaled(s.backoff_base), claimed[holder].failures + 1, s.scaled(s.backoff_max))
            recurrence.failed(conn, holder, error, retry_at=ws.later(wait))
        if asked.stopped_by is not None:
            wait = backoff(s.scaled(s.backoff_base), recurrence.pauses(conn) + 1, s.scaled(s.backoff_max))
            recurrence.pause(conn, retry_at=ws.later(wait))
        recurrence.release(conn, list(claimed))


def _write(ws: Workspace, bucket: int, rows: pl.DataFrame) -> NewFile:
    owner = owner_of(bucket)
    w = files.write_table(ws.lake, tables.RECURRENCE_GROUPS, rows, stem=owner)
    return NewFile(tables.RECURRENCE_GROUPS.name, w.path, w.rows, w.bytes, w.sha256, file_id=owner)


def owner_of(bucket: int) -> str:
    """What the manifest calls the owner of a bucket's file."""
    return f"bucket-{bucket:02d}"


def _said(found: DecodedGroups, groups: int) -> str | None:
    if not found.problems:
        return None
    return f"{len(found.problems)} of its {groups} groups cannot be read, the first {found.problems[0]}"


def _frames(answers: Sequence[Answer], decoded: Mapping[str, DecodedGroups]) -> dict[int, pl.DataFrame]:
    """Rows of `tables.RECURRENCE_GROUPS` by bucket; of a holder with no groups its bucket is there all the same."""
    rows: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for answer in answers:
        mine = rows[recurrence.bucket_of(answer.account_holder_id)]
        mine += [_row(answer, group) for group in decoded[answer.account_holder_id].groups]
    return {bucket: frame_of(found) for bucket, found in rows.items()}


def rows_of(answer: Answer) -> list[tuple[Any, ...]]:
    """The rows that an answer is, in the columns of `tables.RECURRENCE_GROUPS`."""
    return [_row(answer, group) for group in decode_groups(answer.groups).groups]


def frame_of(rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    """Rows as a frame of the declared types."""
    return pl.DataFrame(list(rows), schema=tables.RECURRENCE_GROUPS.schema, orient="row")


def _row(answer: Answer, decoded: DecodedGroup) -> tuple[Any, ...]:
    g = decoded.group
    c, categories = g.counterparty or Counterparty(), g.categories or Categories()
    return (
        answer.account_holder_id, g.id, decoded.position, g.entry_type, c.id, c.name, c.website, c.logo, c.type,
        c.mccs, categories.general, categories.accounting, g.periodicity, float(g.periodicity_in_days),
        len(g.transaction_ids), _money(g.total_amount), _money(g.average_amount), decoded.start, decoded.end,
        g.transaction_ids, answer.asked_at, decoded.extra,
    )  # fmt: skip


def _money(amount: Decimal) -> Decimal:
    """Four decimals: a mean has any number of them, and a sum of floats has noise in the last ones."""
    return amount.quantize(_FOUR, rounding=ROUND_HALF_EVEN)
