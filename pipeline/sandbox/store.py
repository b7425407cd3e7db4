"""The state file: one SQLite database that any number of server processes share.

Belongs here: tables, connections and transactions. Nothing is kept in memory, and the one thing that runs in the
background, the delivery of webhooks, has its queue here; so a process may be killed at any instant: what was answered
is in the file, and what was not answered is not.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_NAME = "sandbox.sqlite"
BUSY_SECONDS = 60.0

# `submissions`: a batch, or one POST /v3/transactions (kind 'sync', finished when it begins). Its times are wall clock,
# microseconds since 1970: only the wall clock goes on while no process runs, and is the same for all of them.
# `items`: the charge record, the stored request and the transaction in one row. Rows are never deleted, since a charge
# stays a charge; `gone` hides a deleted transaction. `holder_kind` is what the holder was when the item was accepted.
_FIRST = """
CREATE TABLE owners (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, spent INTEGER NOT NULL DEFAULT 0,
    bucket REAL, bucket_at INTEGER);
CREATE TABLE submissions (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner INTEGER NOT NULL,
    kind TEXT NOT NULL, nth INTEGER, priority TEXT NOT NULL, total INTEGER NOT NULL, outcome TEXT NOT NULL,
    created_at INTEGER NOT NULL, finish_at INTEGER NOT NULL, stop_at INTEGER NOT NULL);
CREATE INDEX submissions_open ON submissions (owner, kind, finish_at);
CREATE UNIQUE INDEX submissions_nth ON submissions (nth) WHERE nth IS NOT NULL;
CREATE TABLE items (seq INTEGER NOT NULL, position INTEGER NOT NULL, owner INTEGER NOT NULL, id TEXT NOT NULL,
    holder TEXT, holder_kind TEXT NOT NULL, flawed INTEGER NOT NULL, gone INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (seq, position)) WITHOUT ROWID;
CREATE INDEX items_by_id ON items (owner, id, seq, position);
CREATE TABLE holders (seq INTEGER PRIMARY KEY AUTOINCREMENT, owner INTEGER NOT NULL, id TEXT NOT NULL,
    type TEXT NOT NULL, name TEXT, category_id TEXT, created_at INTEGER NOT NULL, UNIQUE (owner, id));
CREATE TABLE requests (method TEXT NOT NULL, route TEXT NOT NULL, arrived INTEGER NOT NULL, PRIMARY KEY (method, route))
    WITHOUT ROWID;
CREATE TABLE answers (method TEXT NOT NULL, route TEXT NOT NULL, status INTEGER NOT NULL, sent INTEGER NOT NULL,
    PRIMARY KEY (method, route, status)) WITHOUT ROWID;
"""
# Faults. Of a batch: `skew` is what its stamps are off by; it is listed, found, read between these times (for ever:
# 2**62). Of an item: `fault` is the JSON of its `error`. `fault_plan` has one row at most; `fault_counts` belong to it.
_FAULTS = """
ALTER TABLE submissions ADD COLUMN skew INTEGER NOT NULL DEFAULT 0;
ALTER TABLE submissions ADD COLUMN listed_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE submissions ADD COLUMN found_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE submissions ADD COLUMN found_until INTEGER NOT NULL DEFAULT 4611686018427387904;
ALTER TABLE submissions ADD COLUMN results_until INTEGER NOT NULL DEFAULT 4611686018427387904;
ALTER TABLE items ADD COLUMN fault BLOB;
CREATE TABLE fault_plan (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, plan BLOB,
    file_digest TEXT);
CREATE TABLE fault_counts (rule INTEGER NOT NULL, scope TEXT NOT NULL, seen INTEGER NOT NULL, fired INTEGER NOT NULL,
    PRIMARY KEY (rule, scope)) WITHOUT ROWID;
CREATE TABLE fault_log (seq INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL, rule INTEGER NOT NULL,
    do TEXT NOT NULL, call TEXT NOT NULL, about TEXT NOT NULL, nth INTEGER NOT NULL, fired_at INTEGER NOT NULL);
"""
# Webhooks. `events`: what is told of a batch once `due_at` has come, one row per batch (`seq` is the batch's), written
# when the batch is accepted; batches of an older state file have none. `deliveries`: one per event, webhook and copy.
# `since` is when a webhook was really made, whatever clock a fault has shown in `created_at`.
_WEBHOOKS = """
CREATE TABLE webhooks (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner INTEGER NOT NULL,
    url TEXT NOT NULL, events TEXT NOT NULL, token TEXT, hmac_secret TEXT, enabled INTEGER NOT NULL DEFAULT 1,
    failures INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL, since INTEGER NOT NULL);
CREATE TABLE events (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner INTEGER NOT NULL, type TEXT NOT NULL,
    body BLOB NOT NULL, due_at INTEGER NOT NULL, behind INTEGER NOT NULL, held_until INTEGER NOT NULL,
    copies INTEGER NOT NULL, apart INTEGER NOT NULL, state TEXT NOT NULL);
CREATE INDEX events_waiting ON events (due_at) WHERE state = 'waiting';
CREATE TABLE deliveries (seq INTEGER PRIMARY KEY AUTOINCREMENT, event INTEGER NOT NULL, webhook TEXT NOT NULL,
    copy INTEGER NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, last_status INTEGER,
    attempted_at INTEGER, next_at INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE INDEX deliveries_waiting ON deliveries (webhook, next_at, seq) WHERE state = 'waiting';
CREATE INDEX deliveries_of ON deliveries (event);
"""
# What a key has made its own. Category sets and rulesets are never changed: the last row of an id, or of an owner,
# counts, and an item or submission names the row that counted when it was accepted (none: the default set, no rules).
# A set without a body has been reset. `entities`: resolved by a name that the engine does not know, or shown.
_PERSONAL = """
ALTER TABLE owners ADD COLUMN organization TEXT;
ALTER TABLE items ADD COLUMN category_set INTEGER;
ALTER TABLE submissions ADD COLUMN ruleset INTEGER;
CREATE INDEX items_by_holder ON items (owner, holder) WHERE holder IS NOT NULL;
CREATE TABLE category_sets (seq INTEGER PRIMARY KEY AUTOINCREMENT, owner INTEGER NOT NULL, id TEXT NOT NULL, body BLOB);
CREATE INDEX category_sets_by_id ON category_sets (owner, id, seq);
CREATE TABLE rulesets (seq INTEGER PRIMARY KEY AUTOINCREMENT, owner INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX rulesets_of ON rulesets (owner, seq);
CREATE TABLE entities (owner INTEGER NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (owner, id))
    WITHOUT ROWID;
"""
# Reports and bank statements: as with batches, what becomes of them and when is decided when they are taken in. `about`
# is the id of what an event tells of if that is no batch; such events have numbers below zero, which no batch has.
_DOCUMENTS = """
CREATE TABLE reports (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner INTEGER NOT NULL,
    transaction_id TEXT NOT NULL, description TEXT NOT NULL, fields TEXT NOT NULL, created_at INTEGER NOT NULL,
    pending_at INTEGER NOT NULL, decided_at INTEGER NOT NULL, outcome TEXT NOT NULL);
CREATE TABLE bank_statements (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner INTEGER NOT NULL,
    name TEXT, pages INTEGER NOT NULL, size INTEGER NOT NULL, created_at INTEGER NOT NULL, finish_at INTEGER NOT NULL,
    error TEXT, overview BLOB, results BLOB);
ALTER TABLE events ADD COLUMN about TEXT;
CREATE INDEX events_about ON events (about) WHERE about IS NOT NULL;
"""
# What an item was when it was accepted, once its transaction has been assigned to another holder; before that
# `first_kind` is NULL. The other columns are the transaction's, these the result's.
_ASSIGNED = """
ALTER TABLE items ADD COLUMN first_body BLOB;
ALTER TABLE items ADD COLUMN first_kind TEXT;
ALTER TABLE items ADD COLUMN first_set INTEGER;
"""
_STEPS = (_FIRST, _FAULTS, _WEBHOOKS, _PERSONAL, _DOCUMENTS, _ASSIGNED)
"""A state file of version n has had the first n steps; the others are taken when it is opened."""
SCHEMA_VERSION = len(_STEPS)


def now_us() -> int:
    """The wall clock in microseconds since 1970."""
    return time.time_ns() // 1000


def state_file(path: Path) -> Path:
    """The state file of a folder, or the file itself if that is what was given."""
    return path / FILE_NAME if path.is_dir() or not path.suffix else path


class Store:
    """Connections to one state file: one per thread for data, one per thread for the cheap counters."""

    def __init__(self, folder: Path) -> None:
        """Create the folder and the tables if need be; raises `SandboxError` for a file of another version."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE_NAME
        self._local = threading.local()
        _prepare(self.path)

    def connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit, for reading."""
        existing: sqlite3.Connection | None = getattr(self._local, "data", None)
        if existing is None:
            existing = self._local.data = connect(self.path, synchronous="FULL")
        return existing

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction that has the write lock from its first statement on."""
        con = self.connection()
        with _immediate(con):
            yield con

    def count_request(self, method: str, route: str) -> None:
        """Count a request that has arrived whole."""
        sql = "INSERT INTO requests VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET arrived = arrived + 1"
        self._counter().execute(sql, (method, route))

    def count_answer(self, method: str, route: str, status: int) -> None:
        """Count an answer that is about to be sent."""
        sql = "INSERT INTO answers VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET sent = sent + 1"
        self._counter().execute(sql, (method, route, status))

    @contextmanager
    def counting(self) -> Iterator[sqlite3.Connection]:
        """One transaction of the counters, with the write lock; must not be opened within `write`."""
        con = self._counter()
        with _immediate(con):
            yield con

    def _counter(self) -> sqlite3.Connection:
        # NORMAL: in WAL mode such a commit outlives a killed process, though not a power cut, and needs no fsync.
        existing: sqlite3.Connection | None = getattr(self._local, "counter", None)
        if existing is None:
            existing = self._local.counter = connect(self.path, synchronous="NORMAL")
        return existing


def connect(path: Path, *, synchronous: str) -> sqlite3.Connection:
    """A connection in autocommit to an existing state file; it may be handed from thread to thread."""
    uri = f"{path.resolve().as_uri()}?mode=rw"
    con = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)
    con.execute(f"PRAGMA synchronous = {synchronous}")
    return con


@contextmanager
def _immediate(con: sqlite3.Connection) -> Iterator[None]:
    con.execute("BEGIN IMMEDIATE")
    try:
        yield
        con.execute("COMMIT")
    finally:
        # Still open after an exception, a commit that failed included; SQLite itself has rolled back after some.
        if con.in_transaction:
            con.execute("ROLLBACK")


def _prepare(path: Path) -> None:
    path.touch()
    con = connect(path, synchronous="FULL")
    try:
        _write_ahead(con)
        with _immediate(con):
            version = con.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                msg = f"{path} has version {version}, this sandbox reads {SCHEMA_VERSION}: give another state folder"
                raise SandboxError(msg)
            for statement in "".join(_STEPS[version:]).split(";"):
                con.execute(statement)
            con.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    finally:
        con.close()


def _write_ahead(con: sqlite3.Connection) -> None:
    """Switch to WAL. Two processes that do so at once on a fresh file get SQLITE_BUSY without the busy time-out."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            con.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
