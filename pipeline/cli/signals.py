"""Ctrl-C that ends what it is meant to end, wherever it comes."""

from __future__ import annotations

import signal
import sys
import threading

_AGAIN_SECONDS = 0.05


def heed_signals() -> None:
    """Take Ctrl-C, and SIGTERM with it, also where they are ignored.

    A script ignores SIGINT for what it starts with `&`. Dagster does with SIGTERM what is done with SIGINT, so that
    nothing but SIGKILL ended such a process.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def repeat_what_is_swallowed() -> None:
    """Send a Ctrl-C again that came within a finalizer or in a callback of a weak reference.

    Python prints there what the handler raises and goes on, as if nobody had pressed anything.
    """
    before = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)
            return
        again = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
