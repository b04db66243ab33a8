"""Models of known cost for the benchmarks: chains of MatMul and Relu, seeded.

How many layers a cost needs differs between machines, so it is found by timing a short chain.
"""

from __future__ import annotations

import statistics
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZES = {
    "14 µs": (4, 32, 14.0),
    "0.2 ms": (32, 256, 200.0),
    "0.8 ms": (32, 256, 800.0),
    "5 ms": (256, 512, 5_000.0),
    "27 ms": (256, 512, 27_000.0),
    "50 ms": (256, 512, 50_000.0),
}
"""Name → (batch, width, wanted µs per run on one thread)."""
PROBE_LAYERS = 8


def chain(name: str, folder: Path, *, extra: int = 0, layers: int | None = None) -> Path:
    """A model file of about that cost; `extra` layers plant a known slowdown."""
    batch, width, _ = SIZES[name]
    count = (layers or layers_for(name)) + extra
    path = folder / f"chain_{batch}_{width}_{count}.onnx"
    onnx.save(_model(batch, width, count), str(path))
    return path


@lru_cache
def layers_for(name: str) -> int:
    """How many layers cost that much here, at least one."""
    batch, width, wanted_us = SIZES[name]
    short, long = (_median_us(batch, width, n) for n in (1, 1 + PROBE_LAYERS))
    each = max((long - short) / PROBE_LAYERS, 0.1)
    return max(1, round((wanted_us - short) / each) + 1)


def _median_us(batch: int, width: int, layers: int) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = _model(batch, width, layers).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {"x": np.ones((batch, width), np.float32)}
    times = []
    for _ in range(100):
        started = time.perf_counter()
        session.run(None, feeds)
        times.append((time.perf_counter() - started) * 1e6)
    return statistics.median(times[10:])


def _model(batch: int, width: int, layers: int) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for i in range(layers):
        values = random.standard_normal((width, width)).astype(np.float32) / width**0.5
        weights.append(numpy_helper.from_array(values, f"w{i}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"], name=f"matmul_{i}"))
        nodes.append(helper.make_node("Relu", [f"m{i}"], [f"r{i}"], name=f"relu_{i}"))
        last = f"r{i}"
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, width])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, [batch, width])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
