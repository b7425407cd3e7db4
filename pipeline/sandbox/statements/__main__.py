"""One PDF on standard input, what is on it as JSON on standard output: the process that `child` starts."""

from __future__ import annotations

import sys

import msgspec

from pipeline.sandbox.statements.accounts import read
from pipeline.sandbox.statements.limits import confine
from pipeline.sandbox.statements.pages import lines, open_pdf
from pipeline.sandbox.statements.shapes import Extracted, Refused, UnreadableError


def main() -> None:
    """Read, and answer either way."""
    most_pages, seconds, megabytes = map(int, sys.argv[1:])
    confine(seconds, megabytes)
    pages = 0
    answer: Extracted | Refused
    try:
        reader = open_pdf(sys.stdin.buffer.read())
        pages = len(reader.pages)
        if pages > most_pages:
            raise UnreadableError(f"The file has more than {most_pages} pages")  # noqa: TRY301
        overview, results = read(list(lines(reader)))
        answer = Extracted(pages, overview, results)
    except UnreadableError as error:
        answer = Refused(pages, str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
