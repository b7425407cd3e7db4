"""One opened data folder: settings, ledger and paths, handed to every step.

Belongs here: what all steps share. What a step does is in its own module.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.flow import journal
from pipeline.lake.durable import storage_errors
from pipeline.ledger import claims as ledger_claims
from pipeline.ledger.circuit import MOST_DOUBLINGS
from pipeline.ledger.claims import Claim
from pipeline.ledger.credits import BucketSize
from pipeline.ledger.db import Ledger, LedgerError, open_ledger, stamp_data_folder
from pipeline.ledger.due import LongestWaits
from pipeline.ledger.sending import Limits
from pipeline.ledger.states import State
from pipeline.process import this_process
from pipeline.settings import Settings

AN_HOUR = 3_600.0
"""No wait is taken for one of a wrong clock below this, however fast the sandbox's clock runs."""

LONGEST_DISPATCH = 600.0
"""Seconds. `enrich run` gives its runs less time to start than the daemon beside it, whose notes it has to respect."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A data folder and its ledger."""

    settings: Settings
    ledger: Ledger

    @property
    def home(self) -> Path:
        """The data folder."""
        return self.settings.home

    @property
    def lake(self) -> Path:
        """Root of the Parquet files; paths in the manifest are relative to it."""
        return self.home / "lake"

    @property
    def archive(self) -> Path:
        """Root of the raw API responses and the ingested files."""
        return self.home / "archive"

    @property
    def bucket(self) -> BucketSize:
        """The credit bucket on the scaled clock."""
        return BucketSize(self.settings.credits_capacity, self.settings.credits_per_second * self.settings.speed)

    @property
    def limits(self) -> Limits:
        """What a reservation is checked against."""
        s = self.settings
        caps = (s.spend_cap_run, s.spend_cap_day, s.spend_cap_month)
        return Limits(self.bucket, s.max_in_flight, s.scaled(s.probe_seconds), *caps, self.ledger.longest)

    def later(self, seconds: float) -> datetime:
        """The ledger's clock (naive UTC) `seconds` from now."""
        return self.ledger.now() + timedelta(seconds=seconds)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for half-done files, on the same file system as the archive; gone at the end."""
        parent = self.home / "tmp"
        with storage_errors("write in", parent):
            parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=parent))
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def claimed(self, keys: Sequence[str], states: Collection[State]) -> Iterator[dict[str, Claim]]:
        """Own the free ones of these batches while the block runs, with a heartbeat that outlives long calls."""
        owner = f"{this_process()}#{uuid.uuid4().hex[:8]}"
        seconds = self.settings.claim_seconds
        claims = ledger_claims.claim_batches(self.ledger, keys, states, owner=owner, seconds=seconds)
        stop = threading.Event()
        beat = threading.Thread(target=self._beat, args=(owner, seconds, stop), daemon=True)
        if claims:
            beat.start()
        try:
            yield claims
        finally:
            stop.set()
            if claims:
                beat.join()
                with suppress(LedgerError):  # they run out, or are taken from the dead; the error before says more
                    ledger_claims.release_claims(self.ledger, owner)

    def _beat(self, owner: str, seconds: float, stop: threading.Event) -> None:
        while not stop.wait(seconds / 3):
            with suppress(LedgerError):  # the next beat may pass, and a step that has lost its claims finds out
                ledger_claims.extend_claims(self.ledger, owner, seconds=seconds)


def longest_waits(s: Settings) -> LongestWaits:
    """How far off each kind of moment can be that the ledger notes."""
    retry = s.scaled(max(s.backoff_base, s.backoff_max))
    probe = max(s.scaled(s.probe_seconds), s.scaled(s.backoff_base)) * 2**MOST_DOUBLINGS
    return LongestWaits(max(retry, AN_HOUR), max(probe, AN_HOUR), max(s.dispatch_seconds, LONGEST_DISPATCH))


def open_workspace(settings: Settings) -> Workspace:
    """Open the data folder, creating it at first use. Nothing is sent from one whose ledger is older than its journal.

    Raises ConfigError when it cannot be written or belongs to another account, StorageError when the journal of
    intents cannot be read.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the data folder {settings.home} cannot be made: {error.strerror}") from error
    ledger = open_ledger(settings.ledger, longest=longest_waits(settings))
    stamp_data_folder(ledger, source=settings.source, account=settings.account)
    journal.check(ledger, settings.home)
    return Workspace(settings, ledger)
