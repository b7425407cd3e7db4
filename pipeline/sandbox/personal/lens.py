"""How the results of a submission are seen: through the category set of each holder and the ruleset of the key.

Belongs here: putting both to what the engine has found. A set decides on the general category alone: the accounting one
is of the holder's type. Without either nothing is copied and nothing costs anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.sandbox.engine import enrich
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
        self._sets: dict[tuple[int, str, str], tuple[str, tuple[str, ...] | None]] = {}
        self._names: dict[str, str | None] = {}

    def seen(self, item: Item, holder_kind: str, category_set: int | None, found: dict[str, Any]) -> dict[str, Any]:
        """`found` as the key wants it; read-only as before."""
        if category_set is not None:
            looked_at, labels = self._chosen(category_set, holder_kind, item.entry_type)
            general = (found if looked_at == holder_kind else enrich(item, looked_at))["categories"]["general"]
            general = general if labels is None else best_match(general, labels)
            found = {**found, "categories": {**found["categories"], "general": general}}
        if self._rules:
            holder_type = holder_kind if holder_kind in HOLDER_TYPES else None
            found = apply(self._rules, Subject(item, holder_type, lambda: self._name(item.account_holder_id), found))
        return found

    def _chosen(self, category_set: int, holder_kind: str, entry_type: str) -> tuple[str, tuple[str, ...] | None]:
        key = (category_set, holder_kind, entry_type)
        if key not in self._sets:
            looked_at, found = category_sets.chosen(self._store.connection(), category_set, holder_kind)
            self._sets[key] = looked_at, None if found is None else tuple(found[entry_type])
        return self._sets[key]

    def _name(self, holder: str | None) -> str | None:
        """The holder's name, None if it has none or is gone."""
        if holder is None:
            return None
        if holder not in self._names:
            sql = "SELECT name FROM holders WHERE owner = ? AND id = ?"
            row = self._store.connection().execute(sql, (self._owner, holder)).fetchone()
            self._names[holder] = row[0] if row else None
        return self._names[holder]
