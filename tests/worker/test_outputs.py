"""Outputs: kept whatever their type, and compared by laws that must hold."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper

from ortlab.domain.accuracy import Accuracy
from ortlab.errors import MeasurementError
from ortlab.sandbox.spawn import run_task
from ortlab.worker import outputs
from ortlab.worker.outputs import Leaf
from ortlab.worker.protocol import Context
from tests import build

FLOAT = TensorProto.FLOAT
FIGURES = ("max_abs_error", "max_rel_error", "cosine", "sqnr_db")


class _Quiet(Context):
    def phase(self, name: str) -> None:
        self.state["phase"] = name


def recorded(folder: Path, model: onnx.ModelProto, feeds: dict[str, Any]) -> dict[str, Any]:
    """What `record` replies for a real session of this model."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    context = _Quiet(reply_fd=-1, folder=folder)
    context.state.update(session=session, feeds=feeds)
    return outputs.record({"path": str(folder / "outputs.npz")}, context)


def accuracy(folder: Path, baseline: list[Leaf], candidate: list[Leaf]) -> Accuracy:
    """The comparison of two kept sets of outputs."""
    for name, leaves in (("a.npz", baseline), ("b.npz", candidate)):
        outputs.save(folder / name, leaves)
    asked = {"baseline": str(folder / "a.npz"), "candidate": str(folder / "b.npz")}
    reply = outputs.compare(asked, _Quiet(reply_fd=-1, folder=folder))
    return msgspec.convert(reply, Accuracy, strict=True)


def of_one(folder: Path, baseline: Any, candidate: Any) -> Accuracy:
    return accuracy(folder, [Leaf("y", np.asarray(baseline))], [Leaf("y", np.asarray(candidate))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


def _finite(largest: float = 1e6) -> st.SearchStrategy[Any]:
    shapes = hnp.array_shapes(min_dims=1, max_dims=4, max_side=6)
    values = st.floats(-largest, largest, width=32)
    return hnp.arrays(np.float32, shapes, elements=values)


@settings(max_examples=60, deadline=None)
@given(values=hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=3)))
def test_the_same_outputs_are_identical_whatever_they_hold(folder: Path, values: Any) -> None:
    found = of_one(folder, values, values.copy())
    assert found.identical
    assert (found.max_abs_error, found.cosine, found.sqnr_db) == (0.0, 1.0, None)


@settings(max_examples=40, deadline=None)
@given(values=_finite(), other=st.integers(0, 99))
def test_the_order_of_the_outputs_changes_nothing(folder: Path, values: Any, other: int) -> None:
    rng = np.random.default_rng(other)
    first = [Leaf("a", values), Leaf("b", values * 2)]
    second = [Leaf(leaf.name, leaf.value + rng.standard_normal(values.shape).astype("f4"))
              for leaf in first]  # fmt: skip
    straight = accuracy(folder, first, second)
    turned = accuracy(folder, first[::-1], second[::-1])
    assert [getattr(straight, f) for f in FIGURES] == [getattr(turned, f) for f in FIGURES]


@settings(max_examples=60, deadline=None)
@given(values=_finite(1e3), factor=st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_scaling_keeps_the_cosine_and_sets_the_noise(
    folder: Path, values: Any, factor: float
) -> None:
    if np.abs(values).max() < 1e-3:
        return
    found = of_one(folder, values, values * np.float32(factor))
    assert found.cosine == pytest.approx(1.0, abs=1e-9)
    assert found.sqnr_db == pytest.approx(-20 * np.log10(abs(factor - 1)), abs=1e-4)
    assert found.max_rel_error == pytest.approx(abs(factor - 1), rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(values=_finite(), seed=st.integers(0, 999))
def test_figures_agree_with_their_definitions(folder: Path, values: Any, seed: int) -> None:
    noise = np.random.default_rng(seed).standard_normal(values.shape).astype(np.float32)
    other = values + noise
    found = of_one(folder, values, other)
    a, b = values.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    assert found.max_abs_error == pytest.approx(np.abs(b - a).max())
    if a.any() and not found.identical:
        assert found.max_rel_error == pytest.approx(np.abs(b - a).max() / np.abs(a).max())
        assert -1.0 <= (found.cosine or 0.0) <= 1.0


def test_the_worst_output_decides(folder: Path) -> None:
    near, far = np.array([1.0, 2.0], "f4"), np.array([1.0, -2.0], "f4")
    found = accuracy(folder, [Leaf("a", near), Leaf("b", near)], [Leaf("a", near), Leaf("b", far)])
    assert (found.max_abs_error, found.identical) == (4.0, False)
    assert found.cosine == pytest.approx(-0.6)


def test_nan_at_the_same_places_counts_as_equal_and_is_told(folder: Path) -> None:
    values = np.array([1.0, np.nan, np.inf], "f4")
    found = of_one(folder, values, values)
    assert found.identical
    assert "1 values are NaN in both" in found.note


@pytest.mark.parametrize(
    ("value", "told"), [(np.nan, "NaN in only one"), (np.inf, "infinite in only")]
)
def test_nan_or_infinity_in_one_leaves_no_figure(folder: Path, value: float, told: str) -> None:
    found = of_one(folder, np.array([1.0, 2.0], "f4"), np.array([1.0, value], "f4"))
    assert [getattr(found, f) for f in FIGURES] == [None] * 4
    assert told in found.note
    assert not found.identical


def test_other_shapes_are_told_and_not_compared(folder: Path) -> None:
    found = of_one(folder, np.ones((3, 4), "f4"), np.ones((2, 4), "f4"))
    assert "The shapes differ: [3, 4] in the baseline, [2, 4] here" in found.note
    assert (found.identical, found.max_abs_error) == (False, None)


@pytest.mark.parametrize("values", [np.array([1, 2, 3]), np.array([True, False, True]),
                                    np.array(["a", "b", "c"])])  # fmt: skip
def test_values_that_are_no_floats_are_equal_or_not(folder: Path, values: Any) -> None:
    assert of_one(folder, values, values).identical
    found = of_one(folder, values, np.roll(values, 1))
    assert not found.identical
    assert "of 3 values differ" in found.note
    assert found.cosine is None


def test_class_scores_agree_by_the_place_of_the_largest(folder: Path) -> None:
    scores = np.eye(4, dtype=np.float32)
    other = scores.copy()
    other[3] = [9, 0, 0, 0]
    assert of_one(folder, scores, other).top1_agreement == 0.75
    assert of_one(folder, scores[0], other[0]).top1_agreement is None


def test_rows_wider_than_a_block_are_judged_whole(folder: Path) -> None:
    random = np.random.default_rng(0)
    scores = random.standard_normal((40, 30_000)).astype(np.float32)
    assert of_one(folder, scores, scores * 2).top1_agreement == 1.0


def test_a_missing_output_leaves_no_figure(folder: Path) -> None:
    leaves = [Leaf("a", np.ones(2, "f4")), Leaf("b", np.ones(2, "f4"))]
    found = accuracy(folder, leaves, leaves[:1])
    assert found.max_abs_error is None
    assert "b: The candidate does not return" in found.note


def test_large_outputs_are_compared_in_little_memory(folder: Path) -> None:
    values = np.ones(16 << 20, np.float32)
    for name in ("a.npz", "b.npz"):
        outputs.save(folder / name, [Leaf("y", values)])
    asked = {"baseline": str(folder / "a.npz"), "candidate": str(folder / "b.npz")}
    tracemalloc.start()
    found = outputs.compare(asked, _Quiet(reply_fd=-1, folder=folder))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["identical"]
    assert peak < values.nbytes / 2


def test_a_file_that_is_no_outputs_file_is_refused(folder: Path) -> None:
    (folder / "bad.npz").write_bytes(b"nothing")
    asked = {"baseline": str(folder / "bad.npz"), "candidate": str(folder / "bad.npz")}
    with pytest.raises(MeasurementError, match=r"bad\.npz cannot be read"):
        outputs.compare(asked, _Quiet(reply_fd=-1, folder=folder))


def test_nan_in_the_outputs_is_counted(folder: Path) -> None:
    model = build.model([helper.make_node("Log", ["x"], ["y"])], [build.tensor("x", 3)],
                        [build.tensor("y", 3)])  # fmt: skip
    found = recorded(folder, model, {"x": np.array([-1, 0, 1], "f4")})
    assert (found["nan_count"], found["inf_count"]) == (1, 1)
    assert found["outputs"][0]["shape"] == [3]


def test_outputs_of_every_kind_are_kept_without_pickles(folder: Path) -> None:
    """Tensor, text, sequence and a list of maps, as classifiers return."""
    nodes = [
        helper.make_node("Identity", ["x"], ["plain"]),
        helper.make_node("SequenceConstruct", ["x", "x"], ["many"]),
        helper.make_node(
            "ZipMap", ["x"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["a", "b"]
        ),
        helper.make_node("Identity", ["t"], ["texts"]),
    ]
    kind = onnx.TypeProto()
    kind.map_type.key_type = TensorProto.STRING
    kind.map_type.value_type.CopyFrom(helper.make_tensor_type_proto(FLOAT, []))
    model = build.model(
        nodes,
        [build.tensor("x", "n", 2), build.tensor("t", 1, dtype=TensorProto.STRING)],
        [build.tensor("plain", "n", 2), helper.make_tensor_sequence_value_info("many", FLOAT, None),
         helper.make_value_info("maps", helper.make_sequence_type_proto(kind)),
         build.tensor("texts", 1, dtype=TensorProto.STRING)],
    )  # fmt: skip
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    feeds = {"x": np.ones((3, 2), "f4"), "t": np.array(["word"], object)}
    found = recorded(folder, model, feeds)
    names = [o["name"] for o in found["outputs"]]
    assert names == ["plain", "many[0]", "many[1]", "maps.keys", "maps.values", "texts"]
    assert found["outputs"][4]["shape"] == [3, 2]
    with zipfile.ZipFile(found["path"]) as archive:
        for i in range(len(names)):
            with archive.open(f"{i}.npy") as stream:
                np.load(stream, allow_pickle=False)
    asked = {"baseline": found["path"], "candidate": found["path"]}
    assert outputs.compare(asked, _Quiet(reply_fd=-1, folder=folder))["identical"]


def test_bfloat16_outputs_are_compared_as_numbers(folder: Path) -> None:
    model = build.model(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)], [build.tensor("x", 4)],
        [build.tensor("y", 4, dtype=TensorProto.BFLOAT16)],
    )  # fmt: skip
    x = np.array([1, 2, 3, np.nan], "f4")
    found = recorded(folder, model, {"x": onnxruntime.OrtValue.ortvalue_from_numpy(x)})
    assert (found["outputs"][0]["dtype"], found["nan_count"]) == ("bfloat16", 1)
    outputs.save(folder / "float.npz", [Leaf("y", x * 2)])
    asked = {"baseline": found["path"], "candidate": str(folder / "float.npz")}
    reply = outputs.compare(asked, _Quiet(reply_fd=-1, folder=folder))
    assert reply["max_abs_error"] == 3.0


def test_a_worker_compares_two_files(folder: Path, tmp_path: Path) -> None:
    outputs.save(folder / "w.npz", [Leaf("y", np.ones((2, 3), "f4"))])
    asked = {"baseline": str(folder / "w.npz"), "candidate": str(folder / "w.npz")}
    reply = run_task("compare", asked, folder=tmp_path, timeout_s=60)
    assert msgspec.convert(reply, Accuracy).identical
