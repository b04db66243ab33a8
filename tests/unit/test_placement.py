"""Where nodes were meant to run and where they ran, from recordings of a real second provider."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ortlab.analysis.placement import placement
from ortlab.analysis.placement_log import placement_log
from ortlab.domain.placement import Placement
from tests.trace_text import CPU, DATA, node, profile, recorded, session, text

WEBGPU = "WebGpuExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
QNN = "QNNExecutionProvider"


def of_recording(name: str, **changes: Any) -> Placement:
    """Placement of a recorded WebGPU session, with the facts recorded beside it."""
    facts = json.loads((DATA / f"{name}.placement.json").read_text())
    arguments = {
        "requested": [WEBGPU],
        **facts,
        "profile": profile(recorded(name), steady=True),
    }
    return placement(**(arguments | changes))


def of_events(events: list[dict[str, Any]], *, requested: str = QNN, **more: Any) -> Placement:
    run = session("model_run", 0, 10_000)
    arguments = {"assignment": None, "log": None, "profile": profile(text([*events, run]))}
    return placement(requested=[requested], active=[requested, CPU], **(arguments | more))


@pytest.fixture(scope="module")
def tail() -> Placement:
    return of_recording("webgpu_tail")


def test_nodes_tell_where_they_were_assigned_and_where_they_ran(tail: Placement) -> None:
    seen = {row.name: (row.assigned, row.observed) for row in tail.nodes}
    assert seen["project"] == (WEBGPU, WEBGPU)
    assert seen["nonzero"] == (CPU, CPU)
    assert seen["Memcpy"] == (None, WEBGPU)
    assert tail.source == "assignment+trace"


def test_shares_of_nodes_add_up_and_launch_times_make_no_share_of_time(tail: Placement) -> None:
    assert sum(tail.node_share_by_provider.values()) == pytest.approx(1)
    assert tail.time_share_by_provider is None
    assert tail.node_share_by_provider[CPU] == pytest.approx(2 / 7)


def test_partitions_follow_each_other_on_different_providers(tail: Placement) -> None:
    assert [part.provider for part in tail.partitions] == [WEBGPU, CPU, WEBGPU]
    assert [(p.first, p.last) for p in tail.partitions][1] == ("nonzero", "cast")
    assert sum(part.node_count for part in tail.partitions) == 7


def test_each_copy_is_a_crossing_with_tensor_bytes_and_time(tail: Placement) -> None:
    down, up = tail.crossings
    assert (down.tensor, down.source, down.target) == ("b", WEBGPU, CPU)
    assert (up.tensor, up.source, up.target) == ("f", CPU, WEBGPU)
    assert down.bytes == 8 * 64 * 4
    assert (down.time_us or 0) + (up.time_us or 0) == pytest.approx(tail.copy_us)
    assert tail.copy_count == 2


def test_fallback_costs_its_own_time_and_the_copies_next_to_it(tail: Placement) -> None:
    by_node = {row.node: row for row in tail.fallback}
    times = {row.name: row.time_us or 0.0 for row in tail.nodes}
    assert by_node["nonzero"].cost_us == times["nonzero"] + times["Memcpy_token_0"]
    assert by_node["cast"].cost_us == times["cast"] + times["Memcpy"]
    assert by_node["nonzero"].severity == "costly"
    assert "no kernel for NonZero" in by_node["nonzero"].reason


def test_cost_of_fallback_is_never_more_than_the_time_of_the_run(tail: Placement) -> None:
    total = sum(row.time_us or 0.0 for row in tail.nodes)
    assert sum(row.cost_us or 0.0 for row in tail.fallback) <= total


def test_shape_arithmetic_that_ort_keeps_on_the_cpu_is_harmless() -> None:
    found = of_recording("webgpu_shapes")
    rows = {row.node: row for row in found.fallback}
    assert {row.severity for row in rows.values()} == {"harmless"}
    assert "prefers the CPU" in rows["scale"].reason


def test_a_switch_without_a_copy_names_the_nodes_around_it() -> None:
    found = of_recording("webgpu_shapes")
    assert found.copy_count == 0
    first = found.crossings[0]
    assert (first.source, first.target, first.bytes) == (WEBGPU, CPU, None)
    assert "shape" in first.tensor
    assert "scale" in first.tensor


def test_without_assignment_the_log_stands_in_for_it() -> None:
    found = of_recording("webgpu_tail", assignment=None)
    assert found.source == "log+trace"
    assert {r.name: r.assigned for r in found.nodes}["nonzero"] == CPU


def test_without_trace_the_assignment_is_all_there_is() -> None:
    found = of_recording("webgpu_tail", profile=None)
    assert found.source == "assignment"
    assert found.time_share_by_provider is None
    assert {row.node for row in found.fallback} == {"nonzero", "cast"}
    assert all(row.cost_us is None for row in found.fallback)
    assert found.node_share_by_provider[CPU] == pytest.approx(2 / 7)


def test_nothing_known_is_an_empty_placement() -> None:
    found = placement(requested=[CPU], active=[CPU], assignment=None, log=None, profile=None)
    assert (found.nodes, found.partitions, found.fallback, found.source) == ((), (), (), "none")


def test_renamed_nodes_are_joined_and_fused_ones_shown_on_either_side() -> None:
    assignment = [(CPU, "conv", "Conv"), (CPU, "gone", "Relu"), (CPU, "move", "Transpose")]
    events = [node("conv_nchwc", 0, 5, op="Conv"), node("move_token_3", 6, 1, op="Transpose"),
              node("fused", 9, 4, op="FusedMatMul")]  # fmt: skip
    found = of_events(events, requested=CPU, assignment=assignment)
    assert {(r.name, r.assigned, r.observed) for r in found.nodes} == {
        ("conv_nchwc", CPU, CPU),
        ("move_token_3", CPU, CPU),
        ("fused", None, CPU),
        ("gone", CPU, None),
    }


def test_equal_names_in_two_branches_are_joined_by_operator() -> None:
    assignment = [(QNN, "same", "MatMul"), (CPU, "same", "Add")]
    events = [node("same", 0, 5, op="Add"), node("same", 9, 5, op="MatMul", provider=QNN)]
    found = of_events(events, assignment=assignment)
    assert all(row.assigned == row.observed for row in found.nodes)


def test_a_compiled_partition_counts_by_its_members() -> None:
    name = f"{OPENVINO}_12345678901234567890_0"
    events = [
        node(f"{OPENVINO}_{name}_0", 0, 90, op=name, provider=OPENVINO),
        node("tail", 91, 10, op="NonZero"),
    ]
    members = [(OPENVINO, f"layer{i}", "Conv") for i in range(9)]
    found = of_events(events, requested=OPENVINO, assignment=[*members, (CPU, "tail", "NonZero")])
    assert found.node_share_by_provider == {OPENVINO: pytest.approx(0.9), CPU: pytest.approx(0.1)}
    assert [part.node_count for part in found.partitions] == [9, 1]
    assert {r.observed for r in found.nodes if r.name.startswith("layer")} == {OPENVINO}


def test_a_tiny_fallback_is_harmless_and_a_large_one_is_costly() -> None:
    events = [
        node("big", 0, 5000, provider=QNN),
        node("tiny", 5000, 5, op="Softmax", output_size="4000000"),
        node("large", 5100, 2000, op="Softmax", output_size="4000000"),
    ]
    severity = {row.node: row.severity for row in of_events(events).fallback}
    assert severity == {"tiny": "harmless", "large": "costly"}
    assert [row.node for row in of_events(events).fallback] == ["large", "tiny"]


def test_nothing_falls_back_from_the_cpu() -> None:
    assert of_events([node("a", 0, 5)], requested=CPU).fallback == ()


def test_a_session_that_got_only_the_cpu_has_every_node_as_fallback() -> None:
    found = of_events([node("a", 0, 500), node("b", 600, 500)])
    assert {row.node for row in found.fallback} == {"a", "b"}
    assert all("no reason" in row.reason for row in found.fallback)


NOT_SUPPORTED = (
    "CUDA kernel not supported. Fallback to CPU execution provider for Op type: Conv node name: c"
)
FORCED = (
    "ORT optimization- Force fallback to CPU execution for node: /a/Gather because the CPU "
    "execution path is deemed faster than overhead involved with other EPs"
)
LOG = "[I:onnxruntime:, file.cc:1 Function] "


@pytest.mark.parametrize(
    ("line", "name", "says"),
    [
        ("webgpu kernel not found in registries for Op type: Add node name: a", "a", "no kernel"),
        (NOT_SUPPORTED, "c", "not supported"),
        ("CUDA LSTM does not support clipping", "any", "clipping"),
    ],
)  # fmt: skip
def test_refusals_are_read_from_the_log(line: str, name: str, says: str) -> None:
    refusal = placement_log(LOG + line).refusal(node=name, op_type="LSTM")
    assert refusal is not None
    assert says in refusal.sentence
    assert not refusal.by_choice


@pytest.mark.parametrize(
    "line",
    [
        FORCED,
        "Candidate for fallback CPU execution: /a/Gather",
    ],
)
def test_what_ort_keeps_on_the_cpu_by_choice_outranks_a_missing_kernel(line: str) -> None:
    missing = "webgpu kernel not found in registries for Op type: Gather node name: /a/Gather"
    for order in ((line, missing), (missing, line)):
        log = "\n".join(f"\x1b[0;93m{LOG}{text}\x1b[m" for text in order)
        refusal = placement_log(log).refusal(node="/a/Gather", op_type="Gather")
        assert refusal is not None
        assert refusal.by_choice
