"""The sizes of open dimensions: found from what ONNX Runtime refuses, never against the user."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ortlab.errors import DimensionError
from tests import build
from tests.feeding import Worker, assumed, single

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
node = helper.make_node
tensor = build.tensor


def unet(*, skips: int = 5) -> onnx.ModelProto:
    """Halved and doubled again with skip connections: height and width are multiples of 2^skips."""
    nodes, last, kept = [], "x", []
    for i in range(skips):
        kept.append(last)
        nodes.append(
            node("MaxPool", [last], [f"d{i}"], kernel_shape=[2, 2], strides=[2, 2], name=f"down{i}")
        )
        last = f"d{i}"
    for i, skip in reversed(list(enumerate(kept))):
        nodes.append(node("Resize", [last, "", "scales"], [f"u{i}"], name=f"up{i}"))
        nodes.append(node("Concat", [f"u{i}", skip], [f"c{i}"], axis=1, name=f"skip{i}"))
        last = f"c{i}"
    scales = {"scales": np.array([1, 1, 2, 2], np.float32)}
    return build.model(
        nodes, [tensor("x", "batch", 1, "h", "w")], [tensor(last, *[None] * 4)], scales
    )


def test_sizes_become_multiples_when_skip_connections_need_them(worker: Worker) -> None:
    x = worker.feeds(unet(), **assumed({"h": 50, "w": 70}))["x"]
    assert x.shape[2:] == (64, 96)
    assert worker.reply["dims"]["h"] == x.shape[2]
    assert any("Concat" in note for note in worker.reply["notes"])


def test_a_size_the_user_fixed_is_never_changed_but_one_that_works_is_named(worker: Worker) -> None:
    with pytest.raises(DimensionError) as refused:
        worker.make(unet(), dims={"h": 50, "w": 64})
    assert "Concat" in refused.value.message
    assert "--dim 'h=64'" in (refused.value.hint or "")


def test_dimensions_of_two_names_that_must_agree_follow_the_one_that_was_fixed(
    worker: Worker,
) -> None:
    model = single("Concat", [tensor("a", "s18", 4), tensor("b", "s43", 4)], axis=1)
    assert worker.outputs(model, dims={"s18": 7})[0].shape == (7, 8)
    assert worker.reply["dims"] == {"s18": 7, "s43": 7}


def test_dimensions_of_one_name_are_shared_between_inputs(worker: Worker) -> None:
    model = single("Add", [tensor("a", "n", 4), tensor("b", "n", 4)])
    assert worker.outputs(model, dims={"n": 3})[0].shape == (3, 4)


def test_a_dimension_that_is_a_sum_is_computed(worker: Worker) -> None:
    inputs = [
        tensor("past", 1, "past_len"),
        tensor("new", 1, "seq"),
        tensor("mask", 1, "past_len + seq"),
    ]
    nodes = [node("Concat", ["past", "new"], ["all"], axis=1), node("Mul", ["all", "mask"], ["y"])]
    model = build.model(nodes, inputs, [tensor("y", 1, None)])
    made = worker.feeds(model, dims={"past_len": 5, "seq": 3})
    assert made["mask"].shape == (1, 8)


def test_a_size_that_contradicts_its_parts_is_told(worker: Worker) -> None:
    model = single("Concat", [tensor("a", "n"), tensor("b", "2*n")], axis=0)
    reply = worker.make(model, dims={"n": 3, "2*n": 7})
    assert reply["dims"] == {"n": 3, "2*n": 6}
    assert any("'2*n' is 6, computed from its parts, not 7" in note for note in reply["notes"])


def test_nameless_dimensions_are_apart_and_can_be_fixed(worker: Worker) -> None:
    model = single("MatMul", [tensor("a", "?", 3), tensor("b", 3, "?")])
    assert worker.outputs(model, dims={"a.0": 2, "b.1": 5})[0].shape == (2, 5)


def test_a_kernel_larger_than_the_input_makes_the_input_larger(worker: Worker) -> None:
    weights = {"w": np.ones((1, 1, 40), np.float32)}
    model = single("Conv", [tensor("x", 1, 1, "length")], weights)
    assert np.size(worker.outputs(model, **assumed({"length": 16}))[0]) > 0


def test_a_size_baked_into_a_reshape_is_found(worker: Worker) -> None:
    model = single("Reshape", [tensor("x", "batch", 6)], {"shape": np.array([4, 6])})
    assert worker.outputs(model)[0].shape == (4, 6)


def test_the_size_that_a_fully_connected_layer_needs_is_found(worker: Worker) -> None:
    nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], ["y"], name="fc")]
    weights = {"w": np.ones((3 * 32 * 32, 2), np.float32)}
    model = build.model(
        nodes, [tensor("x", "batch", 3, "h", "w_")], [tensor("y", None, 2)], weights
    )
    assert worker.feeds(model, **assumed({"h": 224, "w_": 224}))["x"].shape == (1, 3, 32, 32)


def test_our_own_sizes_are_lowered_before_they_ask_for_gigabytes(worker: Worker) -> None:
    model = single("Relu", [tensor("x", *"abcdefgh")])
    made = worker.feeds(model, **assumed(dict.fromkeys("abcdefgh", 16)))
    assert made["x"].nbytes <= 256 << 20
    assert any("lowered" in note for note in worker.reply["notes"])


def test_sizes_that_the_user_made_too_large_are_refused_with_their_bytes(worker: Worker) -> None:
    with pytest.raises(DimensionError, match=r"'x' of shape \(1000000, 1000000\)"):
        worker.make(single("Relu", [tensor("x", "a", "b")]), dims={"a": 10**6, "b": 10**6})


def test_an_unknown_dimension_names_the_nearest(worker: Worker) -> None:
    with pytest.raises(DimensionError) as refused:
        worker.make(build.mlp(), dims={"M": 2})
    assert "no open dimension 'M'; it has: N" in refused.value.message
