"""A batch's results: fetched, archived as they came, and asked for again where they do not fit.

The order is design.md's: the whole document up to three times, then single transactions, then the landing calls what is
still missing by its name. Nothing is ever sent again from here.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from pipeline.api.client import ApiClient
from pipeline.api.errors import BadAnswer, NotFound, UnknownPaging
from pipeline.api.results import DecodedItem, ResultDocument, decode_item, parse_results, read_results
from pipeline.crashpoints import point
from pipeline.errors import EnrichError
from pipeline.flow.workspace import Workspace
from pipeline.lake import archive
from pipeline.ledger import documents, outcomes
from pipeline.ledger.claims import Claim
from pipeline.ledger.documents import Document

RESULT_GETS = 3
"""Times that the whole results are asked for while items are missing or unreadable in them."""
SINGLES_SECONDS = 45.0
"""How long one step asks for single transactions (5 a second); what is left is for the next step."""


@dataclass(frozen=True, slots=True)
class Later:
    """Something is missing and will be asked for again."""

    reason: str


@dataclass(slots=True)
class Answers:
    """Items of every answer, in the order in which they came, and what was wrong with the documents around them."""

    items: list[list[DecodedItem]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    bytes: int = 0
    unrecorded: Document | None = None
    """The answer that is archived and that the landing's commit has yet to name."""

    def add(self, document: ResultDocument) -> None:
        """Take in one more answer."""
        self.items.append([decode_item(raw) for raw in document.items])
        self.problems += document.problems

    def lost(self, planned: set[str]) -> set[str]:
        """Ids of `planned` without a readable item in any answer."""
        return planned - {i.id for items in self.items for i in items if i.id is not None and i.item is not None}


def fetch(ws: Workspace, client: ApiClient, claim: Claim, row: Any, planned: set[str]) -> Answers | Later:
    """Everything that the API has for this batch's items, or `Later`.

    Raises ApiError when the results cannot be had or read, EnrichError when none of its items is in any answer.
    """
    answers, gets = _known(ws, row)
    if gets < RESULT_GETS and answers.lost(planned):
        gets += _get_results(ws, client, row, answers, gets)
    lost = answers.lost(planned)
    if not lost:
        return answers
    _record(ws, claim, row, answers)
    if gets < RESULT_GETS:
        reason = f"{len(lost)} of {len(planned)} items are missing or unreadable in its results, after look {gets}"
        return _later(ws, claim, reason, ws.settings.scaled(ws.settings.backoff_base / 4 * 2 ** (gets - 1)))
    return _get_singles(ws, client, claim, row, answers, planned, lost)


def _known(ws: Workspace, row: Any) -> tuple[Answers, int]:
    """Answers that earlier steps archived for this attempt, and how often the whole results were asked for."""
    answers = Answers()
    with ws.ledger.read() as conn:
        rows = documents.answers(conn, row.batch_key, row.sequence)
    for document in rows:
        answers.add(read_archived(ws, document.path))
    return answers, sum(document.kind == documents.RESULTS for document in rows)


def read_archived(ws: Workspace, path: str) -> ResultDocument:
    """An archived answer. Raises IntegrityError when it is damaged, BadAnswer as when it came."""
    with archive.open_archive(ws.archive, path) as stream:
        return parse_results(stream.read(), Path(path).name)


def _get_results(ws: Workspace, client: ApiClient, row: Any, answers: Answers, gets: int) -> int:
    """Ask for the whole results. Returns how many of the looks at them that used up."""
    try:
        _download(ws, client, row, answers)
    except UnknownPaging:
        raise
    except (NotFound, BadAnswer):
        # Gone, or a document in which not one item can be found: after a few tries there are only the single ones.
        if gets + row.collect_tries + 1 < RESULT_GETS:
            raise
        return RESULT_GETS
    return 1


def _download(ws: Workspace, client: ApiClient, row: Any, answers: Answers) -> None:
    with ws.scratch() as scratch:
        path = scratch / "results.json"
        answers.bytes = client.download_results(row.vendor_batch_id, path).bytes
        point("collect.after_download")
        name = f"results-{row.batch_key}-{row.sequence}.json"
        archived = archive.archive_file(ws.archive, path, name=name)
        point("collect.after_archive")
        document = read_results(path)
    answers.add(document)
    answers.unrecorded = Document(documents.RESULTS, archived.path, len(document.items))


def _record(ws: Workspace, claim: Claim, row: Any, answers: Answers) -> None:
    if answers.unrecorded is not None:
        point("collect.before_record")
        outcomes.archived(ws.ledger, claim, row.sequence, answers.unrecorded)
        point("collect.after_record")
        answers.unrecorded = None


def _later(ws: Workspace, claim: Claim, reason: str, seconds: float) -> Later:
    outcomes.collect_later(ws.ledger, claim, error=reason, retry_at=ws.later(seconds), counts=False)
    point("collect.after_later")
    return Later(reason)


def _get_singles(
    ws: Workspace, client: ApiClient, claim: Claim, row: Any, answers: Answers, planned: set[str], lost: set[str]
) -> Answers | Later:
    """Ask for the items one by one. The API's 404 is an answer: it does not have it, or not yet or no more."""
    found, asked = [], 0
    end = time.monotonic() + SINGLES_SECONDS
    # In any order: with those first that the API does not have, step after step would end before the others.
    for transaction_id in random.sample(sorted(lost), len(lost)):
        if time.monotonic() > end:
            break
        asked += 1
        try:
            raw = client.get_transaction(transaction_id)
        except (NotFound, BadAnswer):
            continue
        if decode_item(raw).item is not None:
            found.append(raw)
    if found:
        answers.items.append([decode_item(raw) for raw in found])
        _archive_singles(ws, claim, row, found)
    if asked < len(lost) and found:
        reason = f"{len(found)} of {len(lost)} missing items were had one by one so far; the others are asked for next"
        return _later(ws, claim, reason, 0)
    if len(answers.lost(planned)) == len(planned):
        raise EnrichError(
            f"none of its {len(planned)} items is in the results of {row.vendor_batch_id}, or to be had one by one",
            hint=f"`enrich retry {row.batch_key}` looks again; `enrich retry {row.batch_key} --send` sends them again.",
        )
    return answers


def _archive_singles(ws: Workspace, claim: Claim, row: Any, found: list[msgspec.Raw]) -> None:
    body = {"id": row.vendor_batch_id, "status": "completed", "total": len(found), "results": found}
    with ws.scratch() as scratch:
        path = scratch / "singles.json"
        path.write_bytes(msgspec.json.encode(body))
        name = f"singles-{row.batch_key}-{row.sequence}.json"
        archived = archive.archive_file(ws.archive, path, name=name)
    point("singles.after_archive")
    outcomes.archived(ws.ledger, claim, row.sequence, Document(documents.SINGLES, archived.path, len(found)))
    point("singles.after_record")
