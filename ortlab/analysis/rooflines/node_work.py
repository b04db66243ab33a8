"""The work of one call of a node, from what a trace tells about it: types and shapes.

A trace shows no attributes, and it leaves out weights that ONNX Runtime repacked when it opened
the session: a MatMul then has one input. What is missing is worked out where only one answer
fits (the inner length of a product follows from its input and its output); where several fit,
as for the kernel of a convolution, the FLOPs stay unknown, unless the graph tells the weight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

from msgspec import Struct

from ortlab.catalog import flops as catalog
from ortlab.catalog.flops import Cost, Dims
from ortlab.domain.trace import NodeRow

BITS = {
    "float": 32, "float16": 16, "bfloat16": 16, "double": 64, "bool": 8, "int8": 8, "uint8": 8,
    "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64, "int4": 4,
    "uint4": 4, "int2": 2, "uint2": 2, "float8e4m3fn": 8, "float8e4m3fnuz": 8, "float8e5m2": 8,
    "float8e5m2fnuz": 8, "complex64": 64, "complex128": 128,
}  # fmt: skip
KIND_OF = {"float": "fp32", "float16": "fp16", "int8": "int8", "uint8": "int8"}
"""The compute roof of arithmetic on a type; others have none."""
# A shape text may be anything; beyond this it is no count of a real node.
_MAX_COUNT = 1 << 63
_TENSOR = re.compile(r"([a-z][a-z0-9]*)\[([0-9]{1,18}(?:,[0-9]{1,18})*)?\]")

# Weights of four bits are packed in blocks, whose sizes are not those of the matrix.
BLOCK_BITS = 4

NO_SHAPES = "no shapes in the trace"
VARYING = "shapes that differ from call to call"
UNREADABLE = "shapes that cannot be read"
UNKNOWN_OPERATOR = "operators whose amount of arithmetic is not known"
HOLDER = "If, Loop and the like, which only run the nodes inside them"
HIDDEN_WEIGHT = "weights left out of the trace, and the size of the kernel with them"
UNFIT = "shapes that do not determine the amount of arithmetic"


class Tensor(NamedTuple):
    """One input or output as a trace names it."""

    dtype: str
    dims: Dims

    @property
    def bytes(self) -> int:
        """What it takes in memory; 0 for types without a fixed size, such as strings."""
        return prod(self.dims) * BITS.get(self.dtype, 0) // 8


class Work(Struct, frozen=True, kw_only=True):
    """One call. None is what cannot be known; `why` then says why."""

    flops: int | None
    data_bytes: int | None
    """Read and written, weights left out."""
    weight_bytes: int = 0
    kind: str | None = None
    why: str = ""

    @property
    def bytes(self) -> int | None:
        """Everything read and written."""
        return None if self.data_bytes is None else self.data_bytes + self.weight_bytes


def tensors(text: str) -> tuple[Tensor, ...] | None:
    """The tensors of `float[1,3,224,224] int64[2]`; None when the text is anything else."""
    found = []
    for word in text.split(" ") if text else []:
        match = _TENSOR.fullmatch(word)
        if match is None:
            return None
        dims = tuple(int(size) for size in match[2].split(",")) if match[2] else ()
        if prod(dims) >= _MAX_COUNT:
            return None
        found.append(Tensor(match[1], dims))
    return tuple(found)


def work(row: NodeRow, *, weights: Sequence[Tensor | None] = ()) -> Work:
    """The work of one call of this node.

    Args:
        row: the node.
        weights: where its graph is known, its weights by the place of their input.
    """
    if not row.output_shapes:
        return Work(flops=None, data_bytes=_told_bytes(row), why=NO_SHAPES)
    if " and " in f"{row.input_shapes} {row.output_shapes}":
        return Work(flops=None, data_bytes=None, why=VARYING)
    inputs, outputs = tensors(row.input_shapes), tensors(row.output_shapes)
    if inputs is None or not outputs:
        return Work(flops=None, data_bytes=None, why=UNREADABLE)
    rule = catalog.cost(row.op_type)
    hidden = _hidden(inputs, weights)
    inputs = _completed(inputs, weights) if hidden else inputs
    counted = _counted(rule, inputs, outputs)
    hidden_bytes = hidden or counted.weight_bytes
    return Work(
        flops=counted.flops if counted.flops is None else min(counted.flops, _MAX_COUNT),
        data_bytes=_data_bytes(rule, inputs, outputs, weight_bytes=_shown(row) + hidden),
        weight_bytes=_weight_bytes(rule, row, inputs) + hidden_bytes,
        kind=(rule.kind if rule else None) or KIND_OF.get(inputs[0].dtype if inputs else ""),
        why=counted.why,
    )


class _Count(NamedTuple):
    """FLOPs, and the bytes of a weight that the trace left out."""

    flops: int | None
    weight_bytes: int = 0
    why: str = ""


class _Unfit(Exception):  # noqa: N818 - not an error: the shapes leave several answers
    """Shapes that do not tell how much work was done."""


def _told_bytes(row: NodeRow) -> int | None:
    """Bytes where a trace tells sizes but no shapes, as before ORT 1.12."""
    sizes = (row.parameter_bytes, row.activation_bytes, row.output_bytes)
    told = [size for size in sizes if size is not None]
    return sum(told) if len(told) == len(sizes) else None


def _shown(row: NodeRow) -> int:
    return max(row.parameter_bytes or 0, 0)


def _hidden(inputs: Sequence[Tensor], weights: Sequence[Tensor | None]) -> int:
    """Bytes of the weights that the graph has and the trace does not show."""
    left = list(inputs)
    missing = 0
    for weight in weights:
        if weight is None:
            continue
        if weight in left:
            left.remove(weight)
        else:
            missing += weight.bytes
    return missing


def _completed(inputs: Sequence[Tensor], weights: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """The inputs as the graph has them: weights in their places, others as the trace lists them."""
    shown = list(inputs)
    completed = []
    for weight in weights:
        if weight is None:
            if shown:
                completed.append(shown.pop(0))
            continue
        if shown and shown[0] == weight:
            shown.pop(0)
        completed.append(weight)
    return (*completed, *shown)


def _data_bytes(
    rule: Cost | None, inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, weight_bytes: int
) -> int:
    written = sum(tensor.bytes for tensor in outputs)
    if rule is not None and rule.family == "view":
        return 0
    if rule is not None and rule.family == "rows":
        # Of the first input only what is taken out is read; the indices are read whole.
        return 2 * written + sum(tensor.bytes for tensor in inputs[1:] if tensor.dtype[:3] == "int")
    return max(sum(tensor.bytes for tensor in inputs) - weight_bytes, 0) + written


def _weight_bytes(rule: Cost | None, row: NodeRow, inputs: Sequence[Tensor]) -> int:
    """Weights that the trace shows; a table that rows are taken from is not read whole."""
    if rule is not None and rule.family in ("view", "rows"):
        return 0
    return min(_shown(row), sum(tensor.bytes for tensor in inputs))


def _counted(rule: Cost | None, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> _Count:
    if rule is None:
        return _Count(None, why=UNKNOWN_OPERATOR)
    if rule.family == "holder":
        return _Count(None, why=HOLDER)
    count = _HEAVY.get(rule.family)
    if count is None:
        return _Count(_light(rule, inputs, outputs))
    try:
        return count(rule, inputs, outputs)
    except (_Unfit, IndexError, ValueError, ZeroDivisionError):
        hidden = rule.family in ("convolution", "transposed") and not _weight(rule, inputs)
        return _Count(None, why=HIDDEN_WEIGHT if hidden else UNFIT)


def _light(rule: Cost, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    """FLOPs of an operator that does the same to every element."""
    of = inputs[0] if rule.family == "input" and inputs else outputs[0]
    times = max(len(inputs) - 1, 0) if rule.family == "variadic" else rule.per_element
    return int(prod(of.dims) * times)


def _weight(rule: Cost, inputs: Sequence[Tensor]) -> Tensor | None:
    """The weight of a convolution, where the trace shows it."""
    if rule.weight_at >= len(inputs):
        return None
    found = inputs[rule.weight_at]
    return found if len(found.dims) == len(inputs[0].dims) >= 3 else None


def _product(rule: Cost, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> _Count:
    """The inner length is what is left of the left input's last two sizes beside the rows."""
    left, output = inputs[0].dims, outputs[0].dims
    inner, columns = _inner(left, output)
    fitting = [t for t in inputs[1:] if _fits(t.dims, inner=inner, columns=columns)]
    blocks = rule.weight_bits == BLOCK_BITS
    right = [t.dims for t in inputs[rule.weight_at : rule.weight_at + 1] if len(t.dims) >= 2]
    if right and not fitting and not blocks and not _is_bias(right[0], output):
        raise _Unfit
    size = inner * columns * (rule.weight_bits or BITS.get(inputs[0].dtype, 0)) // 8
    shown = bool(fitting) or (
        blocks and any(t.dtype == "uint8" and t.bytes >= size for t in inputs[1:])
    )
    hidden = 0 if shown else size
    return _Count(catalog.product(output, inner=inner), hidden)


def _inner(left: Dims, output: Dims) -> tuple[int, int]:
    """(inner length, columns of the right side) of a product with this left side and output."""
    if len(left) == 1:
        return left[0], output[-1] if output else 1
    if len(output) == len(left) - 1 and output[-1] == left[-2]:
        return left[-1], 1
    rows, columns = output[-2], output[-1]
    if rows == left[-2]:
        return left[-1], columns
    if rows == left[-1]:
        return left[-2], columns
    raise _Unfit


def _fits(right: Dims, *, inner: int, columns: int) -> bool:
    if len(right) == 1:
        return columns == 1 and right[0] == inner
    return len(right) >= 2 and sorted(right[-2:]) == sorted((inner, columns))


def _is_bias(dims: Dims, output: Dims) -> bool:
    """Whether these sizes broadcast to the output, as the C of a Gemm does."""
    if len(dims) > len(output):
        return False
    return all(a in (1, b) for a, b in zip(reversed(dims), reversed(output), strict=False))


def _convolution(rule: Cost, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> _Count:
    weight, output = _weight(rule, inputs), outputs[0].dims
    # Channels are second, or last where a provider wants them so.
    if weight is None or weight.dims[0] not in (output[1], output[-1]):
        raise _Unfit
    return _Count(catalog.convolution(output, weight=weight.dims))


def _transposed(rule: Cost, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> _Count:
    weight, image = _weight(rule, inputs), inputs[0].dims
    if weight is None or weight.dims[0] != image[1]:
        raise _Unfit
    return _Count(catalog.transposed_convolution(image, weight=weight.dims))


def _recurrent(rule: Cost, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> _Count:
    """Steps, batch and input width from the input; directions and hidden width from an output."""
    steps, batch, width = inputs[0].dims
    hidden = outputs[0].dims[-1]
    if len(outputs[0].dims) == 4:
        directions = prod(outputs[0].dims) // (steps * batch * hidden)
    else:
        # Only the last state was asked for: [directions, batch, hidden], batch first in layout 1.
        states = outputs[0].dims[:2]
        directions = states[0] if states[1] == batch else states[1]
    if directions not in (1, 2):
        raise _Unfit
    weights = directions * rule.gates * hidden * (hidden + width)
    shown = any(len(t.dims) == 3 and width in t.dims[1:] for t in inputs[1:])
    bits = rule.weight_bits or BITS.get(inputs[0].dtype, 0)
    flops = catalog.recurrent(positions=steps * batch, weights=weights)
    return _Count(flops, 0 if shown else weights * bits // 8)


def _attention(rule: Cost, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> _Count:
    """With query, key and value as inputs, or with one input that is projected first."""
    query, output = inputs[0].dims, outputs[0].dims
    # Where keys of earlier runs are kept, the second output has all of them.
    kept = next((t.dims for t in outputs[1:] if len(t.dims) in (4, 5)), None)
    if len(inputs) >= 3 and min(len(t.dims) for t in inputs[:3]) >= 3:
        keys = kept[-2] if kept else inputs[1].dims[-2]
        flops = catalog.attention(query=prod(query), output=prod(output), keys=keys)
        return _Count(flops)
    if not rule.projects:
        raise _Unfit
    batch, length, hidden = query
    shown = next((t.dims for t in inputs[1:2] if len(t.dims) == 2 and t.dims[0] == hidden), None)
    bias = next((t.dims for t in inputs[1:3] if len(t.dims) == 1), None)
    projected = shown[1] if shown else bias[0] if bias and bias[0] > output[-1] else 3 * output[-1]
    flops = catalog.projected_attention(
        batch=batch, length=length, keys=kept[-2] if kept else length, hidden=hidden,
        projected=projected, values=output[-1],
    )  # fmt: skip
    bits = rule.weight_bits or BITS.get(inputs[0].dtype, 0)
    return _Count(flops, 0 if shown else hidden * projected * bits // 8)


_HEAVY: dict[str, Callable[[Cost, Sequence[Tensor], Sequence[Tensor]], _Count]] = {
    "product": _product,
    "convolution": _convolution,
    "transposed": _transposed,
    "recurrent": _recurrent,
    "attention": _attention,
}
