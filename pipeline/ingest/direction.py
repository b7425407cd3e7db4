"""Amount and direction: the four ways in which banks say who paid whom.

Belongs here: turning amount columns into a non-negative amount and `incoming` or `outgoing`. How a single number is
written is in `amounts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from pipeline.ingest.amounts import EMPTY, Amount, Marks, parse_amount
from pipeline.ingest.mapping import INCOMING, OUTGOING
from pipeline.ingest.records import Problem, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.ingest.mapping import AmountSection


class Trouble(NamedTuple):
    """Why a record has no amount: canonical field, column of the file, reason."""

    field: str
    column: str
    reason: str


@dataclass(slots=True)
class Flows:
    """Amounts and directions by record; currency codes beside the numbers, and troubles, by index."""

    amounts: list[str] = field(default_factory=list)
    entry_types: list[str] = field(default_factory=list)
    codes: dict[int, str] = field(default_factory=dict)
    troubles: dict[int, Trouble] = field(default_factory=dict)

    def add(self, flow: tuple[Amount, str] | Trouble) -> None:
        """Append one record's amount with its direction, or its trouble."""
        if isinstance(flow, Trouble):
            self.troubles[len(self.amounts)] = flow
            self.amounts.append("")
            self.entry_types.append("")
            return
        amount, way = flow
        if amount.code:
            self.codes[len(self.amounts)] = amount.code
        self.amounts.append(amount.digits)
        self.entry_types.append(way)


def read_flows(
    texts: dict[str, list[str]], section: AmountSection, marks: Mapping[str, Marks], absolute: set[str]
) -> Flows:
    """Amount and direction of every record. `absolute`: directions whose minus signs say nothing and are dropped."""
    flows = Flows()
    if section.debit and section.credit:
        debits, credits_ = _numbers(texts, section.debit, marks), _numbers(texts, section.credit, marks)
        for debit, credit in zip(texts[section.debit], texts[section.credit], strict=True):
            flows.add(_from_pair((debits[debit], credits_[credit]), section, absolute))
        return flows
    column = section.column or ""
    numbers = _numbers(texts, column, marks)
    if not section.direction:
        signed = {value: _from_sign(number, column, section.sign or "") for value, number in numbers.items()}
        for value in texts[column]:
            flows.add(signed[value])
        return flows
    known = directions(section)
    ways = {text: known.get(text.strip().casefold(), "") for text in set(texts[section.direction])}
    plain = {value: number.digits for value, number in numbers.items() if _is_plain(number)}
    for value, text in zip(texts[column], texts[section.direction], strict=True):
        if value in plain and ways[text]:  # nearly all: not worth three calls each
            flows.amounts.append(plain[value])
            flows.entry_types.append(ways[text])
        else:
            flows.add(_from_direction(numbers[value], text, ways[text], section, absolute))
    return flows


def _is_plain(number: Amount | Problem) -> TypeGuard[Amount]:
    return isinstance(number, Amount) and not number.negative and not number.code


def _numbers(texts: dict[str, list[str]], column: str, marks: Mapping[str, Marks]) -> dict[str, Amount | Problem]:
    """Amount by its text; each distinct text is parsed once."""
    return {value: parse_amount(value, marks[column]) for value in set(texts[column])}


def directions(section: AmountSection) -> dict[str, str]:
    """Direction by the value of the direction column, in lower case."""
    return {
        **{value.strip().casefold(): OUTGOING for value in section.outgoing},
        **{value.strip().casefold(): INCOMING for value in section.incoming},
    }


def found_absolute(rows: Iterable[tuple[str, str]], section: AmountSection, marks: Mapping[str, Marks]) -> set[str]:
    """Directions in which no amount is above zero and some are below: the bank prints a minus that says nothing new.

    `rows`: distinct (debit, credit) or (amount, direction) texts.
    """
    if section.sign is not None or section.negative == "reject":
        return set()
    if section.negative == "absolute":
        return {OUTGOING, INCOMING}
    groups: dict[str, list[Amount]] = {OUTGOING: [], INCOMING: []}
    ways = directions(section)
    for first, second in rows:
        columns = [(ways.get(second.strip().casefold(), ""), first, section.column or "")]
        if section.debit and section.credit:
            columns = [(OUTGOING, first, section.debit), (INCOMING, second, section.credit)]
        for way, value, column in columns:
            amount = parse_amount(value, marks[column]) if way else EMPTY
            if isinstance(amount, Amount) and amount.digits != "0":
                groups[way].append(amount)
    return {way for way, amounts in groups.items() if amounts and all(amount.negative for amount in amounts)}


def _from_sign(number: Amount | Problem, column: str, sign: str) -> tuple[Amount, str] | Trouble:
    """Direction by sign. Zero is outgoing: such records are card checks and waived charges."""
    if isinstance(number, Problem):
        return Trouble("amount", column, number)
    if sign in (OUTGOING, INCOMING):
        if number.negative:
            return Trouble("amount", column, f"-{number.digits} is negative, although all amounts are {sign}")
        return number, sign
    outgoing = number.digits == "0" or number.negative == (sign == "negative_is_outgoing")
    return number, OUTGOING if outgoing else INCOMING


def _from_direction(
    number: Amount | Problem, text: str, way: str, section: AmountSection, absolute: set[str]
) -> tuple[Amount, str] | Trouble:
    if isinstance(number, Problem):
        return Trouble("amount", section.column or "", number)
    if not way:
        allowed = ", ".join((*section.outgoing, *section.incoming))
        reason = f"{quoted(text)} is none of {allowed}" if text.strip() else "is empty"
        return Trouble("entry_type", section.direction or "", reason)
    if number.negative and way not in absolute:
        return Trouble("amount", section.column or "", f"-{number.digits} is negative, although it is {way}")
    return number, way


def _from_pair(
    pair: tuple[Amount | Problem, Amount | Problem], section: AmountSection, absolute: set[str]
) -> tuple[Amount, str] | Trouble:
    """One of debit and credit is filled; a zero beside a filled one does not count."""
    filled: list[tuple[Amount, str, str]] = []
    for number, column, way in zip(
        pair, (section.debit or "", section.credit or ""), (OUTGOING, INCOMING), strict=True
    ):
        if isinstance(number, Problem) and number != EMPTY:
            return Trouble("amount", column, number)
        if isinstance(number, Amount):
            filled.append((number, column, way))
    real = [side for side in filled if side[0].digits != "0"] or filled[:1]
    if len(real) != 1:
        both = f"{section.debit} and {section.credit}"
        return Trouble("amount", both, "both are filled" if real else "both are empty")
    number, column, way = real[0]
    if number.negative and way not in absolute:
        return Trouble("amount", column, f"-{number.digits} is negative, although it is {way}")
    return number, way
