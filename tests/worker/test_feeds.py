"""Generated feeds: what ONNX Runtime takes, for the inputs that naive generators get wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ortlab.errors import DimensionError, FeedError, ModelError
from ortlab.worker import feeds
from ortlab.worker.feeding import types as feed_types
from tests import build
from tests.feeding import TIMEOUT_S, Worker, single

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
node = helper.make_node
tensor = build.tensor


def lookup(
    *rows: int, into: Callable[[str], list[onnx.NodeProto]] | None = None
) -> onnx.ModelProto:
    """Ids looked up in a table of each size; the results are added."""
    weights = {f"table{i}": np.ones((n, 4), np.float32) for i, n in enumerate(rows)}
    nodes = [
        node("Gather", [f"table{i}", "ids"], [f"g{i}"], name=f"look_{i}") for i in range(len(rows))
    ]
    nodes.append(node("Sum", [f"g{i}" for i in range(len(rows))], ["y"]))
    return build.model(nodes, [tensor("ids", "batch", "seq", dtype=INT64)],
                       [tensor("y", None, None, None)], weights)  # fmt: skip


def test_ids_stay_below_the_table_they_index(worker: Worker) -> None:
    ids = worker.feeds(lookup(37))["ids"]
    assert ids.dtype == np.int64
    assert ids.min() >= 0
    assert 10 < ids.max() < 37


def test_the_smallest_of_two_tables_bounds_the_ids(worker: Worker) -> None:
    assert worker.feeds(lookup(500, 3))["ids"].max() < 3


def test_ids_are_followed_through_casts_shapes_and_additions(worker: Worker) -> None:
    nodes = [
        node("Cast", ["ids"], ["c"], to=TensorProto.INT32),
        node("Unsqueeze", ["c", "axis"], ["u"]),
        node("Cast", ["u"], ["l"], to=INT64),
        node("Add", ["l", "two"], ["moved"]),
        node("Gather", ["table", "moved"], ["y"]),
    ]
    weights = {"axis": np.array([1]), "two": np.array(2), "table": np.ones((9, 2), np.float32)}
    model = build.model(
        nodes, [tensor("ids", "n", dtype=INT64)], [tensor("y", *[None] * 3)], weights
    )
    reply = worker.make(model, dims={"n": 400})
    ids = feeds.load(Path(reply["path"]))["ids"]
    assert ids.max() == 6
    assert not [n for n in reply["notes"] if n.startswith("After")]


def test_ids_are_followed_into_subgraphs_and_functions(worker: Worker) -> None:
    branch = helper.make_graph(
        [node("Gather", ["table", "ids"], ["t"])], "then", [], [tensor("t", None, None)]
    )
    other = helper.make_graph(
        [node("Embed", ["small", "ids"], ["e"], domain="own")],
        "else",
        [],
        [tensor("e", None, None)],
    )
    embed = helper.make_function(
        "own", "Embed", ["w", "i"], ["o"], [node("Gather", ["w", "i"], ["o"])],
        [helper.make_opsetid("", build.OPSET)],
    )  # fmt: skip
    made = node("If", ["cond"], ["y"], then_branch=branch, else_branch=other)
    weights = {"table": np.ones((50, 2), np.float32), "small": np.ones((5, 2), np.float32),
               "cond": np.array(True)}  # fmt: skip
    model = build.model(
        [made], [tensor("ids", "n", dtype=INT64)], [tensor("y", None, None)], weights
    )
    model.functions.append(embed)
    model.opset_import.append(helper.make_opsetid("own", 1))
    assert worker.feeds(model)["ids"].max() < 5


def test_a_refused_id_is_drawn_again_below_the_limit_that_onnx_runtime_names(
    worker: Worker,
) -> None:
    """The table's size is hidden behind a product, so only the refusal tells it."""
    nodes = [node("Mul", ["ids", "one"], ["m"]), node("Gather", ["table", "m"], ["y"], name="g")]
    weights = {"one": np.array([1]), "table": np.ones((3, 2), np.float32)}
    model = build.model(
        nodes, [tensor("ids", "n", dtype=INT64)], [tensor("y", None, None)], weights
    )
    ids = worker.feeds(model)["ids"]
    assert ids.max() == 2
    assert any("below 3" in note and "Gather" in note for note in worker.reply["notes"])


@pytest.mark.parametrize(
    ("op", "shape_length"), [("Reshape", 2), ("Expand", 2), ("Tile", 2), ("Pad", 4)]
)
def test_an_input_that_is_a_shape_gets_one_that_fits(
    worker: Worker, op: str, shape_length: int
) -> None:
    inputs = [tensor("x", "a", "b"), tensor("shape", shape_length, dtype=INT64)]
    assert np.size(worker.outputs(single(op, inputs))[0]) > 0
    assert not [n for n in worker.reply["notes"] if n.startswith("After")]


def test_ids_whose_largest_becomes_a_count_stay_ids(worker: Worker) -> None:
    nodes = [
        node("Gather", ["table", "ids"], ["g"]),
        node("ReduceMax", ["ids"], ["most"], keepdims=0),
        node("Range", ["zero", "most", "one"], ["y"]),
    ]
    weights = {"table": np.ones((9, 2), np.float32), "zero": np.array(0), "one": np.array(1)}
    model = build.model(
        nodes, [tensor("ids", 1, 400, dtype=INT64)],
        [tensor("y", None, dtype=INT64), tensor("g", None, None, None)], weights,
    )  # fmt: skip
    assert len(np.unique(worker.feeds(model)["ids"])) == 9


def test_counts_and_axes_are_small(worker: Worker) -> None:
    inputs = [tensor("x", "n"), tensor("k", 1, dtype=INT64)]
    made = node("TopK", ["x", "k"], ["y", "i"])
    model = build.model([made], inputs, [tensor("y", None)])
    assert worker.outputs(model)[0].shape == (1,)


def test_split_sizes_are_found_from_the_refusal(worker: Worker) -> None:
    made = node("Split", ["x", "parts"], ["y", "z"], axis=1, name="split")
    inputs = [tensor("x", 2, 6), tensor("parts", 2, dtype=INT64)]
    model = build.model([made], inputs, [tensor("y", None, None), tensor("z", None, None)])
    assert [o.shape for o in worker.outputs(model)] == [(2, 3), (2, 3)]


def test_a_sampling_rate_is_one_that_the_model_compares_with(worker: Worker) -> None:
    then = helper.make_graph(
        [node("Identity", ["x"], ["a"])], "then", [], [tensor("a", None, None)]
    )
    # Any other rate ends in a product that cannot be.
    other = helper.make_graph(
        [node("MatMul", ["x", "w"], ["b"])], "else", [], [tensor("b", None, None)]
    )
    nodes = [
        node("Equal", ["sr", "rate"], ["known"]),
        node("If", ["known"], ["y"], then_branch=then, else_branch=other),
    ]
    weights = {"rate": np.array(16000), "w": np.ones((7, 7), np.float32)}
    inputs = [tensor("x", "n", "length"), tensor("sr", dtype=INT64)]
    model = build.model(nodes, inputs, [tensor("y", None, None)], weights)
    rate = worker.feeds(model)["sr"]
    assert (rate.shape, rate.dtype, int(rate)) == ((), np.int64, 16000)


@pytest.mark.parametrize(
    ("dtype", "numpy_type"),
    [(TensorProto.FLOAT16, np.float16), (TensorProto.DOUBLE, np.float64), (FLOAT, np.float32),
     (TensorProto.INT8, np.int8), (TensorProto.UINT8, np.uint8), (BOOL, np.bool_),
     (TensorProto.INT32, np.int32), (TensorProto.UINT64, np.uint64)],
)  # fmt: skip
def test_every_plain_type_is_fed_as_itself(worker: Worker, dtype: int, numpy_type: type) -> None:
    model = single("Identity", [tensor("x", 2, 3, dtype=dtype)])
    (y,) = worker.outputs(model)
    assert (y.dtype, y.shape) == (np.dtype(numpy_type), (2, 3))


@pytest.mark.parametrize(
    "dtype", [TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2]
)
def test_types_that_numpy_lacks_are_fed_by_value(worker: Worker, dtype: int) -> None:
    made = node("Cast", ["x"], ["y"], to=FLOAT)
    model = build.model([made], [tensor("x", 64, dtype=dtype)], [tensor("y", 64)])
    model.opset_import[0].version = 19
    (y,) = worker.outputs(model)
    values = y.numpy()
    assert np.isfinite(values).all()
    assert 0.3 < values.std() < 3


def test_a_bfloat16_output_makes_every_feed_a_value(worker: Worker) -> None:
    made = node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)
    model = build.model([made], [tensor("x", 4)], [tensor("y", 4, dtype=TensorProto.BFLOAT16)])
    (y,) = worker.outputs(model)
    assert y.data_type() == "tensor(bfloat16)"


def test_a_single_bool_is_an_array_without_axes(worker: Worker) -> None:
    (y,) = worker.outputs(single("Not", [tensor("flag", dtype=BOOL)]))
    assert y.shape == ()


def test_texts_are_fed(worker: Worker) -> None:
    (y,) = worker.outputs(single("Identity", [tensor("x", "n", dtype=TensorProto.STRING)]))
    assert y.dtype == object
    assert isinstance(y.flat[0], str)


def test_sequences_are_fed(worker: Worker) -> None:
    sequence = helper.make_tensor_sequence_value_info("s", FLOAT, ["n", 3])
    model = build.model([node("ConcatFromSequence", ["s"], ["y"], axis=0)], [sequence],
                        [tensor("y", None, 3)])  # fmt: skip
    assert worker.outputs(model)[0].shape[1] == 3


def test_an_optional_input_is_fed_and_may_be_none(worker: Worker) -> None:
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, [2]))
    model = build.model([node("OptionalHasElement", ["o"], ["y"])],
                        [helper.make_value_info("o", kind)], [tensor("y", dtype=BOOL)])  # fmt: skip
    model.opset_import[0].version = 18
    assert worker.outputs(model)[0] == np.True_


def test_maps_are_fed(worker: Worker) -> None:
    kind = onnx.TypeProto()
    kind.map_type.key_type = TensorProto.STRING
    kind.map_type.value_type.CopyFrom(helper.make_tensor_type_proto(FLOAT, []))
    made = node("DictVectorizer", ["m"], ["y"], domain="ai.onnx.ml", string_vocabulary=["a", "b"])
    model = build.model([made], [helper.make_value_info("m", kind)], [tensor("y", None, 2)])
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    assert worker.outputs(model)[0].shape == (1, 2)


def test_an_unknown_rank_is_tried_until_it_fits(worker: Worker) -> None:
    anything = onnx.ValueInfoProto(name="x")
    anything.type.tensor_type.elem_type = FLOAT
    model = single("Transpose", [anything], perm=[1, 0])
    assert worker.outputs(model)[0].ndim == 2


def test_a_scalar_is_a_scalar(worker: Worker) -> None:
    assert worker.outputs(single("Relu", [tensor("x")]))[0].shape == ()


def test_masks_are_ones(worker: Worker) -> None:
    inputs = [tensor("attention_mask", "batch", "seq", dtype=INT64)]
    assert (worker.outputs(single("Identity", inputs))[0] == 1).all()


def test_defaults_of_overridable_inputs_are_left_alone(worker: Worker) -> None:
    weights = {"w": np.ones(4, np.float32)}
    model = build.model([node("Add", ["x", "w"], ["y"])], [tensor("x", 4), tensor("w", 4)],
                        [tensor("y", 4)], weights)  # fmt: skip
    assert list(worker.feeds(model)) == ["x"]


def test_a_model_without_inputs_is_fed_nothing(worker: Worker) -> None:
    model = build.model([node("Identity", ["w"], ["y"])], [], [tensor("y", 2)],
                        {"w": np.ones(2, np.float32)})  # fmt: skip
    assert worker.feeds(model) == {}


def test_values_that_give_nan_are_replaced_by_gentler_ones(worker: Worker) -> None:
    (y,) = worker.outputs(single("Sqrt", [tensor("x", 50)]))
    assert not np.isnan(y).any()
    assert any("NaN" in note for note in worker.reply["notes"])


def test_a_model_that_always_returns_nan_is_said_to(worker: Worker) -> None:
    worker.make(build.not_a_number())
    assert any("returns NaN" in n for n in worker.make(build.not_a_number())["notes"])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(worker: Worker) -> None:
    def digest(seed: int) -> str:
        reply = worker.make(build.mlp(), seed=seed)
        return hashlib.sha256(feeds.load(Path(reply["path"]))["x"].tobytes()).hexdigest()

    assert digest(1) == digest(1) != digest(2)


def test_an_endless_model_is_stopped_and_said_to_be_unproven(worker: Worker) -> None:
    reply = worker.make(build.endless(), max_run_s=1)
    assert any("stopped after 1 s" in note for note in reply["notes"])


def test_without_a_trial_nothing_runs(worker: Worker) -> None:
    reply = worker.make(build.endless(), try_run=False)
    assert reply["inputs"]


@pytest.mark.parametrize(
    ("dtype", "least", "largest"), [(TensorProto.INT4, 0, 7), (TensorProto.UINT4, 0, 9)]
)
def test_four_bit_inputs_are_fed_packed(
    worker: Worker, dtype: int, least: int, largest: int
) -> None:
    model = single("DequantizeLinear", [tensor("x", 3, 67, dtype=dtype)],
                   {"scale": np.array(1, np.float32)})  # fmt: skip
    model.opset_import[0].version = 21
    (y,) = worker.outputs(model)
    values = y.numpy()
    assert values.shape == (3, 67)
    assert (values.min(), values.max()) == (least, largest)


def test_packing_four_bits_and_back_changes_nothing() -> None:
    values = np.array([[-8, 7, 0], [-1, 3, 5]])
    content = feed_types.packed(values).tobytes()[:3]
    assert np.array_equal(feed_types.unpacked(content, (2, 3), TensorProto.INT4), values)


def test_inputs_that_cannot_be_fed_are_refused_by_name(worker: Worker) -> None:
    model = single("Cast", [tensor("x", 4, dtype=TensorProto.COMPLEX64)], to=FLOAT)
    with pytest.raises(
        (FeedError, ModelError), match=r"'x' has the element type complex64|complex64"
    ):
        worker.make(model)


def test_a_model_that_no_input_suits_ends_with_the_reason_of_onnx_runtime(worker: Worker) -> None:
    model = single("MatMul", [tensor("x", 2, 3)], {"w": np.ones((4, 5), np.float32)})
    model.graph.node[0].name = "never"
    with pytest.raises((FeedError, ModelError), match=r"never|dimension"):
        worker.make(model)


def test_a_file_that_is_not_onnx_is_refused(worker: Worker) -> None:
    path = worker.folder / "page.onnx"
    path.write_text("<!doctype html><title>404</title>")
    with pytest.raises(ModelError):
        worker.child.ask("feeds", {"model": str(path), "dims": {}, "seed": 0}, timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("name", ["digits_cnn", "digits_cnn_qdq", "tiny_encoder", "detector"])
def test_sample_models_take_their_feeds_at_once(
    worker: Worker, samples_folder: Path, name: str
) -> None:
    request = {"model": str(samples_folder / f"{name}.onnx"), "dims": {}, "seed": 0}
    reply = worker.child.ask("feeds", request, timeout_s=TIMEOUT_S)
    assert not [n for n in reply["notes"] if n.startswith("After")]


def test_the_models_that_come_with_onnx_take_their_feeds(worker: Worker) -> None:
    """Small models of every kind by other people; those ONNX Runtime cannot open do not count."""
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    paths = sorted([*data.glob("simple/*/model.onnx"), *data.glob("pytorch-operator/*/model.onnx")])
    refused = []
    for path in paths:
        try:
            request = {"model": str(path), "dims": {}, "seed": 0}
            worker.child.ask("feeds", request, timeout_s=TIMEOUT_S)
        except (FeedError, DimensionError):
            refused.append(path.parent.name)
        except ModelError:
            continue
    assert len(paths) > 50
    assert refused == []
