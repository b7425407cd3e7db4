"""Opening the ledger: engine, transactions, migrations and its clock.

Belongs here: how a transaction begins and ends. What is written in one belongs to the modules beside this one.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Connection, Engine, create_engine, event, insert, make_url, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from pipeline.errors import ConfigError, EnrichError
from pipeline.ledger import postgres, schema
from pipeline.ledger.due import UNBOUNDED, LongestWaits

_SQLITE_VERSIONS = "alembic_version"
_SERVER_VERSIONS = "enrich_version"

BUSY_TIMEOUT_MS = 30_000
"""How long a SQLite writer waits for another before it gives up."""

# SQLite says this also when ledger.sqlite-wal was deleted under a process that has it open: until that one ends, every
# other one gets it, on a disk that has nothing wrong.
_IO_HINT = (
    "Check the disk; if it is well, ledger.sqlite-wal was deleted while in use: stop the daemon and every `enrich run`,"
    " then run again. If it stays: `enrich restore FOLDER --replace`."
)


class LedgerError(EnrichError):
    """The ledger's database did not take it: locked, full, read-only or gone. Nothing of the transaction was kept."""

    hint = "Check free space and rights of the data folder, then run again: what was committed before stays."
    concerns_all = True


@contextmanager
def _database_errors() -> Iterator[None]:
    """Say in words what the database refuses."""
    try:
        yield
    except DBAPIError as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        raise refusal from error


def _refusal(error: DBAPIError) -> LedgerError | None:
    """None for what the callers know how to take, and for a defect."""
    if isinstance(error, IntegrityError):
        return None
    if hasattr(error.orig, "pgcode"):
        words = postgres.in_words(error)
        return None if words is None else LedgerError(words[0], hint=words[1])
    if not isinstance(error, OperationalError):
        return None
    if "locked" in str(error.orig):
        return LedgerError(
            f"the ledger was locked by another program for {BUSY_TIMEOUT_MS / 1000:.0f} s",
            hint="See what has ledger.sqlite open (a copy, a viewer, a backup), and run again when it is done.",
        )
    if "disk I/O" in str(error.orig):
        return LedgerError(f"the ledger cannot be used: {error.orig}", hint=_IO_HINT)
    return LedgerError(f"the ledger cannot be used: {error.orig}")


def utc_now() -> datetime:
    """Naive UTC, as every time in the ledger."""
    return datetime.now(UTC).replace(tzinfo=None)


class Ledger:
    """The control plane of one data folder. Safe to share between threads; processes open their own."""

    def __init__(
        self, url: str, *, clock: Callable[[], datetime] | None = None, longest: LongestWaits | None = None
    ) -> None:
        self.url = url
        self.engine = make_engine(url)
        self.one_host = self.engine.dialect.name == "sqlite"
        """Whether all its processes are on this machine."""
        self.longest = longest or UNBOUNDED
        """What no moment noted in the ledger can be further off than."""
        self.clock = clock or (utc_now if self.one_host else postgres.ServerClock(self.engine))

    def now(self) -> datetime:
        """The ledger's clock: naive UTC, the server's on PostgreSQL. Raises LedgerError if that was never reached."""
        with _database_errors():
            return self.clock()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction, alone. It begins with BEGIN IMMEDIATE, on PostgreSQL with an advisory lock.

        With SQLAlchemy's default, two read-then-write transactions each took 60 of 100 credits and both committed.
        `SELECT … FOR UPDATE` would have to be remembered at each of them, and locks no row that is not there yet.
        """
        with _database_errors(), self.engine.begin() as conn:
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot for reading; never waits for a writer."""
        with _database_errors(), self.engine.connect().execution_options(read_only=True) as conn:
            yield conn

    def rows(self, statement: Any) -> list[Any]:
        """All rows of one SELECT."""
        with self.read() as conn:
            return list(conn.execute(statement))

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_ledger(
    url: str, *, clock: Callable[[], datetime] | None = None, longest: LongestWaits | None = None
) -> Ledger:
    """Open the ledger at `url`, creating or migrating its tables first.

    Raises ConfigError when the folder cannot be written or the database not be reached. A password is in no message.
    """
    path = sqlite_path(url)
    try:
        if _version(url, path) == schema.VERSION:
            pass
        elif path is None:
            migrate(url)  # in a write transaction, which has the advisory lock
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Two processes that create one SQLite file at once can each see half of the other's tables.
            with FileLock(path.with_suffix(".migrate.lock"), timeout=60):
                migrate(url)
    except (OSError, DBAPIError) as error:
        raise _not_opened(error) from error
    ledger = Ledger(url, clock=clock, longest=longest)
    _first_rows(ledger)
    return ledger


def _version(url: str, path: Path | None) -> str | None:
    """The version of the tables that are there; None when there are none, or they cannot be read just now.

    A glance that changes nothing and waits for nobody: whoever finds another version looks again with the lock.
    """
    query = "SELECT version_num FROM {}"
    try:
        if path is not None:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                row = connection.execute(query.format(_SQLITE_VERSIONS)).fetchone()
        else:
            engine = make_engine(url)
            try:
                with engine.connect().execution_options(read_only=True) as conn:
                    row = conn.exec_driver_sql(query.format(_SERVER_VERSIONS)).first()
            finally:
                engine.dispose()
    except (sqlite3.Error, DBAPIError):
        return None
    return row[0] if row else None


def _not_opened(error: OSError | DBAPIError) -> Exception:
    if isinstance(error, DBAPIError) and hasattr(error.orig, "pgcode"):
        words = postgres.in_words(error)
        return error if words is None else ConfigError(words[0], hint=words[1])
    if isinstance(error, OSError | OperationalError):
        said = getattr(error, "orig", None) or error
        hint = _IO_HINT if "disk I/O" in str(said) else "Check ENRICH_DATA_DIR, its rights and its disk."
        return ConfigError(f"the ledger cannot be opened: {said}", hint=hint)
    return error


def sqlite_path(url: str) -> Path | None:
    """The ledger's file; None when it is on a PostgreSQL server. Raises ConfigError for a URL that is neither."""
    if postgres.is_postgres(url):
        return None
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        hint = "ENRICH_LEDGER_URL begins with postgresql+psycopg2:// or with sqlite:///."
        raise ConfigError(f"the ledger is on PostgreSQL or a SQLite file, not {parsed.get_backend_name()}", hint=hint)
    return Path(parsed.database)


def make_engine(url: str) -> Engine:
    """An engine whose transactions begin as the ledger's do."""
    if postgres.is_postgres(url):
        target = postgres.driver_url(url)
        engine = create_engine(target, pool_pre_ping=True, connect_args=postgres.connect_args(target))
        postgres.configure(engine)
        return engine
    engine = create_engine(url)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None  # SQLAlchemy's own BEGIN is issued in _begin_sqlite
    cursor = dbapi_connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def impatient(ledger: Ledger, seconds: float) -> Ledger:
    """A second handle on the same database whose writers wait `seconds` for another one, not BUSY_TIMEOUT_MS.

    For whoever has to answer somebody in time. The caller closes it.
    """
    hasty = Ledger(ledger.url, clock=ledger.clock, longest=ledger.longest)
    if hasty.engine.dialect.name == "sqlite":
        pragma = f"PRAGMA busy_timeout = {int(seconds * 1000)}"
        event.listen(hasty.engine, "connect", lambda connection, _record: connection.execute(pragma).close())
    else:
        # A receiver took 26 s to end at SIGTERM: systemd kills it after 20.
        postgres.hurry(hasty.engine, seconds)
    return hasty


def _begin_sqlite(conn: Connection) -> None:
    read_only = conn.get_execution_options().get("read_only", False)
    conn.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def migrate(url: str, *, to: str = "head") -> None:
    """Create the tables, or bring them up to date. Alone with the file, or on PostgreSQL by the advisory lock."""
    from pipeline.ledger.migrating import upgrade  # noqa: PLC0415

    upgrade(url, to)


def self_check(conn: Connection) -> str:
    """`ok`, or what SQLite finds wrong with its file. A PostgreSQL server checks each page that it reads by itself."""
    return str(conn.exec_driver_sql("PRAGMA quick_check").scalar_one()) if conn.dialect.name == "sqlite" else "ok"


def version_table(engine: Engine) -> str:
    """Where the schema's version is. Dagster's storage calls its own `alembic_version`, and may be in one database."""
    return _SQLITE_VERSIONS if engine.dialect.name == "sqlite" else _SERVER_VERSIONS


def _first_rows(ledger: Ledger) -> None:
    with ledger.read() as conn:
        if conn.execute(select(schema.manifest_head.c.id)).first():
            return
    with ledger.write() as conn:
        if conn.execute(select(schema.manifest_head.c.id)).first() is None:
            conn.execute(insert(schema.manifest_head).values(id=1, revision=0, published_revision=0))


def chunks(keys: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    """Parts of a list for `IN (…)`: SQLite takes 32,766 parameters at most."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def stamp_data_folder(ledger: Ledger, *, source: str, account: str) -> None:
    """Tie the data folder to one account, or check that it is this one.

    Synthetic answers of the sandbox must never mix with real ones. The key is no part of it, since keys rotate.
    Raises ConfigError when the folder belongs to another account.
    """
    table = schema.data_folder
    with ledger.write() as conn:
        row = conn.execute(select(table)).first()
        if row is None:
            stamp = {"source": source, "account": account, "folder_id": uuid.uuid4().hex}
            conn.execute(insert(table).values(id=1, **stamp, stamped_at=ledger.now(), journal_seen=0))
        elif (row.source, row.account) != (source, account):
            raise ConfigError(
                f"this data folder belongs to {row.source}/{row.account}, not to {source}/{account}",
                hint="Set ENRICH_DATA_DIR to another folder for another account.",
            )
