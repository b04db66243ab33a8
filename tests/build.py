"""Smallest models for tests, built with onnx.helper. Every builder returns an onnx.ModelProto."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 10


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: dict[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    """A checked model of these nodes; `weights` become initializers."""
    initializers = [numpy_helper.from_array(v, k) for k, v in (weights or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def tensor(name: str, *shape: int | str | None, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """One input or output; a text in `shape` is a symbolic dimension."""
    return helper.make_tensor_value_info(name, dtype, list(shape))


def mlp(*, width: int = 64, layers: int = 2, seed: int = 0) -> onnx.ModelProto:
    """MatMul and Relu, `layers` times, with a symbolic batch `N`."""
    random = np.random.default_rng(seed)
    nodes, weights, last = [], {}, "x"
    for i in range(layers):
        weights[f"w{i}"] = random.standard_normal((width, width)).astype(np.float32) / width**0.5
        nodes += [
            helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"], name=f"matmul_{i}"),
            helper.make_node("Relu", [f"m{i}"], [f"r{i}"], name=f"relu_{i}"),
        ]
        last = f"r{i}"
    nodes.append(helper.make_node("Identity", [last], ["y"], name="out"))
    return model(nodes, [tensor("x", "N", width)], [tensor("y", "N", width)], weights)
