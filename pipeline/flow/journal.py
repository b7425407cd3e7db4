"""The journal of intents beside the archive, by which a ledger that is older than what was sent is noticed.

Belongs here: one line per intent, appended before the request is let go, and comparing the lines with the ledger. What
follows for the batches that a ledger does not know is `reconciling`'s.

A ledger can be put back from a backup, or be deleted; both looked like a ledger with batches to send, and sending them
would charge for them once more. The lines lie elsewhere and are never put back, so they give it away. They hold keys,
counts and hashes of two ids, no transaction.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, select, update

from pipeline.errors import ConfigError
from pipeline.lake import warehouse
from pipeline.lake.durable import fsync, storage_errors
from pipeline.ledger import circuit, schema
from pipeline.ledger.db import Ledger, chunks

NAME = "intents.jsonl"

_NEVER = datetime.min  # noqa: DTZ901 - the ledger's times are naive UTC

_LET_GO, _WITHHELD = b'"let_go": true', b'"let_go":false'
"""As it is written, and taken back: of one length."""

_TAIL = 1 << 16
"""Bytes that are searched for the end of the last whole line; a line has some 200."""


class Line(msgspec.Struct, omit_defaults=True, frozen=True):
    """One intent, or one restore (`restored`: when the backup was made). `at` is the ledger's clock (naive UTC)."""

    at: datetime
    batch_key: str = ""
    sequence: int = 0
    rows: int = 0
    ends: tuple[str, ...] = ()
    """Hashes of the first and the last id: whose batch it was can be told without the ledger."""
    restored: str = ""
    let_go: bool = False
    """The last byte of that intent was about to go out: until then a reservation is provably unsent."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines that the ledger does not know; the byte offset before which it knows all, and that of the last line's end.

    A restore is never known, since nobody knows what was sent after the backup was made.
    """

    lines: list[Line]
    known_to: int
    end: int

    @property
    def since(self) -> datetime:
        """The time of the latest of the lines (naive UTC)."""
        return max((line.at for line in self.lines), default=_NEVER)

    def names(self, ids: Iterable[str], total: int) -> bool:
        """Whether one of the lines is of a batch of `total` rows that began or ended with one of these ids."""
        hashes = {hash_id(i) for i in ids}
        return any(line.rows == total and hashes & {*line.ends} for line in self.lines)


def hash_id(transaction_id: str) -> str:
    """16 hex digits."""
    return hashlib.sha256(transaction_id.encode()).hexdigest()[:16]


def note_intent(archive: Path, row: Any, sequence: int, *, at: datetime) -> None:
    """Append the intent to send this batch (a ledger row), durably. For the sender only: one process at a time.

    Comes after the reservation was committed and before the request is let go. Raises StorageError.
    """
    ends = (hash_id(row.first_id), hash_id(row.last_id))
    _append(archive, Line(at, row.batch_key, sequence, row.rows, ends))


def note_let_go(archive: Path, batch_key: str, sequence: int, *, at: datetime) -> int:
    """Append that this intent's last byte goes out once the ledger has let it go, durably. Raises StorageError.

    A copy of the ledger of before that moment, put back, looks like a sender that died with nothing sent, but for this.
    Returns the offset of the line, for `take_back`.
    """
    return _append(archive, Line(at, batch_key, sequence, let_go=True))


def take_back(archive: Path, offset: int) -> None:
    """Unsay a `note_let_go`: its sender lives, and has withheld the byte. Durably. Raises StorageError.

    In place, at the same length, since it is a full disk that keeps the ledger from letting go: nothing more fits
    there. The line is not cut off, as another process may have counted it as seen.
    """
    path = archive / NAME
    with storage_errors("write", path), path.open("r+b") as stream:
        stream.seek(offset)
        place = stream.readline().find(_LET_GO)
        if place >= 0:
            stream.seek(offset + place)
            stream.write(_WITHHELD)
            stream.flush()
            os.fsync(stream.fileno())


def note_restore(archive: Path, backup_made: datetime, *, at: datetime) -> None:
    """Append that a ledger is going to be put back, durably. Under the sender's lock as well. Raises StorageError."""
    _append(archive, Line(at, restored=backup_made.isoformat(timespec="seconds")))


def _append(archive: Path, line: Line) -> int:
    """Returns the offset at which the line begins."""
    path = archive / NAME
    with storage_errors("write", path):
        archive.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            begins = _cut_torn_line(descriptor)
            data = msgspec.json.encode(line).replace(b'"let_go":true', _LET_GO) + b"\n"
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not begins:
            fsync(archive)
    return begins


def _cut_torn_line(descriptor: int) -> int:
    """Take off what a process that died while it appended has left; nothing was sent for it. Returns the size."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - _TAIL)
    end = start + os.pread(descriptor, size - start, start).rfind(b"\n") + 1
    if end != size:
        os.ftruncate(descriptor, end)
    return end


def read(archive: Path, start: int = 0) -> tuple[list[tuple[int, Line]], int]:
    """Whole lines from byte `start` on, each with its offset, and the offset at which the last one ends.

    From the beginning when no line ends at `start`: then this is not the journal in which that was counted. A line
    that cannot be read is one that no ledger knows. Raises StorageError.
    """
    data, offset = _bytes_from(archive / NAME, start)
    lines = []
    for raw in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
        try:
            line = msgspec.json.decode(raw, type=Line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            line = Line(_NEVER)
        lines.append((offset, line))
        offset += len(raw)
    return lines, offset


def _bytes_from(path: Path, start: int) -> tuple[bytes, int]:
    with storage_errors("read", path):
        try:
            with path.open("rb") as stream:
                if start:
                    stream.seek(start - 1)
                    if stream.read(1) == b"\n":
                        return stream.read(), start
                    stream.seek(0)
                return stream.read(), 0
        except FileNotFoundError:
            return b"", 0


def find_gap(ledger: Ledger, archive: Path) -> Gap:
    """Compare the lines that were not seen yet with the ledger's attempts. Raises StorageError."""
    return _find_gap(ledger, archive, _seen(ledger))


def _find_gap(ledger: Ledger, archive: Path, seen: int) -> Gap:
    lines, end = read(archive, seen)  # before the attempts: these are committed before their lines are written
    a = schema.attempts
    keys = sorted({line.batch_key for _, line in lines})
    with ledger.read() as conn:
        attempts = {
            (row.batch_key, row.sequence)
            for chunk in chunks(keys)
            for row in conn.execute(select(a.c.batch_key, a.c.sequence).where(a.c.batch_key.in_(chunk)))
        }
    unknown = [(offset, line) for offset, line in lines if (line.batch_key, line.sequence) not in attempts]
    return Gap([line for _, line in unknown], unknown[0][0] if unknown else end, end)


def check(ledger: Ledger, home: Path) -> None:
    """Open the circuit when more was sent from this folder than the ledger knows. Costs a few file calls otherwise.

    Raises StorageError when the journal cannot be read.
    """
    archive = home / "archive"
    seen = _seen(ledger)
    try:
        if seen == (archive / NAME).stat().st_size:
            return
    except FileNotFoundError:
        if seen == 0:
            return
    gap = _find_gap(ledger, archive, seen)
    if gap.known_to != seen:
        with ledger.write() as conn:
            _set_seen(conn, gap.known_to, before=seen)
    if gap.lines:
        _refuse(ledger, home, _sentence(gap))


def _seen(ledger: Ledger) -> int:
    return int(ledger.rows(select(schema.data_folder.c.journal_seen))[0].journal_seen)


def _set_seen(conn: Connection, offset: int, *, before: int) -> None:
    table = schema.data_folder
    conn.execute(update(table).where(table.c.journal_seen == before).values(journal_seen=offset))


def close_gap(conn: Connection, gap: Gap) -> None:
    """Close the circuit: what the lines up to `gap.end` stand for is in the ledger, or was looked for and not found."""
    conn.execute(update(schema.data_folder).values(journal_seen=gap.end))
    circuit.closed_by_reconciling(conn)


def _sentence(gap: Gap) -> str:
    batches = {line.batch_key for line in gap.lines if not line.restored}
    if not batches:
        made = max(line.restored for line in gap.lines)
        return (
            f"this ledger was restored from a backup of {made} UTC: what was sent since is unknown to it;"
            " run `enrich reconcile`"
        )
    return (
        f"this ledger is older than what was sent from this folder: {len(batches)} batches are unknown to it;"
        " run `enrich reconcile`"
    )


def _refuse(ledger: Ledger, home: Path, reason: str) -> None:
    with ledger.read() as conn:
        open_ = circuit.opened(conn)
        lift_to = _revision_to_publish(conn, home)
    if open_ is not None and (open_.kind, open_.reason) == (circuit.RESTORED, reason) and lift_to is None:
        return
    with ledger.write() as conn:
        circuit.open_restored(conn, reason=reason, now=ledger.now())
        if lift_to is not None:
            head = schema.manifest_head
            conn.execute(update(head).where(head.c.revision < lift_to).values(revision=lift_to))


def _revision_to_publish(conn: Connection, home: Path) -> int | None:
    """The revision that the manifest needs for its tables to replace those that the newer ledger has published.

    They would be taken for outdated otherwise, for as many commits as are lacking. A ledger without any file lacks all
    of them, and its empty tables must not replace good ones: analysts keep what is out until there is something.
    """
    with suppress(ConfigError):
        out = warehouse.current(home)
        revision = conn.execute(select(schema.manifest_head.c.revision)).scalar_one()
        has_files = conn.execute(select(schema.source_files.c.file_id).limit(1)).first() is not None
        if out is not None and has_files and out.revision >= revision:
            return out.revision + 1
    return None
