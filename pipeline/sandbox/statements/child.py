"""Reading a PDF in a process of its own, which may hang, eat memory or crash without harm.

Belongs here: starting it, waiting no longer than allowed, and understanding what it says.
"""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec

from pipeline.sandbox.statements.shapes import Extracted, Refused

MEGABYTES = 768
"""Address space of the process; a 50 MB file is held about three times."""
_KEPT = {"PATH", "PYTHONPATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
_HEAD = 1024
"""Readers look for %PDF- in the first 1,024 bytes."""
_SPOKEN = msgspec.json.Decoder(Extracted | Refused)
_UNREADABLE = "The file could not be read within the limits of time and memory"


def extract(content: bytes, *, most_pages: int, seconds: int) -> Extracted | Refused:
    """What is on the statement, or why it is not read. Takes at most about `seconds`, and then a moment."""
    if b"%PDF-" not in content[:_HEAD]:
        return Refused(0, "The file is no PDF")
    command = [sys.executable, "-m", "pipeline.sandbox.statements", str(most_pages), str(seconds), str(MEGABYTES)]
    # A key in the environment is none of its business.
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    try:
        done = subprocess.run(  # noqa: S603
            command, input=content, capture_output=True, timeout=seconds, check=False, env=kept
        )
        return _SPOKEN.decode(done.stdout) if done.returncode == 0 else Refused(0, _UNREADABLE)
    except (subprocess.TimeoutExpired, msgspec.DecodeError):
        return Refused(0, _UNREADABLE)
