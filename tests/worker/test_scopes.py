"""What exporters note of modules is read off a model without its weights, and off hostile ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from ortlab.errors import ModelError
from ortlab.jobs import scopes as known
from ortlab.worker import scopes
from ortlab.worker.protocol import Context
from tests import build

TORCH = "pkg.torch.onnx.name_scopes"


def noted(node: onnx.NodeProto, **metadata: str) -> onnx.NodeProto:
    """The node with metadata; `__` in a key stands for a dot."""
    for key, value in metadata.items():
        node.metadata_props.add(key=key.replace("__", "."), value=value)
    return node


def two_layers() -> onnx.ModelProto:
    """Two nodes whose metadata name their module, one with none, one in a body."""
    key = TORCH.replace(".", "__")
    inner = noted(helper.make_node("Identity", ["h1"], ["inner"], name="node_inner"),
                  **{key: "['', 'net', 'net.gate', 'inner']"})  # fmt: skip
    body = helper.make_graph([inner], "body", [], [build.tensor("inner", "N", 4)])
    nodes = [
        noted(helper.make_node("Relu", ["x"], ["h0"], name="node_relu"),
              pkg__torch__onnx__stack_trace="File " * 20_000,
              **{key: "['', 'net', 'net.layer.0', 'relu']"}),
        noted(helper.make_node("Relu", ["h0"], ["h1"], name="node_relu_1"),
              namespace=": m.Net/net: m.Sub/net.layer.1: nn.ReLU/relu_1: aten.relu.default"),
        helper.make_node("If", ["c"], ["y"], name="node_if", then_branch=body, else_branch=body),
    ]  # fmt: skip
    inputs = [build.tensor("x", "N", 4), build.tensor("c", dtype=onnx.TensorProto.BOOL)]
    return build.model(nodes, inputs, [build.tensor("y", "N", 4)])


def read(model: onnx.ModelProto | bytes, folder: Path) -> dict[str, Any]:
    """What the task writes about a model."""
    path, out = folder / "m.onnx", folder / "scopes.json"
    content = model if isinstance(model, bytes) else model.SerializeToString()
    path.write_bytes(content)
    context = Context(reply_fd=-1, folder=folder)
    context.write = lambda message: None  # type: ignore[method-assign]
    scopes.read({"path": str(path), "out": str(out)}, context)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_nodes_and_their_tensors_have_the_module_of_their_metadata(tmp_path: Path) -> None:
    found = known.paths(read(two_layers(), tmp_path))
    assert found["node_relu"] == found["h0"] == ("net", "layer.0")
    assert found["node_relu_1"] == found["h1"] == ("net", "layer.1")
    assert found["node_inner"] == ("net", "gate")
    assert "node_if" not in found


def test_a_name_that_two_modules_use_tells_nothing(tmp_path: Path) -> None:
    model = two_layers()
    model.graph.node[1].name = "node_relu"
    found = known.paths(read(model, tmp_path))
    assert "node_relu" not in found
    assert found["h1"] == ("net", "layer.1")


def test_nodes_of_functions_are_called_as_onnxruntime_inlines_them(tmp_path: Path) -> None:
    model = two_layers()
    body = noted(helper.make_node("Relu", ["a"], ["b"], name="n"),
                 **{TORCH.replace(".", "__"): "['', 'net', 'net.mlp', 'n']"})  # fmt: skip
    model.functions.append(
        helper.make_function("local", "MLP", ["a"], ["b"], [body], [helper.make_opsetid("", 17)])
    )
    assert known.paths(read(model, tmp_path))["_inlfunc_MLP_n"] == ("net", "mlp")


def test_a_model_without_metadata_is_known_by_the_names_of_its_nodes(
    samples_folder: Path, tmp_path: Path
) -> None:
    found = known.paths(read((samples_folder / "tiny_encoder.onnx").read_bytes(), tmp_path))
    assert found["/bert/encoder/layer.1/attention/self/MatMul"] == (
        "bert", "encoder", "layer.1", "attention", "self",
    )  # fmt: skip


@pytest.mark.parametrize("cut", [40, 200, 60_000])
def test_a_model_that_is_cut_off_is_refused_with_a_sentence(tmp_path: Path, cut: int) -> None:
    with pytest.raises(ModelError, match=r"cut off|not a readable"):
        read(two_layers().SerializeToString()[:-cut], tmp_path)


def test_texts_longer_than_a_path_are_stepped_over(tmp_path: Path) -> None:
    model = two_layers()
    model.graph.node[0].metadata_props[1].value = "['" + "a" * scopes.MAX_TEXT_BYTES + "']"
    found = read(model, tmp_path)
    assert found["nodes"][0][2] == -1
