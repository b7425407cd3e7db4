"""Texts to canonical values: every value checked, every reason of a record listed.

Belongs here: applying a mapping to the columns of one file. Values are parsed once per distinct text, not once per
row: a year has 365 dates. What a single value may look like is in `amounts`, `dates`, `direction` and `rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.ingest import rules
from pipeline.ingest.amounts import Marks, find_marks
from pipeline.ingest.dates import find_format, parse_date
from pipeline.ingest.direction import Flows, found_absolute, read_flows
from pipeline.ingest.mapping import ISO
from pipeline.ingest.records import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.ingest.mapping import Mapping, ValueSection
    from pipeline.ingest.records import Records

Reasons = dict[int, list[str]]
"""Reasons by the index of the record within its chunk."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What was stated or found about whole columns before any row is interpreted."""

    date_format: str
    marks: dict[str, Marks]
    absolute: set[str]
    facts: dict[str, str]


def find_habits(records: Records, mapping: Mapping, name: str) -> Habits:
    """Date format, marks and signs of the columns. `ConfigError` asks to state what is ambiguous."""
    facts: dict[str, str] = {}
    form = _date_format(records, mapping, name, facts)
    section, marks = mapping.amount, {}
    for column in [c for c in (section.column, section.debit, section.credit) if c]:
        marks[column] = _marks(records, column, mapping, name, facts)
    absolute: set[str] = set()
    if section.sign is None and section.negative != "reject":
        pair = [c for c in (section.debit or section.column, section.credit or section.direction) if c]
        rows = records.texts.select(pair).unique(maintain_order=True).rows()
        absolute = found_absolute(((row[0], row[-1]) for row in rows), section, marks)
    for way in sorted(absolute):
        facts[f"minus signs of {way} amounts"] = "dropped, since the direction is known"
    return Habits(form, marks, absolute, facts)


def _marks(records: Records, column: str, mapping: Mapping, name: str, facts: dict[str, str]) -> Marks:
    stated = mapping.file.decimal
    found = find_marks(records.texts[column].unique(maintain_order=True).to_list(), stated, mapping.file.thousands)
    if isinstance(found, Problem):
        raise ConfigError(
            f"{name}: decimal mark of column {column!r}: {found}",
            hint='State it in the mapping: [file] decimal = "." or ",".',
        )
    facts[f"decimal mark of {column!r}"] = f"{found.decimal!r} ({'stated' if stated else 'found'})"
    return found


def _date_format(records: Records, mapping: Mapping, name: str, facts: dict[str, str]) -> str:
    column, form = mapping.date.column, mapping.date.format
    if column in records.iso_dates:
        form = ISO
    how = "stated" if form is not None else "found"
    if form is None:
        found = find_format(records.texts[column].unique(maintain_order=True).to_list())
        if isinstance(found, Problem):
            raise ConfigError(
                f"{name}: format of the dates in column {column!r}: {found}",
                hint='State it in the mapping, such as [date] format = "%d/%m/%Y".',
            )
        form = found
    facts[f"date format of {column!r}"] = f"{form} ({how})"
    return form


@dataclass(frozen=True, slots=True)
class Chunk:
    """Canonical texts of some records, by column, and the reasons against some of them."""

    values: dict[str, list[str]]
    reasons: Reasons


class Interpreter:
    """Applies a mapping to chunks of one file."""

    def __init__(self, mapping: Mapping, habits: Habits) -> None:
        self.mapping, self.habits = mapping, habits

    def interpret(self, texts: dict[str, list[str]]) -> Chunk:
        """Interpret the columns of a chunk: non-empty lists of one length, by their name in the mapping."""
        mapping, reasons = self.mapping, Reasons()
        values = {"source_id": self._ids(texts, reasons)}
        form = self.habits.date_format
        values["date"] = _apply(
            texts[mapping.date.column], lambda v: parse_date(v, form), _label("date", mapping.date.column), reasons
        )
        names = mapping.description.names
        label = _label("description", " + ".join(names))
        values["description"] = _apply(_joined(texts, names), rules.description, label, reasons)
        flows = _flows(texts, mapping, self.habits, reasons)
        values["amount"], values["entry_type"] = flows.amounts, flows.entry_types
        for name, parse in _SECTIONS.items():
            values[name] = _section(texts, getattr(mapping, name), parse, name, reasons)
        _check_codes(flows, values["currency"], reasons)
        _settle_holders(texts, values, mapping, reasons)
        return Chunk(values, reasons)

    def _ids(self, texts: dict[str, list[str]], reasons: Reasons) -> list[str]:
        section = self.mapping.id
        if section is None:
            return [""] * _size(texts)
        label = _label("id", section.column)
        return _apply(texts[section.column], lambda v: rules.source_id(v, section.prefix), label, reasons)


_SECTIONS: dict[str, Callable[[str], str | Problem]] = {
    "currency": rules.currency,
    "country": rules.country,
    "account_holder_id": rules.holder_id,
    "account_holder_type": rules.holder_type,
}


def _size(texts: dict[str, list[str]]) -> int:
    return len(next(iter(texts.values())))


def _label(field: str, column: str | None) -> str:
    """`amount`, or `amount (Betrag)` where the file calls it otherwise."""
    return field if column is None or column.casefold() == field else f"{field} ({column})"


def _apply(values: list[str], parse: Callable[[str], str | Problem], label: str, reasons: Reasons) -> list[str]:
    """Parse each distinct text once; a problem becomes a reason of its records and stays in the place of the value."""
    parsed = {value: parse(value) for value in set(values)}
    if any(isinstance(result, Problem) for result in parsed.values()):
        for index, value in enumerate(values):
            result = parsed[value]
            if isinstance(result, Problem):
                reasons.setdefault(index, []).append(f"{label}: {result}")
    return [parsed[value] for value in values]


def _joined(texts: dict[str, list[str]], names: tuple[str, ...]) -> list[str]:
    if len(names) == 1:
        return texts[names[0]]
    rows = zip(*(texts[name] for name in names), strict=True)
    return [" ".join(part for part in map(str.strip, row) if part) for row in rows]


def _section(
    texts: dict[str, list[str]],
    section: ValueSection | None,
    parse: Callable[[str], str | Problem],
    name: str,
    reasons: Reasons,
) -> list[str]:
    """A column, a constant, or a column whose gaps the constant fills."""
    if section is None:
        return [""] * _size(texts)
    if section.column is None:
        return [section.constant or ""] * _size(texts)
    default = section.constant or ""
    filled = (lambda value: parse(value if value.strip() else default)) if default else parse
    return _apply(texts[section.column], filled, _label(name, section.column), reasons)


def _flows(texts: dict[str, list[str]], mapping: Mapping, habits: Habits, reasons: Reasons) -> Flows:
    flows = read_flows(texts, mapping.amount, habits.marks, habits.absolute)
    for index, trouble in flows.troubles.items():
        reasons.setdefault(index, []).append(f"{_label(trouble.field, trouble.column)}: {trouble.reason}")
    return flows


def _check_codes(flows: Flows, currencies: list[str], reasons: Reasons) -> None:
    """A code beside the number ("USD 9.95") must be the currency of the record."""
    for index, code in flows.codes.items():
        if code != currencies[index] and not isinstance(currencies[index], Problem):
            reason = f"amount: {code} stands beside the number, but the currency is {currencies[index]}"
            reasons.setdefault(index, []).append(reason)


def _settle_holders(
    texts: dict[str, list[str]], values: dict[str, list[str]], mapping: Mapping, reasons: Reasons
) -> None:
    """Id and type of a holder: both or neither. A type that is only the mapping's default goes where no id is."""
    ids, types = values["account_holder_id"], values["account_holder_type"]
    section = mapping.account_holder_type
    given = texts[section.column] if section and section.column else [""] * len(ids)
    for index, (holder, kind) in enumerate(zip(ids, types, strict=True)):
        if bool(holder) == bool(kind):
            continue
        if holder:
            reasons.setdefault(index, []).append(
                "account_holder_type: is empty, although there is an account_holder_id"
            )
        elif given[index].strip():
            reasons.setdefault(index, []).append(
                "account_holder_id: is empty, although there is an account_holder_type"
            )
        else:
            types[index] = ""
