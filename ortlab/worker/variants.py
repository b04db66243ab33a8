"""Other forms of a model, made from the file as given."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from ortlab.errors import ModelError
from ortlab.worker.feeding import graph as feed_graph
from ortlab.worker.feeding.refusals import Refusal
from ortlab.worker.protocol import Context, Message
from ortlab.worker.reading import wire

# Convolutions are left out: ConvInteger is several times slower than float on x86
# (measured 149 against 23 ms on a small CNN); so are Gather and Transpose, which save no time.
QUANTIZED_OPS = ("MatMul", "Attention", "LSTM")
_WEIGHT_INPUT = {"MatMul": 1, "Gemm": 1, "Attention": 1, "LSTM": 1}
# Any of these means that the numbers in the file are quantized already.
_QUANTIZED_ALREADY = frozenset({
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger",
    "QLinearConv", "QLinearMatMul", "QGemm", "QAttention", "MatMulNBits", "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul", "DynamicQuantizeLSTM",
})  # fmt: skip
_MADE = frozenset({"MatMulInteger", "QAttention", "DynamicQuantizeLSTM"})
# protobuf ends at 2 GiB; the quantized file keeps its embeddings, so it may be close to that.
_EXTERNAL_FROM_BYTES = 1 << 31


def quantize_dynamic(request: Message, context: Context) -> Message:
    """Writes the model with its MatMul, Gemm and LSTM weights as signed 8-bit.

    Request: `model`, `out` (paths). Reply: `path`, `bytes` (external data included),
    `changed_nodes`, `note`.

    Raises:
        ModelError: nothing would change, it is quantized already, or ONNX Runtime's
            quantizer or the session that opens its result refuses.
    """
    context.phase("quantize")
    source, out = Path(request["model"]), Path(request["out"])
    candidates, only_in_subgraphs = _candidates(source)
    model = _load(source)
    external = _weight_bytes(model) >= _EXTERNAL_FROM_BYTES
    try:
        # The quantizer logs advice and prints; neither belongs to the answer.
        with redirect_stdout(io.StringIO()):
            _quantize(model, out, external=external, subgraphs=only_in_subgraphs)
    except Exception as error:  # the quantizer raises whatever it stumbles over
        raise _failed(error) from error
    changed = _made_nodes(out)
    if changed == 0:
        raise ModelError(
            f"Dynamic int8 would change nothing: ONNX Runtime's quantizer took none of the "
            f"{candidates} weights of {source.name}.",
            kind="nothing_to_quantize",
        )
    context.phase("load")
    _prove(out)
    files = [out, *out.parent.glob(f"{out.name}.data")]
    note = f"{changed} of {candidates} MatMul, Gemm, Attention and LSTM nodes now use int8 weights."
    return {
        "path": str(out),
        "bytes": sum(f.stat().st_size for f in files),
        "changed_nodes": changed,
        "note": note,
    }


def _candidates(source: Path) -> tuple[int, bool]:
    """How many nodes could be quantized, and whether all of them lie in subgraphs.

    Raises:
        ModelError: none, or the model is quantized already.
    """
    model = feed_graph.read(source)
    if model is None or model.graph is None:
        raise ModelError(f"{source.name} is in ORT's own format, which cannot be quantized.")
    for node in _nodes(model.graph):
        if node.op_type in _QUANTIZED_ALREADY:
            raise ModelError(
                f"{source.name} is quantized already: it holds {node.op_type} nodes.",
                hint="Measure it as it is, or start from the float model.",
                kind="already_quantized",
            )
    outer = _weighted(model.graph, set())
    every = outer + sum(_weighted_inside(n, _constants(model.graph)) for n in model.graph.nodes)
    if every == 0:
        raise ModelError(
            f"Dynamic int8 would change nothing: {source.name} has no MatMul, Gemm, Attention or "
            "LSTM with constant weights.",
            hint="Convolutions need static quantization; dynamic int8 makes them slower.",
            kind="nothing_to_quantize",
        )
    return every, outer == 0


def _nodes(graph: wire.Graph) -> Iterator[wire.Node]:
    for node in graph.nodes:
        yield node
        for inner in node.graphs:
            yield from _nodes(inner)


def _constants(graph: wire.Graph) -> set[str]:
    made = {name for node in graph.nodes if node.op_type == "Constant" for name in node.outputs}
    return made | {tensor.name for tensor in graph.initializers}


def _weighted(graph: wire.Graph, outer: set[str]) -> int:
    """Nodes of this graph whose weight is a constant here or outside."""
    known = _constants(graph) | outer
    return sum(
        1
        for node in graph.nodes
        if (index := _WEIGHT_INPUT.get(node.op_type)) is not None
        and len(node.inputs) > index
        and node.inputs[index] in known
    )


def _weighted_inside(node: wire.Node, outer: set[str]) -> int:
    total = 0
    for graph in node.graphs:
        known = outer | _constants(graph)
        total += _weighted(graph, outer) + sum(_weighted_inside(n, known) for n in graph.nodes)
    return total


def _load(source: Path) -> Any:
    import onnx

    try:
        return onnx.load(str(source))
    except Exception as error:  # protobuf, missing files, checks of the external paths
        told = " ".join(str(error).split())
        raise ModelError(f"{source.name} cannot be loaded for quantization: {told}") from None


def _weight_bytes(model: Any) -> int:
    """Bytes of the weights; asking protobuf for its own size fails above 2 GiB."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def _quantize(model: Any, out: Path, *, external: bool, subgraphs: bool) -> None:
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize_dynamic as quantize

    logging.getLogger().setLevel(logging.ERROR)
    quantize(
        model,
        out,
        op_types_to_quantize=list(QUANTIZED_OPS),
        weight_type=QuantType.QInt8,
        use_external_data_format=external,
        extra_options={"EnableSubgraph": subgraphs, "DefaultTensorType": _weight_type(model)},
    )


def _weight_type(model: Any) -> int:
    """What to take an activation for whose type onnx cannot infer, as behind ORT's own ops."""
    from onnx import TensorProto

    types = {tensor.data_type for tensor in model.graph.initializer}
    half = TensorProto.FLOAT16 in types and TensorProto.FLOAT not in types
    return int(TensorProto.FLOAT16 if half else TensorProto.FLOAT)


def _made_nodes(out: Path) -> int:
    model = feed_graph.read(out)
    assert model is not None
    assert model.graph is not None
    return sum(node.op_type in _MADE for node in _nodes(model.graph))


def _prove(out: Path) -> None:
    """Open the result: a quantizer that ends well may still write a model nobody can load."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        ort.InferenceSession(
            str(out), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # ORT raises a dozen unrelated classes
        raise ModelError(
            f"ONNX Runtime cannot open the quantized model: {Refusal(str(error)).reason}",
            hint="The float model is not affected.",
        ) from None


def _failed(error: Exception) -> Exception:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, MemoryError) or "bad_alloc" in text:
        return MemoryError(text)
    told = text if len(text) < 400 else text[:399] + "…"
    return ModelError(
        f"ONNX Runtime's dynamic quantizer failed on this model: {told}",
        hint="The float model is not affected.",
    )
