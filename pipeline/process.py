"""Who this process is, and whether another one still lives.

Belongs here: the tag by which claims in the ledger and runs in Dagster name their process. Knows neither of them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")
_FIRST_PID_NAMESPACE = 0xEFFFFFFC  # the machine's own (linux/proc_ns.h)
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: a forked child should load nothing
_STAT_FIELDS_BEFORE_STATE = 2
_STARTTIME_FIELD = 22  # proc(5), counted from 1


@dataclass(frozen=True, slots=True)
class ProcessTag:
    """Host, boot, pid and start time: a pid alone is handed out again."""

    host: str
    boot: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"{self.host}/{self.boot}/{self.pid}/{self.started}"

    @classmethod
    def parse(cls, text: str) -> ProcessTag | None:
        """The tag written by `str()`, or None for anything else."""
        parts = text.split("/")
        if len(parts) != 4 or not parts[2].isdigit():  # noqa: PLR2004 - the four fields above
            return None
        return cls(parts[0], parts[1], int(parts[2]), parts[3])

    def is_dead(self, *, one_host: bool = True) -> bool:
        """True only where that is certain: same host, and the boot is over or the process is gone or a zombie.

        For another host the answer is False; its claims end by their own expiry. Without `one_host` another boot is
        another host: two machines may well have one name, such as `localhost`.
        """
        if self.host != _host():
            return False
        if self.boot != _boot_id():
            return one_host
        return _start_time(self.pid) != self.started


def this_process() -> ProcessTag:
    """The tag of the calling process; read afresh after a fork."""
    pid = os.getpid()
    return ProcessTag(_host(), _boot_id(), pid, _start_time(pid) or "0")


def _host() -> str:
    """The host's name, and in a container that numbers its processes by itself which one that is.

    Containers on one machine share its boot and, with the host's network, its name: there pid 7 is another process.
    """
    try:
        space = _PID_NAMESPACE.stat().st_ino
    except OSError:
        space = _FIRST_PID_NAMESPACE
    name = socket.gethostname()
    return name if space == _FIRST_PID_NAMESPACE else f"{name}~{space}"


@lru_cache(maxsize=1)
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()[:8]
    except OSError:
        return "no-boot-id"


def _start_time(pid: int) -> str | None:
    """Start time in clock ticks since boot; None when no such process runs (a zombie no longer runs)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self").exists() or not _signal_reaches(pid) else "0"
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[_STARTTIME_FIELD - _STAT_FIELDS_BEFORE_STATE - 1]


def _signal_reaches(pid: int) -> bool:
    """Whether a process with this pid exists, on systems without /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end_with_parent() -> None:
    """In a child that was just forked (`preexec_fn`): a SIGTERM when its parent ends, however that dies. Linux only."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
