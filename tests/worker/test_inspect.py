"""The model card, from a real worker: what it lists, and that it reads no more than it must."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ortlab.domain.model import ModelInfo
from tests import build

SAMPLES = ("digits_cnn.onnx", "digits_cnn_qdq.onnx", "tiny_encoder.onnx", "detector.onnx")
Inspect = Callable[..., ModelInfo]


@pytest.mark.parametrize("name", SAMPLES)
def test_card_of_a_sample_agrees_with_onnx(
    inspect: Inspect, name: str, samples_folder: Path
) -> None:
    info = inspect(samples_folder / name)
    model = onnx.load(samples_folder / name)
    ops = Counter(_all_ops(model.graph))
    assert info.op_counts == ops
    assert info.node_count == len(model.graph.node)
    assert info.node_count + info.subgraph_node_count == ops.total()
    assert info.ir_version == model.ir_version
    assert info.opsets == {i.domain or "ai.onnx": i.version for i in model.opset_import}
    assert info.parameter_count == sum(prod(w.dims) for w in _all_weights(model.graph))
    assert info.file_bytes == (samples_folder / name).stat().st_size
    assert [i.name for i in info.inputs] == [i.name for i in model.graph.input]
    assert [o.name for o in info.outputs] == [o.name for o in model.graph.output]
    assert not [problem for problem in info.problems if problem.severity != "ask"]


def _all_ops(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _all_ops(attribute.g)


def _all_weights(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _all_weights(attribute.g)


def test_parameter_bytes_are_those_of_the_arrays(inspect: Inspect) -> None:
    info = inspect(build.mlp(width=32, layers=2))
    assert (info.parameter_count, info.parameter_bytes) == (2 * 32 * 32, 2 * 32 * 32 * 4)


def test_inputs_have_numpys_types_and_the_files_shapes(inspect: Inspect) -> None:
    values = [
        build.tensor("a", "N", 3, None),
        build.tensor("b", dtype=TensorProto.BFLOAT16),
        helper.make_tensor_value_info("c", TensorProto.INT64, None),
    ]
    info = inspect(build.model([helper.make_node("Neg", ["a"], ["y"])], values, [values[0]]))
    shown = [(i.dtype, i.shape) for i in info.inputs]
    assert shown == [("float32", ("N", 3, None)), ("bfloat16", ()), ("int64", None)]


def test_sequences_and_optionals_say_so(inspect: Inspect) -> None:
    element = helper.make_tensor_type_proto(1, [2])
    values = [
        helper.make_value_info("s", helper.make_sequence_type_proto(element)),
        helper.make_value_info("o", helper.make_optional_type_proto(element)),
    ]
    info = inspect(build.model([helper.make_node("Identity", ["s"], ["y"])], values, [values[0]]))
    assert [(i.kind, i.optional) for i in info.inputs] == [("sequence", False), ("optional", True)]


def test_weights_listed_among_the_inputs_are_not_asked_for(inspect: Inspect) -> None:
    model = build.mlp(width=4, layers=1)
    model.graph.input.append(build.tensor("w0", 4, 4))
    assert [value.name for value in inspect(model).inputs] == ["x"]


def test_open_dimensions_are_asked_by_name_once(inspect: Inspect) -> None:
    values = [build.tensor("ids", "batch", "seq"), build.tensor("mask", "batch", "seq")]
    node = helper.make_node("Add", ["ids", "mask"], ["y"])
    info = inspect(build.model([node], values, [build.tensor("y", "batch", "seq")]))
    assert info.symbolic_dims == ("batch", "seq")
    assert info.dim_hints == {"batch": 1, "seq": 128}
    questions = [p for p in info.problems if p.code == "undecided-dimension"]
    assert [p.severity for p in questions] == ["ask", "ask"]
    assert "'seq'" in questions[1].message


@pytest.mark.parametrize("unnamed", [None, "?"])
def test_dimensions_without_a_name_of_their_own_get_one(
    inspect: Inspect, unnamed: str | None
) -> None:
    values = [build.tensor("x", unnamed, 3, unnamed, unnamed)]
    node = helper.make_node("Relu", ["x"], ["y"])
    info = inspect(build.model([node], values, [build.tensor("y", None, 3, None, None)]))
    assert info.symbolic_dims == ("x.0", "x.2", "x.3")
    assert info.dim_hints == {"x.0": 1, "x.2": 224, "x.3": 224}


@pytest.mark.parametrize(
    ("shape", "name", "size"),
    [
        (("s0", "s18"), "s0", 1),
        (("batch_size", "past_sequence_length + 1"), "past_sequence_length", 16),
        (("N", 3, "height", "width"), "height", 224),
        (("batch", "audio_samples"), "audio_samples", 16_000),
    ],
)
def test_first_sizes_are_sensible(
    inspect: Inspect, shape: tuple[int | str, ...], name: str, size: int
) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    info = inspect(build.model([node], [build.tensor("x", *shape)], [build.tensor("y", *shape)]))
    assert info.dim_hints[name] == size


def test_an_expression_is_computed_and_not_asked(inspect: Inspect) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    weights = {"w": np.zeros((4, 4), np.float32)}
    inputs = [build.tensor("x", "past_len + 1", 4)]
    info = inspect(build.model([node], inputs, [build.tensor("y", None, 4)], weights))
    assert info.symbolic_dims == ("past_len",)
    assert info.flops == 2 * (info.dim_hints["past_len"] + 1) * 4 * 4


def test_an_expression_that_comes_out_negative_leaves_the_work_unknown(inspect: Inspect) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    weights = {"w": np.zeros((4, 4), np.float32)}
    inputs = [build.tensor("x", "2 - past_len", 4)]
    info = inspect(build.model([node], inputs, [build.tensor("y", None, 4)], weights))
    assert info.flops is None


def test_flops_of_a_matrix_product_are_two_per_multiply_add(inspect: Inspect) -> None:
    info = inspect(build.mlp(width=64, layers=3))
    assert info.flops == 3 * 2 * 64 * 64


def test_flops_of_a_convolution_follow_stride_group_and_padding(inspect: Inspect) -> None:
    weight = np.zeros((8, 2, 3, 3), np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2], pads=[1] * 4, group=2)
    model = build.model(
        [node], [build.tensor("x", 1, 4, 16, 16)], [build.tensor("y", 1, 8, 8, 8)], {"w": weight}
    )
    assert inspect(model).flops == 2 * (8 * 8 * 8) * (2 * 3 * 3)


def test_flops_are_unknown_where_a_size_depends_on_the_data(inspect: Inspect) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Cast", ["places"], ["found"], to=1),
        helper.make_node("MatMul", ["w", "found"], ["y"]),
    ]
    weights = {"w": np.zeros((4, 2), np.float32)}
    model = build.model(nodes, [build.tensor("x", 8, 8)], [build.tensor("y", 4, "n")], weights)
    assert inspect(model).flops is None


def test_local_functions_are_counted_and_followed(inspect: Inspect) -> None:
    info = inspect(build.caller(depth=2))
    assert (info.node_count, info.subgraph_node_count) == (1, 5)
    assert info.op_domains == {"local": 5, "ai.onnx": 1}
    assert not info.problems


@pytest.mark.parametrize("name", SAMPLES)
def test_sizes_worked_out_are_those_onnx_infers(name: str, samples_folder: Path) -> None:
    from ortlab.worker.reading import dimensions, flops, shapes, wire

    path = samples_folder / name
    model = wire.walk(path.read_bytes())
    assert model.graph is not None
    named = dimensions.names(model.graph)
    sizes = dimensions.hints(named)
    facts = shapes.initial_facts(model, model.graph, named, sizes)
    flops.Count(model, sizes).total(model.graph, facts)
    expected = _inferred(path, sizes)
    compared = {k: facts[k].shape for k in expected if facts[k].shape is not None}
    assert len(compared) >= 0.8 * len(expected)
    assert compared == {k: expected[k] for k in compared}


def _inferred(path: Path, sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Every fully known size, worked out by onnx after the open dimensions were filled in."""
    model = onnx.load(path)
    del model.graph.value_info[:]
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = sizes[dim.dim_param]
    found = {}
    for value in onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info:
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            found[value.name] = tuple(d.dim_value for d in dims)
    return found


def test_the_id_follows_the_content_and_not_the_name(inspect: Inspect, tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("a.onnx", "b.onnx", "c.onnx"))
    for path, seed in ((first, 0), (second, 0), (other, 1)):
        path.write_bytes(build.mlp(seed=seed).SerializeToString())
    assert inspect(first).id == inspect(second).id != inspect(other).id


def test_the_id_follows_the_weights_outside(inspect: Inspect, tmp_path: Path) -> None:
    path = build.with_outside_data(build.mlp(), tmp_path / "m.onnx")
    before = inspect(path)
    data = bytearray((tmp_path / "weights.data").read_bytes())
    data[-1] ^= 1
    (tmp_path / "weights.data").write_bytes(data)
    assert inspect(path).id != before.id
    assert before.external_data[0].bytes == len(data)


def test_the_id_of_a_large_file_follows_every_weight(inspect: Inspect, tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    model = build.mlp(width=4, layers=1)
    for i in range(4):
        model.graph.initializer.append(
            TensorProto(name=f"w_{i}", dims=[20 << 20], data_type=3, raw_data=bytes(20 << 20))
        )
    data = bytearray(model.SerializeToString())
    path.write_bytes(data)
    first = inspect(path).id
    data[data.index(b"w_3") + 4 + (10 << 20)] = 1
    path.write_bytes(data)
    assert inspect(path).id != first
