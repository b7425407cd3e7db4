"""In places of the tests `enrich` is forked, as `forked_programs` does it; all other programs start as users' do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import places
from forked_programs import Program

_launch = places.launch


def _launch_or_fork(command: Sequence[str], folder: Path, environment: Mapping[str, str], out: IO[bytes]):
    if command[0] != "enrich":
        return _launch(command, folder, environment, out)
    return Program(command[1:], cwd=folder, env=environment, out=out, err=out)


def fork_programs() -> None:
    """Have each `Place` do so."""
    places.launch = _launch_or_fork
