"""Errors that a person sees.

Belongs here: the base class and the errors that several parts raise. Errors of one part live beside it and derive
from `EnrichError`, so that the command line and the Dagster runs can tell a known trouble from a defect.
"""

from __future__ import annotations


class EnrichError(Exception):
    """A trouble that is understood. `str(error)` says what happened; `hint` says what to do, in one sentence."""

    hint: str = ""
    concerns_all: bool = False
    """Whether the next step would meet it as well, such as a full disk: whoever works alone stops there."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint

    @property
    def in_full(self) -> str:
        """What happened and what to do, as sentences."""
        said = str(self).rstrip()
        if not self.hint:
            return said
        return f"{said}{' ' if said.endswith(('.', '!', '?', ':')) else '. '}{self.hint.lstrip()}"


class ConfigError(EnrichError):
    """A setting, a mapping or a file name that cannot be used."""


class ConflictError(EnrichError):
    """Somebody else changed what was read since; the work is discarded and begun again."""


class IntegrityError(EnrichError):
    """The tables contradict each other. Nothing is published until a person has looked."""
