"""A mapping to start from, guessed from headers and values.

Belongs here: what a person sees when a file has no mapping. A guess never interprets a file by itself, and shows names
of columns only, never a value: descriptions and names stay out of messages and logs.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.ingest.codes import CURRENCIES
from pipeline.ingest.dates import find_format
from pipeline.ingest.records import Problem
from pipeline.ingest.sample_columns import take_sample
from pipeline.ingest.text import detect_format, read_bytes, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pipeline.ingest.sample_columns import Sample

# Words of headers in the languages of the exports that were at hand, best first.
_WORDS = {
    "date": "transaction date|booking date|buchungstag|buchungsdatum|datum|date|fecha|created|posted|posting|dátuma",
    "description": "merchant name|merchant|description|omschrijving|verwendungszweck|buchungstext|beschreibung|details"
    "|payee|handelaar|libell|desc|concept|közlemény|zpráva|message|memo|name|naam|empfänger|beneficiary|partner|text",
    "party": "payee|merchant|empfänger|empfaenger|begünstigte|beguenstigte|beneficiary|partner|counterparty|tegenpartij"
    "|bénéficiaire|beneficiario|příjemce|handelaar",
    "amount": "amount|betrag|bedrag|importe|montant|value|összege|částka|summe|belopp|valor|amt",
    "debit": "debit|débit|debet|withdrawal|paid out|soll|money out|cargo",
    "credit": "credit|crédit|deposit|paid in|haben|money in|abono",
    "currency": "currency|währung|waehrung|munt|monn|devise|devizane|měna|ccy|valuta|moneda",
    "id": "transaction id|record id|reference|referenz|referentie|id|transactiereferentie|n° de transaction",
    "balance": "balance|saldo|solde|egyenleg|rate|kurs|koers|fee|poplatek|original",
}


_DIRECTIONS = {
    "out": "d|db|dr|dbit|debit|debet|out|outgoing|money out|paid out|af|s|soll|withdrawal|-",
    "in": "c|cr|crdt|credit|in|incoming|money in|paid in|bij|h|haben|deposit|+",
}
"""What a column of directions says, in the languages of the exports that were at hand."""
_SHORTEST = 3

_HOLDER = """\
# Whose account it is: without it the API gives no category.
# [account_holder_id]
# constant = "acct-1"
# [account_holder_type]
# constant = "consumer"  # or business"""


class MappingNeeded(ConfigError):  # noqa: N818 - not a fault, a question
    """The columns are not canonical. `found`, `missing`: columns; `mapping`: a TOML text to start from."""

    def __init__(self, name: str, found: Sequence[str], missing: Sequence[str], mapping: str) -> None:
        self.found, self.missing, self.mapping = list(found), list(missing), mapping
        super().__init__(
            f"{name} needs a mapping. It has the columns: {', '.join(found)}. Missing: {', '.join(missing)}."
            f" Save the lines below as a .toml file, correct them, and give it with the file:\n\n{mapping}"
        )


def suggest_mapping(path: Path) -> str:
    """A mapping for the file as TOML text, with comments where a person has to look. Raises `ConfigError`."""
    data = unpack(read_bytes(path, path.name), path.name)
    return suggestion(data, detect_format(data, path.name), path.name)


def suggestion(data: bytes, form: str, name: str) -> str:
    """The same from bytes of a known format."""
    sample = take_sample(data, form, name)
    parts = [
        f"# Guessed from {name}: check every line, then delete this one.",
        _file(sample),
        _id(sample),
        _date(sample),
        _description(sample),
        _amount(sample),
        _currency(sample),
        _HOLDER,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _file(sample: Sample) -> str:
    if sample.form != "csv":
        return ""
    lines = ["[file]", f"delimiter = {_toml(sample.delimiter)}"]
    if not sample.header:
        lines.append("header = false  # columns are called by position")
    if sample.skipped:
        lines.append(f"skip_lines = {sample.skipped}")
    return "\n".join(lines)


def _id(sample: Sample) -> str:
    unique = [name for name, values in sample.columns.items() if values and len(set(values)) == len(values)]
    column = _named("id", [name for name in unique if name not in {*sample.dates, *sample.amounts}], whole=True)
    return (
        f"[id]\ncolumn = {_toml(column)}"
        if column
        else "# No column of ids was recognised: they are made from the content."
    )


def _date(sample: Sample) -> str:
    dates = sample.dates
    column = _named("date", dates) or (dates[0] if dates else _named("date", sample.columns))
    lines = ["[date]", f"column = {_toml(column)}"]
    form = find_format(sample.columns.get(column, [])) if column else Problem("no column of dates was recognised")
    if isinstance(form, Problem):
        lines.append(f'# format = "%d/%m/%Y"  # please state it: {form}')
    else:
        lines.append(f"format = {_toml(form)}")
    return "\n".join(lines)


def _description(sample: Sample) -> str:
    taken = {*sample.dates, *sample.amounts}
    texts = {name: values for name, values in sample.columns.items() if name not in taken and values}
    column = _named("description", texts)
    if not column and texts:
        column = max(texts, key=lambda name: sum(map(len, texts[name])))
    # Many banks print who it was in one column and what for in another: without the first the API sees no merchant.
    others = [name for name, values in texts.items() if name != column and len(set(values)) > 1]
    party = _named("party", others)
    if not party:
        likely = [name for name in others if _is_prose(sample.columns[name])]
        pair = [
            name for name in texts if name in {column, *likely}
        ]  # in the file's order: who is mostly before what for
        party, column = pair if len(likely) == 1 else ("", column)
    names = ", ".join(_toml(name) for name in (party, column) if name)
    return f"[description]\ncolumns = [{names}]  # several are joined with a space"


def _is_prose(values: list[str]) -> bool:
    """Whether these are names or remarks: mostly letters, and seldom the same."""
    words = [value for value in values if sum(map(str.isalpha, value)) > len(value) / 2 and len(value) >= _SHORTEST]
    return len(words) > len(values) / 2 and len(set(values)) > len(values) / 2


def _direction(sample: Sample) -> tuple[str, list[str], list[str]] | None:
    """A column whose few values say out or in: its name, those that say out, those that say in."""
    for name, values in sample.columns.items():
        found = {value: value.casefold() for value in values}
        out = [value for value, word in found.items() if word in _DIRECTIONS["out"].split("|")]
        into = [value for value, word in found.items() if word in _DIRECTIONS["in"].split("|")]
        if out and into and len(out) + len(into) == len(found):
            return name, out, into
    return None


def _amount(sample: Sample) -> str:
    names = [name for name in sample.columns if not _matches("balance", name) and name not in sample.dates]
    numbers = [name for name in sample.amounts if name in names]
    debit, credit = (
        _named("debit", numbers),
        _named("credit", [n for n in names if n in numbers or not sample.columns[n]]),
    )
    if debit and credit and debit != credit:
        return f"[amount]\ndebit = {_toml(debit)}\ncredit = {_toml(credit)}"
    column = _named("amount", numbers) or (numbers[0] if numbers else _named("amount", names))
    values = sample.columns.get(column, [])
    below = sum(1 for value in values if re.search(r"^\(|[-\u2212]", value))
    if 2 * below > len(values):
        return f'[amount]\ncolumn = {_toml(column)}\nsign = "negative_is_outgoing"'
    told = None if below else _direction(sample)
    if told is not None:
        name, out, into = told
        lists = f"outgoing = {_toml(out)}\nincoming = {_toml(into)}"
        return f"[amount]\ncolumn = {_toml(column)}\ndirection = {_toml(name)}\n{lists}"
    note = "most values are positive" if below else "no value is negative"
    return (
        f"[amount]\ncolumn = {_toml(column)}\n"
        f'sign = "positive_is_outgoing"  # {note}: is that money going out, or does a column tell?'
    )


def _currency(sample: Sample) -> str:
    coded = [name for name, values in sample.columns.items() if values and CURRENCIES.issuperset(values)]
    column = _named("currency", coded) or (coded[0] if coded else "")
    if column:
        return f"[currency]\ncolumn = {_toml(column)}"
    in_header = [code for name in sample.columns for code in re.findall(r"\b[A-Z]{3}\b", name) if code in CURRENCIES]
    if in_header:
        return f"[currency]\nconstant = {_toml(in_header[0])}"
    return '[currency]\nconstant = "???"  # not found in the file: please state it'


def _named(role: str, names: Iterable[str], *, whole: bool = False) -> str:
    """The name that fits the earliest word of a role; "" for none. `whole`: the word must be all of the name."""
    listed = list(names)
    for word in _WORDS[role].split("|"):
        for name in listed:
            text = " ".join(name.casefold().replace("_", " ").split())
            if text == word or (not whole and word in text):
                return name
    return ""


def _matches(role: str, name: str) -> bool:
    return any(word in name.casefold() for word in _WORDS[role].split("|"))


def _toml(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)
