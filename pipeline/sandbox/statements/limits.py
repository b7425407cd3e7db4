"""What the process that reads a PDF may use.

Belongs here: the limits that the process puts on itself before it looks at the file.
"""

from __future__ import annotations

import resource
import sys


def confine(seconds: int, megabytes: int) -> None:
    """At most so much processor time, so much memory, and no file written: the kernel ends what goes beyond."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if sys.platform != "darwin":
        # macOS refuses to limit the address space; there the time is the only limit.
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
