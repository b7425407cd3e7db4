"""The form of an upload: a multipart body in, the file out.

Belongs here: parsing the form, and refusing what is none. What is in the file is nobody's business here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pipeline.sandbox.errors import ApiError, invalid, problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_FIELD = "file"
_MOST_PARTS = 20
_ACCEPTED = {b"", b"application/pdf", b"application/x-pdf", b"application/octet-stream", b"binary/octet-stream"}


@dataclass(frozen=True, slots=True)
class Upload:
    """The file of a form."""

    name: str | None
    content: bytes


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    complete: bool = False


class _Form:
    """Collects the parts of a body: a method for each thing that python-multipart meets in it."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self._name = b""
        self._value = b""

    def on_part_begin(self) -> None:
        if len(self.parts) >= _MOST_PARTS:
            raise FormParserError("too many parts")
        self.parts.append(_Part())

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self.parts[-1].headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].pieces.append(data[start:end])

    def on_part_end(self) -> None:
        self.parts[-1].complete = True


def read_upload(content_type: str, body: bytes) -> Upload:
    """The file of the form; raises 422 without one, 415 for one that says it is something else than a PDF."""
    missing = invalid(problem(["body", _FIELD], "missing", "Field required"))
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise missing
    form = _Form()
    callbacks: MultipartCallbacks = {
        "on_part_begin": form.on_part_begin,
        "on_header_field": form.on_header_field,
        "on_header_value": form.on_header_value,
        "on_header_end": form.on_header_end,
        "on_part_data": form.on_part_data,
        "on_part_end": form.on_part_end,
    }
    try:
        parser = MultipartParser(options[b"boundary"], callbacks)
        parser.write(body)
    except (FormParserError, ValueError) as error:
        raise ApiError(400, "There was an error parsing the body") from error
    for part in form.parts:
        disposition, about = parse_options_header(part.headers.get(b"content-disposition"))
        if disposition == b"form-data" and about.get(b"name") == _FIELD.encode() and part.complete:
            return _file(part, about, missing)
    raise missing


def _file(part: _Part, about: dict[bytes, bytes], missing: ApiError) -> Upload:
    """A part without a file name is a text field, as FastAPI sees it."""
    name = about.get(b"filename")
    if name is None:
        raise missing
    declared, _ = parse_options_header(part.headers.get(b"content-type"))
    if declared not in _ACCEPTED:
        raise ApiError(415, "The file should be a PDF")
    return Upload(name.decode("utf-8", "replace") or None, b"".join(part.pieces))
