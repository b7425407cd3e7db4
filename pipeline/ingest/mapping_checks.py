"""What is wrong with a mapping although every key has the right type: contradictions and values that the API lacks.

Belongs here: pure checks. Reading the TOML and naming the file in the message is `mapping`.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from pipeline.ingest.codes import COUNTRIES, CURRENCIES, HOLDER_TYPES, MAX_ID

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.ingest.mapping import AmountSection, FileSection, Mapping, ValueSection

_ALLOWED: dict[str, Collection[str]] = {
    "currency": CURRENCIES,
    "country": COUNTRIES,
    "account_holder_type": HOLDER_TYPES,
    "account_holder_id": (),
}


def troubles(mapping: Mapping) -> list[tuple[str, str]]:
    """What is wrong with a mapping beyond types: (key as "section.key", trouble)."""
    return [*_file_troubles(mapping.file), *_amount_troubles(mapping.amount), *_value_troubles(mapping)]


def _file_troubles(file: FileSection) -> list[tuple[str, str]]:
    found = []
    if file.delimiter is not None and (len(file.delimiter) != 1 or file.delimiter in "\r\n"):
        found.append(("file.delimiter", "must be one character"))
    if len(file.quote) > 1 or file.quote in ("\r", "\n") or (file.quote and file.quote == file.delimiter):
        found.append(("file.quote", "must be one character other than the delimiter, or empty"))
    if file.skip_lines is not None and file.skip_lines < 0:
        found.append(("file.skip_lines", "must not be negative"))
    if file.thousands is not None and (len(file.thousands) > 1 or file.thousands.isdigit()):
        found.append(("file.thousands", "must be one mark, or empty"))
    if file.thousands and file.thousands == file.decimal:
        found.append(("file.thousands", "is the decimal mark as well"))
    if file.encoding is not None:
        try:
            codecs.lookup(file.encoding)
        except LookupError:
            found.append(("file.encoding", f"Python knows no encoding {file.encoding!r}"))
    return found


def _amount_troubles(amount: AmountSection) -> list[tuple[str, str]]:
    ways = [amount.sign is not None, bool(amount.debit or amount.credit), amount.direction is not None]
    if sum(ways) != 1:
        return [("amount", "needs exactly one of: sign, direction, debit and credit")]
    if amount.debit or amount.credit:
        return _pair_troubles(amount)
    if not amount.column:
        return [("amount.column", "is missing")]
    if amount.direction and not (amount.outgoing and amount.incoming):
        return [("amount.direction", "needs the lists outgoing and incoming")]
    if {v.strip().casefold() for v in amount.outgoing} & {v.strip().casefold() for v in amount.incoming}:
        return [("amount.incoming", "shares a value with outgoing")]
    return []


def _pair_troubles(amount: AmountSection) -> list[tuple[str, str]]:
    if amount.column or not (amount.debit and amount.credit):
        return [("amount", "debit and credit go together, without column")]
    return [("amount.credit", "is the same column as debit")] if amount.debit == amount.credit else []


def _value_troubles(mapping: Mapping) -> list[tuple[str, str]]:
    found = []
    if not mapping.description.names or (mapping.description.column and mapping.description.columns):
        found.append(("description", "needs either column or columns"))
    checks = {
        "currency": CURRENCIES,
        "country": COUNTRIES,
        "account_holder_type": HOLDER_TYPES,
        "account_holder_id": None,
    }
    for key, allowed in checks.items():
        section: ValueSection | None = getattr(mapping, key)
        if section is None:
            continue
        if section.column is None and section.constant is None:
            found.append((key, "needs column or constant"))
        elif allowed and section.constant is not None and section.constant not in allowed:
            found.append((f"{key}.constant", f"{section.constant!r} is not a {key.replace('_', ' ')} of the API"))
    return [*found, *_holder_troubles(mapping)]


def _holder_troubles(mapping: Mapping) -> list[tuple[str, str]]:
    found = []
    holder = mapping.account_holder_id
    if holder and holder.constant is not None and not 1 <= len(holder.constant) <= MAX_ID:
        found.append(("account_holder_id.constant", f"must have 1 to {MAX_ID} characters"))
    if holder and mapping.account_holder_type is None:
        found.append(("account_holder_type", "is missing, although account_holder_id is given"))
    if mapping.account_holder_type and holder is None:
        found.append(("account_holder_id", "is missing, although account_holder_type is given"))
    return found
