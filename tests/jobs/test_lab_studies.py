"""The whole way through the one door, with a real runner and real workers."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from ortlab.domain.ask import Ask
from ortlab.domain.study import StopRule
from ortlab.errors import FeedError, MeasurementError, RequestError, StoreError
from ortlab.lab import Lab
from ortlab.views import StudyView
from tests import build, records
from tests.jobs.conftest import runners, until

pytestmark = pytest.mark.slow
QUICK = StopRule(seconds=0.5)


def end_runners(home: Path) -> None:
    for process in runners(home):
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    onnx.save(build.mlp(), folder / "mlp.onnx")
    onnx.save(build.endless(), folder / "endless.onnx")
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    home = tmp_path_factory.mktemp("lab")
    yield Lab.open(home)
    end_runners(home)


@pytest.fixture(scope="module")
def study(lab: Lab, models: Path) -> StudyView:
    """Two levels, measured and profiled once for all tests that only look."""
    return lab.bench(
        models / "mlp.onnx", levels=["disabled", "all"], threads=[1], dims={"N": 4},
        seconds=0.5, profile=True,
    )  # fmt: skip


def queued(lab: Lab, model: Path, **fields) -> str:
    info = lab.add_model(model)
    ask = Ask(**{"threads": (1,), "stop": QUICK} | fields)
    return lab.submit(lab.plan(info.id, ask))


def started(lab: Lab, study_id: str) -> None:
    """Return once workers have the model of this study."""
    until(lambda: lab.progress(study_id).phase in ("making", "trying"), what="a worker")


def test_a_bench_has_a_winner_a_control_and_raw_samples(lab: Lab, study: StudyView) -> None:
    assert study.record.status == "done"
    assert study.best is not None
    assert study.record.aa is not None
    for row in study.record.configurations:
        samples = lab.samples_of(study.id, row.id)
        assert len(samples) == row.latency.count
        assert min(samples) == pytest.approx(row.latency.min_us)


def test_a_finished_study_reads_the_same_from_another_laboratory(
    lab: Lab, study: StudyView
) -> None:
    assert Lab.open(lab.home).study(study.id).record == study.record


def test_the_history_lists_it_with_its_winner(lab: Lab, study: StudyView) -> None:
    (found,) = lab.history(study.id)
    assert found.best_label == study.best.label
    assert found.best_p50_us == study.best.latency.p50_us


def test_the_table_has_a_row_for_each_configuration(study: StudyView) -> None:
    table = study.table()
    assert list(table["id"]) == [row.id for row in study.record.configurations]
    assert table["verdict"].iloc[0] == "baseline"


@pytest.mark.parametrize("kind", ["latency", "distribution", "samples"])
def test_a_study_draws_itself(study: StudyView, kind: str) -> None:
    assert study.plot(kind).data


def test_a_figure_that_does_not_exist_is_refused(study: StudyView) -> None:
    with pytest.raises(RequestError, match="no figure 'pie'"):
        study.plot("pie")


def test_a_notebook_shows_names_as_text(study: StudyView) -> None:
    title = "<script>alert(1)</script>"
    record = msgspec.structs.replace(study.record, title=title)
    shown = StudyView(record, samples=lambda _: [])._repr_html_()
    assert title not in shown
    assert "&lt;script&gt;" in shown


def test_a_profile_is_told_beside_its_unprofiled_twin(lab: Lab, study: StudyView) -> None:
    view = lab.profile_of(study.id, study.record.baseline)
    assert view.record.twin_p50_us == study.baseline.latency.p50_us
    assert view.record.overhead_ratio is not None
    assert sum(o.share for o in view.operators) == pytest.approx(1)


def test_warm_up_runs_are_left_out_on_request(lab: Lab, study: StudyView) -> None:
    every, steady = (
        lab.profile_of(study.id, study.record.baseline, steady=choice).record
        for choice in (False, True)
    )
    assert steady.node_event_count < every.node_event_count


@pytest.mark.parametrize("kind", ["operators", "icicle", "runs", "timeline"])
def test_a_profile_draws_itself(lab: Lab, study: StudyView, kind: str) -> None:
    assert lab.profile_of(study.id, study.record.baseline).plot(kind).data


@pytest.mark.parametrize("of", ["operators", "nodes", "providers", "runs"])
def test_a_profile_has_table_twins(lab: Lab, study: StudyView, of: str) -> None:
    view = lab.profile_of(study.id, study.record.baseline)
    assert len(view.table(of)) == len(getattr(view.record, of)) > 0


def test_the_events_of_a_run_fit_into_it(lab: Lab, study: StudyView) -> None:
    baseline = study.record.baseline
    run = lab.profile_of(study.id, baseline).record.runs[1]
    events = lab.timeline(study.id, baseline, run=1)
    assert events
    assert all(run.start_us <= e.start_us <= run.start_us + run.duration_us for e in events)


def test_every_node_of_a_cpu_study_ran_on_the_cpu(lab: Lab, study: StudyView) -> None:
    placement = lab.placement_of(study.id, study.record.baseline)
    assert placement.node_share_by_provider == {"CPUExecutionProvider": 1.0}
    assert placement.fallback == ()


def test_a_recorded_trace_opens_as_a_foreign_one_too(
    lab: Lab, study: StudyView, tmp_path: Path
) -> None:
    own = lab.profile_of(study.id, study.record.baseline).record
    file = tmp_path / "foreign.json"
    lab.store.artifacts.copy_to(study.baseline.trace_artifact, file)
    trace_id = lab.open_trace(file)
    file.unlink()
    opened = lab.trace(trace_id).record
    assert (opened.source, opened.node_time_us) == ("foreign.json", own.node_time_us)
    assert len(lab.timeline(trace_id, run=0)) > 0


def test_the_same_trace_again_has_the_same_id(lab: Lab, study: StudyView, tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    lab.store.artifacts.copy_to(study.baseline.trace_artifact, file)
    assert lab.open_trace(file) == lab.open_trace(file)


def test_a_row_that_is_not_there_is_refused(lab: Lab, study: StudyView) -> None:
    with pytest.raises(RequestError, match="no result for configuration 'nothere'"):
        lab.profile_of(study.id, "nothere")


def test_a_study_without_profiles_says_how_to_get_one(lab: Lab, models: Path) -> None:
    view = lab.wait(queued(lab, models / "mlp.onnx"))
    with pytest.raises(RequestError, match="No profile was recorded") as refused:
        lab.profile_of(view.id, view.record.baseline)
    assert (refused.value.kind, bool(refused.value.hint)) == ("no_profile", True)


@pytest.fixture
def improvable(lab: Lab, models: Path) -> str:
    """A finished study in which another level is clearly faster than the baseline."""
    spec = lab.plan(
        lab.add_model(models / "mlp.onnx").id,
        Ask(levels=("disabled", "all"), threads=(1,), stop=QUICK),
    )
    study_id = lab.store.studies.add(spec)
    slow, fast = spec.configurations
    rows = (records.row(slow, p50_us=2000.0), records.row(fast, p50_us=1000.0, ratio=2.0))
    machine_id = lab.machine().machine.id
    answer = records.study(*rows, id=study_id, spec=spec, machine_id=machine_id)
    lab.store.studies.finish(msgspec.structs.replace(answer, model_id=spec.model_id))
    return study_id


def test_a_fix_that_is_tried_reports_whether_it_helped(lab: Lab, improvable: str) -> None:
    finding = next(f for f in lab.findings(improvable) if f.proposal and f.configuration_id)
    assert finding.trial is None
    trial_id = lab.try_fix(improvable, finding.diagnosis, finding.configuration_id)
    asked = lab.study(trial_id).record.spec
    assert [c.id for c in asked.configurations] == [finding.configuration_id, finding.proposal.id]
    answer = lab.wait(trial_id).record
    (tried,) = [f.trial for f in lab.findings(improvable) if f.trial]
    assert (tried.study_id, tried.status) == (trial_id, "done")
    assert tried.ratio == answer.configurations[1].vs_baseline.ratio


def test_a_finding_without_a_proposal_cannot_be_tried(lab: Lab, study: StudyView) -> None:
    with pytest.raises(RequestError, match="nothing to try for 'no-such-thing'"):
        lab.try_fix(study.id, "no-such-thing", study.record.baseline)


def test_measuring_again_asks_the_same_question(lab: Lab, study: StudyView) -> None:
    again = lab.rerun(study.id)
    assert lab.study(again).record.spec == study.record.spec
    lab.cancel(again)


def test_an_export_of_an_unknown_kind_is_refused(
    lab: Lab, study: StudyView, tmp_path: Path
) -> None:
    for kind in ("python", "recipe"):
        files = lab.export(study.id, study.record.best, kind=kind, folder=tmp_path)
        assert all(file.read_text() for file in files)
    with pytest.raises(RequestError, match="no export 'cobol'"):
        lab.export(study.id, study.record.best, kind="cobol", folder=tmp_path)


def test_own_inputs_are_kept_with_the_study(lab: Lab, models: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.ones((3, 64), np.float32))
    study_id = queued(lab, models / "mlp.onnx", input_npz=str(tmp_path / "own.npz"))
    (tmp_path / "own.npz").unlink()
    record = lab.wait(study_id).record
    assert record.status == "done"
    assert record.configurations[0].dims["N"] == 3


def test_inputs_that_are_not_there_are_refused_before_anything_is_queued(
    lab: Lab, models: Path
) -> None:
    with pytest.raises(FeedError, match=r"nothere\.npz"):
        queued(lab, models / "mlp.onnx", input_npz="nothere.npz")


def test_an_option_that_does_not_exist_is_refused_by_name(lab: Lab, models: Path) -> None:
    with pytest.raises(RequestError, match="no option 'colour'"):
        lab.bench(models / "mlp.onnx", colour="red")


def test_this_machine_is_looked_at_once(lab: Lab, study: StudyView, monkeypatch) -> None:
    monkeypatch.setattr("ortlab.measure.machine.report", lambda *_: pytest.fail("asked again"))
    report = lab.machine()
    assert report.machine.id == study.record.machine_id
    assert report.runtimes[0].providers[0].loadable


def test_the_noise_self_check_leaves_nothing_in_the_history(lab: Lab) -> None:
    before = lab.history()
    noise = lab.machine(noise=True).noise
    low, high = noise.aa_ci95
    assert low <= noise.aa_ratio <= high
    assert lab.history() == before


def test_deleting_a_study_leaves_no_trace_of_it(lab: Lab, models: Path) -> None:
    view = lab.bench(models / "mlp.onnx", threads=[1], seconds=0.3, profile=True)
    samples = view.record.samples_artifact
    lab.delete(view.id)
    with pytest.raises(RequestError, match="no study"):
        lab.study(view.id)
    with pytest.raises(StoreError):
        lab.store.artifacts.path(samples)


def test_a_study_can_be_cancelled_inside_a_run_that_never_ends(lab: Lab, models: Path) -> None:
    study_id = queued(lab, models / "endless.onnx")
    started(lab, study_id)
    # Whatever is tried first, inputs or a session, is inside the endless run by then.
    time.sleep(1.5)
    lab.cancel(study_id)
    asked_s = time.monotonic()
    record = lab.wait(study_id).record
    assert (record.status, record.error.kind) == ("cancelled", "cancelled")
    # Three seconds are promised; the rest is room for a machine that does other things.
    assert time.monotonic() - asked_s < 6


def test_an_interrupt_from_the_keyboard_cancels_the_study(lab: Lab, models: Path) -> None:
    study_id = queued(lab, models / "endless.onnx")
    threading.Timer(0.5, _thread.interrupt_main).start()
    with pytest.raises(MeasurementError) as told:
        lab.wait(study_id)
    assert (told.value.kind, told.value.exit_code) == ("cancelled", 4)
    assert lab.study(study_id).record.status == "cancelled"


def test_who_waits_sees_a_study_through_the_death_of_its_runner(lab: Lab, models: Path) -> None:
    study_id = queued(lab, models / "mlp.onnx", stop=StopRule(seconds=2.0))
    until(lambda: lab.study(study_id).record.configurations, what="a first row")
    for process in runners(lab.home):
        process.send_signal(signal.SIGKILL)
    record = lab.wait(study_id).record
    assert record.status == "done"
    assert [n.code for n in record.notices] == ["lost"]


def test_workers_die_with_their_runner(lab: Lab, models: Path) -> None:
    study_id = queued(lab, models / "endless.onnx")
    started(lab, study_id)
    (runner,) = runners(lab.home)
    until(lambda: runner.children(recursive=True), what="a worker")
    workers = runner.children(recursive=True)
    runner.kill()
    until(lambda: not any(w.is_running() for w in workers), what="the workers to end")
    lab.cancel(study_id)
    assert lab.wait(study_id).record.status == "cancelled"
