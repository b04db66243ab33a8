"""Every doubt is raised by what causes it, says what it costs, and lowers the grade."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ortlab.analysis.trusting import doubts_of_file, doubts_of_times
from ortlab.analysis.trusting.trust import GRADES, MEANING
from ortlab.domain.trace import Profile, TrustReason
from tests.trace_text import node, profile, recorded, session, text


def steady(count: int = 12, *, gap: int = 10, nodes: int = 2, us: int = 50) -> list[dict[str, Any]]:
    """A recording without any doubt: one thread, long nodes, even runs."""
    events: list[dict[str, Any]] = []
    at = 0
    for _ in range(count):
        events += [node(f"n{i}", at + 1 + i * us, us - 1) for i in range(nodes)]
        events.append(session("model_run", at, nodes * us + 2))
        at += nodes * us + 2 + gap
    return events


def reasons(found: Profile) -> dict[str, TrustReason]:
    return {reason.code: reason for reason in found.trust.reasons}


def moved(events: list[dict[str, Any]], from_: int, by: int) -> list[dict[str, Any]]:
    return [e | {"ts": e["ts"] + by} if i >= from_ else e for i, e in enumerate(events)]


def test_a_recording_without_doubts_gets_an_a() -> None:
    found = profile(text(steady()))
    assert found.trust.grade == "A"
    assert found.trust.reasons == ()


def test_the_grade_is_the_worst_that_any_reason_leaves_and_the_worst_comes_first() -> None:
    for name in ("cpu_mlp_24runs", "cpu_concurrent_runs", "webgpu_tail", "cpu_parallel_executor"):
        trust = profile(recorded(name)).trust
        grades = [reason.grade for reason in trust.reasons]
        assert trust.grade == max(grades)
        assert grades == sorted(grades, reverse=True)
        assert trust.grade in MEANING


def test_every_reason_that_lowers_the_grade_says_what_it_costs(shared_folder: Path) -> None:
    seen = set()
    for path in sorted((shared_folder / "traces").glob("*/*.json")):
        if path.name.startswith(("SOURCES", "notort")) or ".expect" in path.name:
            continue
        if path.name.startswith("nnapi"):
            continue
        for reason in profile(path.read_bytes()).trust.reasons:
            seen.add(reason.code)
            assert reason.message.endswith(".")
            assert reason.grade in GRADES
            assert reason.cost or reason.grade == "A"
    assert len(seen) >= 10


def test_no_reason_is_raised_twice_for_one_thing() -> None:
    checks = (*doubts_of_file.DOUBTS, *doubts_of_times.DOUBTS)
    assert len(checks) == len(set(checks))


def test_a_clock_that_goes_back_is_told_with_how_far() -> None:
    events = moved(steady(20), 31, -700)
    found = reasons(profile(text(events)))
    assert "clock_back" in found
    assert "went back 1 time" in found["clock_back"].message
    assert found["clock_back"].grade == "C"


@pytest.mark.parametrize(
    "name",
    ["cpu_mlp_24runs", "cpu_control_flow", "cpu_parallel_executor", "cpu_concurrent_runs",
     "webgpu_tail", "webgpu_shapes"],
)  # fmt: skip
def test_clocks_of_recorded_traces_are_sound(name: str) -> None:
    assert not {"clock_back", "overlapping_events", "stalls", "reordered"} & set(
        reasons(profile(recorded(name)))
    )


def test_events_that_another_program_sorted_are_told_and_no_clock_jump() -> None:
    events = sorted(steady(40, nodes=3), key=lambda e: (e["name"], -e["ts"]))
    found = reasons(profile(text(events)))
    assert "reordered" in found
    assert "clock_back" not in found


def test_events_of_one_thread_that_overlap_are_told() -> None:
    events = [node("a", 1, 60), node("b", 40, 50), session("model_run", 0, 100)]
    assert "overlapping_events" in reasons(profile(text(events)))


def test_a_pause_inside_a_run_that_is_longer_than_many_runs_is_told() -> None:
    events = moved(steady(20), 31, 700_000)
    events[32]["ts"] -= 700_000
    events[32]["dur"] += 700_000
    found = reasons(profile(text(events)))
    assert "stalls" in found
    assert "700" in found["stalls"].message


def test_pauses_between_runs_are_nobodys_business() -> None:
    assert profile(text(steady(20, gap=5_000_000))).trust.grade == "A"


def test_a_change_in_mid_recording_is_told_with_its_size() -> None:
    later = steady(20, us=75)
    end = steady(20)[-1]["ts"] + 200
    found = profile(text([*steady(20), *[e | {"ts": e["ts"] + end} for e in later]]))
    assert [run.index for run in found.runs if run.changed] == [20]
    assert "From run 20 on runs take 49.0" in reasons(found)["changed"].message
    assert "longer" in reasons(found)["changed"].message
    assert found.trust.grade == "B"


def test_a_large_change_is_told_as_a_ratio_and_a_return_as_a_second_change() -> None:
    parts, at = [], 0
    for us in (50, 400, 50):
        part = steady(20, us=us)
        parts += [e | {"ts": e["ts"] + at} for e in part]
        at += part[-1]["ts"] + part[-1]["dur"] + 50
    told = reasons(profile(text(parts)))["changed"].message
    assert "From run 20 on runs take 7.9 times as long as before" in told
    assert told.endswith("it changed 2 times in all.")


def test_warm_up_among_many_runs_is_noted_and_lowers_nothing() -> None:
    def recording(count: int) -> Profile:
        first = [node("n0", 1, 149), node("n1", 151, 49), session("model_run", 0, 202)]
        return profile(text([*first, *[e | {"ts": e["ts"] + 300} for e in steady(count)]]))

    assert reasons(recording(600))["warmup_mixed"].grade == "A"
    assert recording(600).trust.grade == "A"
    assert reasons(recording(20))["warmup_mixed"].grade == "B"


def test_a_single_run_may_be_warm_up() -> None:
    found = reasons(profile(text(steady(1))))
    assert "may be warm-up" in found["few_runs"].message
    assert found["few_runs"].grade == "C"


def test_the_measured_cost_of_the_profiler_is_told_and_what_was_done_about_it() -> None:
    found = profile(text(steady(12)), twin_p50_us=60.0)
    reason = reasons(found)["profiler_overhead"]
    assert "1.70 times" in reason.message
    assert "µs of each node event is the profiler's" in reason.cost
    assert found.overhead_ratio == pytest.approx(102 / 60)


def test_an_estimate_of_the_profilers_cost_is_a_range_and_called_one() -> None:
    reason = reasons(profile(text(steady(12, nodes=40, us=6))))["profiler_overhead_estimated"]
    assert "3.5 to 7.5" in reason.message
    assert "estimate" in reason.cost


def test_long_nodes_need_no_estimate() -> None:
    assert profile(text(steady(12, us=5000))).trust.grade == "A"


def test_remedies_fit_the_provider() -> None:
    def remedy(provider: str) -> str:
        events = [node("a", 1, 5, provider=provider), session("model_run", 0, 10)]
        return reasons(profile(text(events)))["async_launches"].remedy

    assert "CUDA_LAUNCH_BLOCKING=1" in remedy("CUDAExecutionProvider")
    assert "CUDA_LAUNCH_BLOCKING" not in remedy("DmlExecutionProvider")
    assert "plugin" in remedy("WebGpuExecutionProvider")


def test_unknown_content_is_noted_and_lowers_nothing() -> None:
    events = steady()
    events[0]["args"]["new_field"] = "7"
    found = profile(text(events))
    assert reasons(found)["unknown_content"].grade == "A"
    assert "new_field" in reasons(found)["unknown_content"].message
    assert found.trust.grade == "A"


@pytest.mark.parametrize(
    ("name", "grade"),
    [
        ("own/cpu_seq_cnn_lvl99", "C"),
        ("own/openvino_cnnL_6runs", "B"),
        ("own/webgpu131_swiftshader_ctrl", "D"),
        ("own/webgpu127_swiftshader_t", "C"),
        ("wild/cuda_mql5doc_mnist_repaired", "D"),
        ("wild/cuda_pr8406_kernel_event_two_events", "F"),
        ("wild/dml_genai2031_ort1.2x_fragment", "E"),
    ],
)
def test_grades_of_recorded_traces(shared_folder: Path, name: str, grade: str) -> None:
    path = shared_folder / "traces" / f"{name}.json"
    assert profile(path.read_bytes()).trust.grade == grade
