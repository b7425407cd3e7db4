"""`python players.py FOLDER [NAME…]`: plays the cases, two at a time, and writes how each ended to FOLDER/results.

A program of its own, since it forks, and pytest's process has threads. It ends with its standard input.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import select
import shutil
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cases import CASES
from end_state import check_all, tables_of
from forks import fork, preload
from places import Place
from plays import Player, play_daemon, play_runs
from scenes import PLAIN

AT_ONCE = 2


def play(case, base: Path) -> None:
    """In a child: play a case, and say in its result whether it ended as it must."""
    begun = time.monotonic()
    player = Player(Place(base / case.name), case.scene)
    trouble, extra = "", {}
    try:
        pictures = base / f"pictures-{case.scene.name}"
        player.start(pictures / case.begin if case.begin else None)
        if not case.deaths:
            play_daemon(player, (), Photographer(player, pictures))
        elif case.way == "run":
            play_runs(player, case.deaths)
        else:
            play_daemon(player, case.deaths)
        player.sandbox.stop()
        extra = check(case, player, base)
    except BaseException:  # noqa: BLE001 - told in the result
        trouble = traceback.format_exc() + player.output()
    finally:
        player.sandbox.stop()
        player.place.close()  # a killed run may leave the `tail` that Dagster had just started for its log
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    work = sum(one.ru_utime + one.ru_stime for one in used)
    say(base, case.name, trouble, seconds=time.monotonic() - begun, work=work, extra=extra)
    if not trouble:
        shutil.rmtree(player.folder)


def check(case, player, base: Path) -> dict[str, int]:
    """Last of all: from here on this process has threads, and may not fork. Returns further charges by reason."""
    scene = case.scene
    absent = scene.absent + case.absent
    extra = check_all(
        player.place, books=player.folder / "api", absent=absent, reasons=scene.reasons, states=scene.states
    )
    tables = tables_of(player.place, plan=scene is PLAIN)
    known = base / f"undisturbed-{case.scene.name}.pickle"
    if case.deaths:
        tables.must_equal(pickle.loads(known.read_bytes()))
    else:
        fresh = known.with_suffix(".new")
        fresh.write_bytes(pickle.dumps(tables))
        fresh.replace(known)
    return dict(extra)


class Photographer:
    """Takes a picture of an undisturbed play after the runs that others begin behind."""

    def __init__(self, player, to: Path) -> None:
        self.player, self.to, self.done = player, to, set()

    def __call__(self, run) -> None:
        self.done.add(run.job)
        if {"plan", "account_holder_sync"} <= self.done:
            self._once("planned")
        if "submit" in self.done:
            self._once("submitted")
        if "collect" in self.done:
            self._once("landed")

    def _once(self, name: str) -> None:
        if not (self.to / name).exists():
            self.player.take_picture(self.to / name)


def say(base: Path, name: str, trouble: str, **figures) -> None:
    """Write a result, whole or not at all."""
    fresh = base / "results" / f".{name}"
    fresh.write_text(json.dumps({"trouble": trouble, **figures}))
    fresh.replace(fresh.with_name(f"{name}.json"))


def main(base: Path, names: list[str]) -> None:
    """Play them all. A scene's undisturbed play comes first, since the others are compared with it."""
    preload()
    (base / "results").mkdir(parents=True, exist_ok=True)
    wanted = {case.scene.name for case in CASES if not names or case.name in names}
    todo = [c for c in CASES if not names or c.name in names or (not c.deaths and c.scene.name in wanted)]
    playing: dict[int, str] = {}
    while todo or playing:
        for case in [c for c in todo if not c.deaths or (base / f"undisturbed-{c.scene.name}.pickle").exists()]:
            if len(playing) == AT_ONCE:
                break
            todo.remove(case)
            playing[fork(lambda case=case: play(case, base), base, {}, "players.txt")] = case.name
        if not playing:
            break  # an undisturbed play has failed: what was to be compared with it is not played
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            name = playing.pop(pid)
            if status:
                say(base, name, f"it ended with {status}\n{(base / 'players.txt').read_text()[-4000:]}")
        elif select.select([sys.stdin], [], [], 0.02)[0]:
            return
    for case in todo:
        say(base, case.name, "the undisturbed play of its scene failed")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
