"""Smallest models for tests, built with onnx.helper. Every builder returns an onnx.ModelProto."""

from __future__ import annotations

from pathlib import Path

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


def tensor(
    name: str, *shape: int | str | None, dtype: int = TensorProto.FLOAT
) -> onnx.ValueInfoProto:
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


def branch() -> onnx.ModelProto:
    """An If whose branches, nested graphs, take `x` from around them; the condition is fed."""
    branches = [
        helper.make_graph(
            [helper.make_node(op, ["x"], ["z"], name=f"inner_{op}")], op, [], [tensor("z", "N", 4)]
        )
        for op in ("Relu", "Neg")
    ]
    node = helper.make_node(
        "If", ["c"], ["y"], name="choice", then_branch=branches[0], else_branch=branches[1]
    )
    inputs = [tensor("x", "N", 4), tensor("c", dtype=TensorProto.BOOL)]
    return model([node], inputs, [tensor("y", "N", 4)])


def caller(*, depth: int = 1) -> onnx.ModelProto:
    """Local functions `f1` to `f<depth>`, each calling the one before twice; `f0` is a Relu."""
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]
    functions = [
        helper.make_function(
            "local", "f0", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], opsets
        )
    ]
    for i in range(1, depth + 1):
        calls = [
            helper.make_node(f"f{i - 1}", ["a"], ["m"], domain="local"),
            helper.make_node(f"f{i - 1}", ["m"], ["b"], domain="local"),
        ]
        functions.append(helper.make_function("local", f"f{i}", ["a"], ["b"], calls, opsets))
    node = helper.make_node(f"f{depth}", ["x"], ["y"], name="call", domain="local")
    built = model([node], [tensor("x", 2)], [tensor("y", 2)])
    built.opset_import.append(opsets[1])
    built.functions.extend(functions)
    return built


def every_type() -> onnx.ModelProto:
    """Weights of many element types, with raw and with typed data, and inner types declared."""
    built = mlp(width=4, layers=1)
    for number in (2, 3, 6, 7, 9, 10, 11, 12, 13):
        typed = helper.make_tensor(f"typed_{number}", number, [3], [1, 0, 1])
        built.graph.initializer.append(typed)
    built.graph.value_info.append(tensor("m0", "N", 4))
    return built


def with_outside_data(
    built: onnx.ModelProto, path: Path, *, location: str = "weights.data"
) -> Path:
    """The model saved at `path`, all weights in one file beside it; `location` is what it says."""
    data = bytearray()
    for weight in built.graph.initializer:
        entries = {"location": location, "offset": len(data), "length": len(weight.raw_data)}
        data += weight.raw_data
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            weight.external_data.add(key=key, value=str(value))
    path.write_bytes(built.SerializeToString())
    (path.parent / "weights.data").write_bytes(data)
    return path
