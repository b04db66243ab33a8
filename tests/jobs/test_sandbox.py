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
from ortlab.sandbox import spawn
from ortlab.sandbox.limits import Limits, environment
from ortlab.sandbox.outcome import ChildFailedError, Outcome, from_returncode
from ortlab.sandbox.spawn import Child, close_all, private_bytes

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
        (-signal.SIGABRT, "an instance of 'std::bad_alloc'", Outcome.OUT_OF_MEMORY),
        (-signal.SIGABRT, "an assertion", Outcome.CRASHED),
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


def test_cancelling_is_noticed_although_every_answer_is_there_at_once(child: Child) -> None:
    cancel = threading.Event()
    cancel.set()
    child.send("ping")
    time.sleep(0.3)
    with pytest.raises(ChildFailedError) as caught:
        child.receive(timeout_s=60, cancel=cancel)
    assert caught.value.outcome is Outcome.CANCELLED
    assert child.process.poll() is not None


def test_a_full_disk_does_not_turn_an_error_into_a_crash(tmp_path: Path) -> None:
    folder = tmp_path / "child"
    folder.mkdir()
    (folder / spawn.LOG_NAME).symlink_to("/dev/full")
    with Child(folder, limits=LIMITS) as child:
        with pytest.raises(ChildFailedError) as caught:
            child.ask("no such task", timeout_s=60)
        assert caught.value.outcome is Outcome.MODEL_ERROR
        assert child.ask("ping", timeout_s=60)


def test_a_log_that_never_ends_is_cut(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "LOG_LIMIT_BYTES", 1 << 20)
    with child.log_path.open("ab") as log:
        log.write(b"x" * (2 << 20))
    time.sleep(0.3)
    child.ask("ping", timeout_s=60)
    assert child.log_path.stat().st_size < 1 << 20


def test_a_process_that_cannot_be_started_is_an_outcome_and_leaks_nothing(tmp_path: Path) -> None:
    before = psutil.Process().num_fds()
    with pytest.raises(ChildFailedError) as caught:
        Child(tmp_path / "child", limits=LIMITS, python=str(tmp_path / "no python"))
    assert caught.value.outcome is Outcome.LOST
    assert "No such file" in caught.value.message
    assert psutil.Process().num_fds() == before


def test_a_child_gives_its_descriptors_back(tmp_path: Path) -> None:
    before = psutil.Process().num_fds()
    with Child(tmp_path / "one", limits=LIMITS) as polite:
        polite.ask("ping", timeout_s=60)
    killed = Child(tmp_path / "two", limits=LIMITS)
    killed.kill()
    killed.close()
    assert psutil.Process().num_fds() == before


def test_children_that_do_not_listen_are_ended_together(tmp_path: Path) -> None:
    children = [Child(tmp_path / f"child{i}", limits=LIMITS) for i in range(4)]
    for child in children:
        child.ask("ping", timeout_s=60)
        # Not through `pause`: closing does not know that these will not wake up.
        os.kill(child.pid, signal.SIGSTOP)
    waits: list[float] = []
    original = subprocess.Popen.wait

    def counted(self, timeout=None):
        waits.append(timeout or 0.0)
        return original(self, timeout=timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "wait", counted)
        close_all(children)
    assert all(child.process.poll() is not None for child in children)
    # The patience for all of them together is that of one.
    assert sum(w for w in waits if w > 0.4) <= 2 * 0.5 + len(children) * spawn.TERM_GRACE_S


def test_an_answer_that_is_no_answer_ends_the_child(child: Child) -> None:
    child._buffer = b"{half"
    with pytest.raises(ChildFailedError) as caught:
        child.ask("ping", timeout_s=60)
    assert caught.value.outcome is Outcome.LOST
    assert child.process.poll() is not None


@pytest.mark.skipif(sys.platform != "linux", reason="limits are set differently elsewhere")
def test_a_child_starts_below_a_hard_limit_of_its_parent(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from ortlab.sandbox.limits import Limits
from ortlab.sandbox.spawn import Child
resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))
with Child(Path(sys.argv[1]), limits=Limits(memory_bytes=4 << 30)) as child:
    child.ask("ping", timeout_s=60)
    print(resource.prlimit(child.pid, resource.RLIMIT_DATA)[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "child")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) == 3 << 30
