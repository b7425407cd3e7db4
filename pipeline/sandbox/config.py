"""Every knob of the sandbox, with its default, its unit and where the default comes from.

Belongs here: the frozen `SandboxConfig`, and its way to a command line and back. Durations are documented seconds; the
time scale divides them when they are used, so that one setting speeds up everything alike.
"""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

MAX_BATCH_ITEMS = 24_960
"""Most items in one batch (Ntropy's OpenAPI document)."""
_LARGEST_ITEM = 12 * (256 + 256 + 1024) + 1024
"""Bytes of JSON of an item: ids and a description at their limits, each character written as two escapes of six bytes,
as those beyond 16 bits are, and the rest. Larger ones have a long `raw_address`, which no source limits."""


def _knob(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


_SECRET = ("api_key", "organization")
DEFAULT_STATE = Path("data/sandbox/sandbox-api")
"""That of the sandbox that `enrich` starts by itself: servers over one state show the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxConfig:
    """Settings of one server process. Processes that share a state folder should be given the same."""

    state: Path = field(default=DEFAULT_STATE, metadata={"help": "folder of the state file"})
    host: str = _knob("127.0.0.1", "address to listen on; the books are told to loopback callers only")
    port: int = _knob(0, "port to listen on; 0 takes a free one")
    ready_file: Path | None = field(default=None, metadata={"help": "file that receives the URL once it is ready"})
    exit_on_stdin_eof: bool = _knob(default=False, text="stop when standard input closes")
    exit_with_parent: int | None = _knob(None, "stop when the parent process is no longer this one (process id)")

    time_scale: float = _knob(1.0, "what is documented to take D seconds takes D / time_scale")
    seed: int = _knob(0, "seed of everything that looks random")
    batch_base_seconds: float = _knob(15.0, "shortest time that a batch takes")
    batch_items_per_second: float = _knob(67.0, "items per second of a batch: 5,000 take 90 s, 24,960 take 6.5 min")
    batch_jitter: float = _knob(0.1, "share by which the time of a batch varies either way")
    low_priority_factor: float = _knob(2.0, "how much longer a batch of priority low takes (invented)")

    unthrottled: bool = _knob(default=False, text="no call rates, no credit bucket, no limit of open batches")
    max_processing: int = _knob(10, "batches of one key that may be processing at once")
    credits_capacity: float = _knob(50_000.0, "size of the credit bucket of a key")
    credits_per_second: float = _knob(500.0, "refill of the credit bucket")
    post_transactions_per_second: float = _knob(20.0, "calls per second of POST /v3/transactions")
    transactions_per_second: float = _knob(10.0, "calls per second of the other transaction routes")
    post_batches_per_second: float = _knob(20.0, "calls per second of POST /v3/batches")
    get_batches_per_second: float = _knob(20.0, "calls per second of GET /v3/batches and /v3/batches/{id}")
    results_per_second: float = _knob(10.0, "calls per second of GET /v3/batches/{id}/results")
    post_holders_per_second: float = _knob(100.0, "calls per second of POST /v3/account_holders")
    holders_per_second: float = _knob(10.0, "calls per second of the other account holder routes")
    categories_per_second: float = _knob(10.0, "calls per second of the category routes (not documented)")
    rules_per_second: float = _knob(10.0, "calls per second of the rule routes (not documented)")
    entities_per_second: float = _knob(10.0, "calls per second of the entity routes (not documented)")
    max_ruleset_bytes: int = _knob(50 * 1024, "size of a key's ruleset as JSON (the prose of the docs says 200,000)")
    webhooks_per_second: float = _knob(10.0, "calls per second of the webhook routes")
    reports_per_second: float = _knob(10.0, "calls per second of the report routes (not documented)")
    report_pending_seconds: float = _knob(3600.0, "time until a report is pending (documented: an hour to weeks)")
    report_decision_seconds: float = _knob(259_200.0, "time from then until it is resolved or rejected")
    report_rejected_share: float = _knob(0.2, "share of reports that are rejected, by hash of what they say (invented)")
    bank_statements_per_second: float = _knob(10.0, "calls per second of the bank statement routes")
    statement_seconds: float = _knob(60.0, "time that a bank statement is processing (invented)")
    statement_read_seconds: int = _knob(20, "real seconds that reading one may take before it is invalid")
    max_statement_pages: int = _knob(200, "pages of a bank statement beyond which it is invalid (invented)")
    max_statement_bytes: int = _knob(50_000_000, "size of a bank statement beyond which it is a 413 (v2's 50 MB)")
    max_webhooks: int = _knob(10, "webhooks that an organization may have; a key without one is one by itself")
    webhook_failures: int = _knob(10, "failures in a row after which a webhook is disabled (invented)")
    webhook_retry_seconds: float = _knob(10.0, "first wait before a webhook is tried again, then doubled (invented)")
    webhook_timeout_seconds: float = _knob(10.0, "real seconds that a receiver of webhooks may take")
    balance: int | None = _knob(None, "prepaid credits of an organization; beyond them 423. Not set: no end")
    api_key: tuple[str, ...] = _knob((), "a key that is accepted, may be repeated; no keys given: any key is")
    organization: tuple[str, ...] = _knob(
        (), "keys of an organization, NAME=KEY,KEY, may be repeated; OLD|NEW is a key that was rotated: one's data"
    )

    batch_error_share: float = _knob(0.0, "share of batches that end in error, by hash of seed, ids and attempt")
    batch_error_attempts: int = _knob(1, "times that the same items may meet an error batch by share")
    error_batch_nth: tuple[int, ...] = _knob((), "numbers of batches, counted from 1 over the state, that end in error")
    item_error_share: float = _knob(0.0, "share of items that get internal_error, by hash of seed and id")
    item_error_attempts: int | None = _knob(None, "times that such an item fails before it succeeds; not set: always")
    fault_plan: Path | None = field(
        default=None, metadata={"help": "JSON file of faults on chosen calls; its format: pipeline/sandbox/faults"}
    )
    max_body_bytes: int = _knob(
        MAX_BATCH_ITEMS * _LARGEST_ITEM, "size of a body beyond which it is a 413; the default takes every full batch"
    )
    max_page: int = _knob(100, "longest page of a list; a larger limit is cut down to it (not documented)")
    reverse_created_filters: bool = _knob(default=False, text="created_after and created_before as the docs word them")

    def scaled(self, seconds: float) -> float:
        """Real seconds that `seconds` documented ones take."""
        return seconds / self.time_scale

    def to_args(self) -> list[str]:
        """The command line options that differ from the defaults; `from_args` reads them back."""
        args: list[str] = []
        for knob in dataclasses.fields(self):
            value = getattr(self, knob.name)
            option = "--" + knob.name.replace("_", "-")
            if value == knob.default:
                continue
            if value is True:
                args.append(option)
            elif knob.name == "error_batch_nth":
                args.append(f"{option}={','.join(map(str, value))}")
            elif isinstance(value, tuple):
                args.extend(f"{option}={part}" for part in value)
            elif value is not None:
                args.append(f"{option}={value}")
        return args

    def public(self) -> dict[str, Any]:
        """The settings for `/sandbox/info`: everything but the keys."""
        shown = {knob.name: getattr(self, knob.name) for knob in dataclasses.fields(self) if knob.name not in _SECRET}
        return {name: str(value) if isinstance(value, Path) else value for name, value in shown.items()}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` one option per setting."""
    hints = get_type_hints(SandboxConfig)
    for knob in dataclasses.fields(SandboxConfig):
        option = "--" + knob.name.replace("_", "-")
        hint = hints[knob.name]
        text = f"{knob.metadata['help']} (default: {knob.default})"
        if hint is bool:
            parser.add_argument(option, action="store_true", help=text)
        elif knob.name == "error_batch_nth":
            parser.add_argument(option, type=_numbers, default=(), help=text, metavar="N,M")
        elif knob.name in _SECRET:
            parser.add_argument(option, action="append", default=[], help=text)
        else:
            kind = next(kind for kind in (Path, int, float, str) if hint in (kind, kind | None))
            parser.add_argument(option, type=kind, default=knob.default, help=text)


def from_namespace(options: argparse.Namespace) -> SandboxConfig:
    """The config that a parser with `add_options` has read."""
    values = {knob.name: getattr(options, knob.name) for knob in dataclasses.fields(SandboxConfig)}
    values.update({name: tuple(values[name]) for name in _SECRET})
    return SandboxConfig(**values)


def from_args(args: list[str]) -> SandboxConfig:
    """Read what `SandboxConfig.to_args` wrote."""
    parser = argparse.ArgumentParser(prog="sandbox")
    add_options(parser)
    return from_namespace(parser.parse_args(args))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part.strip())
