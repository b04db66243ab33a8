"""Records the small ORT profiles beside this file: `python tests/data/record_traces.py [NAME …]`.

Needs onnxruntime and, for those named `webgpu_…`, the plugin onnxruntime-ep-webgpu with a
Vulkan device; a software one will do (`VK_ICD_FILENAMES` names it where it is not installed).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER", "1")
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
VERBOSE, ERROR = 0, 3
Nodes = list[onnx.NodeProto]


def tensor(name: str, *shape: int | str, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, list(shape))


def model(
    nodes: Nodes, inputs: list[Any], outputs: list[Any], weights: dict[str, np.ndarray]
) -> bytes:
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "recorded", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def square(width: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((width, width)).astype(np.float32) / 8


def mlp() -> bytes:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("MatMul", ["b", "w"], ["c"], name="second"),
        helper.make_node("Softmax", ["c"], ["y"], name="softmax"),
    ]
    return model(nodes, [tensor("x", "N", 256)], [tensor("y", "N", 256)], {"w": square(256)})


def control_flow() -> bytes:
    """A Loop of three turns whose body has an If, both branches with a node named `same`."""
    then = helper.make_graph(
        [helper.make_node("MatMul", ["v", "w"], ["t"], name="same")],
        "then",
        [],
        [tensor("t", 8, 32)],
    )
    other = helper.make_graph(
        [helper.make_node("Add", ["v", "v"], ["e"], name="same")], "else", [], [tensor("e", 8, 32)]
    )
    turn, flag = tensor("i", dtype=TensorProto.INT64), tensor("go", dtype=TensorProto.BOOL)
    body = helper.make_graph(
        [
            helper.make_node("Mod", ["i", "two"], ["m"], name="mod"),
            helper.make_node("Cast", ["m"], ["odd"], name="cast", to=TensorProto.BOOL),
            helper.make_node(
                "If", ["odd"], ["out"], name="branch", then_branch=then, else_branch=other
            ),
            helper.make_node("Identity", ["go"], ["on"], name="on"),
        ],
        "body",
        [turn, flag, tensor("v", 8, 32)],
        [tensor("on", dtype=TensorProto.BOOL), tensor("out", 8, 32)],
    )
    nodes = [
        helper.make_node("Loop", ["three", "yes", "x"], ["z"], name="loop", body=body),
        helper.make_node("Relu", ["z"], ["y"], name="relu"),
    ]
    weights = {"w": square(32), "three": np.array(3), "two": np.array(2), "yes": np.array(True)}
    return model(nodes, [tensor("x", 8, 32)], [tensor("y", 8, 32)], weights)


def scan() -> bytes:
    """A Scan over six steps; its body has a node without a name, and one with an odd one."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["m"], name="step"),
            helper.make_node("Sub", ["m", "part"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["next"], name='odd "name"\\ of\ttwo lines'),
            helper.make_node("Identity", ["next"], ["out"], name="out"),
        ],
        "body",
        [tensor("state", 4, 32), tensor("part", 4, 32)],
        [tensor("next", 4, 32), tensor("out", 4, 32)],
    )
    nodes = [
        helper.make_node("Scan", ["start", "x"], ["last", "all"], name="scan", body=body,
                         num_scan_inputs=1),
        helper.make_node("ReduceSum", ["all"], ["y"], name="total"),
    ]  # fmt: skip
    start = np.zeros((4, 32), np.float32)
    outputs = [tensor("y", 1, 1, 1), tensor("last", 4, 32)]
    return model(nodes, [tensor("x", 6, 4, 32)], outputs, {"w": square(32), "start": start})


def picky() -> bytes:
    """A Gather that fails in a run that asks for more than there is."""
    nodes = [
        helper.make_node("Relu", ["table"], ["t"], name="relu"),
        helper.make_node("Gather", ["t", "x"], ["g"], name="gather"),
        helper.make_node("Neg", ["g"], ["y"], name="neg"),
    ]
    inputs = [tensor("x", 1, dtype=TensorProto.INT64), tensor("table", 4, 4)]
    return model(nodes, inputs, [tensor("y", 1, 4)], {})


def branches() -> bytes:
    """Three branches that the parallel executor runs side by side, of some milliseconds."""
    nodes = [
        helper.make_node("MatMul", ["x", f"w{i}"], [f"a{i}"], name=f"branch_{i}") for i in range(3)
    ]
    nodes.append(helper.make_node("Sum", ["a0", "a1", "a2"], ["y"], name="sum"))
    # Different weights: ORT computes equal branches once.
    weights = {f"w{i}": square(512) + i for i in range(3)}
    return model(nodes, [tensor("x", 512, 512)], [tensor("y", 512, 512)], weights)


def tail() -> bytes:
    """Float work for an accelerator with a NonZero that it has no kernel for, in the middle."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="project"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("NonZero", ["b"], ["where"], name="nonzero"),
        helper.make_node("Cast", ["where"], ["f"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["f", "axis"], ["s"], name="sum", keepdims=0),
        helper.make_node("MatMul", ["b", "w"], ["c"], name="again"),
        helper.make_node("Softmax", ["c"], ["y"], name="softmax"),
    ]
    outputs = [tensor("y", 8, 64), tensor("s", 2)]
    weights = {"w": square(64), "axis": np.array([1])}
    return model(nodes, [tensor("x", 8, 64)], outputs, weights)


def shapes() -> bytes:
    """A reshape whose target is computed from the input's shape, as exporters write it."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="project"),
        helper.make_node("Shape", ["a"], ["s"], name="shape"),
        helper.make_node("Mul", ["s", "change"], ["target"], name="scale"),
        helper.make_node("Reshape", ["a", "target"], ["r"], name="reshape"),
        helper.make_node("Softmax", ["r"], ["y"], name="softmax"),
    ]
    weights = {"w": square(64), "change": np.array([1, 64, 0])}
    nodes.insert(3, helper.make_node("Max", ["target", "one"], ["least"], name="at_least_one"))
    nodes[4].input[1] = "least"
    weights["one"] = np.array([1])
    return model(nodes, [tensor("x", "A", "B", 64)], [tensor("y", "A", "M", "K")], weights)


def options(*, parallel: bool = False, threads: int = 1) -> ort.SessionOptions:
    chosen = ort.SessionOptions()
    chosen.log_severity_level = ERROR
    chosen.enable_profiling = True
    chosen.profile_file_prefix = str(Path(tempfile.mkdtemp()) / "profile")
    chosen.intra_op_num_threads = threads
    if parallel:
        chosen.execution_mode = ort.ExecutionMode.ORT_PARALLEL
        chosen.inter_op_num_threads = 2
    return chosen


def keep(session: ort.InferenceSession, name: str) -> None:
    Path(session.end_profiling()).replace(HERE / f"{name}.json")


def run(session: ort.InferenceSession, times: int) -> None:
    shape = [size if isinstance(size, int) else 8 for size in session.get_inputs()[0].shape]
    feed = {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
    for _ in range(times):
        session.run(None, feed)


def cpu_mlp_24runs() -> None:
    session = ort.InferenceSession(mlp(), options())
    run(session, 24)
    keep(session, "cpu_mlp_24runs")


def cpu_control_flow() -> None:
    session = ort.InferenceSession(control_flow(), options())
    run(session, 2)
    keep(session, "cpu_control_flow")


def cpu_parallel_executor() -> None:
    session = ort.InferenceSession(branches(), options(parallel=True, threads=2))
    run(session, 3)
    keep(session, "cpu_parallel_executor")


def cpu_concurrent_runs() -> None:
    session = ort.InferenceSession(branches(), options())
    callers = [threading.Thread(target=run, args=(session, 4)) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    keep(session, "cpu_concurrent_runs")


def cpu_parallel_control_flow() -> None:
    session = ort.InferenceSession(control_flow(), options(parallel=True, threads=2))
    run(session, 2)
    keep(session, "cpu_parallel_control_flow")


def cpu_scan_two_threads() -> None:
    session = ort.InferenceSession(scan(), options(threads=2))
    run(session, 2)
    keep(session, "cpu_scan_two_threads")


def cpu_failed_run() -> None:
    session = ort.InferenceSession(picky(), options())
    table = np.ones((4, 4), np.float32)
    for index in (1, 99, 2):
        with contextlib.suppress(ort.capi.onnxruntime_pybind11_state.InvalidArgument):
            session.run(None, {"x": np.array([index]), "table": table})
    keep(session, "cpu_failed_run")


def joined_two_sessions() -> None:
    """Two recordings in one list, as people join them: the times of both begin near 0."""
    events = []
    for content, times in ((mlp(), 4), (control_flow(), 1)):
        session = ort.InferenceSession(content, options())
        run(session, times)
        lines = Path(session.end_profiling()).read_text().strip()
        events.append(lines.removeprefix("[").removesuffix("]").strip().removesuffix(","))
    (HERE / "joined_two_sessions.json").write_text("[\n" + ",\n".join(events) + "\n]\n")


def webgpu_tail() -> None:
    webgpu(tail(), "webgpu_tail")


def webgpu_shapes() -> None:
    webgpu(shapes(), "webgpu_shapes")


def webgpu(content: bytes, name: str) -> None:
    """Also keeps what the assignment API and the log say about the same session."""
    import onnxruntime_ep_webgpu as plugin

    if not any("WebGpu" in d.ep_name for d in ort.get_ep_devices()):
        ort.register_execution_provider_library("webgpu", plugin.get_library_path())
    device = next(d for d in ort.get_ep_devices() if "WebGpu" in d.ep_name)
    chosen = options()
    chosen.log_severity_level = VERBOSE
    chosen.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    chosen.add_provider_for_devices([device], {})
    log, session = with_log(lambda: ort.InferenceSession(content, chosen))
    assignment = [
        [part.ep_name, node.name, node.op_type]
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    ]
    active = session.get_providers()
    run(session, 3)
    keep(session, name)
    facts = {"active": active, "assignment": assignment, "log": placement_lines(log)}
    (HERE / f"{name}.placement.json").write_text(json.dumps(facts, indent=1) + "\n")


def with_log(make: Callable[[], Any]) -> tuple[str, Any]:
    """What ORT writes to file descriptor 2 meanwhile, and what was made."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            made = make()
        finally:
            os.dup2(saved, 2)
        file.seek(0)
        return file.read().decode("utf-8", "replace"), made


def placement_lines(log: str) -> str:
    wanted = re.compile(r"placed on|kernel not found|allback|Add Memcpy|\]\s{2,}\S+ \(.*\)$")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", log).splitlines()
    return "\n".join(re.sub(r"^\S+ \S+ ", "", line) for line in lines if wanted.search(line))


RECORDINGS = (
    cpu_mlp_24runs,
    cpu_control_flow,
    cpu_parallel_executor,
    cpu_concurrent_runs,
    cpu_parallel_control_flow,
    cpu_scan_two_threads,
    cpu_failed_run,
    joined_two_sessions,
    webgpu_tail,
    webgpu_shapes,
)

if __name__ == "__main__":
    for recording in RECORDINGS:
        if recording.__name__ in (sys.argv[1:] or [r.__name__ for r in RECORDINGS]):
            recording()
