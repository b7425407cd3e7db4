"""`python -m pipeline.sandbox serve` and `python -m pipeline.sandbox books`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from pipeline.sandbox.books import Books
from pipeline.sandbox.config import DEFAULT_STATE, add_options, from_namespace
from pipeline.sandbox.errors import SandboxError


def main(argv: list[str] | None = None, *, prog: str = "python -m pipeline.sandbox serve") -> int:
    """Run one command; returns the exit code: 0, or 1 for a trouble that is told in one line.

    `prog` is how whoever calls `serve` names it, for its help.
    """
    parser = argparse.ArgumentParser(prog="python -m pipeline.sandbox", description="Ntropy's v3 API on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("serve", prog=prog, help="serve until stopped", description=parser.description)
    add_options(server)
    books = commands.add_parser("books", help="print the totals of a state folder as JSON")
    books.add_argument("--state", type=Path, default=DEFAULT_STATE)
    options = parser.parse_args(argv)
    try:
        if options.command == "books":
            summary = msgspec.json.encode(Books(options.state).summary())
            sys.stdout.write(msgspec.json.format(summary, indent=2).decode() + "\n")
        else:
            _serve(options)
    except SandboxError as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 1
    return 0


def _serve(options: argparse.Namespace) -> None:
    # Starlette and uvicorn take most of the start-up; `books` does without them.
    from pipeline.sandbox.server import serve  # noqa: PLC0415

    serve(from_namespace(options), on_ready=_announce)


def _announce(url: str) -> None:
    sys.stdout.write(f"sandbox ready on {url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
