"""Bytes to text, and what kind of file the bytes are.

Belongs here: encodings, compression, recognising a format by its content. Bytes that cannot be decoded survive as lone
surrogates, one per byte, so that their record can be rejected with its raw text while its neighbours are read.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_SAMPLE = 65_536
_MOST_CONTROLS = 0.05
"""Share of control characters in a text; in random bytes it is 0.1."""

UNDECODABLE = re.compile("[\ud800-\udfff]")
"""A byte that could not be decoded, or half a UTF-16 pair from a JSON escape. Polars refuses both."""

_SHOWN = re.compile("[\ud800-\udfff\x00]")

_FORMATS = (
    (rb"%PDF-", "a PDF"),
    (rb"PK\x03\x04", "a zip or an Excel workbook (.xlsx)"),
    (rb"\xd0\xcf\x11\xe0", "an Excel workbook (.xls)"),
    (rb"(OFXHEADER|<\?OFX|<OFX)", "OFX"),
    (rb"<\?xml", "XML (camt, OFX…)"),
    (rb"!(Type|Account|Option|Clear):", "QIF"),
    (rb"(\{1:|(.*\r?\n){0,4}:20:)", "MT940"),
)


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: each undecodable byte becomes one lone surrogate (as surrogateescape, for every codec)."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("enrich.escape", _escape)


def read_bytes(path: Path, name: str) -> bytes:
    """The bytes of a file; `name` is used in messages. `ConfigError` when there is none or it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder, not a file") from error
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror})") from error


def unpack(data: bytes, name: str) -> bytes:
    """The content of a gzip file, other bytes as they are. `ConfigError` when it is damaged."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        content = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{name}: damaged gzip file ({error})") from error
    if content.startswith(b"PAR1"):
        raise ConfigError(f"{name} is Parquet inside gzip", hint="Unpack it first: Parquet is compressed already.")
    return content


def detect_format(data: bytes, name: str) -> str:
    """`parquet`, `jsonl` or `csv`. `ConfigError` for an empty, a binary, or a known but unread format."""
    if data.startswith(b"PAR1"):
        return "parquet"
    head = data[:_SAMPLE].removeprefix(codecs.BOM_UTF8).lstrip()
    for pattern, what in _FORMATS:
        if re.match(pattern, head, re.IGNORECASE):
            raise ConfigError(f"{name} is {what}, which is not read here", hint="Export CSV, JSONL or Parquet instead.")
    if not data.strip(b"\x00\r\n\t \xef\xbb\xbf\xff\xfe"):
        raise ConfigError(f"{name} is empty")
    if not _utf16(data) and _control_share(head) > _MOST_CONTROLS:
        raise ConfigError(
            f"{name} is a binary file", hint="CSV, JSONL and Parquet are read, also compressed with gzip."
        )
    stem = name.lower().removesuffix(".gz")
    if stem.endswith((".jsonl", ".ndjson")) or head.startswith(b"{"):
        return "jsonl"
    if stem.endswith(".json"):
        raise ConfigError(f"{name} is one JSON document", hint="Write one JSON object per line (.jsonl).")
    return "csv"


def decode(data: bytes, stated: str | None) -> tuple[str, str]:
    """(text, encoding). A byte order mark is dropped; undecodable bytes become lone surrogates."""
    if stated is not None:
        encoding = codecs.lookup(stated).name
        return data.decode("utf-8-sig" if encoding == "utf-8" else stated, "enrich.escape").removeprefix(
            "\ufeff"
        ), stated
    encoding = _utf16(data) or ("utf-8-sig" if data.startswith(codecs.BOM_UTF8) else _utf8_or_cp1252(data))
    return data.decode(encoding, "enrich.escape").removeprefix("\ufeff"), encoding


def shown(raw: str) -> str:
    """Raw text for `rejected_rows`: without its line end; undecodable bytes and NUL as a hexadecimal escape."""
    text = raw[:-2] if raw.endswith("\r\n") else raw.removesuffix("\n").removesuffix("\r")
    return _SHOWN.sub(lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", text)


def _utf16(data: bytes) -> str | None:
    """UTF-16 by its mark, or by a NUL in every other byte of mostly Latin text."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = data[: _SAMPLE // 2 * 2]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > 0.4 * len(head) / 2 and even == 0:
        return "utf-16-le"
    if even > 0.4 * len(head) / 2 and odd == 0:
        return "utf-16-be"
    return None


def _utf8_or_cp1252(data: bytes) -> str:
    """A few broken lines among good UTF-8 are broken lines; otherwise the file is in the Windows encoding."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        good = bad = 0
        for line in re.split(rb"[\r\n]+", data):
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                good += 1
            except UnicodeDecodeError:
                bad += 1
        return "utf-8" if good >= bad else "cp1252"
    return "utf-8"


def _control_share(head: bytes) -> float:
    controls = len(head) - len(head.translate(None, bytes([*range(9), *range(14, 26), *range(28, 32)])))
    return controls / max(1, len(head))
