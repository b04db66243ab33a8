"""Memory and threads of profiles recorded here, on models whose lifetimes are known."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from ortlab.analysis import threads
from ortlab.analysis.arenas import memory
from ortlab.analysis.reading.derived import Derived, derive
from ortlab.domain.memory import AllocatorMemory, MemoryReport
from tests import build, trace_text

WIDTH = 16
ROWS = 7


def recorded(
    model: onnx.ModelProto,
    folder: Path,
    *,
    runs: int = 1,
    pattern: bool = True,
    parallel: bool = False,
    thread_count: int = 1,
    feed: np.ndarray | None = None,
) -> tuple[Derived, list[dict[str, Any]]]:
    """A profile of this model as it is, not optimized: derived, and its raw node events."""
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.intra_op_num_threads = thread_count
    options.enable_mem_pattern = pattern
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if parallel:
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    x = np.ones((ROWS, WIDTH), np.float32) if feed is None else feed
    for _ in range(runs):
        session.run(None, {"x": x})
    content = Path(session.end_profiling()).read_bytes()
    _, path = trace_text.decoded(content)
    events = [e for e in json.loads(content) if e["name"].endswith("_kernel_time")]
    return derive(path), events


def report_of(derived: Derived) -> MemoryReport:
    found = memory.memory(derived)
    assert found is not None, "ONNX Runtime writes memory fields since 1.28"
    return found


def only(derived: Derived) -> AllocatorMemory:
    (allocator,) = report_of(derived).allocators
    return allocator


def many_sizes(seed: int, *, count: int = 14) -> onnx.ModelProto:
    """A random graph of Concat and Slice in which no two tensors have the same size.

    Neither writes over its input, and without equal sizes no buffer is used twice, so a tensor
    lives from its node to its last reader.
    """
    pick = random.Random(seed)
    rows = {"x": ROWS}
    nodes, weights = [], {"zero": np.array([0], np.int64)}
    for i in range(count):
        source = pick.choice(list(rows)[-6:])
        wanted = pick.randrange(1, 400)
        while wanted in rows.values():
            wanted += 1
        if wanted <= rows[source]:
            weights[f"to{i}"] = np.array([wanted], np.int64)
            nodes.append(
                helper.make_node("Slice", [source, "zero", f"to{i}"], [f"t{i}"], name=f"n{i}")
            )
        else:
            weights[f"more{i}"] = np.ones((wanted - rows[source], WIDTH), np.float32)
            nodes.append(
                helper.make_node("Concat", [source, f"more{i}"], [f"t{i}"], name=f"n{i}", axis=0)
            )
        rows[f"t{i}"] = wanted
    read = {name for node in nodes for name in node.input}
    unread = [name for name in rows if name not in read and name != "x"]
    nodes.append(helper.make_node("Concat", unread, ["y"], name="last", axis=0))
    inputs, outputs = [build.tensor("x", ROWS, WIDTH)], [build.tensor("y", None, WIDTH)]
    return build.model(nodes, inputs, outputs, weights)


def living(model: onnx.ModelProto, events: list[dict[str, Any]], at: str) -> set[str]:
    """Nodes whose outputs exist while node `at` runs, by who reads what."""
    rank = {e["name"].removesuffix("_kernel_time"): i for i, e in enumerate(events)}
    last: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            last[name] = max(last.get(name, -1), rank[node.name])
    return {
        node.name
        for node in model.graph.node
        if rank[node.name] <= rank[at] and last.get(node.output[0], len(rank)) >= rank[at]
    }


@pytest.mark.parametrize("seed", range(12))
def test_nodes_alive_at_the_peak_are_those_whose_readers_are_still_to_come(
    seed: int, tmp_path: Path
) -> None:
    model = many_sizes(seed)
    derived, events = recorded(model, tmp_path, pattern=seed % 2 == 0)
    found = only(derived)
    assert found.peak_bytes == max(int(e["args"]["mem_bytes_in_use"]) for e in events)
    assert {n.name for n in found.alive} == living(model, events, found.peak_name)
    assert all(n.sure for n in found.alive)
    assert found.unexplained_bytes == 0


def residual(layers: int) -> onnx.ModelProto:
    """MatMul and Relu in a row, all of one size, and a connection around all but the first."""
    weight = np.random.default_rng(0).standard_normal((layers, WIDTH, WIDTH)).astype(np.float32)
    nodes, last = [], "x"
    for i in range(layers):
        nodes += [
            helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"], name=f"matmul{i}"),
            helper.make_node("Relu", [f"m{i}"], [f"r{i}"], name=f"relu{i}"),
        ]
        last = f"r{i}"
    nodes += [
        helper.make_node("Add", [last, "r0"], ["s"], name="add"),
        helper.make_node("Softmax", ["s"], ["y"], name="out"),
    ]
    weights = {f"w{i}": weight[i] for i in range(layers)}
    shape = (ROWS, WIDTH)
    return build.model(nodes, [build.tensor("x", *shape)], [build.tensor("y", *shape)], weights)


@pytest.mark.parametrize("pattern", [True, False])
def test_a_long_connection_is_among_three_equal_buffers_at_the_peak(
    pattern: bool, tmp_path: Path
) -> None:
    derived, _ = recorded(residual(5), tmp_path, pattern=pattern)
    found = only(derived)
    assert {n.name for n in found.alive} == {"relu0", "relu1", "matmul2"}
    assert not next(n for n in found.alive if n.name == "relu0").sure
    assert found.unexplained_bytes == 0


def test_weights_of_matmul_nodes_are_in_the_arena_before_the_first_node(tmp_path: Path) -> None:
    layers = 5
    derived, _ = recorded(residual(layers), tmp_path)
    assert only(derived).before_bytes >= layers * WIDTH * WIDTH * 4


def test_later_runs_with_the_same_shapes_begin_with_one_planned_block(tmp_path: Path) -> None:
    derived, events = recorded(residual(5), tmp_path, runs=5)
    found = only(derived)
    per_run = len(events) // 5
    first_use = [
        int(e["args"]["mem_bytes_in_use"]) - int(e["args"]["mem_in_use_delta"])
        for e in events[::per_run]
    ]
    assert report_of(derived).run_index == 0
    assert found.planned_bytes == first_use[-1] - first_use[0] > 0
    assert found.run_count == 5


def test_without_planned_blocks_a_steady_run_is_shown(tmp_path: Path) -> None:
    derived, _ = recorded(residual(5), tmp_path, runs=9, pattern=False)
    assert not report_of(derived).warmup
    assert only(derived).planned_bytes is None


def loop() -> onnx.ModelProto:
    """A Loop of three steps between two nodes, the first of which is read after the loop too."""
    body = helper.make_graph(
        [
            helper.make_node("Softmax", ["c"], ["s"], name="in_softmax"),
            helper.make_node("Concat", ["s", "s"], ["two"], name="in_concat", axis=0),
            helper.make_node("ReduceSum", ["two", "axis"], ["sum"], name="in_sum", keepdims=1),
            helper.make_node("Add", ["s", "sum"], ["next"], name="in_add"),
            helper.make_node("Identity", ["go"], ["go_on"], name="in_go"),
        ],
        "body",
        [
            build.tensor("i", dtype=TensorProto.INT64),
            build.tensor("go", dtype=TensorProto.BOOL),
            build.tensor("c", 50, 300),
        ],
        [build.tensor("go_on", dtype=TensorProto.BOOL), build.tensor("next", 50, 300)],
    )
    nodes = [
        helper.make_node("Softmax", ["x"], ["a"], name="first"),
        helper.make_node("Loop", ["steps", "", "a"], ["b"], name="loop", body=body),
        helper.make_node("Add", ["a", "b"], ["s2"], name="add"),
        helper.make_node("Softmax", ["s2"], ["y"], name="out"),
    ]
    weights = {"steps": np.array(3, np.int64), "axis": np.array([0], np.int64)}
    shape = (50, 300)
    return build.model(nodes, [build.tensor("x", *shape)], [build.tensor("y", *shape)], weights)


def test_in_a_loop_only_what_is_certain_is_named(tmp_path: Path) -> None:
    derived, _ = recorded(loop(), tmp_path, feed=np.ones((50, 300), np.float32))
    found = only(derived)
    assert found.peak_name.startswith("in_")
    named = {n.name: n for n in found.alive}
    assert "first" in named, "it is read after the loop"
    assert set(named) <= {"first", found.peak_name}, "an iteration before left nothing certain"
    assert all(n.bytes == 60_160 for n in named.values())
    assert found.unexplained_bytes > 0, "what an iteration hands on is not told apart"
    assert found.unnamed_because == "bodies"
    assert found.peak_bytes == found.before_bytes + found.alive_bytes + found.unexplained_bytes


def test_the_parallel_executor_is_not_named_where_its_nodes_overlap(tmp_path: Path) -> None:
    model = build.model(
        [
            helper.make_node("MatMul", ["x", "x"], [f"b{i}"], name=f"branch{i}") for i in range(4)
        ] + [helper.make_node("Sum", [f"b{i}" for i in range(4)], ["y"], name="sum")],
        [build.tensor("x", 300, 300)], [build.tensor("y", 300, 300)],
    )  # fmt: skip
    feed = np.ones((300, 300), np.float32)
    derived, events = recorded(
        model, tmp_path, parallel=True, thread_count=2, feed=feed, runs=3, pattern=False
    )
    report = report_of(derived)
    (found,) = report.allocators
    assert found.peak_bytes <= max(int(e["args"]["mem_bytes_in_use"]) for e in events)
    assert report.parallel == (found.unnamed_because == "parallel")


def test_with_the_arena_switched_off_there_is_no_report(tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.enable_profiling, options.enable_cpu_mem_arena = True, False
    options.profile_file_prefix = str(tmp_path / "profile")
    session = ort.InferenceSession(
        build.mlp().SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    session.run(None, {"x": np.ones((2, 64), np.float32)})
    _, path = trace_text.decoded(Path(session.end_profiling()).read_bytes())
    assert memory.memory(derive(path)) is None


def test_thread_figures_add_up_to_what_the_calling_thread_reported(tmp_path: Path) -> None:
    feed = np.random.default_rng(0).standard_normal((2000, 256)).astype(np.float32)
    derived, events = recorded(
        build.mlp(width=256, layers=2), tmp_path, runs=1, thread_count=2, feed=feed
    )
    report = threads.threads(derived)
    assert report is not None
    main = [e["args"]["thread_scheduling_stats"]["main_thread"] for e in events]
    last = events[-1]["args"]["thread_scheduling_stats"]["sub_threads"]
    assert report.run_us == sum(one["Run"] for one in main)
    assert report.wait_us == sum(one["Wait"] for one in main)
    assert report.loop_count == sum(len(one["block_size"]) for one in main) > 0
    assert report.joined_count == sum(one["num_run"] for one in last.values())
    assert report.helper_count == len(last) == 1


def test_with_one_thread_there_is_no_thread_report(tmp_path: Path) -> None:
    derived, _ = recorded(build.mlp(width=16), tmp_path, feed=np.ones((2, 16), np.float32))
    assert threads.threads(derived) is None
