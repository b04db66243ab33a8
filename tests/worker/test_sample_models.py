"""The sample models are what their README says, on the installed ONNX Runtime."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

MODELS = ("digits_cnn.onnx", "digits_cnn_qdq.onnx", "tiny_encoder.onnx", "detector.onnx")
CLASSIFIERS = ("digits_cnn.onnx", "digits_cnn_qdq.onnx")
MAX_BYTES = 6_000_000
MIN_ACCURACY = 0.97
# One digit of 360; other processors round differently.
ONE_DIGIT = 1 / 360
VOCABULARY = 1000


def session(path: Path, *, level: str = "ORT_ENABLE_ALL") -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g)


def op_counts(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in nodes(onnx.load(path).graph))


def feeds(path: Path, *, batch: int = 2, sequence: int = 16) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    if path.name == "tiny_encoder.onnx":
        ids = random.integers(0, VOCABULARY, (batch, sequence))
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    if path.name == "detector.onnx":
        return {"image": random.standard_normal((1, 3, 128, 128)).astype(np.float32)}
    return {"x": random.random((batch, 1, 8, 8)).astype(np.float32)}


def accuracy(path: Path, data: Path) -> float:
    with np.load(data) as digits:
        logits = session(path).run(None, {"x": digits["x"]})[0]
        return float((logits.argmax(axis=1) == digits["labels"]).mean())


def stated_accuracy(folder: Path, model: str) -> float:
    text = (folder / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"`{re.escape(model)}`.*?accuracy (\d+\.\d+) %", text)
    assert found, f"the README states no accuracy of {model}"
    return float(found[1]) / 100


@pytest.mark.parametrize("name", MODELS)
def test_sample_model_is_valid_onnx_that_old_runtimes_read(samples_folder: Path, name: str) -> None:
    model = onnx.load(samples_folder / name)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 10
    assert all(opset.version <= 20 for opset in model.opset_import if opset.domain == "")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_ALL"])
def test_sample_model_runs_and_returns_numbers(samples_folder: Path, name: str, level: str) -> None:
    path = samples_folder / name
    outputs = session(path, level=level).run(None, feeds(path))
    assert outputs
    assert all(np.isfinite(output).all() for output in outputs)


def test_everything_a_person_downloads_stays_small(samples_folder: Path) -> None:
    kinds = ("*.onnx", "*.npz", "traces/*.json")
    files = [file for kind in kinds for file in samples_folder.glob(kind)]
    assert {file.name for file in files} >= set(MODELS)
    assert sum(file.stat().st_size for file in files) < MAX_BYTES


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_stated_accuracy_is_reproduced(samples_folder: Path, name: str) -> None:
    measured = accuracy(samples_folder / name, samples_folder / "digits_eval.npz")
    assert measured >= MIN_ACCURACY
    assert measured == pytest.approx(stated_accuracy(samples_folder, name), abs=1.5 * ONE_DIGIT)


def test_no_evaluation_digit_was_used_for_calibration(samples_folder: Path) -> None:
    with np.load(samples_folder / "digits_eval.npz") as evaluation:
        evaluated = {image.tobytes() for image in evaluation["x"]}
        assert len(evaluation["labels"]) == len(evaluation["x"]) == 360
        assert set(evaluation["labels"]) == set(range(10))
    with np.load(samples_folder / "digits_calibration.npz") as calibration:
        assert not evaluated & {image.tobytes() for image in calibration["x"]}


def test_qdq_model_runs_its_convolutions_in_int8(samples_folder: Path, tmp_path: Path) -> None:
    path = samples_folder / "digits_cnn_qdq.onnx"
    before = op_counts(path)
    assert before["QuantizeLinear"] > 0
    assert before["DequantizeLinear"] > 0
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    after = op_counts(tmp_path / "optimized.onnx")
    assert after["QLinearConv"] == before["Conv"]


def test_encoder_is_unfused_and_takes_any_batch_and_sequence(samples_folder: Path) -> None:
    path = samples_folder / "tiny_encoder.onnx"
    counts = op_counts(path)
    assert counts["MatMul"] == 4 * 8
    assert counts["Softmax"] == 4
    assert not {"Attention", "MultiHeadAttention", "SkipLayerNormalization"} & set(counts)
    opened = session(path)
    assert [(i.name, i.type, i.shape) for i in opened.get_inputs()] == [
        ("input_ids", "tensor(int64)", ["batch", "sequence"]),
        ("attention_mask", "tensor(int64)", ["batch", "sequence"]),
    ]
    for batch, sequence in ((1, 1), (3, 64), (1, 256)):
        output = opened.run(None, feeds(path, batch=batch, sequence=sequence))[0]
        assert output.shape == (batch, sequence, 128)


def test_encoder_refuses_ids_beyond_its_vocabulary(samples_folder: Path) -> None:
    path = samples_folder / "tiny_encoder.onnx"
    beyond = feeds(path) | {"input_ids": np.full((2, 16), VOCABULARY)}
    with pytest.raises(ort.capi.onnxruntime_pybind11_state.InvalidArgument, match="bounds"):
        session(path).run(None, beyond)


def test_encoder_heeds_its_attention_mask(samples_folder: Path) -> None:
    path = samples_folder / "tiny_encoder.onnx"
    opened, whole = session(path), feeds(path)
    masked = whole | {"attention_mask": np.tri(16, dtype=np.int64)[[7, 15]]}
    first, second = (opened.run(None, given)[0] for given in (whole, masked))
    assert np.abs(first[0, :8] - second[0, :8]).max() > 1e-4
    assert np.allclose(first[1], second[1], atol=1e-5)


def test_detector_has_the_operators_that_accelerators_refuse(samples_folder: Path) -> None:
    counts = op_counts(samples_folder / "detector.onnx")
    assert {"Conv", "NonMaxSuppression", "TopK", "NonZero", "If"} <= set(counts)


def test_detector_takes_both_branches_of_its_if(samples_folder: Path) -> None:
    path = samples_folder / "detector.onnx"
    opened = session(path)
    detections, class_map = opened.run(None, feeds(path))
    assert detections.shape[0] > 0
    assert detections.shape[1] == 6
    assert class_map.shape == (1, 4, 16, 16)
    nothing, _ = opened.run(None, {"image": np.zeros((1, 3, 128, 128), np.float32)})
    assert nothing.shape == (0, 6)


def test_recorded_traces_are_profiles_and_one_is_cut_off(samples_folder: Path) -> None:
    def events(name: str) -> list[dict[str, Any]]:
        return json.loads((samples_folder / "traces" / name).read_text(encoding="utf-8"))

    providers = {event["args"].get("provider") for event in events("detector_webgpu.json")}
    assert {"WebGpuExecutionProvider", "CPUExecutionProvider"} <= providers
    runs = [event for event in events("digits_cnn_cpu.json") if event["name"] == "model_run"]
    assert len(runs) == 8
    with pytest.raises(json.JSONDecodeError):
        events("digits_cnn_cut_off.json")
