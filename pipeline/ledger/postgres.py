"""What the ledger needs on PostgreSQL and SQLite has by itself: one writer at a time, one clock, words for its errors.

Belongs here: all that names PostgreSQL. No table and no rule of the ledger is different there.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any

from sqlalchemy import URL, Connection, Engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from pipeline.errors import ConfigError

NAME = "postgresql"
_DRIVER = "postgresql+psycopg2"
_BARE = {NAME, "postgres", _DRIVER}

WAIT_SECONDS = 30
"""How long a writer waits for another before it gives up; as on SQLite."""

_PAUSE_SECONDS = 20
"""How long a writer may do nothing inside its transaction before the server ends it: less than the others wait.

Writers hold the lock for milliseconds, unless their process is stopped or their host is gone. On SQLite everybody is
kept out for as long as that lasts.
"""

_WAIT = "enrich_wait"  # an execution option of an engine: seconds

_LOCK = 0x656E7269
"""Of the advisory locks, which are one set for each database."""

_BEGIN_READ = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"

# The isolation level is said, since a server's default may be another: with REPEATABLE READ or more the snapshot is
# that of the first statement, taken before the wait for the lock, and lacks what the writer before has committed.
# A commit that the server has not put on disk is a paid batch that nobody knows of, so `off` is not accepted.
_BEGIN_WRITE = (
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;"
    f" SET LOCAL lock_timeout = '{WAIT_SECONDS}s';"
    f" SET LOCAL idle_in_transaction_session_timeout = '{_PAUSE_SECONDS}s';"
    " SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';"
    f" SELECT pg_advisory_xact_lock({_LOCK})"
)

# A server that is gone without a word is noticed after half a minute, where the system's default is two hours.
_CONNECT = {
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "fallback_application_name": "enrich",
}

_SERVER_CLOCK = text("SELECT clock_timestamp() AT TIME ZONE 'UTC'")
_SYNC_SECONDS = 60
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def is_postgres(url: str) -> bool:
    """Whether the URL names a PostgreSQL server. Raises ConfigError, without the URL, for one that cannot be read."""
    return _parsed(url).get_backend_name() in {NAME, "postgres"}


def driver_url(url: str) -> URL:
    """The URL with the driver that is used.

    A bare `postgresql://` means psycopg 3 since SQLAlchemy 2.1, and psycopg2 before; providers hand out `postgres://`.
    Raises ConfigError, in which no password is, for another driver or when psycopg2 is not installed.
    """
    parsed = _parsed(url)
    if parsed.drivername not in _BARE:
        hint = f"Write {_DRIVER}://… in ENRICH_LEDGER_URL."
        raise ConfigError(f"the ledger uses PostgreSQL through psycopg2, not {parsed.drivername}", hint=hint)
    if find_spec("psycopg2") is None:
        hint = "Install dagster-postgres, which comes with the extra `postgres` of this project."
        raise ConfigError("a ledger on PostgreSQL needs psycopg2, which is not installed", hint=hint)
    return parsed.set(drivername=_DRIVER)


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # without the cause, which may quote what it could not read
        hint = "It is written like postgresql+psycopg2://user:password@host:5432/database."
        raise ConfigError("ENRICH_LEDGER_URL cannot be read", hint=hint) from None


def connect_args(url: URL) -> dict[str, Any]:
    """Options of new connections; what the URL says of them wins."""
    return {name: value for name, value in _CONNECT.items() if name not in url.query}


def configure(engine: Engine) -> None:
    """Make transactions begin as the ledger's do."""
    event.listen(engine, "begin", _begin)
    event.listen(engine, "before_cursor_execute", _without_nul, retval=True)


def _begin(conn: Connection) -> None:
    options = conn.get_execution_options()
    begin = _BEGIN_READ if options.get("read_only", False) else _BEGIN_WRITE
    if (wait := options.get(_WAIT)) is not None:
        begin = begin.replace(f"lock_timeout = '{WAIT_SECONDS}s'", f"lock_timeout = '{int(wait * 1000)}ms'")
    conn.exec_driver_sql(begin)


def hurry(engine: Engine, seconds: float) -> None:
    """Have its writers wait so long for another one, and not WAIT_SECONDS."""
    engine.update_execution_options(**{_WAIT: seconds})


def _without_nul(_conn: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> Any:  # noqa: FBT001
    """Text of the API or of a file may hold a NUL, which SQLite keeps and PostgreSQL has no place for."""
    if isinstance(values, dict):
        return statement, _clean(values)
    if isinstance(values, list):
        return statement, [_clean(row) if isinstance(row, dict) else row for row in values]
    return statement, values


def _clean(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v.replace("\0", "\ufffd") if isinstance(v, str) and "\0" in v else v for k, v in row.items()}


class ServerClock:
    """The server's time in naive UTC, asked for once a minute.

    Hosts whose clocks differ have to agree on leases, claims and the grace: one that is ahead by ten minutes would
    otherwise take ten minutes off the grace, and send again what was only late.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._read: tuple[datetime, float] | None = None

    def __call__(self) -> datetime:
        """Raises the database's error only when the server was never reached."""
        read = self._read
        if read is None or since_boot() - read[1] > _SYNC_SECONDS:
            read = self._sync(read)
        return read[0] + timedelta(seconds=since_boot() - read[1])

    def _sync(self, before: tuple[datetime, float] | None) -> tuple[datetime, float]:
        try:
            with self._engine.connect().execution_options(read_only=True) as conn:
                asked = since_boot()
                moment: datetime = conn.execute(_SERVER_CLOCK).scalar_one()
        except OperationalError:
            if before is None:
                raise
            return before
        self._read = (moment, (asked + since_boot()) / 2)
        return self._read


def since_boot() -> float:
    """Seconds by a clock that goes on while the process is stopped and the machine sleeps."""
    return time.clock_gettime(_SINCE_BOOT)


def in_words(error: DBAPIError) -> tuple[str, str] | None:
    """What happened and what to do about it; None for what is a defect and not the server's refusal."""
    said = str(error.orig).strip().partition("\n")[0]
    code = getattr(error.orig, "pgcode", None) or ""
    if code == "55P03":
        return f"the ledger was locked by another program for {WAIT_SECONDS} s", (
            "See pg_stat_activity for who is idle in a transaction, and run again when it is done."
        )
    if error.connection_invalidated or code[:2] in {"08", "57"} or code == "25P03":
        return f"the connection to the ledger was lost: {said}", (
            "See whether the PostgreSQL server runs, then run again: each change was kept as a whole or not at all."
        )
    if code == "25006":
        return f"the ledger is read-only: {said}", "ENRICH_LEDGER_URL must name the primary, not a replica."
    if code in {"42501", "3F000"}:
        return f"the ledger's user lacks a right: {said}", (
            "Give it a database of its own: CREATE DATABASE enrich OWNER <user>."
        )
    if isinstance(error, OperationalError):
        return f"the ledger cannot be used: {said}", "Check ENRICH_LEDGER_URL, and that the PostgreSQL server runs."
    return None
