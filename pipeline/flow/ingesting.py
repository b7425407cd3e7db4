"""Files into the lake: archived, read, compared with what is known, committed.

Belongs here: what joins a file to the ledger and the lake. How a file is read is `pipeline.ingest`'s.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl
from sqlalchemy import Connection, delete, insert, null, select
from sqlalchemy.exc import IntegrityError as DatabaseConflict

from pipeline.crashpoints import point
from pipeline.errors import ConfigError, ConflictError
from pipeline.flow.workspace import Workspace
from pipeline.ingest.mapping import Mapping
from pipeline.ingest.reader import Ingested, read_file
from pipeline.lake import archive, files, tables
from pipeline.lake.durable import storage_errors
from pipeline.lake.snapshot import reader
from pipeline.ledger import holders, manifest, schema
from pipeline.ledger.manifest import NewFile

LIVE_KINDS = ("waiting", "plan", "transactions")
"""Kinds of file that hold accepted rows; each row is in exactly one live file of them."""

KNOWN = {"transaction_id": pl.String, "known_hash": pl.String}
"""Columns of what was accepted before: ids, and the hash of the content that they have."""

_TRIES = 10


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file. Counts are records."""

    file_id: str
    source_file: str
    records: int
    accepted: int
    repeats: int
    rejected: int
    known_before: bool
    facts: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def new(self) -> int:
        """Accepted records that were not known before."""
        return self.accepted - self.repeats


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows of one file beside what was known before it, in the columns of `tables`.

    `accepted`: raw transactions, repeats marked. `rejected`: rejected rows, conflicts included. `new`: waiting rows.
    """

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    new: pl.DataFrame


def shown_name(path: Path) -> str:
    r"""Its name as text: a byte that is no UTF-8, from an old archive say, is shown as `\xfc`.

    No table, log or JSON takes such a name as Python has it, and one file kept all others in the inbox.
    """
    return os.fsencode(path.name).decode("utf-8", "backslashreplace")


def ingest_file(ws: Workspace, path: Path, mapping: Mapping | None) -> FileReport:
    """Read one file into the lake. The same file with the same mapping again adds nothing.

    Raises ConfigError for a file that cannot be read at all, or that was accepted under another mapping.
    """
    if not path.is_file():
        raise ConfigError(f"{shown_name(path)}: no such file")
    with ws.scratch() as scratch:
        # A copy, since the file may be written to while it is read; hash, archive and rows then agree.
        staged = scratch / path.name
        with storage_errors("copy to the data folder", path):
            shutil.copyfile(path, staged)
        read = read_file(staged, mapping, now=ws.ledger.now(), source_file=shown_name(path))
        known = _known_file(ws, read)
        if known is not None:
            return known
        archived = archive.archive_file(ws.archive, staged, name=f"source-{read.file_id}")
        point("ingest.after_archive")
        for _ in range(_TRIES):
            try:
                return _commit(ws, read, scratch, archived.path)
            except (ConflictError, DatabaseConflict):
                known = _known_file(ws, read)  # another process may have read this very file meanwhile
                if known is not None:
                    return known
    raise ConflictError(
        f"{shown_name(path)}: other files were ingested at the same time, {_TRIES} times over; run it again"
    )


def _known_file(ws: Workspace, read: Ingested) -> FileReport | None:
    table = schema.source_files
    rows = ws.ledger.rows(select(table).where(table.c.sha256 == read.sha256))
    for row in rows:
        if row.file_id == read.file_id:
            return FileReport(
                row.file_id, row.name, row.records, row.accepted, row.repeats, row.rejected,
                known_before=True, facts=read.facts, warnings=read.warnings,
            )  # fmt: skip
    with ws.ledger.read() as conn:
        fixed = [row for row in rows if row.file_id not in _replaceable(conn, read)]
    if fixed:
        raise ConfigError(
            f"{read.source_file}: its {fixed[0].accepted} rows were accepted before under another mapping, and are in a"
            " batch already or known to a later file",
            hint="What may have been sent cannot be read anew; use another data folder to start over.",
        )
    return None


def _replaceable(conn: Connection, read: Ingested) -> list[str]:
    """Earlier readings of the same bytes, under other mappings, that this one takes the place of.

    Those that accepted nothing; and those whose rows all wait in no batch yet, while no later file has repeats, which
    may be of them. So a mapping can be corrected after `enrich plan` has shown what the wrong one makes of a file.
    """
    table = schema.source_files
    waiting = {row.file_id: row.rows for row in manifest.live(conn, "waiting")}
    found = []
    for row in conn.execute(select(table).where(table.c.sha256 == read.sha256, table.c.file_id != read.file_id)):
        later = select(table.c.file_id).where(table.c.revision > row.revision, table.c.repeats > 0).limit(1)
        unsent = row.accepted and waiting.get(row.file_id, 0) == row.accepted - row.repeats
        if not row.accepted or (unsent and conn.execute(later).first() is None):
            found.append(row.file_id)
    return found


def _commit(ws: Workspace, read: Ingested, scratch: Path, archive_path: str) -> FileReport:
    with ws.ledger.read() as conn:
        read_revision = manifest.revision(conn)
        replaced = _replaceable(conn, read)
        live = [row.path for row in manifest.live(conn, *LIVE_KINDS) if row.file_id not in replaced]
        holder_types = holders.known_types(conn, holder_ids(read.accepted))
        for holder in _only_wanted_by(conn, replaced):
            holder_types.pop(holder, None)
    rows = settle(read, _known_content(ws, live, read.accepted, scratch), holder_types)
    added = _write(ws, read, rows)
    point("ingest.before_commit")
    with ws.ledger.write() as conn:
        revision = manifest.commit(
            conn, add=added, now=ws.ledger.now(), read_revision=read_revision, unchanged=("raw_transactions",)
        )
        if replaced != _replaceable(conn, read):
            raise ConflictError("rows of an earlier reading were put into a batch meanwhile")
        holders.forget(conn, _only_wanted_by(conn, replaced))
        _forget_readings(conn, replaced, ws.ledger.now())
        repeats = rows.accepted.height - rows.new.height
        _record(conn, read, revision, rows, archive_path)
        holders.want(conn, holders_of(rows.new), now=ws.ledger.now())
    point("ingest.after_commit")
    return FileReport(
        read.file_id, read.source_file, read.records, rows.accepted.height, repeats, rows.rejected.height,
        known_before=False, facts=read.facts, warnings=read.warnings,
    )  # fmt: skip


def _known_content(ws: Workspace, live: list[str], accepted: pl.DataFrame, scratch: Path) -> pl.DataFrame:
    """Ids of `accepted` that are in a live file, with the content they have there: (transaction_id, known_hash)."""
    empty = pl.DataFrame(schema=KNOWN)
    if not live or accepted.is_empty():
        return empty
    candidates = scratch / "candidates.parquet"
    accepted.select("transaction_id").write_parquet(candidates)
    with duckdb.connect() as con:
        relation = con.sql(
            f"SELECT transaction_id, content_hash AS known_hash FROM {reader(ws.lake / path for path in live)}"  # noqa: S608
            f" WHERE transaction_id IN (SELECT transaction_id FROM {reader([candidates])})"
        )
        return pl.DataFrame(relation.fetchall(), schema=empty.schema, orient="row")


def settle(read: Ingested, known: pl.DataFrame, holder_types: dict[str, str]) -> Settled:
    """Compare a file with what was accepted before it: repeats are kept and marked, conflicts are rejected.

    Shapes: `known` has the columns of `KNOWN`, and those ids of the file that were accepted before; `holder_types` the
    types of its holders that were known.
    """
    rows = read.accepted.join(known, on="transaction_id", how="left", maintain_order="left").with_columns(
        first=pl.col("transaction_id").is_first_distinct(),
        known_type=pl.col("account_holder_id").replace_strict(holder_types, default=None, return_dtype=pl.String),
        file_type=pl.col("account_holder_type").first().over("account_holder_id"),
    )
    wanted_type = pl.coalesce("known_type", "file_type")
    reasons = pl.concat_list(
        pl.when(pl.col("known_hash") != pl.col("content_hash")).then(
            pl.lit("id: conflict with a transaction of the same id and other content that was accepted before")
        ),
        pl.when(pl.col("account_holder_id").is_not_null() & (pl.col("account_holder_type") != wanted_type)).then(
            pl.format("account_holder_type: conflict, this holder is known as {}", wanted_type)
        ),
    ).list.drop_nulls()
    rows = rows.with_columns(reasons=reasons, repeat=pl.col("known_hash").is_not_null() | ~pl.col("first"))
    bad = pl.col("reasons").list.len() > 0
    conflicts = rows.filter(bad).with_columns(raw_text=_raw_text()).select(tables.REJECTED_ROWS.names)
    accepted = rows.filter(~bad).select(tables.RAW_TRANSACTIONS.names)
    return Settled(
        accepted,
        pl.concat([read.rejected, conflicts]).sort("record_number"),
        accepted.filter(~pl.col("repeat")).select(tables.WAITING.names),
    )


def _raw_text() -> pl.Expr:
    """The row as JSON; its own text in the file is gone by now, and these are the values that were read from it."""
    fields = ("source_id", "date", "description", "amount", "entry_type", "currency", "country", "account_holder_id")
    return pl.struct(pl.col(name).cast(pl.String) for name in fields).struct.json_encode()


def _write(ws: Workspace, read: Ingested, rows: Settled) -> list[NewFile]:
    parts = (
        (tables.RAW_TRANSACTIONS, rows.accepted),
        (tables.REJECTED_ROWS, rows.rejected),
        (tables.WAITING, rows.new),
    )
    added = []
    for table, frame in parts:
        if frame.height:
            written = files.write_table(ws.lake, table, frame, stem=read.file_id)
            added.append(
                NewFile(table.name, written.path, written.rows, written.bytes, written.sha256, file_id=read.file_id)
            )
    return added


def _only_wanted_by(conn: Connection, file_ids: list[str]) -> list[str]:
    """Holders that no file but these has named, and that were not created yet: perhaps of a wrong type.

    None where a later file was read, which may name them too.
    """
    table = schema.source_files
    found: set[str] = set()
    for row in conn.execute(select(table).where(table.c.file_id.in_(file_ids))):
        if conn.execute(select(table.c.file_id).where(table.c.revision > row.revision).limit(1)).first() is None:
            found |= set(holders.wanted_since(conn, row.ingested_at))
    return sorted(found)


def _forget_readings(conn: Connection, file_ids: list[str], now: datetime) -> None:
    """Take back earlier readings of the same bytes: somebody has corrected the mapping."""
    table = schema.source_files
    for file_id in file_ids:
        kinds = ("raw_transactions", "rejected_rows", "waiting")
        paths = [row.path for row in manifest.live(conn, *kinds) if row.file_id == file_id]
        manifest.commit(conn, remove=paths, now=now)
        conn.execute(delete(table).where(table.c.file_id == file_id))


def _record(conn: Connection, read: Ingested, revision: int, rows: Settled, archive_path: str) -> None:
    conn.execute(
        insert(schema.source_files).values(
            file_id=read.file_id,
            name=read.source_file,
            sha256=read.sha256,
            bytes=read.size,
            records=read.records,
            accepted=rows.accepted.height,
            repeats=rows.accepted.height - rows.new.height,
            rejected=rows.rejected.height,
            archive_path=archive_path,
            mapping=null() if read.mapping is None else read.mapping.as_dict(),
            facts=read.facts,
            warnings=read.warnings,
            ingested_at=read.ingested_at,
            revision=revision,
        )
    )


def holder_ids(frame: pl.DataFrame) -> list[str]:
    """Account holders that rows name."""
    return frame["account_holder_id"].drop_nulls().unique().to_list()


def holders_of(frame: pl.DataFrame) -> dict[str, str]:
    """Account holders that rows name, with their types."""
    pairs = frame.select("account_holder_id", "account_holder_type").drop_nulls().unique("account_holder_id")
    return dict(pairs.iter_rows())
