"""The text of a PDF, laid out in lines and columns as it is printed.

Belongs here: what needs pypdf.
"""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from pipeline.sandbox.statements.shapes import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CHARACTERS = 20_000
"""Of one page; a full one has some 5,000."""


def open_pdf(content: bytes) -> PdfReader:
    """A reader of the file; raises `UnreadableError` for what is no PDF, and for one with a password."""
    # What is wrong with a file is told in the answer; pypdf's own words may hold parts of it.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError("The file needs a password")
        len(reader.pages)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise UnreadableError("The file is no PDF, or a damaged one") from error
    return reader


def lines(reader: PdfReader) -> Iterator[list[str]]:
    """The lines of each page; raises `UnreadableError` when a page cannot be laid out."""
    for page in reader.pages:
        try:
            text = page.extract_text(extraction_mode="layout")
        except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError,
                ZeroDivisionError, OverflowError) as error:  # fmt: skip
            raise UnreadableError("A page of the file cannot be read") from error
        if len(text) > MOST_CHARACTERS:
            raise UnreadableError("A page holds more text than a statement does")
        yield [line.rstrip() for line in text.splitlines() if line.strip()]
