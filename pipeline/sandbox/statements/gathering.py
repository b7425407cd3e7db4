"""What a statement says, before anybody asks what it means.

Belongs here: going through its lines; rows of tables by account, and what stands above, between and below the tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal

from pipeline.sandbox.statements import currencies
from pipeline.sandbox.statements.dates import Written, in_full, leading, period
from pipeline.sandbox.statements.figures import MARKS, figure
from pipeline.sandbox.statements.table import Row, rows

_OPENING = r"opening|beginning|starting|start|previous|old|initial|brought forward|alter"
_CLOSING = r"closing|ending|end|new|final|carried forward|neuer"
_BALANCE = re.compile(
    rf"(?P<which>{_OPENING}|{_CLOSING}) (?:balance|saldo|kontostand)\b|"
    r"(?:balance|saldo) (?P<carried>brought forward|carried forward|b/f|c/f)",
    re.IGNORECASE,
)
_TOTAL = re.compile(r"(?:sub)?totals?\b|summe\b|balance\b", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?:account|acct|a/c|card|konto)(?:[ -]?(?:number|no|nr|nummer))?\.?\s*[:#]?\s*([0-9Xx*][0-9Xx* -]{2,30}[0-9])",
    re.IGNORECASE,
)
_AS_OF = re.compile(r"(?:on|as of|at|from|vom|zum|per|am)\s+", re.IGNORECASE)
_SUM = re.compile(rf"[^\d(£€$+-]{{0,40}}?\s*([£€$]?\s?\S+(?: (?:{MARKS})(?!\S))?)")
_HOLDER = re.compile(
    r"\b(?:account holder|account name|customer|name|kontoinhaber)\s*:\s*(.+?)(?:\s{2,}|$)", re.IGNORECASE
)
_KIND = re.compile(r"\b(current|checking|savings?|credit card|business|giro)(?: account)?\b", re.IGNORECASE)
_OWED = re.compile(r"\bcredit card\b|\bminimum payment\b", re.IGNORECASE)
_BANK = re.compile(r"\b(?:bank|banque|banco|credit union|building society|sparkasse)\b", re.IGNORECASE)
_INCOMING = re.compile(r"(?:deposits|credits|money in|payments in|additions)\b", re.IGNORECASE)
_OUTGOING = re.compile(r"(?:withdrawals|debits|money out|payments out|purchases|fees|checks)\b", re.IGNORECASE)


@dataclass(slots=True)
class Account:
    """An account as far as the lines have told of it."""

    number: str | None = None
    kind: str | None = None
    opening: Decimal | None = None
    closing: Decimal | None = None
    currency: str | None = None
    """As printed: a code, or the dollar's sign."""
    between: tuple[Written, Written] | None = None
    owed: bool = False
    """It is a credit card's: its figures are what the holder owes."""
    rows: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Statement:
    """What was gathered so far."""

    accounts: list[Account] = field(default_factory=lambda: [Account()])
    institution: str | None = None
    holder: str | None = None
    section: str | None = None
    table_seen: bool = False
    home: str | None = None
    """The currency of the bank's country."""
    dollars: bool = False
    """A dollar's sign stands outside the tables."""
    dates: list[Written] = field(default_factory=list)
    """Those around the tables that have a year."""

    @property
    def current(self) -> Account:
        """The account that the lines are about."""
        return self.accounts[-1]


def gather(pages: list[list[str]]) -> Statement:
    """Everything that the pages say."""
    found = Statement()
    date: Written | None = None
    for line, named, row in rows(pages):
        if named:
            found.table_seen = True
            units = [one.unit for one in named if one.unit]
            found.current.currency = found.current.currency or currencies.unit(units[0] if units else None)
        elif row is None:
            _read_label(line, found)
        else:
            date = row.date = row.date or date
            _add(row, found)
    return found


def _add(row: Row, found: Statement) -> None:
    """A row of the table: a balance, a total, or a transaction."""
    account = found.current
    for value in row.figures.values():
        account.currency = account.currency or currencies.unit(value.unit)
    which = _BALANCE.search(row.text)
    if which:
        shown = row.figures.get("balance") or next(iter(row.figures.values()))
        _set_balance(account, which, shown.value)
    elif not _TOTAL.match(row.text) and row.date is not None and set(row.figures) != {"balance"}:
        row.direction = row.direction or found.section
        account.rows.append(row)


def _read_label(line: str, found: Statement) -> None:
    """What stands above, between and below the tables."""
    _read_number(line, found)
    account = found.current
    for which in _BALANCE.finditer(line):
        words = _SUM.match(_after_date(line[which.end() :].lstrip(" :.")))
        value = figure(words[1]) if words else None
        if value is not None:
            account.currency = account.currency or currencies.unit(value.unit)
            _set_balance(account, which, value.value)
    between = period(line)
    account.between = account.between or between
    account.currency = account.currency or currencies.said(line)
    found.home = found.home or currencies.at_home(line)
    found.dollars = found.dollars or "$" in line
    found.dates += in_full(line)
    account.owed = account.owed or _OWED.search(line) is not None
    account.kind = account.kind or (kind[1].lower() if (kind := _KIND.search(line)) else None)
    if _INCOMING.match(line.strip()):
        found.section = "incoming"
    elif _OUTGOING.match(line.strip()):
        found.section = "outgoing"
    if found.holder is None and (holder := _HOLDER.search(line)):
        found.holder = holder[1].strip()
    if found.institution is None and not found.table_seen and _BANK.search(line):
        found.institution = re.split(r"\s{2,}", line.strip())[0]


def _after_date(text: str) -> str:
    """What follows the date that a balance is of."""
    dated = _AS_OF.match(text)
    one = leading(text, dated.end()) if dated else None
    return text[one[1] :].lstrip(" :.") if one else text


def _read_number(line: str, found: Statement) -> None:
    """An account's number; a second one begins another account."""
    match = _NUMBER.search(line)
    number = currencies.iban(line) or (match[1] if match else None)
    if number is None:
        return
    number = number.replace(" ", "")
    account = found.current
    if account.number not in (None, number) and account.rows:
        found.accounts.append(Account(between=account.between, currency=account.currency))
        found.section = None
    found.current.number = found.current.number or number


def _set_balance(account: Account, which: re.Match[str], value: Decimal) -> None:
    word = (which["which"] or which["carried"]).lower()
    if re.fullmatch(rf"{_OPENING}|b/f", word):
        account.opening = value if account.opening is None else account.opening
    else:
        account.closing = value
