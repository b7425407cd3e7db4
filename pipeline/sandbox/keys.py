"""Which keys are accepted, and to which organization each belongs.

Belongs here: reading `--api-key` and `--organization`. Data belongs to a key, and stays reachable when the key is
rotated; webhooks are limited, and credits prepaid, per organization (fact sheet, sections 1 and 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pipeline.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from pipeline.sandbox.config import SandboxConfig

OF_ORGANIZATION = "SELECT id FROM owners WHERE id = ? OR organization = (SELECT organization FROM owners WHERE id = ?)"
"""Subquery: the keys of a key's organization, itself among them. Takes the key's number twice."""


class Place(NamedTuple):
    """Where a key belongs. Rotated keys have one `first_key`, under which their data is found."""

    organization: str | None
    first_key: str


def places(config: SandboxConfig) -> dict[str, Place]:
    """Every accepted key; empty: any key is accepted. Raises `SandboxError`, without the key that is to blame."""
    found = {key: Place(None, key) for key in config.api_key}
    for number, text in enumerate(config.organization, 1):
        name, equals, keys = text.partition("=")
        groups = [group.split("|") for group in keys.split(",")]
        if not (name and equals and all(key for group in groups for key in group)):
            raise SandboxError(f"organization {number}: give it as NAME=KEY,KEY or NAME=OLD|NEW")
        for group in groups:
            for key in group:
                if key in found:
                    raise SandboxError(f"organization {number}: a key is given twice")
                found[key] = Place(name, group[0])
    return found
