"""The processes of a week: a daemon with its code server and runs, and a receiver, started, killed and measured.

Belongs here: starting, ending, and how much memory each takes. When that happens is in `week.py`.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from places import Place, wait_until

KINDS = {"dagster-daemon": "daemon", " api grpc ": "code server", "webhooks serve": "receiver", "spawn_main": "run"}
"""What stands in the command line of each."""

LASTING = ("daemon", "code server", "receiver")
YOUNGEST = 8.0
"""Seconds; a younger process still imports."""

GROWTH = 1.25
"""Most that a median may be of that of the first third, at the same age."""

FEW = 3
"""Samples that make no median."""

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Member:
    """A living process: which, what, how old in seconds, and its memory in bytes."""

    pid: int
    kind: str
    age: float
    rss: int


def members(folder: Path) -> Iterator[Member]:
    """Processes of these kinds that work in this folder."""
    booted = float(Path("/proc/uptime").read_text().split()[0])
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            if (entry / "cwd").readlink() != folder.resolve():
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            kind = next((kind for word, kind in KINDS.items() if word in command), None)
            if kind is not None:
                started = int((entry / "stat").read_text().rpartition(")")[2].split()[19]) / _TICKS
                rss = int((entry / "statm").read_text().split()[1]) * _PAGE
                yield Member(int(entry.name), kind, booted - started, rss)


@dataclass(slots=True)
class Memory:
    """Samples of a week."""

    folder: Path
    samples: list[tuple[float, Member]] = field(default_factory=list)

    def sample(self, moment: float) -> None:
        """Look now; `moment` is the share of the week that has passed."""
        self.samples += [(moment, member) for member in members(self.folder)]

    def latest(self) -> dict[str, float]:
        """MiB by kind of the processes that live now, of two the larger."""
        found: dict[str, float] = {}
        for member in members(self.folder):
            found[member.kind] = max(found.get(member.kind, 0.0), member.rss / 2**20)
        return found

    def peaks(self) -> dict[str, float]:
        """MiB by kind, ever."""
        found: dict[str, float] = {}
        for _, member in self.samples:
            found[member.kind] = max(found.get(member.kind, 0.0), member.rss / 2**20)
        return found

    def growth(self, kind: str) -> list[tuple[str, float, float]]:
        """Ages, and the medians (MiB) of the first and the last third of the week at these ages.

        Restarts begin memory anew, and a process takes more as it gets older; so like is compared with like: 8 to 16
        seconds, 16 to 32, and so on.
        """
        groups: dict[tuple[int, int], list[float]] = defaultdict(list)
        for moment, member in self.samples:
            third = min(2, int(moment * 3))
            if member.kind == kind and member.age >= YOUNGEST and third != 1:
                groups[int(member.age / YOUNGEST).bit_length(), third].append(member.rss / 2**20)
        found = []
        for octave in sorted({octave for octave, _ in groups}):
            first, last = groups.get((octave, 0), []), groups.get((octave, 2), [])
            if min(len(first), len(last)) > FEW:
                ages = f"{YOUNGEST * 2 ** (octave - 1):.0f}-{YOUNGEST * 2**octave:.0f} s"
                found.append((ages, statistics.median(first), statistics.median(last)))
        return found

    def wrongs(self) -> list[str]:
        """What grew; or could not be compared at any age, which would be no answer."""
        found = []
        for kind in LASTING:
            compared = self.growth(kind)
            if not compared:
                found.append(f"memory of the {kind}: too few samples to compare")
            found += [
                f"memory of the {kind} at {ages}: {before:.0f} MiB in the first third, {after:.0f} in the last"
                for ages, before, after in compared
                if after > GROWTH * before
            ]
        return found


@dataclass(slots=True)
class Staff:
    """Daemon and receiver over a place, with these settings; a receiver keeps its port."""

    place: Place
    environment: dict[str, str]
    port: int = field(init=False)
    restarts: Counter[str] = field(default_factory=Counter)
    wrongs: list[str] = field(default_factory=list)
    _daemon: subprocess.Popen[bytes] | None = None
    _receiver: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start_daemon(self) -> None:
        self._daemon = self.start("dagster-daemon", "run", "-m", "pipeline.definitions")

    def start_receiver(self) -> None:
        """Start it and wait until it takes deliveries."""
        child = self.start("enrich", "webhooks", "serve", "--port", str(self.port))
        self._receiver = child
        wait_until(
            lambda: "ready on http" in self.place.output(child), "the receiver is ready",
            log=lambda: self.place.output(child),
        )  # fmt: skip

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Any program with the settings."""
        return self.place.start(*command, DAGSTER_HOME=str(self.place.folder), **self.environment)

    def call(self, *command: str) -> None:
        """Run a program to its end; it must succeed."""
        done = self.place.wait(self.start(*command))
        assert done.code == 0, done.output

    def restart_daemon(self, how: str) -> None:
        """`term`: as a service manager does; `kill`: the daemon alone; `power`: code server and runs with it."""
        if how == "power":
            for member in members(self.place.folder):
                if member.kind != "receiver":
                    with suppress(ProcessLookupError):
                        os.kill(member.pid, signal.SIGKILL)
        self._daemon = self._end("daemon", self._daemon, how)
        self.start_daemon()

    def restart_receiver(self, how: str) -> None:
        """`term` or `kill`. Deliveries find nobody meanwhile."""
        self._receiver = self._end("receiver", self._receiver, how)
        self.start_receiver()

    def stop(self) -> None:
        """Both, as a service manager does."""
        self._daemon = self._end("daemon", self._daemon, "term", counts=False)
        self._receiver = self._end("receiver", self._receiver, "term", counts=False)

    def look(self) -> None:
        """Note a process that ended by itself, and start it again."""
        for name, child in (("daemon", self._daemon), ("receiver", self._receiver)):
            if child is not None and child.poll() is not None:
                self.wrongs.append(f"the {name} ended by itself with {child.returncode}:\n{self.place.output(child)}")
                self.start_daemon() if name == "daemon" else self.start_receiver()

    def _end(self, name: str, child: subprocess.Popen[bytes] | None, how: str, *, counts: bool = True) -> None:
        assert child is not None
        begun = time.monotonic()
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM if how == "term" else signal.SIGKILL)
        try:
            child.wait(90)
        except subprocess.TimeoutExpired:
            self.wrongs.append(f"the {name} has not ended {time.monotonic() - begun:.0f} s after SIGTERM")
            child.kill()
            child.wait()
        if how == "term" and child.returncode not in {0, -signal.SIGTERM}:
            self.wrongs.append(f"the {name} ended with {child.returncode} at SIGTERM:\n{self.place.output(child)}")
        self.restarts[f"{name} {how}"] += counts
