"""Ctrl-C at the places where Python ignores what the handler raises."""

from __future__ import annotations

import os

import pytest
from forked_programs import run_code

SWALLOWED = """
import signal, sys, time
from pipeline.cli.signals import repeat_what_is_swallowed

class Finalized:
    def __del__(self):
        EVENT

if "repeated" in sys.argv:
    repeat_what_is_swallowed()
try:
    Finalized()
    time.sleep(float(sys.argv[1]))
    print("went on")
except KeyboardInterrupt:
    print("interrupted")
"""
CTRL_C = SWALLOWED.replace("EVENT", "signal.raise_signal(signal.SIGINT)")
OTHER = SWALLOWED.replace("EVENT", "raise ValueError('of a finalizer')")


@pytest.mark.parametrize(("how", "comes_to"), [(["30", "repeated"], "interrupted\n"), (["0.5"], "went on\n")])
def test_a_swallowed_ctrl_c_comes_again(how, comes_to):
    done = run_code(CTRL_C, *how, env=os.environ)
    assert done.stdout == comes_to
    assert ("KeyboardInterrupt" in done.stderr) == ("repeated" not in how)


def test_every_command_has_it_repeated():
    code = """
import sys
from pipeline.cli import app
before = sys.unraisablehook
try:
    app(["query", "--help"])
except SystemExit:
    print("as before" if sys.unraisablehook is before else "repeated")
"""
    assert run_code(code, env=os.environ).stdout.endswith("repeated\n")


def test_other_errors_of_finalizers_are_still_shown_and_end_nothing():
    done = run_code(OTHER, "0.1", "repeated", env=os.environ)
    assert done.stdout == "went on\n"
    assert "ValueError: of a finalizer" in done.stderr
