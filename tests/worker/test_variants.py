"""Dynamic int8: made by ONNX Runtime's quantizer in a worker, and refused where it is pointless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from ortlab.errors import ModelError
from ortlab.sandbox.spawn import run_task
from tests import build

TIMEOUT_S = 120
node = helper.make_node


def quantized(folder: Path, model: onnx.ModelProto, **options: Any) -> dict[str, Any]:
    """The worker's reply for this model."""
    source = folder / "source" / "model.onnx"
    source.parent.mkdir()
    onnx.save(model, source, **options)
    request = {"model": str(source), "out": str(folder / "int8.onnx")}
    return run_task("quantize_dynamic", request, folder=folder / "worker", timeout_s=TIMEOUT_S)


def session(path: str | Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def relative_error(folder: Path, path: str, feeds: dict[str, Any]) -> float:
    """The largest difference to the float model, as part of its largest magnitude."""
    before = session(folder / "source" / "model.onnx").run(None, feeds)[0]
    after = session(path).run(None, feeds)[0]
    return float(np.abs(after - before).max() / np.abs(before).max())


def test_matmul_weights_become_int8_and_the_answer_stays_close(tmp_path: Path) -> None:
    reply = quantized(tmp_path, build.mlp(width=128))
    assert reply["changed_nodes"] == 2
    assert reply["bytes"] < (tmp_path / "source" / "model.onnx").stat().st_size / 3
    x = np.random.default_rng(0).standard_normal((4, 128)).astype(np.float32)
    assert 0 < relative_error(tmp_path, reply["path"], {"x": x}) < 0.1


def test_a_gemm_counts_as_a_matmul(tmp_path: Path) -> None:
    weights = {"w": np.ones((8, 4), np.float32), "b": np.zeros(4, np.float32)}
    model = build.model([node("Gemm", ["x", "w", "b"], ["y"])], [build.tensor("x", 2, 8)],
                        [build.tensor("y", 2, 4)], weights)  # fmt: skip
    assert quantized(tmp_path, model)["changed_nodes"] == 1


def test_an_lstm_is_quantized(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = {"w": random.standard_normal((1, 32, 4)).astype("f4"),
               "r": random.standard_normal((1, 32, 8)).astype("f4")}  # fmt: skip
    model = build.model([node("LSTM", ["x", "w", "r"], ["y"], hidden_size=8, name="lstm")],
                        [build.tensor("x", 5, 1, 4)], [build.tensor("y", 5, 1, 1, 8)],
                        weights)  # fmt: skip
    reply = quantized(tmp_path, model)
    x = random.standard_normal((5, 1, 4)).astype("f4")
    assert relative_error(tmp_path, reply["path"], {"x": x}) < 0.2


def test_weights_in_a_branch_are_quantized(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        return helper.make_graph([node("MatMul", ["x", "w"], [name], name=f"mm_{name}")], name, [],
                                 [build.tensor(name, None, None)])  # fmt: skip

    made = node("If", ["c"], ["y"], name="if", then_branch=branch("a"), else_branch=branch("b"))
    weights = {"w": np.random.default_rng(0).standard_normal((8, 4)).astype("f4")}
    inputs = [build.tensor("x", 2, 8), build.tensor("c", dtype=TensorProto.BOOL)]
    model = build.model([made], inputs, [build.tensor("y", None, None)], weights)
    reply = quantized(tmp_path, model)
    feeds = {"x": np.ones((2, 8), "f4"), "c": np.array(True)}
    assert relative_error(tmp_path, reply["path"], feeds) < 0.1


def test_weights_beside_the_model_are_quantized_and_the_source_folder_stays_as_it_was(
    tmp_path: Path,
) -> None:
    reply = quantized(tmp_path, build.mlp(width=64), save_as_external_data=True, location="w.data",
                      size_threshold=0)  # fmt: skip
    assert reply["changed_nodes"] == 2
    left = sorted(p.name for p in (tmp_path / "source").iterdir())
    assert left == ["model.onnx", "w.data"]


def test_a_model_without_constant_weights_is_refused(tmp_path: Path) -> None:
    model = build.model([node("MatMul", ["a", "b"], ["y"])],
                        [build.tensor("a", 2, 2), build.tensor("b", 2, 2)],
                        [build.tensor("y", 2, 2)])  # fmt: skip
    with pytest.raises(ModelError, match="would change nothing") as refused:
        quantized(tmp_path, model)
    assert refused.value.kind == "nothing_to_quantize"


def test_a_quantized_model_is_refused(tmp_path: Path, samples_folder: Path) -> None:
    request = {
        "model": str(samples_folder / "digits_cnn_qdq.onnx"),
        "out": str(tmp_path / "o.onnx"),
    }
    with pytest.raises(ModelError, match=r"is quantized already: it holds \w+Linear"):
        run_task("quantize_dynamic", request, folder=tmp_path / "w", timeout_s=TIMEOUT_S)


def test_a_model_whose_weights_are_missing_ends_in_one_sentence(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    onnx.save(build.mlp(width=8), source, save_as_external_data=True, location="w.data",
              size_threshold=0)  # fmt: skip
    (tmp_path / "w.data").unlink()
    request = {"model": str(source), "out": str(tmp_path / "o.onnx")}
    with pytest.raises(
        ModelError, match=r"model\.onnx cannot be loaded for quantization"
    ) as refused:
        run_task("quantize_dynamic", request, folder=tmp_path / "w", timeout_s=TIMEOUT_S)
    assert "\n" not in refused.value.message


def test_a_result_that_onnx_runtime_cannot_open_does_not_count(tmp_path: Path) -> None:
    model = build.mlp(width=8)
    model.graph.node[1].op_type, model.graph.node[1].domain = "Unheard", "nobody.knows"
    model.opset_import.append(helper.make_opsetid("nobody.knows", 1))
    with pytest.raises(ModelError, match=r"cannot open the quantized model: .*Unheard"):
        quantized(tmp_path, model)


def test_weights_behind_an_operator_that_onnx_does_not_know_are_quantized(tmp_path: Path) -> None:
    model = build.mlp(width=8)
    model.graph.node[1].op_type, model.graph.node[1].domain = "QuickGelu", "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert quantized(tmp_path, model)["changed_nodes"] == 2


def test_the_encoder_of_the_samples_is_quantized(tmp_path: Path, samples_folder: Path) -> None:
    request = {"model": str(samples_folder / "tiny_encoder.onnx"), "out": str(tmp_path / "o.onnx")}
    reply = run_task("quantize_dynamic", request, folder=tmp_path / "w", timeout_s=TIMEOUT_S)
    assert reply["changed_nodes"] > 10
    assert session(reply["path"]).get_inputs()[0].name == "input_ids"
