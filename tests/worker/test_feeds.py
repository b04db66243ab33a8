"""Generated feeds: what ONNX Runtime takes, for the inputs that naive generators get wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from ortlab.errors import DimensionError, FeedError, ModelError
from ortlab.sandbox.limits import default_limits
from ortlab.sandbox.spawn import Child
from ortlab.worker import feed_types, feeds
from tests import build

TIMEOUT_S = 120
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
node = helper.make_node
tensor = build.tensor


def assumed(sizes: dict[str, int]) -> dict[str, Any]:
    """The part of a request that gives sizes which nobody fixed."""
    return {"dims": sizes, "assumed": list(sizes)}


class Worker:
    """A real worker that makes feeds, and this process's ONNX Runtime that takes them."""

    def __init__(self, child: Child, folder: Path) -> None:
        self.child = child
        self.folder = folder

    def make(self, model: onnx.ModelProto, **request: Any) -> dict[str, Any]:
        """The worker's reply for this model."""
        self.path = self.folder / "model.onnx"
        onnx.save(model, self.path)
        asked = {"model": str(self.path), "dims": {}, "seed": 0, **request}
        return self.child.ask("feeds", asked, timeout_s=TIMEOUT_S)

    def feeds(self, model: onnx.ModelProto, **request: Any) -> dict[str, Any]:
        """What a session takes for this model."""
        self.reply = self.make(model, **request)
        return feeds.load(Path(self.reply["path"]))

    def outputs(self, model: onnx.ModelProto, **request: Any) -> list[Any]:
        """What the model returns for the feeds that were made for it."""
        made = self.feeds(model, **request)
        session = onnxruntime.InferenceSession(str(self.path), providers=["CPUExecutionProvider"])
        if feeds.needs_ort_values(made):
            return session.run_with_ort_values([o.name for o in session.get_outputs()], made)
        return session.run(None, made)


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    folder = tmp_path_factory.mktemp("feeds")
    with Child(folder, limits=default_limits()) as started:
        yield started


@pytest.fixture
def worker(child: Child, tmp_path: Path) -> Worker:
    return Worker(child, tmp_path)


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


def single(op: str, inputs: list[onnx.ValueInfoProto], weights: dict[str, Any] | None = None,
           **attributes: Any) -> onnx.ModelProto:  # fmt: skip
    """One node over the inputs, then the weights, in order."""
    names = [i.name for i in inputs] + list(weights or {})
    made = node(op, names, ["y"], name="only", **attributes)
    return build.model([made], inputs, [onnx.ValueInfoProto(name="y")], weights)


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
    assert (x.shape[2] % 32, x.shape[3] % 32) == (0, 0)
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
