"""A play: processes over one folder that die one after the other at named points, then some that are left alone.

Belongs here: the two ways to play, as `enrich run`s and as a daemon's turns and runs, and pictures of a folder half
way, from which other plays begin. Which plays there are is in `cases.py`, how they must end in `end_state.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from forks import KILLED, Sandbox, enrich, fork, wait
from places import Place
from scenes import TIME_SCALE, Scene
from turns import Run, Turn, take_turn

PAUSE = 0.15
"""After a turn in which nothing was asked for: a batch takes 0.03 s, a grace 1 s, and a turn 0.15 s of a processor."""
SECONDS = 240

FILE = "bank.csv"


@dataclass(slots=True)
class Player:
    """One folder, its API, and the processes over it, one at a time."""

    place: Place
    scene: Scene
    sandbox: Sandbox = field(init=False)
    cursors: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = [f"--time-scale={TIME_SCALE}"]
        if self.scene.rules:
            plan = self.folder / "faults.json"
            plan.write_text(json.dumps({"rules": self.scene.rules}))
            options.append(f"--fault-plan={plan}")
        self.sandbox = Sandbox(self.folder / "api", tuple(options))

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.place.folder

    def start(self, picture: Path | None = None) -> None:
        """Take the folder from a picture of one, or write the bank file; then start the API."""
        if picture is not None:
            shutil.copytree(picture, self.folder, symlinks=True, dirs_exist_ok=True)
        elif not (self.folder / FILE).exists():
            path = self.place.write(FILE, 0, self.scene.rows, bad=2)
            (self.folder / "inbox").mkdir()
            dropped = self.folder / "inbox" / FILE
            shutil.copyfile(path, dropped)
            os.utime(dropped, (0, 0))  # it lies still since long
        self.sandbox.start()

    def take_picture(self, to: Path) -> None:
        """Copy the folder while no process is at it, for others to begin from."""
        self.sandbox.stop()
        shutil.copytree(self.folder, to, symlinks=True)
        self.sandbox.start()

    def child(self, act: Callable[[], int | None], **environment: str) -> int:
        """Do it in a child, to its end; its exit code, or minus the signal."""
        return wait(self.start_child(act, **environment))

    def start_child(self, act: Callable[[], int | None], **environment: str) -> int:
        """Start a child; its process id."""
        return fork(act, self.folder, self.environment | environment)

    @property
    def environment(self) -> dict[str, str]:
        """Settings of every process here."""
        return self.scene.environment | {"ENRICH_BASE_URL": self.sandbox.url}

    def run(self, **environment: str) -> int:
        """`enrich run` over the bank file."""
        return self.child(enrich("run", FILE), **environment)

    def turn(self, **environment: str) -> tuple[int, Turn]:
        """One turn of the daemon's sensors."""
        report = self.folder / "turn.jsonl"
        report.unlink(missing_ok=True)
        code = self.child(take_turn(dict(self.cursors), report), **environment)
        turn = Turn.read(report)
        self.cursors |= turn.cursors
        return code, turn

    def output(self) -> str:
        """The end of what all processes wrote."""
        log = self.folder / "output.txt"
        return log.read_text(errors="replace")[-6000:] if log.exists() else ""


def play_runs(player: Player, deaths: tuple[str, ...]) -> None:
    """`enrich run`s that die, then one that must not fail."""
    for death in deaths:
        code = player.run(ENRICH_CRASH_AT=death)
        assert code == KILLED, f"{death} was never passed: exit code {code}"
    code = player.run()
    # 3: something waits for a person, as an item that was quarantined does.
    assert code in ({0, 3} if player.scene.states else {0}), f"the last run ended with {code}"


def play_daemon(player: Player, deaths: tuple[str, ...], after: Callable[[Run], None] = lambda _: None) -> None:
    """Turns of the sensors and the runs that they ask for, until nothing is left to do.

    Every process is to die at the first of `deaths` until one has, then at the next. `after` is called after a run.
    """
    left = list(deaths)
    end = time.monotonic() + SECONDS

    def armed() -> dict[str, str]:
        return {"ENRICH_CRASH_AT": left[0]} if left else {}

    def note(code: int, what: str) -> bool:
        if code == KILLED and left:
            left.pop(0)
            return False
        assert code in {0, 1}, f"{what} ended with {code}"
        return True

    while True:
        assert time.monotonic() < end, f"not done after {SECONDS} s; still to die at: {left}"
        code, turn = player.turn(**armed())
        note(code, "a turn")
        for run in turn.runs:
            if note(player.child(run.start, **armed()), run.job):
                after(run)
        if turn.done:
            break
        if not turn.runs:
            time.sleep(PAUSE)
    assert not left, f"{left[0]} was never passed"
