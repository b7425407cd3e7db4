"""How the results of a submission are seen: through the category set of each holder and the ruleset of the key.

Belongs here: putting both to what the engine has found. Without either nothing is copied and nothing costs anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.sandbox.personal import category_sets, rulesets
from pipeline.sandbox.personal.matching import best_match
from pipeline.sandbox.personal.rule_run import HOLDER_TYPES, Subject, apply

if TYPE_CHECKING:
    from pipeline.sandbox.schema import Item
    from pipeline.sandbox.store import Store


class Lens:
    """What counted when a submission was accepted. May be asked from any thread."""

    def __init__(self, store: Store, owner: int, ruleset: int | None) -> None:
        """Take the number of the ruleset, or None if there were no rules."""
        self._store = store
        self._owner = owner
        self._rules = [] if ruleset is None else rulesets.of_seq(store.connection(), ruleset)
        self._labels: dict[tuple[int, str], tuple[str, ...]] = {}
        self._names: dict[str, str | None] = {}

    def seen(self, item: Item, holder_kind: str, category_set: int | None, found: dict[str, Any]) -> dict[str, Any]:
        """`found` as the key wants it; read-only as before."""
        if category_set is not None:
            general = best_match(found["categories"]["general"], self._labels_of(category_set, item.entry_type))
            found = {**found, "categories": {**found["categories"], "general": general}}
        if self._rules:
            holder_type = holder_kind if holder_kind in HOLDER_TYPES else None
            found = apply(self._rules, Subject(item, holder_type, lambda: self._name(item.account_holder_id), found))
        return found

    def _labels_of(self, category_set: int, entry_type: str) -> tuple[str, ...]:
        key = (category_set, entry_type)
        if key not in self._labels:
            self._labels[key] = tuple(category_sets.of_seq(self._store.connection(), category_set)[entry_type])
        return self._labels[key]

    def _name(self, holder: str | None) -> str | None:
        """The holder's name, None if it has none or is gone."""
        if holder is None:
            return None
        if holder not in self._names:
            sql = "SELECT name FROM holders WHERE owner = ? AND id = ?"
            row = self._store.connection().execute(sql, (self._owner, holder)).fetchone()
            self._names[holder] = row[0] if row else None
        return self._names[holder]
