"""A child process can end in any way, and the one that started it always knows how."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from ortlab.errors import TraceError
from ortlab.sandbox.limits import Limits, environment
from ortlab.sandbox.outcome import ChildFailedError, Outcome, from_returncode
from ortlab.sandbox.spawn import Child, private_bytes

LIMITS = Limits(memory_bytes=4 << 30, lifetime_s=300)


@pytest.fixture
def child(tmp_path: Path):
    with Child(tmp_path / "child", limits=LIMITS) as started:
        started.ask("ping", timeout_s=60)
        yield started


def later(seconds: float, action) -> threading.Timer:
    """Run something from another thread after a while."""
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def test_a_child_killed_by_a_signal_is_reported_with_its_name(child: Child) -> None:
    child.send("ping")
    child.receive(timeout_s=60)
    os.kill(child.pid, signal.SIGSEGV)
    with pytest.raises(ChildFailedError, match="SIGSEGV") as caught:
        child.ask("ping", timeout_s=60)
    assert caught.value.outcome is Outcome.CRASHED


def test_a_child_killed_from_outside_is_told_from_a_crash(child: Child) -> None:
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ChildFailedError) as caught:
        child.ask("ping", timeout_s=60)
    assert caught.value.outcome is Outcome.KILLED_BY_OS


def test_a_child_that_does_not_answer_is_stopped_at_its_deadline(child: Child) -> None:
    child.send("ping")
    child.receive(timeout_s=60)
    os.kill(child.pid, signal.SIGSTOP)
    child.process.poll()
    os.write(child._request, b'{"task": "ping", "request": {}}\n')
    with pytest.raises(ChildFailedError) as caught:
        child.receive(timeout_s=0.3)
    assert caught.value.outcome is Outcome.TIMEOUT
    assert child.process.poll() is not None


def test_cancelling_ends_a_child_that_is_stuck(child: Child) -> None:
    os.kill(child.pid, signal.SIGSTOP)
    os.write(child._request, b'{"task": "ping", "request": {}}\n')
    cancel = threading.Event()
    later(0.2, cancel.set)
    with pytest.raises(ChildFailedError) as caught:
        child.receive(timeout_s=60, cancel=cancel)
    assert caught.value.outcome is Outcome.CANCELLED
    assert child.process.poll() is not None


def test_a_paused_child_uses_no_processor_and_goes_on_afterwards(child: Child) -> None:
    child.pause()
    time.sleep(0.1)
    assert psutil.Process(child.pid).status() == psutil.STATUS_STOPPED
    assert child.ask("ping", timeout_s=60)


def test_a_paused_child_can_be_killed(child: Child) -> None:
    child.pause()
    child.kill()
    assert child.process.poll() is not None


def test_an_unknown_task_is_an_error_and_not_the_end(child: Child) -> None:
    with pytest.raises(ChildFailedError):
        child.ask("no such task", timeout_s=60)
    assert child.ask("ping", timeout_s=60)


def test_a_child_sees_only_the_environment_it_may(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    seen = environment(tmp_path)
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert seen["CUDA_VISIBLE_DEVICES"] == "0"
    assert seen["ORT_DISABLE_TELEMETRY"] == "1"
    assert seen["HOME"] == str(tmp_path)


def test_a_module_in_the_private_folder_is_not_imported(tmp_path: Path) -> None:
    folder = tmp_path / "child"
    folder.mkdir()
    (folder / "numpy.py").write_text("raise SystemExit(77)")
    with Child(folder, limits=LIMITS) as started:
        assert started.ask("warm_imports", timeout_s=60)["onnxruntime"]


PARENT = """
import sys, time
from pathlib import Path
from ortlab.sandbox.limits import Limits
from ortlab.sandbox.spawn import Child
child = Child(Path(sys.argv[1]), limits=Limits())
child.ask("ping", timeout_s=60)
if sys.argv[2] == "pause":
    child.pause()
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's lifeline is Linux's own")
@pytest.mark.parametrize("state", ["awake", "pause"])
def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path, state: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "child"), state],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.communicate()
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.05)
    else:
        pytest.fail(f"child {pid} outlived its parent")


def test_memory_of_a_gone_process_is_unknown() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert private_bytes(process.pid) is None


@pytest.mark.parametrize(
    ("code", "log", "outcome"),
    [
        (-signal.SIGSEGV, "", Outcome.CRASHED),
        (-signal.SIGBUS, "", Outcome.CRASHED),
        (-signal.SIGKILL, "", Outcome.KILLED_BY_OS),
        (1, "terminate called after throwing std::bad_alloc", Outcome.OUT_OF_MEMORY),
        (3, "something else", Outcome.CRASHED),
    ],
)
def test_every_exit_code_has_an_outcome(code: int, log: str, outcome: Outcome) -> None:
    failure = from_returncode(code, phase="run", log=log)
    assert failure.outcome is outcome
    assert "run" in failure.message


def test_what_a_worker_refuses_arrives_as_the_same_error(child: Child, tmp_path: Path) -> None:
    empty = tmp_path / "empty.json"
    empty.write_bytes(b"")
    request = {"path": str(empty), "out": str(tmp_path / "out.parquet")}
    with pytest.raises(TraceError) as caught:
        child.ask("trace", request, timeout_s=60)
    assert caught.value.hint
