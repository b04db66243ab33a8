"""FLOPs from the shapes of traces recorded here, against those of the graph and those by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from ortlab.analysis.rooflines import node_work
from ortlab.analysis.rooflines.node_work import Tensor, Work
from ortlab.catalog import flops
from ortlab.domain.model import ModelInfo
from ortlab.domain.trace import NodeRow
from ortlab.sandbox.spawn import run_task
from tests import build, trace_text

CPU = "CPUExecutionProvider"
LEVELS = {"disabled": "ORT_DISABLE_ALL", "all": "ORT_ENABLE_ALL"}


def recorded(
    model: bytes, feeds: dict[str, np.ndarray], folder: Path, *, level: str = "disabled"
) -> list[NodeRow]:
    """The nodes of two profiled runs; the optimized graph lies in the folder afterwards."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[level])
    session = onnxruntime.InferenceSession(model, options, providers=[CPU])
    for _ in range(2):
        session.run(None, feeds)
    trace = Path(session.end_profiling())
    return list(trace_text.profile(trace.read_bytes()).nodes)


def graph_weights(folder: Path) -> dict[str, list[Tensor | None]]:
    """What the worker reads off the optimized graph."""
    out = folder / "weights.json"
    request = {"path": str(folder / "optimized.onnx"), "out": str(out)}
    run_task("node_weights", request, folder=folder / "worker", timeout_s=60)
    found = json.loads(out.read_text())
    return {
        name: [(node_work.tensors(text) or (None,))[0] for text in texts]
        for name, texts in found.items()
    }


def is_heavy(row: NodeRow) -> bool:
    rule = flops.cost(row.op_type)
    return rule is not None and rule.family in flops.HEAVY


# ---- the sample models, against the count from the graph


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["digits_cnn", "digits_cnn_qdq", "tiny_encoder"])
def test_products_of_a_trace_are_those_of_the_graph(
    inspect: Callable[..., ModelInfo], samples_folder: Path, tmp_path: Path, name: str, level: str
) -> None:
    path = samples_folder / f"{name}.onnx"
    info = inspect(path)
    feeds = {}
    for value in info.inputs:
        sizes = [info.dim_hints[d] if isinstance(d, str) else d for d in value.shape or ()]
        feeds[value.name] = np.ones(sizes, value.dtype)
    rows = recorded(path.read_bytes(), feeds, tmp_path, level=level)
    weights = graph_weights(tmp_path)
    counted = [node_work.work(row, weights=weights.get(row.name, ()))
               for row in rows if is_heavy(row)]  # fmt: skip
    assert sum(work.flops or 0 for work in counted) == info.flops
    assert all(work.flops is not None for work in counted)


def test_without_the_graph_only_quantized_convolutions_are_unknown(
    samples_folder: Path, tmp_path: Path
) -> None:
    path = samples_folder / "digits_cnn_qdq.onnx"
    (value,) = onnx.load(path).graph.input
    sizes = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
    rows = recorded(path.read_bytes(), {value.name: np.ones(sizes, np.float32)}, tmp_path,
                    level="all")  # fmt: skip
    unknown = {row.op_type for row in rows if node_work.work(row).flops is None}
    assert unknown <= {"QLinearConv"}


# ---- one operator each, by hand


def values(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 9, shape).astype(dtype)


def worked(
    op_type: str,
    inputs: dict[str, np.ndarray],
    weights: dict[str, np.ndarray],
    folder: Path,
    *,
    domain: str = "",
    output: int = TensorProto.FLOAT,
    graph: bool = False,
    **attributes: object,
) -> Work:
    """What the trace of a single node of this operator tells about its work."""
    node = helper.make_node(op_type, [*inputs, *weights], ["y"], name="only", domain=domain,
                            **attributes)  # fmt: skip
    made = build.model(
        [node],
        [build.tensor(k, *v.shape, dtype=helper.np_dtype_to_tensor_dtype(v.dtype))
         for k, v in inputs.items()],
        [build.tensor("y", dtype=output)],
        weights,
    )  # fmt: skip
    made.graph.output[0].type.tensor_type.ClearField("shape")
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    rows = recorded(made.SerializeToString(), inputs, folder)
    (row,) = (row for row in rows if row.name == "only")
    return node_work.work(row, weights=graph_weights(folder)["only"] if graph else ())


@pytest.mark.parametrize("graph", [False, True])
def test_a_packed_weight_of_a_product_is_counted(tmp_path: Path, graph: bool) -> None:
    found = worked("MatMul", {"a": values(2, 5, 48)}, {"b": values(48, 64)}, tmp_path, graph=graph)
    assert found.flops == 2 * (2 * 5) * 48 * 64
    assert (found.weight_bytes, found.data_bytes) == (48 * 64 * 4, 4 * (2 * 5 * 48 + 2 * 5 * 64))


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm_is_counted_however_it_is_turned(tmp_path: Path, transposed: int) -> None:
    left, right = (5, 48), (64, 48) if transposed else (48, 64)
    found = worked("Gemm", {"a": values(*left)}, {"b": values(*right), "c": values(64)}, tmp_path,
                   transB=transposed)  # fmt: skip
    assert found.flops == 2 * 5 * 48 * 64
    assert found.weight_bytes == 48 * 64 * 4 + 64 * 4


def test_a_product_of_two_turned_inputs_is_counted(tmp_path: Path) -> None:
    inputs = {"a": values(3, 24, 40), "b": values(3, 16, 24)}
    found = worked("FusedMatMul", inputs, {}, tmp_path, domain="com.microsoft", transA=1, transB=1)
    assert found.flops == 2 * 3 * 40 * 24 * 16


def test_a_product_of_integers_is_counted(tmp_path: Path) -> None:
    left, right = values(4, 32, dtype=np.uint8), values(32, 8, dtype=np.int8)
    found = worked("MatMulInteger", {"a": left}, {"b": right}, tmp_path, output=TensorProto.INT32)
    assert (found.flops, found.kind) == (2 * 4 * 32 * 8, "int8")
    assert found.weight_bytes == 32 * 8


def test_a_grouped_convolution_is_counted(tmp_path: Path) -> None:
    found = worked("Conv", {"x": values(1, 8, 12, 12)}, {"w": values(16, 2, 3, 3)}, tmp_path,
                   group=4)  # fmt: skip
    assert found.flops == 2 * (16 * 10 * 10) * (2 * 3 * 3)


def test_a_transposed_convolution_is_counted_once_its_graph_is_known(tmp_path: Path) -> None:
    found = worked("ConvTranspose", {"x": values(1, 8, 5, 5)}, {"w": values(8, 4, 3, 3)}, tmp_path,
                   graph=True, strides=[2, 2])  # fmt: skip
    assert found.flops == 2 * (8 * 5 * 5) * (4 * 3 * 3)
    assert found.weight_bytes == 8 * 4 * 9 * 4


@pytest.mark.parametrize(("op_type", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_a_recurrent_cell_is_counted(tmp_path: Path, op_type: str, gates: int) -> None:
    steps, batch, width, hidden = 6, 2, 10, 12
    weights = {"w": values(2, gates * hidden, width), "r": values(2, gates * hidden, hidden)}
    found = worked(op_type, {"x": values(steps, batch, width)}, weights, tmp_path,
                   hidden_size=hidden, direction="bidirectional")  # fmt: skip
    assert found.flops == 2 * steps * batch * 2 * gates * hidden * (width + hidden)
    assert found.weight_bytes == 4 * 2 * gates * hidden * (width + hidden)


def test_an_attention_with_its_projection_is_counted(tmp_path: Path) -> None:
    length, hidden = 6, 32
    weights = {"w": values(hidden, 3 * hidden), "b": values(3 * hidden)}
    found = worked("Attention", {"x": values(1, length, hidden)}, weights, tmp_path,
                   domain="com.microsoft", num_heads=4)  # fmt: skip
    assert found.flops == 2 * length * hidden * 3 * hidden + 2 * (2 * length * length * hidden)
    assert found.weight_bytes == 4 * (hidden * 3 * hidden + 3 * hidden)
