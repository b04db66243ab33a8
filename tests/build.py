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


def heavy(*, seed: int = 0) -> onnx.ModelProto:
    """Work and memory that grow with the symbolic dimension `N`: an N×N outer product, cubed.

    N = 8 is nothing, N = 3,000 takes seconds, N = 60,000 wants 14 GiB for one tensor.
    """
    nodes = [
        helper.make_node("Reshape", ["x", "column"], ["a"], name="column_of"),
        helper.make_node("Reshape", ["x", "row"], ["b"], name="row_of"),
        helper.make_node("MatMul", ["a", "b"], ["square"], name="outer"),
        helper.make_node("MatMul", ["square", "square"], ["cubed"], name="cube"),
        helper.make_node("ReduceMean", ["cubed"], ["y"], name="mean", keepdims=0),
    ]
    weights = {"column": np.array([-1, 1], np.int64), "row": np.array([1, -1], np.int64)}
    return model(nodes, [tensor("x", "N")], [tensor("y")], weights)


def endless() -> onnx.ModelProto:
    """A Loop of 2^62 steps that adds one: legal, and it never ends."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["carried", "one"], ["next"], name="step"),
            helper.make_node("Identity", ["go"], ["go_on"], name="again"),
        ],
        "body",
        [
            tensor("i", dtype=TensorProto.INT64),
            tensor("go", dtype=TensorProto.BOOL),
            tensor("carried", 1),
        ],
        [tensor("go_on", dtype=TensorProto.BOOL), tensor("next", 1)],
    )
    nodes = [helper.make_node("Loop", ["steps", "yes", "x"], ["y"], name="forever", body=body)]
    weights = {
        "steps": np.array(2**62, np.int64),
        "yes": np.array(True),
        "one": np.ones(1, np.float32),
    }
    return model(nodes, [tensor("x", 1)], [tensor("y", 1)], weights)


def not_a_number() -> onnx.ModelProto:
    """A model whose output is NaN for every input."""
    nodes = [
        helper.make_node("Sub", ["x", "x"], ["zero"], name="zero"),
        helper.make_node("Div", ["zero", "zero"], ["y"], name="divide"),
    ]
    return model(nodes, [tensor("x", 4)], [tensor("y", 4)])
