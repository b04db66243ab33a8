"""However a study ends, its rows say so, what was measured is kept, and no process is left."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ortlab.domain.configuration import Configuration, ProviderChoice
from ortlab.domain.study import Progress, StopRule
from ortlab.measure import groups, prepare, rounds, samples
from ortlab.sandbox.outcome import ChildFailedError, Outcome
from tests import build
from tests.jobs.test_measure import CPU, Kept, measured, workers

OTHER = Configuration(threads=1, dims={"N": 8}, level="disabled")
CUDA = (ProviderChoice("CUDAExecutionProvider"),)
INT8 = Configuration(threads=1, dims={"N": 8}, variant="dynamic-int8")


def crashing(marker: str, *, after_sets: int = 0) -> Callable[[Progress], None]:
    """Crash the worker whose folder bears this name, once so many process sets are done."""

    def crash_it(progress: Progress) -> None:
        for process in workers(marker) if progress.phase == "measuring" else []:
            number = int(Path(process.cwd()).name.removeprefix("set").split("-")[0])
            if number >= after_sets:
                process.send_signal(signal.SIGSEGV)
                process.send_signal(signal.SIGCONT)

    return crash_it


@pytest.mark.parametrize(
    "phase", ["making inputs", "making dynamic", "trying", "comparing", "opening", "measuring",
              "profiling"]
)  # fmt: skip
def test_cancelling_in_any_phase_ends_everything_within_three_seconds(
    tmp_path: Path, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise a short phase may pass untold, and the study with it.
    monkeypatch.setattr("ortlab.measure.telling.TELL_EVERY_S", 0.0)
    cancel = threading.Event()
    pressed: list[float] = []
    stop = StopRule(seconds=1.0) if phase == "profiling" else StopRule(seconds=600)

    def press(progress: Progress) -> None:
        if progress.message.startswith(phase) and not pressed:
            pressed.append(time.monotonic())
            cancel.set()

    with pytest.raises(ChildFailedError) as caught:
        measured(tmp_path, build.mlp(width=128), CPU, INT8, sink=Kept(press), cancel=cancel,
                 profile=True, stop=stop)  # fmt: skip
    assert caught.value.outcome is Outcome.CANCELLED
    assert time.monotonic() - pressed[0] < 3
    assert not workers(str(tmp_path))


def test_many_workers_that_are_still_starting_are_cancelled_together(tmp_path: Path) -> None:
    cancel = threading.Event()
    pressed: list[float] = []
    start = rounds.Coordinator._start

    def press_while_starting(self: rounds.Coordinator, number: int) -> None:
        pressed.append(time.monotonic())
        threading.Timer(0.1, cancel.set).start()
        start(self, number)

    many = [Configuration(threads=1, dims={"N": n}) for n in range(1, 9)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds.Coordinator, "_start", press_while_starting)
        with pytest.raises(ChildFailedError):
            measured(tmp_path, build.mlp(), *many, cancel=cancel, stop=StopRule(seconds=60))
    assert time.monotonic() - pressed[0] < 3
    assert not workers(str(tmp_path))


def test_a_row_that_fails_late_says_when_and_how_much_had_been_measured(tmp_path: Path) -> None:
    answer = measured(tmp_path, build.mlp(), CPU, OTHER, stop=StopRule(seconds=3.0),
                      sink=Kept(crashing(f"-{OTHER.id}", after_sets=2)))  # fmt: skip
    error = answer.configurations[1].error
    assert error is not None
    assert "SIGSEGV" in error.message
    told = re.search(r"process set (\d+), after (\d+) of its sessions", error.message)
    assert told is not None
    assert int(told[1]) >= 3
    # Six process sets of as many sessions each.
    assert int(told[2]) >= int(told[1]) - 1
    assert answer.configurations[0].latency is not None


def test_a_control_that_fails_alone_costs_no_row_and_is_told(tmp_path: Path) -> None:
    answer = measured(tmp_path, build.mlp(), CPU, OTHER, stop=StopRule(seconds=3.0),
                      sink=Kept(crashing(f"-{samples.AA_TWIN}")))  # fmt: skip
    assert [row.error for row in answer.configurations] == [None, None]
    assert answer.configurations[1].vs_baseline is not None
    assert {n.code for n in answer.notices} == {"control-failed"}


def test_a_baseline_that_fails_late_leaves_the_ratios_there_were(tmp_path: Path) -> None:
    answer = measured(tmp_path, build.mlp(), CPU, OTHER, stop=StopRule(seconds=3.0),
                      sink=Kept(crashing(f"-{CPU.id}", after_sets=2)))  # fmt: skip
    base, other = answer.configurations
    assert base.error is not None
    assert other.latency is not None
    assert other.vs_baseline is not None
    assert other.vs_baseline.pair_count < other.session_count
    assert "baseline-failed" in {n.code for n in answer.notices}
    assert answer.best == other.id


def test_a_worker_that_cannot_be_started_fails_its_row_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(rounds.Child):
        def __init__(self, folder: Path, **arguments: object) -> None:
            python = str(folder / "none") if folder.name.endswith(OTHER.id) else None
            super().__init__(folder, python=python, **arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rounds, "Child", Refusing)
    answer = measured(tmp_path, build.mlp(), CPU, OTHER, stop=StopRule(runs=20))
    good, bad = answer.configurations
    assert good.latency is not None
    assert bad.error is not None
    assert "No process could be started" in bad.error.message


@pytest.mark.parametrize("runs", [1, 7, 50, 333])
def test_a_count_of_runs_is_kept_exactly(tmp_path: Path, runs: int) -> None:
    answer = measured(tmp_path, build.mlp(), CPU, OTHER, stop=StopRule(runs=runs))
    assert [row.latency.count for row in answer.configurations if row.latency] == [runs, runs]


def test_a_tenth_of_a_second_still_gives_every_row_figures(tmp_path: Path) -> None:
    answer = measured(tmp_path, build.mlp(), CPU, OTHER, stop=StopRule(seconds=0.1))
    assert all(row.latency is not None for row in answer.configurations)
    assert answer.aa is not None


def test_a_search_for_a_precision_out_of_reach_ends_with_its_time(tmp_path: Path) -> None:
    answer = measured(tmp_path, build.mlp(), CPU, stop=StopRule(seconds=1.0, precision=0.0001))
    assert answer.status == "done"
    assert answer.measuring_s is not None
    assert answer.measuring_s < 3


def test_groups_share_the_time_and_keep_their_own_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "MAX_TOGETHER", 3)
    rest = [Configuration(threads=1, dims={"N": 8}, level=n) for n in ("basic", "extended")]
    sink = Kept()
    answer = measured(tmp_path, build.mlp(), CPU, OTHER, *rest, sink=sink, stop=StopRule(runs=20))
    assert all(row.latency is not None for row in answer.configurations)
    assert all(row.vs_baseline is not None for row in answer.configurations[1:])
    blocks = samples.read(next(p for p in sink.files if p.suffix == ".parquet"))
    partners = {b.session: set() for b in blocks}
    for block in blocks:
        partners[block.session].add(block.member)
    assert all(CPU.id in members for members in partners.values())
    assert {len(m) for m in partners.values()} == {3}
    assert sum(samples.AA_TWIN in m for m in partners.values()) * 2 == len(partners)


def test_rows_and_failures_come_while_the_study_goes_on(tmp_path: Path) -> None:
    sink = Kept()
    broken = Configuration(threads=1, dims={"N": 8}, session_config={"session.x": "1"},
                           providers=CUDA)  # fmt: skip
    seen: list[set[str]] = []
    sink._on_progress = lambda progress: seen.append(
        {progress.phase} | {i for i, _, p50 in progress.rows if p50} | set(sink.rows)
    )
    measured(tmp_path, build.mlp(), broken, CPU, sink=sink, stop=StopRule(seconds=3.0))
    assert any(broken.id in s and "trying" in s for s in seen)
    assert any(CPU.id in s and "opening" in s for s in seen)
    shares = [p.done_share for p in sink.told]
    assert shares == sorted(shares)


def test_nothing_is_open_after_a_study(tmp_path: Path) -> None:
    measured(tmp_path, build.mlp(), CPU, stop=StopRule(runs=5))
    (tmp_path / "again").mkdir()
    before = psutil.Process().num_fds()
    measured(tmp_path / "again", build.mlp(), CPU, stop=StopRule(runs=5))
    assert psutil.Process().num_fds() == before


def test_a_rehearsal_that_crashes_is_only_its_own_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crashing(prepare.Child):
        def send(self, task: str, request: object = None) -> None:
            super().send(task, request)  # type: ignore[arg-type]
            if task == "warm_up" and self.folder.name.endswith(OTHER.id):
                self.process.send_signal(signal.SIGABRT)

    monkeypatch.setattr(prepare, "Child", Crashing)
    answer = measured(tmp_path, build.mlp(), CPU, OTHER, stop=StopRule(runs=5))
    good, bad = answer.configurations
    assert good.latency is not None
    assert bad.error is not None
    assert bad.error.kind == "crashed"
