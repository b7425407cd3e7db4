"""Entities as the API writes them.

Belongs here: shapes and ids. Ids are `uuid3(NAMESPACE_DNS, website)`: with that rule `starbucks.com` and
`squareup.com` give exactly the ids that Ntropy's documentation shows for Starbucks and Square, so ours are likely the
real ones.
"""

from __future__ import annotations

import functools
import uuid
from typing import Any, NamedTuple

from pipeline.sandbox.engine import codes

_REMEMBERED = 4_000
"""Companies whose objects are kept, at about 1 KB each."""
SHARED = frozenset({"gov.uk", "gov.ie"})
"""Websites of more than one organisation, which go by their names; what lies below one is somebody else's."""
LOGO = "https://logos.ntropy.com/"


class Company(NamedTuple):
    """A known organisation."""

    name: str
    website: str | None
    mccs: tuple[int, ...] = ()
    parent: Company | None = None


@functools.lru_cache(maxsize=_REMEMBERED)
def entity(company: Company) -> dict[str, Any]:
    """An Intermediary object. Phone and tax number are premium fields, null here; NAICS follows from the first MCC.

    The object is shared by all answers that name the company: treat it as read-only.
    """
    parent = company.parent
    return {
        "id": identity_of(company),
        "name": company.name,
        "website": company.website,
        "logo": LOGO + company.website if company.website else None,
        "phone_number": None,
        "tax_number": None,
        "naics2017": codes.naics(company.mccs),
        "mccs": list(company.mccs),
        "parent": None
        if parent is None
        else {
            "id": identity_of(parent),
            "name": parent.name,
            "website": parent.website,
            "phone_number": None,
            "tax_number": None,
            "naics2017": None,
        },
    }


@functools.lru_cache(maxsize=_REMEMBERED)
def counterparty(company: Company, type_: str = "organization") -> dict[str, Any]:
    """A Counterparty object; `type_` is person or organization. Shared as entities are."""
    return {**entity(company), "type": type_}


def identity_of(company: Company) -> str:
    """The id of a company."""
    shared = company.website in SHARED and company.name.lower() != company.website
    return _uuid(company.name.lower() if shared or company.website is None else company.website)


@functools.lru_cache(maxsize=20_000)
def _uuid(name: str) -> str:
    return str(uuid.uuid3(uuid.NAMESPACE_DNS, name))
