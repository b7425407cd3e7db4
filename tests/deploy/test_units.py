"""The systemd units: valid by systemd's own check; each command line in them starts, answers and ends by SIGTERM."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from pipeline.settings import Settings

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
UNITS = sorted(DEPLOY.glob("*.service"))
PORTS = {"3000", "8090", "4266"}
PATIENCE = 120
"""Most seconds for a start or an end; each takes under 10 on two cores."""


def unit(path):
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read(path)
    return parser


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def sample():
    """The settings of the sample, those that are commented out too."""
    lines = [line.removeprefix("# ") for line in (DEPLOY / "enrich.env.sample").read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines if line.startswith(("ENRICH_", "DAGSTER_")) and "=" in line)


def test_systemd_finds_nothing_to_complain_of(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze is here: install the package `systemd`")
    # It complains of commands that are not there, so a copy has the paths of this installation. All at once: then it
    # resolves what the target wants as well.
    for path in (*UNITS, DEPLOY / "enrich.target"):
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/enrich/.venv/bin", str(BIN)))
    files = [str(tmp_path / path.name) for path in (*UNITS, DEPLOY / "enrich.target")]
    command = [analyze, "verify", "--man=no", "--recursive-errors=yes", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "enrich" in line or str(tmp_path) in line]
    assert said == []


def test_systemd_would_have_complained(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze is here: install the package `systemd`")
    bad = tmp_path / "enrich-daemon.service"
    text = (DEPLOY / "enrich-daemon.service").read_text().replace("ProtectSystem=strict", "ProtectSistem=strict")
    bad.write_text(text.replace("/opt/enrich/.venv/bin", str(BIN)))
    done = subprocess.run([analyze, "verify", "--man=no", str(bad)], capture_output=True, text=True, check=False)
    assert "ProtectSistem" in done.stdout + done.stderr


def test_the_target_starts_all_that_must_run():
    wanted = unit(DEPLOY / "enrich.target")["Unit"]["Wants"].split()
    optional = {"enrich-code.service"}
    assert {*wanted, *optional} == {path.name for path in UNITS}


def test_the_sample_names_settings_only():
    names = {name.removeprefix("ENRICH_").lower() for name in sample() if name.startswith("ENRICH_")}
    assert "api_key" in names
    assert names <= set(Settings.model_fields)


class Service:
    """A unit's command as a plain process, in a copied project folder and on a free port."""

    def __init__(self, name: str, folder: Path, **given: str) -> None:
        section = unit(DEPLOY / f"{name}.service")["Service"]
        self.folder, self.port = folder, free_port()
        own = dict(part.split("=", 1) for part in section["Environment"].split())
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "PYTHONPATH") if key in os.environ}
        own = {key: value.replace("/opt/enrich", str(folder)) for key, value in own.items()} | given
        words = shlex.split(section["ExecStart"].replace("/opt/enrich/.venv/bin", str(BIN)))
        words = [self.port if word in PORTS else self._filled(word, own) for word in words]
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            # As under systemd: a shell ignores SIGINT for what it starts with `&`, and Dagster then SIGTERM as well.
            self.child = subprocess.Popen(
                words, cwd=folder, env=kept | own, stdout=log, stderr=log,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - it takes no lock
            )  # fmt: skip

    @staticmethod
    def _filled(word, environment):
        for name, value in environment.items():
            word = word.replace(f"${{{name}}}", value)
        return word

    def wait_until(self, true, what):
        end = time.monotonic() + PATIENCE
        while not true():
            if self.child.poll() is not None or time.monotonic() > end:
                pytest.fail(f"not {what} (exit {self.child.poll()}):\n{self.log.read_text()[-3000:]}")
            time.sleep(0.2)

    def answers(self, path):
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False).is_success
        return False

    def listens(self):
        with suppress(OSError), socket.create_connection(("127.0.0.1", int(self.port)), timeout=1):
            return True
        return False

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(PATIENCE)


def working_in(folder):
    """Processes that work in this folder, without the resource trackers of multiprocessing, which end last."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            tracks = b"resource_tracker" in (entry.parent / "cmdline").read_bytes()
            if entry.readlink() == folder.resolve() and not tracks:
                found.append(int(entry.parent.name))
    return found


@pytest.fixture
def service_for(tmp_path):
    """Services over one copied folder; whatever is left of them at the end is killed."""
    folder = tmp_path / "enrich"
    folder.mkdir()
    shutil.copy(ROOT / "dagster.yaml", folder)
    shutil.copytree(DEPLOY, folder / "deploy")
    given = {"ENRICH_DATA_DIR": str(folder / "data"), "ENRICH_BASE_URL": "http://127.0.0.1:9"}
    given |= {"ENRICH_WEBHOOK_TOKEN": "token-of-the-test", "PYTHONPATH": str(ROOT)}
    yield lambda name, **more: Service(name, folder, **given, **more)
    for pid in working_in(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


ELSEWHERE = {"enrich-code", "enrich-webserver"}
"""Their start and end are in another test too."""

READY = {
    "enrich-code": lambda service: service.listens(),
    "enrich-daemon": lambda service: "no batch has ended" in service.log.read_text(),  # a sensor of ours has ticked
    "enrich-webhooks": lambda service: service.answers("/readyz"),
    "enrich-webserver": lambda service: service.answers("/server_info"),
}


@pytest.mark.slow
@pytest.mark.xdist_group("deploy")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.whole if name in ELSEWHERE else ()) for name in (p.stem for p in UNITS)],
)
def test_the_command_starts_and_ends_by_sigterm(service_for, name):
    service = service_for(name, DAGSTER_LOG_FORMAT="json", DAGSTER_CLI_API_GRPC_LOG_FORMAT="json")
    service.wait_until(lambda: READY[name](service), "ready")
    assert service.stop() == 0, service.log.read_text()[-3000:]
    end = time.monotonic() + PATIENCE
    while (left := working_in(service.folder)) and time.monotonic() < end:
        time.sleep(0.2)
    assert left == []
    # ProtectSystem=strict: whatever else it wrote to would be read-only, and it would not start.
    writable = {Path(path).name for path in unit(DEPLOY / f"{name}.service")["Service"]["ReadWritePaths"].split()}
    assert {path.name for path in service.folder.iterdir()} <= {"dagster.yaml", "deploy", service.log.name, *writable}
    if "--log-format" in " ".join(service.child.args):
        # The code server that daemon and web server start takes its format from a variable of its own.
        lines = [json.loads(line) for line in service.log.read_text().splitlines()]
        assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
        assert lines


@pytest.mark.slow
@pytest.mark.xdist_group("deploy")
def test_the_ui_loads_the_project_from_the_code_server(service_for):
    code = service_for("enrich-code")
    code.wait_until(code.listens, "ready")
    workspace = code.folder / "deploy" / "workspace-grpc.yaml"
    workspace.write_text(workspace.read_text().replace("4266", code.port))
    ui = service_for("enrich-webserver", DAGSTER_WORKSPACE=str(workspace))
    ui.wait_until(lambda: ui.answers("/server_info"), "ready")
    query = {"query": "{ assetNodes { groupName repository { location { name } } } }"}
    answer = httpx.post(f"http://127.0.0.1:{ui.port}/graphql", json=query, trust_env=False, timeout=60).json()
    nodes = answer["data"]["assetNodes"]
    assert {node["repository"]["location"]["name"] for node in nodes} == {"enrich"}
    assert {node["groupName"] for node in nodes} >= {"ingest", "batches", "results", "warehouse"}
    assert (ui.stop(), code.stop()) == (0, 0)
