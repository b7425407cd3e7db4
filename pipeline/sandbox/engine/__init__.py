"""The enrichment engine: one transaction in, what it was about out.

Belongs here: `enrich` and `known_entity`, all that the rest of the sandbox calls, so that another engine can take its
place.
Real, with no server, no network and no chance in it: tables, words and a few rules. An unknown merchant keeps its own
cleaned name and has no website.
"""

from __future__ import annotations

import gc
from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.sandbox.engine import codes, merchants, people, places, processors, rules, shapes, trades
from pipeline.sandbox.engine.entities import entity, identity_of

if TYPE_CHECKING:
    from pipeline.sandbox.engine.entities import Company
    from pipeline.sandbox.schema import Item


def enrich(item: Item, holder_type: str) -> dict[str, Any]:
    """`entities`, `categories` and `location` of an EnrichedTransaction (fact sheet, section 2.2).

    `holder_type` is consumer or business. The answer is shared by lines that are alike: treat it as read-only.
    """
    country = item.location.country[:2] if item.location and item.location.country else None
    load()
    return shapes.answer(item.description, item.entry_type, item.currency, country, holder_type)


def known_entity(identity: str) -> dict[str, Any] | None:
    """The company with this id, as `enrich` would name it, or None if no table has it."""
    company = _directory().get(identity)
    return entity(company) if company else None


@cache
def _directory() -> dict[str, Company]:
    """Every company with a website, and their parents, by id: some 20,000, of which no object is made yet."""
    load()
    known: dict[str, Company] = {}
    companies = [*merchants.companies(), *processors.COMPANIES.values()]
    # A parent is written with its name and website alone: what is known of it as a merchant goes first.
    for company in (*companies, *(one.parent for one in companies if one.parent)):
        if company.website:
            known.setdefault(identity_of(company), company)
    return known


@cache
def load() -> None:
    """Read the tables now, in some 0.3 s; else the first line that is enriched waits for them."""
    # Hundreds of thousands of objects that stay: looking for garbage among them took a third of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        for table in (codes, merchants, people, places, rules, shapes, trades):
            table.load()
    finally:
        if collects:
            gc.enable()
