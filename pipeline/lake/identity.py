"""The conservation check: every record of every source file is in the tables exactly once.

Belongs here: comparing independent counts and ids over the files of one snapshot. It reads files only and repairs
nothing; a violation stops publishing until a person has looked.

Messages carry counts, ids of files, batches and at most five transactions, never content.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from pipeline.damaged_json import cut_items, load_leniently
from pipeline.errors import IntegrityError
from pipeline.lake.archive import open_archive
from pipeline.lake.snapshot import PLAN_STATES, Snapshot, quoted, table_sql, transactions_sql
from pipeline.lake.tables import INTERMEDIARIES, PLAN, RAW_TRANSACTIONS, REJECTED_ROWS, TRANSACTIONS, WAITING, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

EXAMPLES = 5
"""Most ids that one message names."""

_FAULTS = {
    "live = 0": "were accepted but are in no live file (lost)",
    "accepted = 0": "are in a live file but were never accepted (extra)",
    "live > 1": "are in more than one live row (doubled)",
}
_LIVE = Table("live", "What every live file has", (RAW_TRANSACTIONS.columns[0],))

STATES = ("waiting", *PLAN_STATES, "enriched", "item_error")
"""States of an accepted row, each a key of `IdentityReport.counts`."""


@dataclass(frozen=True, slots=True)
class SourceCount:
    """How many records a source file has, counted at ingest apart from the rows that it made."""

    file_id: str
    source_file: str
    records: int


@dataclass(frozen=True, slots=True)
class IdentityReport:
    """`counts`: records, accepted, repeats, rejected, transactions, intermediaries, and each of `STATES`."""

    violations: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True when nothing contradicts anything."""
        return not self.violations


def check_identity(snapshot: Snapshot, sources: Sequence[SourceCount]) -> IdentityReport:
    """Check that nothing was lost, doubled or invented on the way from the source files to the tables.

    1. Per source file: records = accepted + rejected.
    2. The ids accepted are the ids that live files hold (waiting, planned, landed), each in exactly one row.
    3. Every intermediary belongs to a landed transaction of the same batch.
    4. A landed or plan file holds one batch, at positions without repetition; a plan without gaps too (rows of a
       landed batch may have gone on to another one, so its number of rows is compared with the ledger elsewhere).

    Files that cannot be read raise `IntegrityError`: then there is no answer. Reads ids only, not the wide columns.
    """
    snapshot.check()
    try:
        # An aggregate over tens of millions of ids may spill; DuckDB would do that in `.tmp` of the working folder.
        with tempfile.TemporaryDirectory() as spill, duckdb.connect(":memory:") as connection:
            connection.execute(f"SET temp_directory = {quoted(spill)}")
            check = _Check(connection, snapshot)
            check.sources(sources)
            check.ids()
            check.intermediaries()
            check.batches()
            return check.report
    except duckdb.Error as error:
        raise IntegrityError(f"revision {snapshot.revision} cannot be checked: {error}") from error


class _Archived(msgspec.Struct):
    id: str


_ARCHIVED = msgspec.json.Decoder(_Archived)


class _ArchivedResults(msgspec.Struct):
    results: list[msgspec.Raw]


def archived_ids(root: Path, relative: str) -> list[str]:
    """Ids in an archived answer of `GET /v3/batches/{id}/results`, in its order.

    Decodes ids and skips the rest, so that an unknown value elsewhere cannot hide one. An item without a text as its
    id is left out: landing cannot place it either, and one such item must not stop every publication. Raises
    `IntegrityError` when the archived file is missing or damaged, or is not such an answer.
    """
    with open_archive(root, relative) as stream:
        content = stream.read()
    try:
        items = msgspec.json.decode(content, type=_ArchivedResults).results
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        cut = cut_items(content)  # it came cut short, and what stands before the cut was landed
        if cut is None:
            raise IntegrityError(f"archived answer {relative} cannot be decoded: {error}") from error
        items = cut[1]
    return [found for item in items if (found := _archived_id(bytes(item))) is not None]


def _archived_id(item: bytes) -> str | None:
    try:
        return _ARCHIVED.decode(item).id
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):  # a text in it is damaged
        found = load_leniently(item)
        identity = found.get("id") if isinstance(found, dict) else None
        return identity if isinstance(identity, str) and _is_text(identity) else None


def _is_text(text: str) -> bool:
    """Whether it can be written: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Check:
    """One connection, one report; each public method is one rule."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
        self.report = IdentityReport()
        self._connection = connection
        planned = [path for path, _ in snapshot.plans]
        live = [*snapshot.of(WAITING), *planned, *snapshot.of(TRANSACTIONS)]
        self._view("raw", table_sql(RAW_TRANSACTIONS, snapshot.of(RAW_TRANSACTIONS)))
        self._view("rejected", table_sql(REJECTED_ROWS, snapshot.of(REJECTED_ROWS)))
        self._view("intermediaries", table_sql(INTERMEDIARIES, snapshot.of(INTERMEDIARIES)))
        self._view("landed", table_sql(TRANSACTIONS, snapshot.of(TRANSACTIONS), filename=True))
        # A plan file has no version: it is always the first.
        self._view("planned", f"SELECT *, 1 AS version FROM ({table_sql(PLAN, planned, filename=True)})")  # noqa: S608
        self._view("live", transactions_sql(snapshot))
        self._view("live_files", table_sql(_LIVE, live, filename=True))

    def sources(self, sources: Sequence[SourceCount]) -> None:
        """Rule 1, and the counts of input rows."""
        accepted = dict(self._rows("SELECT file_id, count(*) FROM raw GROUP BY file_id"))
        rejected = dict(self._rows("SELECT file_id, count(*) FROM rejected GROUP BY file_id"))
        for source in sources:
            got, refused = accepted.get(source.file_id, 0), rejected.get(source.file_id, 0)
            if source.records != got + refused:
                self._violation(
                    f"source file {source.file_id}: {source.records} records, but {got} accepted + {refused} rejected"
                    f" = {got + refused}"
                )
        known = Counter(source.file_id for source in sources)
        if doubled := sorted(file_id for file_id, times in known.items() if times > 1):
            self._violation(f"{len(doubled)} source files are counted more than once: {_named(doubled)}")
        if strange := sorted({*accepted, *rejected} - {*known}):
            self._violation(f"{len(strange)} source files have rows but were never counted: {_named(strange)}")
        self.report.counts.update(
            records=sum(source.records for source in sources),
            accepted=sum(accepted.values()),
            repeats=self._number("SELECT count(*) FROM raw WHERE repeat"),
            rejected=sum(rejected.values()),
        )

    def ids(self) -> None:
        """Rule 2, and the counts by state: one hash aggregate over all ids, a second look only at the bad ones."""
        self._connection.execute("""
            CREATE TEMP TABLE bad AS
            SELECT transaction_id, sum(live) AS live, max(accepted) AS accepted
            FROM (
                SELECT transaction_id, 1 AS live, 0 AS accepted FROM live
                UNION ALL
                SELECT transaction_id, 0, 1 FROM raw
            )
            GROUP BY transaction_id
            HAVING sum(live) <> 1 OR max(accepted) <> 1
        """)
        for fault, words in _FAULTS.items():
            self._bad_ids(fault, words)
        states = dict(self._rows("SELECT state, count(*) FROM live GROUP BY state"))
        self.report.counts.update({state: states.get(state, 0) for state in STATES})
        self.report.counts["transactions"] = sum(states.values())

    def intermediaries(self) -> None:
        """Rule 3."""
        number, batches, ids = self._rows("""
            SELECT count(*), list_sort(list(DISTINCT batch_key)), list_sort(list(DISTINCT transaction_id))
            FROM intermediaries AS i
            WHERE NOT EXISTS (
                SELECT 1 FROM landed WHERE landed.transaction_id = i.transaction_id AND landed.batch_key = i.batch_key
            )
        """)[0]
        if number:
            self._violation(
                f"{number} intermediaries have no landed transaction of their batch: batches {_named(batches)},"
                f" transactions {_named(ids)}"
            )
        self.report.counts["intermediaries"] = self._number("SELECT count(*) FROM intermediaries")

    def batches(self) -> None:
        """Rule 4."""
        self._positions("landed")
        self._positions("planned")
        wrong = self._rows("""
            SELECT batch_key, count(*) FROM landed
            WHERE state NOT IN ('enriched', 'item_error') GROUP BY batch_key ORDER BY batch_key
        """)
        if wrong:
            rows = sum(number for _, number in wrong)
            self._violation(f"{rows} landed rows are neither enriched nor item_error: {_named(k for k, _ in wrong)}")

    def _positions(self, kind: str) -> None:
        self._connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE per_file AS
            SELECT filename, min(batch_key) AS batch_key, max(batch_key) AS other_key, count(*) AS rows,
                count(batch_key) AS keyed, count(DISTINCT position) AS places, min(position) AS first,
                max(position) AS last, coalesce(max(version), 1) AS version
            FROM {kind}
            GROUP BY filename
        """)  # noqa: S608
        gaps = "last <> rows - 1" if kind == "planned" else "false"
        for file, key, other, rows, places, first, last, version in self._rows(f"""
            SELECT filename, batch_key, other_key, rows, places, first, last, version FROM per_file
            WHERE batch_key <> other_key OR keyed <> rows OR places <> rows OR first < 0 OR {gaps}
            ORDER BY filename
        """):  # noqa: S608
            keys = str(key) if key == other else f"{key} to {other}"
            self._violation(
                f"{kind} file {_name(file)}, batch {keys}, version {version}: {rows} rows at {places} positions"
                f" from {first} to {last}"
            )
        doubled = self._rows("SELECT batch_key FROM per_file GROUP BY batch_key HAVING count(*) > 1 ORDER BY batch_key")
        if doubled:
            self._violation(f"{len(doubled)} batches have several {kind} files: {_named(key for (key,) in doubled)}")

    def _bad_ids(self, fault: str, words: str) -> None:
        self._view("faulty", f"SELECT transaction_id FROM bad WHERE {fault}")  # noqa: S608
        number = self._number("SELECT count(*) FROM faulty")
        if not number:
            return
        examples = self._rows("SELECT transaction_id FROM faulty ORDER BY transaction_id LIMIT 6")
        files = self._rows("""
            SELECT DISTINCT filename FROM live_files
            WHERE transaction_id IN (SELECT transaction_id FROM faulty) ORDER BY filename
        """)
        places = f"; {len(files)} live files: {_named(_name(file) for (file,) in files)}" if files else ""
        self._violation(f"{number} transaction ids {words}: {_named(id_ for (id_,) in examples)}{places}")

    def _violation(self, message: str) -> None:
        self.report.violations.append(message)

    def _view(self, name: str, sql: str) -> None:
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {sql}")

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()

    def _number(self, sql: str) -> int:
        return int(self._rows(sql)[0][0])


def _name(file: str) -> str:
    """A file's own name: it holds the batch or file id, and the folders above are the same for all."""
    return file.rpartition("/")[2]


def _named(names: Iterable[str]) -> str:
    """At most five of the names."""
    listed = list(names)
    return ", ".join(listed[:EXAMPLES]) + (", …" if len(listed) > EXAMPLES else "")
