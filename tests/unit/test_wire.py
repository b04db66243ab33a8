"""The wire walk reads what onnx reads, and nothing a file holds makes it crash or run away."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from ortlab.errors import ModelError
from ortlab.worker.reading import protobuf, wire
from tests import build

BUILDERS = (build.mlp, build.branch, build.caller, build.every_type)
SEED_MODELS = [builder().SerializeToString() for builder in BUILDERS]


def walked(model: onnx.ModelProto) -> tuple[wire.Model, wire.Graph]:
    found = wire.walk(model.SerializeToString())
    assert found.graph is not None
    return found, found.graph


def assert_same(graph: wire.Graph, proto: onnx.GraphProto) -> None:
    """Names, types, weights and nodes of both, nested graphs too."""
    assert [value.name for value in graph.inputs] == [value.name for value in proto.input]
    assert [value.name for value in graph.outputs] == [value.name for value in proto.output]
    assert [(t.name, t.dtype, list(t.dims)) for t in graph.initializers] == [
        (t.name, t.data_type, list(t.dims)) for t in proto.initializer
    ]
    assert len(graph.value_info) == len(proto.value_info)
    for node, expected in zip(graph.nodes, proto.node, strict=True):
        assert (node.name, node.op_type, node.domain) == (
            expected.name, expected.op_type, expected.domain,
        )  # fmt: skip
        assert (node.inputs, node.outputs) == (list(expected.input), list(expected.output))
        assert list(node.attributes) == [attribute.name for attribute in expected.attribute]
        nested = [a.g for a in expected.attribute if a.type == onnx.AttributeProto.GRAPH]
        for inner, inner_proto in zip(node.graphs, nested, strict=True):
            assert_same(inner, inner_proto)


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
def test_walk_agrees_with_onnx(builder: type) -> None:
    model = builder()
    found, graph = walked(model)
    assert found.ir_version == model.ir_version
    assert found.opsets == {entry.domain: entry.version for entry in model.opset_import}
    assert [function.name for function in found.functions] == [f.name for f in model.functions]
    assert_same(graph, model.graph)


@pytest.mark.parametrize(
    "name", ["digits_cnn.onnx", "digits_cnn_qdq.onnx", "tiny_encoder.onnx", "detector.onnx"]
)
def test_walk_agrees_with_onnx_on_the_samples(name: str, samples_folder: Path) -> None:
    path = samples_folder / name
    found = wire.walk(path.read_bytes())
    assert found.graph is not None
    assert_same(found.graph, onnx.load(path).graph)


def test_declared_inner_types_are_found_by_name() -> None:
    found, graph = walked(build.every_type())
    assert found.declared(graph, "m0") == wire.Value(name="m0", dtype=1, shape=("N", 4))
    assert found.declared(graph, "r0") is None


def test_attributes_have_their_values() -> None:
    node = helper.make_node("Op", [], [], i=-3, f=0.5, s="text", ints=[1, -1], floats=[1.0])
    _, graph = walked(build.model([node], [], []))
    found = graph.nodes[0].attributes
    assert {name: found[name] for name in ("i", "f", "s", "ints")} == {
        "i": -3, "f": 0.5, "s": b"text", "ints": [1, -1],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("proto", "kind", "dtype", "shape"),
    [
        (helper.make_tensor_type_proto(1, ["N", 3, None]), "tensor", 1, ("N", 3, None)),
        (helper.make_tensor_type_proto(7, []), "tensor", 7, ()),
        (helper.make_tensor_type_proto(7, None), "tensor", 7, None),
        (helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [2])),
         "sequence", 1, (2,)),
        (helper.make_map_type_proto(7, helper.make_tensor_type_proto(1, [])), "map", 1, ()),
    ],
)  # fmt: skip
def test_declared_types_are_read(
    proto: onnx.TypeProto, kind: str, dtype: int, shape: tuple[object, ...] | None
) -> None:
    value = helper.make_value_info("x", proto)
    _, graph = walked(build.model([], [value], []))
    read = graph.inputs[0]
    assert (read.kind, read.dtype, read.shape) == (kind, dtype, shape)


def test_an_optional_sequence_is_both() -> None:
    inner = helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [2]))
    value = helper.make_value_info("x", helper.make_optional_type_proto(inner))
    _, graph = walked(build.model([], [value], []))
    assert (graph.inputs[0].kind, graph.inputs[0].optional) == ("sequence", True)


def test_a_graph_in_two_parts_is_merged_as_protobuf_does() -> None:
    data = build.mlp(layers=1).SerializeToString()
    more = onnx.ModelProto(graph=onnx.GraphProto(node=[helper.make_node("Neg", ["y"], ["z"])]))
    found = wire.walk(data + more.SerializeToString())
    assert found.graph is not None
    both = onnx.ModelProto.FromString(data + more.SerializeToString())
    assert_same(found.graph, both.graph)


def test_weights_are_not_copied() -> None:
    model = build.mlp(width=256, layers=1)
    data = model.SerializeToString()
    found = wire.walk(data)
    weight = model.graph.initializer[0].raw_data
    assert any(data[start:end] == weight for start, end in found.payloads)


@pytest.mark.parametrize("cut", [1, 10, 100, 1000])
def test_a_cut_off_file_is_named_as_one_with_its_last_byte(cut: int) -> None:
    data = SEED_MODELS[0]
    short = data[: len(data) - cut]
    with pytest.raises(ModelError, match=f"cut off: the file ends at byte {len(short):,}"):
        wire.walk(short)


def test_a_number_that_never_ends_is_refused_at_its_byte() -> None:
    with pytest.raises(ModelError, match="byte 1 holds a number of more than ten bytes"):
        wire.walk(b"\x08" + b"\xff" * 12)


def test_a_field_longer_than_its_message_is_refused() -> None:
    # A graph of four bytes in which a node claims to have a hundred.
    with pytest.raises(ModelError, match="byte 4 holds a field of 100 bytes"):
        wire.walk(b"\x3a\x04\x0a\x64\x00\x00" + b"\x00" * 200)


def test_graphs_nested_without_end_are_refused() -> None:
    graph = b""
    for _ in range(wire.MAX_GRAPH_DEPTH + 2):
        for key in (b"\x32", b"\x2a", b"\x0a"):  # attribute.g, node.attribute, graph.node
            graph = key + protobuf_length(graph) + graph
    with pytest.raises(ModelError, match="graphs inside one another"):
        wire.walk(b"\x3a" + protobuf_length(graph) + graph)


def protobuf_length(content: bytes) -> bytes:
    size, found = len(content), bytearray()
    while size > 127:
        found.append(size & 127 | 128)
        size >>= 7
    return bytes([*found, size])


def test_more_nodes_than_the_limit_are_refused() -> None:
    graph = b"\x0a\x00" * (wire.MAX_NODES + 1)
    with pytest.raises(ModelError, match="more than 200,000 nodes"):
        wire.walk(b"\x3a" + protobuf_length(graph) + graph)


def test_more_fields_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 1000)
    with pytest.raises(ModelError, match="more than 1,000 protobuf fields"):
        wire.walk(b"\x08\x01" * 1002)


def test_a_tensor_with_negative_dimensions_is_refused() -> None:
    weight = TensorProto(dims=[-1, 4], data_type=1, name="w")
    model = build.model([], [], [])
    model.graph.initializer.append(weight)
    with pytest.raises(ModelError, match=r"dimensions \[-1, 4\]"):
        wire.walk(model.SerializeToString())


def test_names_that_are_not_utf8_are_escaped() -> None:
    data = SEED_MODELS[0].replace(b"matmul_0", b"matmul\xff0")
    found = wire.walk(data)
    assert found.graph is not None
    assert found.graph.nodes[0].name == r"matmul\xff0"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_mutation_gives_a_model_or_a_sentence(data: st.DataObject) -> None:
    model = bytearray(data.draw(st.sampled_from(SEED_MODELS)))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(model) - 1))
        model[place] = data.draw(st.integers(0, 255))
    assert_model_or_sentence(bytes(model[: data.draw(st.integers(0, len(model)))]))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@example(b"\x3a\x00")
def test_any_bytes_give_a_model_or_a_sentence(data: bytes) -> None:
    assert_model_or_sentence(data)


def assert_model_or_sentence(data: bytes) -> None:
    """Anything but a ModelError with a sentence and a hint fails."""
    refusal = None
    try:
        wire.walk(data)
    except ModelError as error:
        refusal = error
    assert refusal is None or (refusal.message.endswith(".") and refusal.hint)
