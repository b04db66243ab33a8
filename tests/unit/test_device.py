"""Device time goes to the node that asked for it, or to none; shares follow what is known."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortlab.analysis.devices.device import NOBODY, DeviceTimes
from ortlab.analysis.devices.device_match import unaveraged
from ortlab.analysis.reading.derived import derive
from ortlab.domain.trace import Profile
from tests.trace_text import decoded, node, profile, session, text

CUDA, WEBGPU, OPENVINO = (
    f"{name}ExecutionProvider" for name in ("CUDA", "WebGpu", "OpenVINO")
)  # fmt: skip


def kernel(name: str, ts: int, dur: int, *, cat: str = "Kernel", **args: Any) -> dict[str, Any]:
    """A device event as ORT writes it: on no process and no thread."""
    return {"cat": cat, "pid": -1, "tid": -1, "dur": dur, "ts": ts, "ph": "X", "name": name,
            "args": args}  # fmt: skip


def device_of(events: list[dict[str, Any]]) -> tuple[DeviceTimes, dict[str, float]]:
    """What became of the device events, and device time by name of the node."""
    derived = derive(decoded(text(events))[1])
    assert derived.device is not None
    names, by_name = derived.events.name, defaultdict(float)
    for code, us in zip(names.codes.tolist(), derived.device.event_us.tolist(), strict=True):
        if us == us:
            by_name[names.texts[code]] += us
    return derived.device, dict(by_name)


def claimed(of: Profile) -> dict[str, float | None]:
    return {row.op_type: row.share for row in of.operators}


def test_a_cuda_kernel_belongs_to_the_node_written_right_before_it() -> None:
    _, by_name = device_of([
        node("a", 0, 5, op="Conv", provider=CUDA),
        kernel("gemm<1>", 40, 70, stream="7"),
        kernel("gemm<2>", 111, 10, stream="7"),
        node("b", 6, 4, op="Relu", provider=CUDA),
        kernel("relu", 130, 9, stream="7", op_name="Relu"),
        session("model_run", 0, 200),
    ])  # fmt: skip
    assert by_name == {"a": 80, "b": 9}


@pytest.mark.parametrize(
    "events",
    [
        # The kernel names another operator than the node before it.
        [node("a", 0, 5, op="Conv", provider=CUDA), kernel("k", 9, 7, op_name="Relu")],
        # A node of the CPU launches nothing.
        [node("a", 0, 5, op="Conv"), kernel("k", 9, 7)],
        # Written after a run: it belongs to some node, but to which is not told.
        [node("a", 0, 5, provider=CUDA), session("model_run", 0, 9), kernel("k", 9, 7)],
        # Before any node.
        [kernel("k", 9, 7), node("a", 10, 5, provider=CUDA)],
    ],
)
def test_a_kernel_that_contradicts_its_place_has_no_node(events: list[dict[str, Any]]) -> None:
    device, by_name = device_of(events)
    assert by_name == {}
    assert (device.parent == NOBODY).all()
    assert device.facts.attributed_count == 0
    assert device.facts.how.startswith("0 of 1 device events")


def test_shares_with_device_events_are_of_device_time_and_the_hosts_own_nodes() -> None:
    found = profile(text([
        node("a", 0, 5, op="Conv", provider=CUDA), kernel("k", 40, 60, stream="1"),
        node("r", 6, 1, op="Reshape", provider=CUDA),
        node("c", 8, 40, op="NonZero"),
        node("m", 50, 900, op="MemcpyToHost", provider=CUDA),
        session("model_run", 0, 1000),
    ]))  # fmt: skip
    assert claimed(found) == {"Conv": 0.6, "Reshape": 0.0, "NonZero": 0.4, "MemcpyToHost": None}
    kinds = {row.op_type: row.time_kind for row in found.operators}
    assert kinds == {"Conv": "device", "Reshape": "launch", "NonZero": "host",
                     "MemcpyToHost": "wait"}  # fmt: skip
    assert sum(row.share or 0 for row in found.providers) == pytest.approx(1)
    assert sum(row.share or 0 for row in found.nodes) == pytest.approx(1)


def test_launches_without_device_events_have_no_share_and_no_rank() -> None:
    found = profile(text([
        node("a", 0, 5, op="Conv", provider=CUDA),
        node("c", 8, 40, op="NonZero"),
        node("m", 50, 155, op="MemcpyToHost", provider=CUDA),
        session("model_run", 0, 1000),
    ]))  # fmt: skip
    assert claimed(found) == {"Conv": None, "NonZero": 0.2, "MemcpyToHost": None}
    assert {row.doubt for row in found.nodes if row.provider == CUDA} == {"launch", "wait"}
    assert all(row.share is None for row in found.shapes if row.provider == CUDA)
    assert found.trust.grade == "D"


def test_mostly_unattributed_device_time_makes_no_shares() -> None:
    found = profile(text([
        node("a", 0, 5, op="Conv", provider=CUDA), kernel("k", 40, 10),
        session("model_run", 0, 90), kernel("late", 99, 500),
    ]))  # fmt: skip
    assert claimed(found) == {"Conv": None}
    assert found.nodes[0].device_us == 10


def test_webgpu_events_go_to_the_call_whose_turn_it_is() -> None:
    device, by_name = device_of([
        node("same", 0, 5, op="MatMul", provider=WEBGPU),
        node("same", 6, 5, op="Add", provider=WEBGPU),
        node("a&b", 12, 5, op="Conv", provider=WEBGPU),
        node("same", 20, 5, op="MatMul", provider=WEBGPU),
        kernel("same&MatMul&Split", 1, 10, cat="Api"), kernel("same&MatMul&Sum", 12, 3, cat="Api"),
        kernel("a&b&Conv&Im2Col", 20, 7, cat="Api"),
        kernel("same&MatMul&Split", 90, 20, cat="Api"), kernel("same&MatMul&Sum", 112, 6,
                                                              cat="Api"),
    ])  # fmt: skip
    assert by_name == {"same": 39, "a&b": 7}
    calls = [us for us in device.event_us.tolist() if us == us]
    assert calls == [13, 7, 26]
    assert device.facts.clock == "device"


def test_webgpu_dispatches_that_do_not_divide_among_calls_have_no_node() -> None:
    calls = [node("a", i * 10, 5, op="Conv", provider=WEBGPU) for i in range(3)]
    device, by_name = device_of([*calls, kernel("a&Conv&C", 1, 10, cat="Api")])
    assert by_name == {}
    assert device.facts.attributed_count == 0


def running_means(times: list[int]) -> list[int]:
    return [sum(times[: k + 1]) // (k + 1) for k in range(len(times))]


def test_means_over_runs_become_times_of_single_runs() -> None:
    # The means that OpenVINO wrote for one layer, and its times.
    means = np.array([4064, 2049, 1375, 1038, 836, 701])
    single, averaged = unaveraged(means, np.zeros(6, np.int64), np.arange(6))
    assert single.tolist() == [4064, 34, 27, 27, 28, 26]
    assert averaged.all()


def test_the_sum_over_runs_is_the_last_mean_times_the_runs() -> None:
    times = [900, 30, 31, 29, 35, 30, 28]
    means = np.array(running_means(times))
    single, _ = unaveraged(means, np.zeros(7, np.int64), np.arange(7))
    assert single.sum() == pytest.approx(means[-1] * 7)
    assert abs(single.sum() - sum(times)) <= 7


def test_times_that_are_no_means_stay_as_they_are() -> None:
    times = np.array([4064, 34, 27, 27])
    single, averaged = unaveraged(times, np.zeros(4, np.int64), np.arange(4))
    assert single.tolist() == times.tolist()
    assert not averaged.any()


def openvino(times: list[list[int]], *, zero: int = 1_795_192_750_000_000) -> list[dict[str, Any]]:
    """Runs of one partition; `times` holds for each layer its time in every run."""
    events, late = [], []
    means = [running_means(layer) for layer in times]
    for run in range(len(times[0])):
        start = 1000 * (run + 1)
        events += [node("part", start, 900, op="Ov_0", provider=OPENVINO),
                   session("model_run", start - 5, 950)]  # fmt: skip
        at = start
        for number, layer in enumerate(means):
            # The parent's name is what OpenVINO gets wrong; its moment is right.
            late.append({**kernel(f"OV::l{number}", at, layer[run], ep=OPENVINO,
                                  ort_correlation_id=str(zero + start), ov_node_type="Conv",
                                  parent_ort_event_name="SequentialExecutor::Execute"),
                         "tid": 48})  # fmt: skip
            at += layer[run]
    return events + late


def test_openvino_layers_belong_to_the_call_that_began_at_their_moment() -> None:
    times = [[400, 30, 30, 30], [70, 7, 7, 7]]
    device, by_name = device_of(openvino(times))
    assert device.facts.attributed_count == 8
    assert device.event_us.tolist() == pytest.approx([470, 37, 37, 37], abs=4)
    assert by_name["part"] == pytest.approx(470 + 3 * 37, abs=8)
    assert device.facts.clock == "computed"


def test_kernels_that_begin_after_their_node_find_it_by_the_rhythm_of_their_ids() -> None:
    zero, starts = 7_000_000_000, [100, 160, 290, 300, 470]
    nodes = [node(f"n{i}", at, 9, op="Op", provider=OPENVINO) for i, at in enumerate(starts)]
    late = [
        kernel(f"k{i}", at + 30 + 7 * i, 5, ep=OPENVINO, ort_correlation_id=str(zero + at))
        for i, at in enumerate(starts)
    ]
    _, by_name = device_of([*nodes, *late])
    assert by_name == {f"n{i}": 5 for i in range(5)}


def test_layers_of_another_moment_than_their_clocks_have_no_node() -> None:
    events = openvino([[100, 100]])
    events[-1]["args"]["ort_correlation_id"] = str(1_795_192_750_000_000 + 1_500)
    device, _ = device_of(events)
    assert device.facts.attributed_count == 1


def test_steady_device_time_leaves_warm_up_out() -> None:
    events = openvino([[4000, *[300] * 7]])
    for event in events[:2]:
        event["dur"] *= 9
    for event in events[2:16]:
        event["ts"] += 9000
    for event in events[16:]:
        if event is not events[16]:
            event["args"]["ort_correlation_id"] = str(
                int(event["args"]["ort_correlation_id"]) + 9000
            )
    whole, steady = profile(text(events)), profile(text(events), steady=True)
    assert whole.nodes[0].device_us == pytest.approx(6100, abs=8)
    assert steady.nodes[0].device_us == pytest.approx(2100, abs=16)
    assert steady.nodes[0].time_kind == "host"
    assert steady.operators[0].share == 1


_HOSTS = st.builds(
    node, st.sampled_from("abc"), st.integers(-50, 300), st.integers(0, 80),
    op=st.sampled_from(["If", "MatMul", "MemcpyToHost"]),
    provider=st.sampled_from([CUDA, WEBGPU, OPENVINO, "CPUExecutionProvider"]),
)  # fmt: skip
_KERNELS = st.builds(
    kernel, st.sampled_from(["k", "OV::l1", "OV::l2"]), st.integers(0, 300), st.integers(0, 80),
    ort_correlation_id=st.sampled_from(["5", str(10**15 + 5), str(10**15 + 90), "-3", "no"]),
)  # fmt: skip
_PROGRAMS = st.builds(
    kernel, st.sampled_from(["a&MatMul&x", "b&If&y", "&&", "a&b", "a&MatMul&z"]),
    st.integers(0, 300), st.integers(0, 80), cat=st.just("Api"),
)  # fmt: skip
_RUNS = st.builds(session, st.just("model_run"), st.integers(0, 300), st.integers(0, 200))


@settings(max_examples=120, deadline=None)
@given(st.lists(st.one_of(_HOSTS, _KERNELS, _PROGRAMS, _RUNS), min_size=1, max_size=40))
def test_whatever_the_events_no_device_time_is_invented_and_no_share_exceeds_the_whole(
    events: list[dict[str, Any]],
) -> None:
    found = profile(text([node("first", -100, 1), *events]))
    told = sum(row.device_us or 0 for row in found.nodes)
    whole = found.device.total_us if found.device else 0
    # Each node's sum is rounded to whole µs.
    assert told <= whole + len(found.nodes)
    for rows in (found.operators, found.providers, found.nodes):
        shares = [row.share for row in rows if row.share is not None]
        assert all(0 <= share <= 1 for share in shares)
        assert sum(shares) <= 1 + 1e-9


def test_a_file_without_device_events_has_no_device_facts() -> None:
    found = profile(text([node("a", 0, 5), session("model_run", 0, 9)]))
    assert found.device is None
    assert found.nodes[0].device_us is None


@pytest.mark.parametrize(
    "name",
    ["openvino_cnn", "openvino_cnnL_6runs", "openvino_ctrl", "openvino_epcontext_cnn",
     "webgpu127_swiftshader_ctrl", "webgpu127_swiftshader_t"],
)  # fmt: skip
def test_every_device_event_of_recorded_traces_finds_its_node(
    shared_folder: Path, name: str
) -> None:
    path = shared_folder / "traces" / "own" / f"{name}.json"
    found = profile(path.read_bytes())
    assert found.device is not None
    assert found.device.attributed_count == found.device.event_count == found.device_event_count
    told = sum(row.device_us or 0 for row in found.nodes)
    assert told == pytest.approx(found.device.total_us, rel=0.001)
    kernels = sum(row.total_us for row in found.device.kernels)
    assert kernels == pytest.approx(found.device.total_us)


def test_layers_of_a_recorded_run_fill_the_node_that_ran_them(shared_folder: Path) -> None:
    """The means, undone, must fit the node's own time in each of the six runs."""
    path = shared_folder / "traces" / "own" / "openvino_cnnL_6runs.json"
    derived = derive(decoded(path.read_bytes())[1])
    assert derived.device is not None
    of_node = derived.events.duration.tolist()
    for run, us in enumerate(derived.device.event_us.tolist()):
        if run:
            assert 0.9 * of_node[run] < us <= of_node[run]
    raw = [e for e in json.loads(path.read_text()) if e["cat"] == "Kernel"]
    means: dict[str, list[int]] = defaultdict(list)
    for event in raw:
        means[event["name"]].append(event["dur"])
    assert sum(derived.device.event_us) == sum(each[-1] * len(each) for each in means.values())
