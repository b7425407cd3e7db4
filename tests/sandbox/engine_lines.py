"""What tests ask the engine of a line: the whole answer, or who it was."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pipeline.sandbox.engine import enrich
from pipeline.sandbox.schema import Item, Location


def look(text: str, currency: str = "USD", country: str | None = None, entry_type: str = "outgoing") -> dict[str, Any]:
    place = Location(None, country) if country else None
    return enrich(Item("t", text, dt.date(2024, 5, 1), 10.0, entry_type, currency, "h", place), "consumer")


def party(text: str, currency: str = "USD", country: str | None = None) -> tuple[str | None, str | None]:
    found = look(text, currency, country)["entities"]["counterparty"] or {"name": None, "website": None}
    return found["name"], found["website"]
