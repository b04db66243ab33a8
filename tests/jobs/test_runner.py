"""The runner measures what is queued, outlives who started it, and loses nothing when killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ortlab.domain.study import StudySpec
from ortlab.jobs import runner
from ortlab.jobs.queue import Queue
from ortlab.lab import Lab
from ortlab.settings import Settings
from ortlab.store.home import Store
from tests.jobs import serving
from tests.jobs.conftest import ROOT, runners, until

SERVING = "tests.jobs.serving"
Start = Callable[..., "subprocess.Popen[bytes]"]


def status(store: Store, study_id: str) -> str:
    return store.studies.status(study_id)


def has_first_row(store: Store, study_id: str) -> bool:
    return len(store.studies.get(study_id).configurations) == 1


def let_go(store: Store) -> None:
    (store.home / serving.GO).touch()


def test_a_queued_study_is_measured_and_its_folder_removed(
    store: Store, spec: StudySpec, start: Start
) -> None:
    study_id = store.studies.add(spec)
    let_go(store)
    assert start(SERVING, store.home).wait(60) == 0
    study = store.studies.get(study_id)
    assert (study.status, len(study.configurations)) == ("done", 2)
    assert list((store.home / "tmp").iterdir()) == []


def test_a_killed_runner_loses_no_row_and_its_study_is_measured_again_once(
    store: Store, spec: StudySpec, start: Start
) -> None:
    study_id = store.studies.add(spec)
    first = start(SERVING, store.home)
    until(lambda: has_first_row(store, study_id), what="the first row")
    first.kill()
    first.wait()
    assert status(store, study_id) == "running"
    let_go(store)
    assert start(SERVING, store.home).wait(60) == 0
    study = store.studies.get(study_id)
    assert (study.status, len(study.configurations)) == ("done", 2)
    assert [n.code for n in study.notices] == ["lost"]
    assert list((store.home / "tmp").iterdir()) == []


def test_a_study_whose_runner_is_killed_twice_stays_lost_with_its_rows(
    store: Store, spec: StudySpec, start: Start
) -> None:
    study_id = store.studies.add(spec)
    for attempt in (1, 2):
        process = start(SERVING, store.home)
        until(lambda: _measuring(store, study_id, attempt), what=f"attempt {attempt}")  # noqa: B023
        process.kill()
        process.wait()
    assert start(SERVING, store.home).wait(60) == 0
    study = store.studies.get(study_id)
    assert (study.status, study.error.kind, len(study.notices)) == ("lost", "lost", 2)
    assert len(study.configurations) == 1


def _measuring(store: Store, study_id: str, attempt: int) -> bool:
    study, progress = store.studies.get(study_id), store.studies.progress(study_id)
    return (study.status, progress.phase, len(study.notices)) == (
        "running", "measuring", attempt - 1,
    )  # fmt: skip


def test_a_cancelled_study_ends_and_keeps_its_rows(
    store: Store, spec: StudySpec, start: Start
) -> None:
    study_id = store.studies.add(spec)
    process = start(SERVING, store.home)
    until(lambda: has_first_row(store, study_id), what="the first row")
    Lab(store.settings).cancel(study_id)
    process.wait(60)
    study = store.studies.get(study_id)
    assert (study.status, study.error.kind) == ("cancelled", "cancelled")
    assert len(study.configurations) == 1


def test_a_second_runner_leaves_at_once(store: Store, spec: StudySpec, start: Start) -> None:
    study_id = store.studies.add(spec)
    start(SERVING, store.home)
    until(lambda: has_first_row(store, study_id), what="the first row")
    assert start(SERVING, store.home).wait(60) == 0
    assert status(store, study_id) == "running"


def test_submitting_starts_a_runner_that_outlives_the_submitter(
    store: Store, spec: StudySpec
) -> None:
    code = (
        "import sys, msgspec; from ortlab import Lab; from ortlab.domain.study import StudySpec\n"
        "spec = msgspec.json.decode(sys.stdin.buffer.read(), type=StudySpec)\n"
        "print(Lab.open(sys.argv[1]).submit(spec), flush=True)\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    submitter = subprocess.run(
        [sys.executable, "-c", code, str(store.home)],
        input=msgspec.json.encode(spec), stdout=subprocess.PIPE, cwd=ROOT, check=False,
    )  # fmt: skip
    assert submitter.returncode == -signal.SIGKILL
    study_id = submitter.stdout.decode().strip()
    until(lambda: status(store, study_id) not in ("queued", "running"), what="the end")
    assert status(store, study_id) == "done"
    (process,) = runners(store.home)
    assert os.getsid(process.pid) == process.pid


def test_submits_from_many_processes_start_one_runner(store: Store, spec: StudySpec) -> None:
    code = (
        "import sys; from ortlab import settings; from ortlab.jobs import runner\n"
        "sys.stdin.readline(); runner.start_if_free(settings.load(sys.argv[1]))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(store.home)], cwd=ROOT,
                         stdin=subprocess.PIPE, text=True)
        for _ in range(4)
    ]  # fmt: skip
    for process in processes:
        process.communicate("go\n")
    # Looking at the lock takes it for a moment, so not before the runner has it for good.
    mark = runner._starting_mark(store.settings)
    until(lambda: runners(store.home) and not mark.exists(), what="a runner that has started")
    lock = runner.runner_lock(store.settings)
    until(lambda: _held(lock), what="a runner with the lock")
    until(lambda: len(runners(store.home)) == 1, what="the others to leave")


def _held(lock: object) -> bool:
    from filelock import Timeout

    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def test_a_study_queued_while_the_runner_leaves_is_not_stranded(
    store: Store, spec: StudySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The study comes after the last look under the lock, and finds the lock held."""
    settings = store.settings.model_copy(update={"runner_idle_s": 0.0})
    let_go(store)
    late: list[str] = []

    def alone_then_late(found: Store, queue: Queue, run: object) -> None:
        original(found, queue, run)
        if not late:
            late.append(store.studies.add(spec))
            assert not runner.start_if_free(settings)
            # The next round has a little time to claim what it finds.
            found.settings = settings.model_copy(update={"runner_idle_s": 0.5})

    original = runner._serve_alone
    monkeypatch.setattr(runner, "_serve_alone", alone_then_late)
    runner.serve(settings, run=serving.run)
    assert status(store, late[0]) == "done"


def test_polls_do_not_start_a_second_runner_while_the_first_is_starting(store: Store) -> None:
    started = [runner.start_if_free(store.settings) for _ in range(5)]
    assert started == [True, False, False, False, False]


def test_a_bug_in_one_study_is_told_and_the_next_is_measured(store: Store, spec: StudySpec) -> None:
    let_go(store)
    ids = [store.studies.add(spec) for _ in range(2)]

    def run(spec: StudySpec, *, study_id: str, **arguments: object):
        if study_id == ids[0]:
            raise KeyError("a bug")
        return serving.run(spec, study_id=study_id, **arguments)

    runner.serve(store.settings.model_copy(update={"runner_idle_s": 0.5}), run=run)
    failed = store.studies.get(ids[0])
    assert (failed.status, failed.error.kind) == ("failed", "bug")
    assert "KeyError" in failed.error.log
    assert status(store, ids[1]) == "done"


def test_a_model_that_is_gone_fails_the_study_with_a_sentence(
    store: Store, spec: StudySpec, tmp_path: Path
) -> None:
    from tests import records

    store.models.refer(records.model(id="m2"), tmp_path / "large.onnx")
    study_id = store.studies.add(StudySpec(
        model_id="m2", model_name="large", configurations=spec.configurations
    ))  # fmt: skip
    runner.serve(store.settings.model_copy(update={"runner_idle_s": 0.2}), run=serving.run)
    study = store.studies.get(study_id)
    assert (study.status, study.error.kind) == ("failed", "model_missing")
    assert "large.onnx" in study.error.message


def test_the_lease_is_renewed_while_a_study_is_measured(store: Store, spec: StudySpec) -> None:
    settings: Settings = store.settings.model_copy(update={"runner_idle_s": 0.2, "lease_s": 0.6})
    study_id = store.studies.add(spec)
    seen: list[list[str]] = []

    def run(spec: StudySpec, *, cancel, **arguments: object):
        other = Queue(store.database, lease_s=30, owner="elsewhere:1")
        cancel.wait(2.0)
        seen.append(other.recover(alone=False))
        let_go(store)
        return serving.run(spec, cancel=cancel, **arguments)

    runner.serve(settings, run=run)
    assert seen == [[]]
    assert status(store, study_id) == "done"
