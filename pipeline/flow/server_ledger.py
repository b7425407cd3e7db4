"""A ledger on a PostgreSQL server whose rows are to be replaced by those of a backup.

Belongs here: being alone with it, and the exchange in one transaction. What a restore is, is `restoring`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from pipeline.crashpoints import point
from pipeline.errors import ConfigError
from pipeline.flow.turn import Turn, sender
from pipeline.flow.workspace import Workspace
from pipeline.lake.durable import fsync
from pipeline.ledger import copying, schema
from pipeline.ledger.claims import is_free
from pipeline.ledger.db import open_ledger
from pipeline.settings import Settings


def busy(where: object) -> ConfigError:
    """Somebody else works there."""
    hint = "Stop the daemon and every `enrich run`, then restore again."
    return ConfigError(f"another process works with {where}", hint=hint)


def occupied(where: str, *, other: bool) -> ConfigError:
    """A ledger is there, of the data folder of which this is a backup, or of another one."""
    if other:
        hint = "Name that one's in ENRICH_DATA_DIR or a new one; `--replace` moves this ledger aside all the same."
        return ConfigError(f"this is a backup of another data folder than the one whose ledger is {where}", hint=hint)
    return ConfigError(f"there is a ledger already: {where}", hint="`--replace` moves it aside.")


@dataclass(frozen=True, slots=True)
class ServerLedger:
    """The ledger, of which this process is the sender."""

    ws: Workspace
    turn: Turn

    def require_replaceable(self, folder_id: str, *, replace: bool) -> bool:
        """Raise ConfigError when it is another account's, in use, or not empty and `replace` is not set.

        True when it is another data folder's than that of `folder_id`.
        """
        with self.ws.ledger.read() as conn:
            return self._require(conn, folder_id, replace=replace)

    def replace(self, source: Path, folder_id: str, *, replace: bool) -> Path | None:
        """Put the rows of a SQLite file in place of its own, at once. Returns the folder with those that were there."""
        with self.ws.ledger.write() as conn:
            self.turn.check(conn)
            self._require(conn, folder_id, replace=replace)
            aside = self._set_aside(conn) if _is_used(conn) else None
            point("restore.after_aside")
            copying.from_file(conn, source)
        return aside

    def _require(self, conn: Connection, folder_id: str, *, replace: bool) -> bool:
        stamp, s = conn.execute(select(schema.data_folder)).first(), self.ws.settings
        if stamp is not None and (stamp.source, stamp.account) != (s.source, s.account):
            raise ConfigError(
                f"the ledger on the server belongs to {stamp.source}/{stamp.account}",
                hint="Name another database in ENRICH_LEDGER_URL.",
            )
        used = _is_used(conn)
        other = used and stamp is not None and stamp.folder_id != folder_id
        if used and not replace:
            raise occupied("on the server", other=other)
        b, now = schema.batches, self.ws.ledger.now()
        owned = conn.execute(select(b).where(b.c.claim_owner.is_not(None)))
        if any(not is_free(row, now, one_host=False) for row in owned):
            raise busy("the ledger on the server")
        return other

    def _set_aside(self, conn: Connection) -> Path:
        aside = self.ws.home / f"ledger.replaced-{self.ws.ledger.now():%Y%m%dT%H%M%S.%f}"
        aside.mkdir()
        copying.to_file(conn, aside / "ledger.sqlite")
        fsync(aside / "ledger.sqlite")
        fsync(aside)
        fsync(aside.parent)
        return aside


@contextmanager
def taken(settings: Settings) -> Iterator[ServerLedger]:
    """The ledger of these settings, its tables made if need be, while nobody else sends. Raises ConfigError."""
    settings.home.mkdir(parents=True, exist_ok=True)
    ledger = open_ledger(settings.ledger)
    try:
        ws = Workspace(settings, ledger)
        with sender(ws) as turn:
            if turn is None:
                raise busy("the ledger on the server")
            yield ServerLedger(ws, turn)
    finally:
        ledger.close()


def _is_used(conn: Connection) -> bool:
    tables = (schema.source_files, schema.batches, schema.holders)
    return any(conn.execute(select(table).limit(1)).first() is not None for table in tables)
