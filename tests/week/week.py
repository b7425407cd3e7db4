"""`make week MINUTES=6`: a week in compressed time, with everything that happens in one, by real processes.

Files arrive, batches and items fail, the API refuses, webhooks are lost, late and doubled; daemon and receiver are
stopped and killed at random; each night somebody asks for the retention. Twice a day everything is checked while it is
under way, and at the end once it is done: identity, credits against the sandbox's books, memory, disk.

The sandbox's clock runs so fast that a week takes so many minutes; processes, and what sensors and claims wait, do not,
so a day has a dozen runs in place of some thousand. `ENRICH_KEEP_…` are real time, and at their least.
The last line has the totals; the exit code is 1, and the folder kept, if any check failed.
"""

from __future__ import annotations

# ruff: noqa: T201 - a program whose output is read
import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "crash"))

import dagster as dg
from places import Place, wait_until
from week_cargo import Cargo, load
from week_checks import Found, check, check_end, double_and_lost, is_drained
from week_disk import STAYS, Disk, measure, overdue
from week_plan import DAYS, FILE_SECONDS, Size, timetable
from week_processes import LASTING, Memory, Staff

from pipeline.flow.workspace import Workspace
from pipeline.instance import open_instance
from pipeline.ledger.db import Ledger
from pipeline.sandbox.books import Books
from pipeline.sandbox.process import SandboxProcess
from pipeline.settings import Settings

DRAIN_SECONDS = 900
"""Until everything is done after the last day; else it is told as a failure."""


@dataclass(slots=True)
class Week:
    """One folder from the first file to the totals."""

    size: Size
    place: Place
    cargo: Cargo
    staff: Staff
    memory: Memory
    ws: Workspace
    begun: float = field(default_factory=time.monotonic)
    checkpoints: int = 0
    wrongs: list[str] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    disks: list[Disk] = field(default_factory=list)

    def live(self, table: list[tuple[float, str, str]]) -> None:
        """Everything in its time, measuring memory each second between."""
        arriving = iter(self.cargo.files)
        for at, what, how in table:
            self.wait(self.begun + at * self.size.day)
            if what == "file":
                next(arriving).drop(self.place.folder / "inbox")
            elif what == "daemon":
                self.staff.restart_daemon(how)
            elif what == "receiver":
                self.staff.restart_receiver(how)
            elif what == "night":
                self.retain()
            else:
                self.check(f"day {at:.1f}")

    def wait(self, until: float) -> None:
        """Until that moment on the monotonic clock; at once when it has passed."""
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(1.0, left))
            passed = (time.monotonic() - self.begun) / (self.size.day * self.size.days)
            self.memory.sample(min(passed, 0.999))
            self.staff.look()

    def retain(self) -> None:
        """As somebody does in the UI; the daemon starts it when it has a place free."""
        self.staff.start("dagster", "job", "launch", "-m", "pipeline.definitions", "-j", "retention")

    def check(self, when: str) -> Found:
        """Look at everything, and say it."""
        found = check(self.ws, Books(self.place.folder / "api"), self.cargo)
        disk = measure(self.ws, self.place.folder / ".dagster")
        self.disks.append(disk)
        self.files |= disk.lake
        self.checkpoints += 1
        self.wrongs += [f"{when}: {wrong}" for wrong in found.wrongs]
        memory = ", ".join(f"{kind} {mib:.0f}" for kind, mib in sorted(self.memory.latest().items()))
        print(f"{when}: {found.line()}\n  MiB of memory: {memory}; of disk: {disk.line()}", flush=True)
        return found

    def end(self) -> Found:
        """Let everything finish, then a last retention, and the checks of the end."""
        self._await(lambda: is_drained(self.ws, self.place, self.cargo), "it is drained")
        since, runs = self.ws.ledger.now(), self._retained()
        self.retain()
        self._await(lambda: bool(self._retained() - runs), "a last retention")
        self._await(lambda: is_drained(self.ws, self.place, self.cargo), "it is drained again")
        self.staff.stop()
        found = self.check("end")
        self.wrongs += self.staff.wrongs + check_end(self.ws, self.place, self.cargo) + self._retention_wrongs(since)
        if self.size.days >= DAYS:
            self.wrongs += self.memory.wrongs()
        return found

    def _await(self, true: Callable[[], bool], what: str) -> None:
        try:
            wait_until(true, what, seconds=DRAIN_SECONDS)
        except AssertionError as error:
            self.wrongs.append(str(error).strip())

    def _retained(self) -> set[str]:
        """Retentions that came to an end; old ones are deleted themselves."""
        with open_instance(self.place.folder) as instance:
            done = instance.get_runs(dg.RunsFilter(job_name="retention", statuses=[dg.DagsterRunStatus.SUCCESS]))
            return {run.run_id for run in done}

    def _retention_wrongs(self, since: datetime) -> list[str]:
        """What is past its time is gone; and within a whole week something was."""
        left = overdue(self.ws, self.disks[-1], since)
        found = [f"{len(left)} replaced files are still there, past their time"] if left else []
        if self.size.days >= DAYS and not self.files - self.disks[-1].lake:
            found.append("no replaced file was deleted in the whole week")
        return found


def hasten(config: Path) -> None:
    """A run that was killed before it had named its process blocks one of two places for 180 s: for three days here."""
    text = config.read_text()
    for name, usual, quick in (("start_timeout_seconds", 180, 45), ("poll_interval_seconds", 30, 10)):
        assert f"{name}: {usual}" in text, f"dagster.yaml has another {name}"
        text = text.replace(f"{name}: {usual}", f"{name}: {quick}")
    config.write_text(text)


def run(size: Size, seed: int, folder: Path) -> int:
    """Returns the exit code."""
    chance = random.Random(seed)
    files = max(2, round(size.minutes * 60 / FILE_SECONDS))
    cargo, table = load(chance, files, size.rows, size.trouble), timetable(size, files, chance)
    place = Place(folder)
    hasten(folder / "dagster.yaml")
    (folder / "inbox").mkdir()
    faults = folder / "faults.json"
    faults.write_text(json.dumps(cargo.faults()))
    print(f"{size.days} days of {size.day:.0f} s, seed {seed}: {files} files, {cargo.rows} transactions", flush=True)
    sandbox = SandboxProcess(folder / "api", size.sandbox(faults))
    try:
        sandbox.start()
        staff = Staff(place, size.settings | {"ENRICH_BASE_URL": sandbox.url})
        staff.start_receiver()
        staff.call("enrich", "webhooks", "register", "--url", f"http://127.0.0.1:{staff.port}/webhooks/ntropy")
        staff.start_daemon()
        settings = Settings(
            data_dir=folder / "data", base_url=sandbox.url, time_scale=size.speed, keep_replaced_days=0.001,
            keep_partitions_days=0.001, _env_file=None,
        )  # fmt: skip
        week = Week(size, place, cargo, staff, Memory(folder), Workspace(settings, Ledger(settings.ledger)))
        week.live(table)
        return tell(week, week.end())
    finally:
        place.close()
        sandbox.stop()


def tell(week: Week, found: Found) -> int:
    """What was wrong, what grew, and the line of totals."""
    for wrong in week.wrongs:
        print(f"FAILED: {wrong}")
    if week.wrongs:
        print(f"what was wrong is kept in {week.place.folder}")
    for kind in LASTING:
        for ages, before, after in week.memory.growth(kind):
            print(f"memory of the {kind} at {ages}: {before:.0f} MiB in the first third, {after:.0f} in the last")
    disk, per = week.disks[-1], 1000 / max(1, found.batches)
    bounded = [name for name in disk.parts if name not in {*STAYS, "ledger"}]
    peak = max(sum(each.parts[name] for name in bounded) for each in week.disks) / 2**20
    print(
        f"MiB per 1000 batches: archive {disk.mib('archive') * per:.1f}, lake {disk.mib('lake') * per:.1f},"
        f" ledger {disk.mib('ledger') * per:.1f}; bounded by retention {disk.mib(*bounded) * per:.1f}"
        f" ({disk.mib(*bounded):.1f} MiB, at most {peak:.1f}); {len(week.files - disk.lake)} lake files deleted"
    )
    books = Books(week.place.folder / "api")
    (double, lost), faults = double_and_lost(week.ws, books, week.cargo), books.summary().faults
    restarts = ", ".join(f"{n} {how}" for how, n in sorted(week.staff.restarts.items()))
    peaks = ", ".join(f"{kind} {mib:.0f}" for kind, mib in sorted(week.memory.peaks().items()))
    print(
        f"{'FAILED' if week.wrongs else 'passed'}: {found.files} files, {found.counts['records']} records,"
        f" {found.batches} batches, {found.counts['transactions']} items, {found.credits} credits;"
        f" restarts: {restarts}; {faults.get('webhook_lost', 0)} webhooks lost; {week.checkpoints} checkpoints;"
        f" {disk.mib(*STAYS) * per:.1f} MiB per 1000 batches; peak RSS in MiB: {peaks};"
        f" {double} double charges, {lost} lost",
        flush=True,
    )
    return int(bool(week.wrongs or double or lost))


def main() -> int:
    """Parse the command line; the folder lies in memory, since a kill, unlike a power cut, needs no disk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends with it
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="enrich-week-", dir=memory if memory.is_dir() else None))
    try:
        code = run(Size(options.minutes, options.days), options.seed, folder)
    except (KeyboardInterrupt, SystemExit):
        code = 130
    except BaseException:
        print(f"what was wrong is kept in {folder}")
        raise
    if code != 1:
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
