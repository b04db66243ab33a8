"""A home with one model in it, and processes that are gone when a test ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import onnx
import psutil
import pytest

from ortlab.domain.machine import MachineReport
from ortlab.domain.study import StopRule, StudySpec
from ortlab.jobs import environment
from ortlab.measure import machine
from ortlab.settings import Settings
from ortlab.store.home import Store
from tests import build, records

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> MachineReport:
    """What this machine can do, found once: it takes seconds."""
    return environment.machine_report(Store(Settings(home=tmp_path_factory.mktemp("report"))))


@pytest.fixture
def store(own_home: Path, report: MachineReport) -> Store:
    """A home that knows this machine, with a model `m1` in it."""
    found = Store(Settings(home=own_home, busy_timeout_s=30))
    document = msgspec.json.encode(report).decode()
    found.reports.save(f"machine:{machine.fingerprint()}", document)
    with found.folder("test") as folder:
        onnx.save(build.mlp(), folder / "m1.onnx")
        found.models.keep(records.model(), folder / "m1.onnx")
    return found


@pytest.fixture
def spec() -> StudySpec:
    """Two configurations of the model `m1`."""
    levels = ("disabled", "all")
    return StudySpec(
        model_id="m1", model_name="m1", stop=StopRule(runs=20), profile=False,
        configurations=tuple(records.configuration(level=level, dims={"N": 4}) for level in levels),
    )  # fmt: skip


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start `python -m MODULE ARGUMENTS` at the root of the checkout."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(module: str, *arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def no_runner_left(own_home: Path) -> Iterator[None]:
    """End runners of this test's home that were started on the way."""
    yield
    for process in runners(own_home):
        process.send_signal(signal.SIGKILL)
        process.wait()


def runners(home: Path) -> list[psutil.Process]:
    """Runner processes that serve this home."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if str(home) in line and any(
            m in line for m in ("ortlab.jobs.runner", "tests.jobs.serving")
        ):
            found.append(process)
    # A process that is about to become a worker still looks like the runner that made it.
    ids = {process.pid for process in found}
    return [p for p in found if p.is_running() and p.ppid() not in ids]


def until(condition: Callable[[], object], *, what: str) -> None:
    """Return when the condition holds; fail when it does not within a minute."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail(f"not within {PATIENCE_S:g} s: {what}")
        time.sleep(0.02)
