"""Which files make up the tables: the manifest, its revisions, and compare-and-swap.

A file that the manifest does not know does not exist for any reader. Every accepted row is in exactly one live file of
the kinds `waiting`, `plan` and `transactions`; moving rows is one commit that removes and adds files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from pipeline.errors import ConflictError
from pipeline.ledger import schema
from pipeline.ledger.db import Ledger, chunks

_files = schema.manifest_files
_head = schema.manifest_head


@dataclass(frozen=True, slots=True)
class NewFile:
    """A written file on its way into the manifest. `path` is relative to the data folder."""

    kind: str
    path: str
    rows: int
    bytes: int
    sha256: str
    batch_key: str | None = None
    file_id: str | None = None
    version: int | None = None


def revision(conn: Connection) -> int:
    """The manifest's revision."""
    return int(conn.execute(select(_head.c.revision)).scalar_one())


def live(conn: Connection, *kinds: str, batch_key: str | None = None) -> list[Row[Any]]:
    """Live files of these kinds (all kinds when none is named), oldest first."""
    where: list[ColumnElement[bool]] = [_files.c.removed_revision.is_(None)]
    if kinds:
        where.append(_files.c.kind.in_(kinds))
    if batch_key is not None:
        where.append(_files.c.batch_key == batch_key)
    return list(conn.execute(select(_files).where(*where).order_by(_files.c.added_revision, _files.c.path)))


def commit(
    conn: Connection,
    *,
    add: Iterable[NewFile] = (),
    remove: Sequence[str] = (),
    now: datetime,
    read_revision: int | None = None,
    unchanged: Collection[str] = (),
) -> int:
    """Swap files inside the caller's write transaction and return the new revision.

    Raises ConflictError when a file of `remove` is no longer live, or when a file of a kind in `unchanged` was added
    or removed after `read_revision`: the caller's work rests on what is no longer so, and is discarded.
    """
    if read_revision is not None and unchanged:
        _refuse_changes(conn, read_revision, unchanged)
    new_revision = revision(conn) + 1
    for path in remove:
        statement = update(_files).where(_files.c.path == path, _files.c.removed_revision.is_(None))
        if conn.execute(statement.values(removed_revision=new_revision, removed_at=now)).rowcount != 1:
            raise ConflictError(f"{path} is no longer live: another process moved its rows")
    rows = [
        {
            "path": f.path,
            "kind": f.kind,
            "batch_key": f.batch_key,
            "file_id": f.file_id,
            "version": f.version,
            "rows": f.rows,
            "bytes": f.bytes,
            "sha256": f.sha256,
            "added_revision": new_revision,
            "added_at": now,
        }
        for f in add
    ]
    if rows:
        conn.execute(insert(_files), rows)
    conn.execute(update(_head).values(revision=new_revision))
    return new_revision


def _refuse_changes(conn: Connection, read_revision: int, kinds: Collection[str]) -> None:
    changed = conn.execute(
        select(func.count()).where(
            _files.c.kind.in_(set(kinds)),
            (_files.c.added_revision > read_revision) | (_files.c.removed_revision > read_revision),
        )
    ).scalar_one()
    if changed:
        raise ConflictError(f"{changed} file(s) of {'/'.join(sorted(kinds))} changed since revision {read_revision}")


def forget(ledger: Ledger, *, before: datetime, revision: int, limit: int) -> list[str]:
    """Forget files that were replaced before a moment, and by this revision or an older one; returns their paths.

    They exist for no reader from then on: whoever deletes them may die at it, and a sweep finds what is left.
    """
    where = (_files.c.removed_at < before, _files.c.removed_revision <= revision)
    with ledger.write() as conn:
        query = select(_files.c.path).where(*where).order_by(_files.c.removed_revision).limit(limit)
        paths = list(conn.execute(query).scalars())
        for chunk in chunks(paths):
            conn.execute(delete(_files).where(_files.c.path.in_(chunk)))
    return paths


def touch(conn: Connection) -> int:
    """A new revision without new files: a state that readers see has changed (held, retried, a holder)."""
    new_revision = revision(conn) + 1
    conn.execute(update(_head).values(revision=new_revision))
    return new_revision


def head(ledger: Ledger) -> Row[Any]:
    """The head's row: revision, published_revision, publish_dispatched_until."""
    with ledger.read() as conn:
        return conn.execute(select(_head)).one()


def mark_published(ledger: Ledger, published: int) -> None:
    """Note that the warehouse shows this revision; an older one never replaces a newer."""
    with ledger.write() as conn:
        conn.execute(
            update(_head)
            .where(_head.c.published_revision < published)
            .values(published_revision=published, publish_dispatched_until=None)
        )


def dispatch_publish(ledger: Ledger, until: datetime) -> None:
    """Note that a run of the warehouse job was asked for."""
    with ledger.write() as conn:
        conn.execute(update(_head).values(publish_dispatched_until=until))
