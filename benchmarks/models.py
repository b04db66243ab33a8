"""Models of known cost for the benchmarks: chains of MatMul and Relu, seeded."""

from __future__ import annotations

import sys
from pathlib import Path

# Run under the project's own folder, whatever the working directory.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SIZES = {
    "14 µs": (4, 32, 4),
    "0.2 ms": (32, 256, 5),
    "0.8 ms": (32, 256, 20),
    "5 ms": (256, 512, 4),
    "27 ms": (256, 512, 22),
    "50 ms": (256, 512, 40),
}
"""Name → (batch, width, layers); the names are what they cost on the first machine tried."""


def chain(name: str, folder: Path, *, repeat_first: int = 1) -> Path:
    """A model file of about that cost; `repeat_first` plants extra work for known slowdowns."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    batch, width, layers = SIZES[name]
    random = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for i in range(layers + repeat_first - 1):
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
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path = folder / f"chain_{name.replace(' ', '_').replace('µ', 'u')}_{repeat_first}.onnx"
    onnx.save(model, str(path))
    return path
