"""Whole studies with real workers: what works is measured, what fails becomes its own row."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from pathlib import Path

import onnx
import psutil
import pytest

from ortlab.domain.configuration import Configuration, ProviderChoice
from ortlab.domain.machine import Cpu, Machine, MachineReport
from ortlab.domain.study import ConfigurationResult, Progress, StopRule, Study, StudySpec
from ortlab.measure import samples, study
from ortlab.sandbox.outcome import ChildFailedError, Outcome
from tests import build

MACHINE = MachineReport(
    machine=Machine(
        id="test",
        cpu=Cpu(name="test", physical_cores=2, logical_cores=2, usable_cores=2),
        memory_bytes=1 << 30,
    ),
    runtimes=(),
)
CPU = Configuration(threads=1, dims={"N": 8})
ONE_SECOND = StopRule(seconds=1.0)


class Kept:
    """A sink that remembers everything, and can act on progress."""

    def __init__(self, on_progress=None) -> None:
        self.told: list[Progress] = []
        self.rows: dict[str, ConfigurationResult] = {}
        self.files: list[Path] = []
        self._on_progress = on_progress

    def progress(self, progress: Progress) -> None:
        self.told.append(progress)
        if self._on_progress is not None:
            self._on_progress(progress)

    def row(self, result: ConfigurationResult) -> None:
        self.rows[result.id] = result

    def artifact(self, path: Path) -> str:
        assert path.exists()
        self.files.append(path)
        return path.name


def measured(
    folder: Path,
    model: onnx.ModelProto,
    *configurations: Configuration,
    sink: Kept | None = None,
    cancel: threading.Event | None = None,
    profile: bool = False,
    stop: StopRule = ONE_SECOND,
    **changes: object,
) -> Study:
    """A study of these configurations of one model."""
    path = folder / "model" / "model.onnx"
    path.parent.mkdir()
    onnx.save(model, str(path))
    spec = StudySpec(
        model_id="m", model_name="test", configurations=configurations, stop=stop,
        profile=profile, **changes,
    )  # fmt: skip
    return study.run(
        spec, study_id="s", model=path, feeds_npz=None, folder=folder / "work",
        sink=sink or Kept(), cancel=cancel or threading.Event(), machine=MACHINE,
    )  # fmt: skip


def workers(marker: str) -> list[psutil.Process]:
    """Worker processes whose folder's name holds the marker."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if marker in process.cwd() and "ortlab.worker" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_two_levels_are_measured_with_intervals_a_control_and_raw_samples(tmp_path: Path) -> None:
    sink = Kept()
    other = Configuration(threads=1, dims={"N": 8}, level="disabled")
    answer = measured(tmp_path, build.mlp(), CPU, other, sink=sink)
    assert answer.status == "done"
    assert answer.aa is not None
    assert answer.aa.ci95[0] < answer.aa.ratio < answer.aa.ci95[1]
    for row in answer.configurations:
        assert row.error is None
        assert row.latency is not None
        assert row.latency.min_us <= row.latency.p50_us <= row.latency.p95_us <= row.latency.max_us
        assert row.providers_active == ("CPUExecutionProvider",)
        assert row.session_count >= 12
        assert row.process_count >= 4
        assert (row.session_init_us or 0) > 0
        assert (row.first_run_us or 0) > 0
        assert (row.peak_memory_bytes or 0) > 1 << 20
    assert answer.configurations[0].vs_baseline is None
    comparison = answer.configurations[1].vs_baseline
    assert comparison is not None
    assert comparison.ci95[0] <= comparison.ratio <= comparison.ci95[1]
    blocks = samples.read(next(p for p in sink.files if p.suffix == ".parquet"))
    assert {b.member for b in blocks} == {CPU.id, other.id, samples.AA_TWIN}
    counted = sum(len(b.latency_ns) for b in blocks if b.member == CPU.id)
    assert counted == answer.configurations[0].latency.count


def test_rounds_visit_the_members_in_changing_order(tmp_path: Path) -> None:
    sink = Kept()
    measured(tmp_path, build.mlp(), CPU, Configuration(threads=1, dims={"N": 8}, level="basic"),
             sink=sink)  # fmt: skip
    blocks = samples.read(next(p for p in sink.files if p.suffix == ".parquet"))
    orders = {}
    for block in blocks:
        orders.setdefault((block.session, block.round), []).append(block.member)
    assert all(len(set(o)) == len(o) == 3 for o in orders.values())
    assert len({tuple(o) for o in orders.values()}) > 2


def test_a_provider_that_is_not_used_is_an_error_and_never_a_number(tmp_path: Path) -> None:
    cuda = Configuration(
        threads=1, dims={"N": 8}, providers=(ProviderChoice("CUDAExecutionProvider"),)
    )
    answer = measured(tmp_path, build.mlp(), CPU, cuda)
    good, bad = answer.configurations
    assert good.latency is not None
    assert bad.latency is None
    assert bad.vs_baseline is None
    assert bad.error is not None
    assert bad.error.kind == "provider_unavailable"
    assert "CUDA" in bad.error.message
    assert answer.best == good.id


def test_a_baseline_that_cannot_run_is_replaced_by_one_that_can(tmp_path: Path) -> None:
    cuda = Configuration(
        threads=1, dims={"N": 8}, providers=(ProviderChoice("CUDAExecutionProvider"),)
    )
    answer = measured(tmp_path, build.mlp(), cuda, CPU)
    assert answer.baseline == CPU.id
    assert answer.configurations[0].error is not None


def test_one_configuration_that_eats_memory_leaves_the_others_alone(tmp_path: Path) -> None:
    bomb = Configuration(threads=1, dims={"N": 60_000})
    answer = measured(
        tmp_path, build.heavy(), CPU, bomb, memory_limit_bytes=2 << 30, run_timeout_s=60
    )
    good, bad = answer.configurations
    assert good.latency is not None
    assert bad.error is not None
    assert bad.error.kind in ("out_of_memory", "bad_feed", "dimension_undecided")


def test_one_configuration_that_takes_too_long_leaves_the_others_alone(tmp_path: Path) -> None:
    slow = Configuration(threads=1, dims={"N": 12_000})
    answer = measured(tmp_path, build.heavy(), CPU, slow, run_timeout_s=2.0, open_timeout_s=2.0)
    good, bad = answer.configurations
    assert good.latency is not None
    assert bad.error is not None
    assert bad.error.kind == "timeout"
    assert bad.error.phase


def test_a_model_that_never_ends_is_stopped_and_said_so(tmp_path: Path) -> None:
    answer = measured(
        tmp_path, build.endless(), Configuration(threads=1), run_timeout_s=2.0, open_timeout_s=3.0
    )
    assert answer.status == "failed"
    assert answer.error is not None
    assert answer.error.kind == "timeout"


def test_the_first_run_has_the_time_of_a_run_and_not_of_an_opening(tmp_path: Path) -> None:
    started = time.monotonic()
    answer = measured(
        tmp_path, build.endless(), Configuration(threads=1), run_timeout_s=2.0, open_timeout_s=300.0
    )
    assert answer.error is not None
    assert answer.error.kind == "timeout"
    assert answer.error.phase == "first run"
    assert time.monotonic() - started < 60


def test_a_worker_that_crashes_in_a_turn_fails_its_row_only(tmp_path: Path) -> None:
    other = Configuration(threads=1, dims={"N": 8}, level="disabled")

    def crash_it(progress: Progress) -> None:
        if progress.phase == "measuring":
            for process in workers(f"-{other.id}"):
                process.send_signal(signal.SIGSEGV)
                process.send_signal(signal.SIGCONT)

    answer = measured(tmp_path, build.mlp(), CPU, other, sink=Kept(crash_it),
                      stop=StopRule(seconds=3.0))  # fmt: skip
    good, bad = answer.configurations
    assert good.latency is not None
    assert bad.latency is None
    assert bad.error is not None
    assert bad.error.kind == "crashed"
    assert "SIGSEGV" in bad.error.message


def test_cancelling_inside_a_run_ends_everything_within_three_seconds(tmp_path: Path) -> None:
    cancel = threading.Event()
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        cancel.set()

    threading.Timer(2.0, press).start()
    with pytest.raises(ChildFailedError) as caught:
        measured(tmp_path, build.endless(), Configuration(threads=1), cancel=cancel)
    assert caught.value.outcome is Outcome.CANCELLED
    assert time.monotonic() - pressed[0] < 3
    assert not workers(str(tmp_path))


def test_outputs_that_are_not_numbers_are_noticed(tmp_path: Path) -> None:
    answer = measured(tmp_path, build.not_a_number(), Configuration(threads=1))
    (row,) = answer.configurations
    assert row.latency is not None
    assert "not-finite" in {w.code for w in row.warnings}


def test_a_count_of_runs_is_kept_to(tmp_path: Path) -> None:
    answer = measured(tmp_path, build.mlp(), CPU, stop=StopRule(runs=50))
    latency = answer.configurations[0].latency
    assert latency is not None
    assert 50 <= latency.count <= 60


def test_warm_up_can_be_fixed_to_a_count(tmp_path: Path) -> None:
    answer = measured(tmp_path, build.mlp(), CPU, stop=StopRule(runs=20, warmup=7))
    assert answer.configurations[0].warmup_runs == 7


def test_the_profile_comes_from_a_run_of_its_own(tmp_path: Path) -> None:
    sink = Kept()
    answer = measured(tmp_path, build.mlp(), CPU, sink=sink, profile=True)
    (row,) = answer.configurations
    assert row.trace_artifact in {p.name for p in sink.files}
    assert row.assignment
    assert {op for _, _, op in row.assignment} >= {"MatMul", "Relu"}
    assert row.optimized_artifact == "optimized.onnx"


def test_the_same_question_has_the_same_ids_and_feeds(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = measured(tmp_path / "a", build.mlp(), CPU, stop=StopRule(runs=20), seed=3)
    two = measured(tmp_path / "b", build.mlp(), CPU, stop=StopRule(runs=20), seed=3)
    assert [c.id for c in one.configurations] == [c.id for c in two.configurations]
    feeds = [next((tmp_path / n).rglob("feeds.npz")).read_bytes() for n in "ab"]
    assert feeds[0] == feeds[1]


def test_dynamic_int8_is_made_and_compared_with_what_was_given(tmp_path: Path) -> None:
    int8 = Configuration(threads=1, dims={"N": 8}, variant="dynamic-int8")
    answer = measured(tmp_path, build.mlp(width=128), CPU, int8)
    row = answer.configurations[1]
    assert row.error is None
    assert row.accuracy is not None
    assert row.accuracy.max_abs_error is not None
    assert row.accuracy.max_abs_error > 0
    assert row.accuracy.sqnr_db is not None
    assert math.isfinite(row.accuracy.sqnr_db)
    base = answer.configurations[0]
    assert (row.model_bytes or 0) < (base.model_bytes or 0)


def test_no_worker_outlives_its_study(tmp_path: Path) -> None:
    measured(tmp_path, build.mlp(), CPU, stop=StopRule(runs=20))
    assert not workers(str(tmp_path))
    assert os.getpid()


def test_progress_names_rows_and_counts_down(tmp_path: Path) -> None:
    sink = Kept()
    measured(tmp_path, build.mlp(), CPU, sink=sink)
    shares = [p.done_share for p in sink.told]
    assert all(0 <= s <= 1 for s in shares)
    assert any(row[1] == "measuring" for p in sink.told for row in p.rows)
    assert any("CPU" in p.message for p in sink.told)
