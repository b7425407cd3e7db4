"""`enrich dev`: the Dagster UI with daemon and sensors and, without a key, sandbox and webhook receiver beside it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.cli import show
from pipeline.cli.dev_receiver import start_receiver
from pipeline.errors import ConfigError, EnrichError
from pipeline.instance import open_instance, project_root
from pipeline.local_api import start_sandbox
from pipeline.process import end_with_parent
from pipeline.runs import reap_dead_runs
from pipeline.settings import Settings


def run_dev(settings: Settings, port: int) -> int:
    """Run until Ctrl-C, SIGTERM or the terminal's end; returns the exit code of `dg dev`.

    Raises ConfigError when the port is taken, or another one runs over the same Dagster instance.
    """
    root = project_root()
    (root / ".dagster").mkdir(exist_ok=True)
    with _alone(root):
        _refuse_taken(port)
        return _run(settings, port, root)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Two daemons over one instance would ask for each run twice, and the second takes over the first's webhook."""
    try:
        held = FileLock(root / ".dagster" / "dev.lock").acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(f"another `enrich dev` runs in {root}", hint="Use that one, or end it first.") from error
    with held:
        yield


def _refuse_taken(port: int) -> None:
    """`dg dev` goes on without its web server, and says so in one line of hundreds."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen on 127.0.0.1:{port}: {error.strerror}", hint="Choose another with --port."
            ) from error


def _run(settings: Settings, port: int, root: Path) -> int:
    with open_instance(root) as instance:
        for run_id in reap_dead_runs(instance):
            show.say(f"ended run {run_id[:8]}, whose process had died")
    settings.inbox_dir.mkdir(parents=True, exist_ok=True)
    # Without DAGSTER_HOME `dg dev` announces a temporary folder, though dagster.yaml keeps nothing in it; without
    # VIRTUAL_ENV it warns of an environment that is not active.
    environment = {**os.environ, "DAGSTER_HOME": str(root), "VIRTUAL_ENV": sys.prefix}
    with ExitStack() as stack:
        if settings.wants_own_sandbox:
            process = start_sandbox(settings)
            stack.callback(process.stop)
            environment |= {"ENRICH_BASE_URL": process.url, "ENRICH_TIME_SCALE": str(settings.speed)}
            show.say(f"sandbox on {process.url}, {settings.speed:g} times faster than life")
            ready = settings.model_copy(update={"base_url": process.url, "time_scale": settings.speed})
            try:
                show.say(f"webhook receiver on {start_receiver(ready, environment, stack)}")
            except EnrichError as error:
                show.warn(f"{error}; the poll finds what is done")
        show.say(f"Dagster UI on http://127.0.0.1:{port} · drop files into {settings.inbox_dir}")
        return _wait(_start(root, port, environment))


def _start(root: Path, port: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("dg")), "dev", "--host", "127.0.0.1", "--port", str(port)]
    return subprocess.Popen(  # noqa: S603 - our own interpreter's sibling
        command,
        cwd=root,
        env=environment,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - a system call and nothing else
    )


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Hand signals on and wait: the child stops the daemon and the web server by itself."""

    def forward(number: int, _frame: object) -> None:
        child.send_signal(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    return child.wait()
