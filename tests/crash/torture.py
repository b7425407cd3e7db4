"""`make torture N=5000`: processes killed at random moments, over fresh data folders, until N of them have died.

Two folders at a time. In each `enrich run`s, turns of the daemon's sensors and its runs are killed, now and then two of
them at once, and sometimes the API, which loses answers, fails batches and items, refuses and is slow. After some kills
everything may finish, and every invariant is checked. A line per folder names its seed; `--seed` begins with that one.
The last line has kills, items, double charges and lost items; the exit code is 1, and the folder kept, if any is wrong.
"""

from __future__ import annotations

# ruff: noqa: T201 - a program whose output is read
import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from end_state import check_all, wrongs
from forks import KILLED, ended, enrich, fork, kill, preload
from places import Place
from plays import FILE, Player, play_daemon
from scenes import POST, RESULTS, Scene
from turns import Run, Turn, take_turn

KILLS = 18
"""In one folder: a batch at which twenty processes have died is held for a person."""
AT_ONCE = 2
RESTARTS = 0.03
"""Chance that the API is started anew before a process is."""

DOOMED = {"run": 0.85, "turn": 0.5, "job": 0.9}
"""Share of the processes of a kind that are to die: a turn that dies asks for no jobs that could."""

TROUBLES = (
    {"call": POST, "share": 0.3, "times": 2, "do": "drop", "when": "after"},
    {"call": POST, "share": 0.3, "times": 2, "do": "drop", "when": "before", "how": "reset"},
    {"call": POST, "share": 0.2, "times": 2, "do": "status", "status": 503, "when": "after"},
    {"call": POST, "share": 0.3, "times": 3, "do": "status", "status": 429},
    {"call": POST, "share": 0.3, "times": 2, "do": "batch_error"},
    {"call": POST, "share": 0.5, "do": "batch_slow", "factor": 10},
    {"call": POST, "share": 0.3, "times": 2, "do": "batch_hidden", "seconds": 100},
    {"call": POST, "ids": ["tx-1", "tx-8", "tx-9"], "to": 1, "do": "item_error"},
    {"call": RESULTS, "do": "missing_items", "ids": ["tx-4", "tx-11"]},
    {"call": RESULTS, "share": 0.3, "do": "truncate", "how": "json"},
    {"call": RESULTS, "share": 0.3, "do": "delay", "when": "before", "seconds": 0.1},
    {"call": "*", "share": 0.05, "do": "status", "status": 502},
    {"call": "*", "share": 0.03, "do": "drop", "when": "after"},
)
"""Mild: each of them passes by itself, so that every item is enriched in the end."""


def scene_of(chance: random.Random) -> Scene:
    """A bank file and an API with a few troubles."""
    return Scene(
        "torture",
        tuple(chance.sample(TROUBLES, chance.randint(0, 5))),
        rows=chance.randint(10, 60),
        batch=chance.randint(5, 20),
        settings={"ENRICH_MAX_ATTEMPTS": "8", "ENRICH_ITEM_ATTEMPTS": "5", "ENRICH_DISPATCH_SECONDS": "1"},
        reasons=frozenset({"batch_error", "item_error"}),
    )


@dataclass(slots=True)
class Doomed:
    """A process, what it is, when it began, and when it is killed; None: it may live."""

    pid: int
    kind: str
    began: float
    dies: float | None


@dataclass(slots=True)
class Torturer:
    """One folder."""

    player: Player
    chance: random.Random
    kills: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    asked: deque[Run] = field(default_factory=deque)
    takes: dict[str, float] = field(default_factory=lambda: {"run": 1.2, "turn": 0.2, "job": 0.4})
    """Seconds that a process of each kind takes, measured: kills are to hit work, on a slow machine too."""

    def torture(self, kills: int) -> None:
        """Start processes and kill them, until so many have died of it."""
        living: list[Doomed] = []
        while self.kills < kills or living:
            if self.kills < kills and (not living or (len(living) == 1 and self.chance.random() < 0.005)):
                if self.chance.random() < RESTARTS:
                    self._restart_api(living)
                living.append(self._start(turning=any(one.kind == "turn" for one in living)))
            living = [one for one in living if not self._is_over(one)]
            time.sleep(0.002)

    def _restart_api(self, living: list[Doomed]) -> None:
        """At another address: who has the old one would try for minutes, as it should, and is killed instead."""
        self.player.sandbox.stop()
        self.player.sandbox.start()
        for one in living:
            one.dies = time.monotonic()

    def _start(self, *, turning: bool) -> Doomed:
        kind = self.chance.choices(("run", "turn", "job"), (1, 2, 4))[0]
        if kind == "job" and not self.asked:
            kind = "turn"
        if kind == "turn" and turning:  # the daemon has one loop
            kind = "run"
        act = {
            "run": lambda: enrich("run", FILE),
            "turn": lambda: take_turn(dict(self.player.cursors), self._report),
            "job": lambda: self.asked.popleft().start,
        }[kind]()
        if kind == "turn":
            self._report.unlink(missing_ok=True)
        now = time.monotonic()
        is_doomed = self.chance.random() < DOOMED[kind]
        dies = now + self.chance.uniform(0, 1.1 * self.takes[kind]) if is_doomed else None
        return Doomed(self.player.start_child(act), kind, now, dies)

    @property
    def _report(self) -> Path:
        return self.player.folder / "turn.jsonl"

    def _is_over(self, one: Doomed) -> bool:
        now = time.monotonic()
        code = ended(one.pid)
        if code is None and one.dies is not None and now >= one.dies:
            code = kill(one.pid)
        if code is None:
            assert now - one.began < 60, f"a {one.kind} takes longer than a minute"
            return False
        if code == KILLED:
            self.kills += 1
            self.killed[one.kind] += 1
        else:
            # A run that another one beside it disturbs may end with a trouble that it names, never with a traceback.
            assert code in {0, 1, 3}, f"a {one.kind} ended with {code}"
            self.takes[one.kind] += (now - one.began - self.takes[one.kind]) / 4
        if one.kind == "turn":
            turn = Turn.read(self._report)
            self.player.cursors |= turn.cursors
            self.asked.extend(turn.runs)
        return True


def play(seed: int, kills: int, base: Path) -> None:
    """In a child: one folder from its first process to the checks."""
    chance = random.Random(seed)
    player = Player(Place(base / f"seed-{seed}"), scene_of(chance))
    torturer = Torturer(player, chance)
    begun, trouble = time.monotonic(), ""
    try:
        player.start()
        torturer.torture(kills)
        play_daemon(player, ())
        code = player.run()
        assert code == 0, f"the last run ended with {code}"
        player.sandbox.stop()
        check_all(player.place, books=player.folder / "api", absent=None, reasons=player.scene.reasons)
    except BaseException:  # noqa: BLE001 - told in the result
        trouble = traceback.format_exc() + player.output()
    finally:
        player.sandbox.stop()
        player.place.close()  # a killed run may leave the `tail` that Dagster had just started for its log
    said = {"seed": seed, "kills": torturer.kills, "killed": torturer.killed, "items": player.scene.rows}
    said |= {"trouble": trouble, "seconds": time.monotonic() - begun}
    if trouble:
        with suppress(Exception):  # there may be no ledger or no warehouse to count in
            said |= wrongs(player.place, player.folder / "api", player.scene.rows, player.scene.reasons)
    (base / f"seed-{seed}.json").write_text(json.dumps(said))
    if not trouble:
        shutil.rmtree(player.folder)


def torture(kills: int, seed: int, base: Path) -> int:
    """Folders until so many processes have died; returns the exit code."""
    preload()
    total: Counter[str] = Counter()
    playing: dict[int, int] = {}
    promised, begun = 0, time.monotonic()
    while playing or promised < kills:
        while len(playing) < AT_ONCE and promised < kills:
            some = min(KILLS, kills - promised)
            playing[fork(lambda seed=seed, some=some: play(seed, some, base), base, {}, "torture.txt")] = seed
            promised, seed = promised + some, seed + 1
        pid, status = os.waitpid(-1, 0)
        number = playing.pop(pid)
        result = base / f"seed-{number}.json"
        said = json.loads(result.read_text()) if result.exists() else {"trouble": f"it ended with status {status}"}
        result.unlink(missing_ok=True)
        total.update({k: n for k, n in said.items() if k in {"kills", "items", "double", "lost"}})
        total["troubles"] += bool(said["trouble"])
        tell(number, said, total, time.monotonic() - begun)
    print(
        f"{total['kills']} kills, {total['items']} items, {total['double']} double charges, {total['lost']} lost",
        flush=True,
    )
    return int(total["troubles"] > 0)


def tell(seed: int, said: dict, total: Counter[str], seconds: float) -> None:
    """A line for one folder."""
    if said["trouble"]:
        print(f"seed {seed}: WRONG\n{said['trouble']}", flush=True)
        return
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(said["killed"].items()))
    print(
        f"seed {seed}: {said['kills']} kills ({kinds}), {said['items']} items, {said['seconds']:.1f} s;"
        f" {total['kills'] / seconds:.1f} kills/s so far",
        flush=True,
    )


def main() -> int:
    """Parse the command line; folders lie in memory, since a kill, unlike a power cut, needs no disk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int, nargs="?", default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    memory = Path("/dev/shm")
    base = Path(tempfile.mkdtemp(prefix="enrich-torture-", dir=memory if memory.is_dir() else None))
    code = torture(options.kills, options.seed, base)
    if code:
        print(f"what was wrong is kept in {base}")
    else:
        shutil.rmtree(base)
    return code


if __name__ == "__main__":
    sys.exit(main())
