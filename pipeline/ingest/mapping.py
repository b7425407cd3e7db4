"""How a file's columns become canonical ones: the mapping, read from TOML.

Every section is named after a canonical column; only `date`, `description`, `amount` and `currency` are needed.
Whatever is not stated is found in the file and shown. Nothing here opens a data file.

    [file]                      # all optional
    format = "csv"              # csv, jsonl or parquet
    delimiter = ";"
    encoding = "cp1252"         # any Python codec; utf-8 takes a byte order mark as well
    header = true               # false: columns are called "1", "2", … by position
    skip_lines = 4              # lines before the header (or before the first record)
    quote = '"'                 # "" if quotes mean nothing in this file
    decimal = ","
    thousands = "."             # "" for none
    ragged = false              # true: records may have fewer or more fields than the header

    [id]                        # optional; without it ids are made from the content
    column = "Reference"
    prefix = "acme-"            # keeps ids of two banks apart
    [date]
    column = "Booked"
    format = "%d.%m.%Y"         # strptime, or "iso"
    [description]
    columns = ["Payee", "Text"] # joined with a space; or column = "Text"
    [amount]                    # one of these three:
    column = "Amount"           # 1: the sign tells: negative_is_outgoing, positive_is_outgoing, or all are
    sign = "negative_is_outgoing"   #    outgoing, incoming
    debit = "Paid out"          # 2: two columns
    credit = "Paid in"
    column = "Amount"           # 3: another column tells
    direction = "D/C"
    outgoing = ["D"]
    incoming = ["C"]
    negative = "reject"         # for 2 and 3: "absolute" where the bank also prints a minus
    [currency]
    constant = "EUR"            # column, constant, or both: the constant then fills the gaps
    [country]                   # optional, the same
    [account_holder_id]         # optional, the same; without a holder the API gives no category
    [account_holder_type]       # optional, the same: consumer or business

A column whose name occurs twice is called `Name#2` the second time; one without a name by its position.
"""

from __future__ import annotations

import hashlib
import tomllib
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from pipeline.errors import ConfigError
from pipeline.ingest.mapping_checks import troubles

if TYPE_CHECKING:
    from pathlib import Path

ISO = "iso"
"""`date.format` for ISO 8601 dates, with or without a time behind them."""

OUTGOING, INCOMING = "outgoing", "incoming"


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A section of the TOML file. Defaults are left out of the digest, so a new option does not change old ids."""


class FileSection(_Section, frozen=True):
    """Form of the file; None means that it is found out."""

    format: Literal["csv", "jsonl", "parquet"] | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool = True
    skip_lines: int | None = None
    quote: str = '"'
    decimal: Literal[".", ","] | None = None
    thousands: str | None = None
    ragged: bool = False


class IdSection(_Section, frozen=True):
    """Column of the bank's own id."""

    column: str
    prefix: str = ""


class DateSection(_Section, frozen=True):
    """Column of the date; `format` None means that it is found out, or asked for when it is ambiguous."""

    column: str
    format: str | None = None


class DescriptionSection(_Section, frozen=True):
    """One column, or several that are joined with a space."""

    column: str | None = None
    columns: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in order."""
        return self.columns or ((self.column,) if self.column else ())


class AmountSection(_Section, frozen=True):
    """Amount and direction; exactly one of sign, direction and debit/credit is used."""

    column: str | None = None
    sign: Literal["negative_is_outgoing", "positive_is_outgoing", "outgoing", "incoming"] | None = None
    debit: str | None = None
    credit: str | None = None
    direction: str | None = None
    outgoing: tuple[str, ...] = ()
    incoming: tuple[str, ...] = ()
    negative: Literal["reject", "absolute"] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every column that is used."""
        return tuple(name for name in (self.column, self.direction, self.debit, self.credit) if name)


class ValueSection(_Section, frozen=True):
    """A column, a constant, or both: the constant then stands where the column is empty."""

    column: str | None = None
    constant: str | None = None


class Mapping(_Section, frozen=True):
    """One file layout. `load` reads it, `canonical` is the layout that needs no mapping file."""

    date: DateSection
    description: DescriptionSection
    amount: AmountSection
    currency: ValueSection
    file: FileSection = FileSection()
    id: IdSection | None = None
    country: ValueSection | None = None
    account_holder_id: ValueSection | None = None
    account_holder_type: ValueSection | None = None

    @classmethod
    def load(cls, path: Path) -> Mapping:
        """Read a mapping file. `ConfigError` names the file and the key."""
        try:
            return cls.parse(path.read_text(encoding="utf-8-sig"), name=path.name)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"mapping {path.name}: cannot be read ({error})") from error

    @classmethod
    def parse(cls, text: str, *, name: str = "mapping") -> Mapping:
        """The mapping in a TOML text; `name` is used in messages."""
        try:
            mapping = msgspec.convert(tomllib.loads(text), cls)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"mapping {name}: not valid TOML: {error}") from error
        except msgspec.ValidationError as error:
            raise ConfigError(f"mapping {name}: {_readable(str(error))}") from error
        for key, trouble in troubles(mapping):
            raise ConfigError(f"mapping {name}: [{key.replace('.', '] ')}{'' if '.' in key else ']'}: {trouble}")
        return mapping

    @classmethod
    def from_dict(cls, plain: Any) -> Mapping:
        """The mapping of which `as_dict` made `plain`. Raises ConfigError when this version cannot read it."""
        try:
            return msgspec.convert(plain, cls)
        except msgspec.ValidationError as error:
            raise ConfigError(f"the mapping as it was recorded: {_readable(str(error))}") from error

    def as_dict(self) -> dict[str, Any]:
        """The mapping in JSON's types. `from_dict` makes the same mapping of it, with the same digest."""
        return cast("dict[str, Any]", msgspec.to_builtins(self))

    @classmethod
    def canonical(cls) -> Mapping:
        """The layout of files that already have the canonical columns: id, date, description, amount and so on."""
        return _CANONICAL

    def digest(self) -> str:
        """Hash of what the mapping means (32 hex digits): comments and order of the TOML do not matter."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:32]

    @property
    def columns(self) -> list[str]:
        """Every column of the file that is used, each once."""
        names = [*self.date_and_text, *self.amount.names]
        names += [section.column for section in self._values if section is not None and section.column]
        if self.id is not None:
            names.append(self.id.column)
        return list(dict.fromkeys(names))

    @property
    def date_and_text(self) -> tuple[str, ...]:
        """Columns of date and description."""
        return (self.date.column, *self.description.names)

    @property
    def _values(self) -> tuple[ValueSection | None, ...]:
        return (self.currency, self.country, self.account_holder_id, self.account_holder_type)

    def without(self, missing: set[str]) -> Mapping:
        """The canonical mapping less the optional columns that a file does not have."""
        changes: dict[str, Any] = {
            name: None for name in ("id", "country", "account_holder_id", "account_holder_type") if name in missing
        }
        if self.amount.direction in missing:
            changes["amount"] = AmountSection(column=self.amount.column, sign="negative_is_outgoing")
        return msgspec.structs.replace(self, **changes)


def _readable(message: str) -> str:
    """A message "… - at `$.amount.sign`" as "[amount] sign: …"."""
    text, _, place = message.partition(" - at `$")
    keys = place.rstrip("`").strip(".").split(".")
    if keys == [""]:
        return text
    return f"[{keys[0]}] {'.'.join(keys[1:])}".rstrip() + f": {text}"


_CANONICAL = Mapping(
    date=DateSection("date", ISO),
    description=DescriptionSection("description"),
    amount=AmountSection(
        "amount", direction="entry_type", outgoing=(OUTGOING,), incoming=(INCOMING,), negative="reject"
    ),
    currency=ValueSection("currency"),
    file=FileSection(decimal=".", thousands=""),
    id=IdSection("id"),
    country=ValueSection("country"),
    account_holder_id=ValueSection("account_holder_id"),
    account_holder_type=ValueSection("account_holder_type"),
)

CANONICAL_REQUIRED = ("date", "description", "amount", "currency")
