"""Work of one run: multiplications and additions, and bytes that nodes read and write.

Two per multiply-add, counted for matrix products, convolutions, recurrent cells and attention;
everything else counts nothing, as is usual. A number is given only when the size of every
tensor it needs is known before a run; docs/method.md, "FLOPs and bytes", says how.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from msgspec import Struct

from ortlab.catalog import flops as arithmetic
from ortlab.worker.reading import dtypes, shape_rules
from ortlab.worker.reading.dimensions import names
from ortlab.worker.reading.shapes import (
    UNKNOWN,
    Call,
    Fact,
    Rule,
    Shape,
    Undecided,
    broadcast,
    declared_fact,
    initial_facts,
    node_facts,
)
from ortlab.worker.reading.structure import every_node, order
from ortlab.worker.reading.wire import Graph, Model, Node

# Calls of local functions are followed into their bodies, at most this many nodes in all.
_MAX_VISITS = 50_000
_MAX_CALL_DEPTH = 20
# Those whose operators mean here what the tables below say.
_DOMAINS = ("", "com.microsoft", "ai.onnx.ml")
_MAX_COUNT = (1 << 63) - 1


class Work(Struct, frozen=True):
    """Of one run under the sizes that were asked; None where it cannot be known."""

    flops: int | None
    bytes_moved: int | None


def work(model: Model, graph: Graph, sizes: dict[str, int]) -> Work:
    """The work of one run of the main graph, each symbolic dimension as in `sizes`."""
    facts = initial_facts(model, graph, names(graph), sizes)
    count = Count(model, sizes)
    return count.total(graph, facts)


class Count:
    """One walk through the nodes, in an order in which sizes become known."""

    def __init__(self, model: Model, sizes: dict[str, int]) -> None:
        self._model = model
        self._sizes = sizes
        self._functions = {(f.domain, f.name, f.overload): f for f in model.functions}
        self._visits = _MAX_VISITS if model.functions else len(model.payloads) + 10**6

    def total(self, graph: Graph, facts: dict[str, Fact], depth: int = 0) -> Work:
        """The work of all nodes of one graph; `facts` is filled in on the way."""
        sequence = order(graph.nodes)
        if sequence is None or depth > _MAX_CALL_DEPTH:
            return Work(None, None)
        flops: int | None = 0
        moved: int | None = 0
        for i in sequence:
            self._visits -= 1
            if self._visits < 0:
                return Work(None, None)
            done = self._node(graph.nodes[i], graph, facts, depth)
            flops = _plus(flops, done.flops)
            moved = _plus(moved, done.bytes_moved)
        return Work(flops, moved)

    def _node(self, node: Node, graph: Graph, facts: dict[str, Fact], depth: int) -> Work:
        function = self._functions.get((node.domain, node.op_type, node.overload))
        if function is not None:
            return self._call(node, function, facts, depth)
        call = Call(node, [facts.get(name, UNKNOWN) for name in node.inputs], self._model.buffer)
        known = node.domain in _DOMAINS
        found = node_facts(RULES, call) if known else []
        outputs = []
        for i, name in enumerate(node.outputs):
            fact = found[i] if i < len(found) else UNKNOWN
            if fact.shape is None and name:
                fact = declared_fact(self._model, graph, name, self._sizes)
            facts[name] = fact
            outputs.append(fact)
        if not known:
            # An operator of another domain may do any work under any name.
            return Work(None, _bytes_moved(call, outputs))
        if node.graphs:
            heavy = any(inner.op_type in FLOPS for g in node.graphs for inner in every_node(g))
            return Work(None if heavy else 0, None)
        return Work(_flops(call, outputs), _bytes_moved(call, outputs))

    def _call(self, node: Node, function: Graph, facts: dict[str, Fact], depth: int) -> Work:
        """The work of a local function, with the sizes that this call gives it."""
        given = zip(function.inputs, node.inputs, strict=False)
        inner = {value.name: facts.get(name, UNKNOWN) for value, name in given}
        done = self.total(function, inner, depth + 1)
        for value, name in zip(function.outputs, node.outputs, strict=False):
            facts[name] = inner.get(value.name, UNKNOWN)
        return done


def _plus(total: int | None, more: int | None) -> int | None:
    if total is None or more is None:
        return None
    return min(total + more, _MAX_COUNT)


def _flops(call: Call, outputs: list[Fact]) -> int | None:
    rule = FLOPS.get(call.node.op_type)
    if rule is None:
        return 0
    try:
        return rule(call, outputs)
    except (Undecided, IndexError, ValueError, TypeError, ZeroDivisionError):
        return None


# These give another view of the same bytes, or only sizes.
_VIEWS = frozenset({"Constant", "Flatten", "Identity", "Reshape", "Shape", "Size", "Squeeze",
                    "Unsqueeze"})  # fmt: skip


def _bytes_moved(call: Call, outputs: list[Fact]) -> int | None:
    if call.node.op_type in _VIEWS:
        return 0
    total = 0
    for names_of, facts in ((call.node.inputs, call.inputs), (call.node.outputs, outputs)):
        for name, fact in zip(names_of, facts, strict=True):
            if name and fact.shape is None:
                return None
            total += dtypes.tensor_bytes(fact.dtype or 1, fact.shape or ()) if name else 0
    return total


def _matmul_shape(left: Shape, right: Shape) -> Shape:
    first = left if len(left) > 1 else (1, *left)
    second = right if len(right) > 1 else (*right, 1)
    if first[-1] != second[-2]:
        raise Undecided
    found = (*broadcast(first[:-2] or (1,), second[:-2] or (1,)), first[-2], second[-1])
    found = found if len(left) > 2 or len(right) > 2 else found[-2:]
    found = found if len(left) > 1 else (*found[:-2], found[-1])
    return found if len(right) > 1 else found[:-1]


def _second_operand(call: Call) -> int:
    return 3 if call.node.op_type.startswith("QLinear") else 1


def _matmul(call: Call) -> list[Fact]:
    op_type = call.node.op_type
    left, right = call.shape(0), call.shape(_second_operand(call))
    if call.attribute("transA", 0):
        left = (*left[:-2], left[-1], left[-2])
    if call.attribute("transB", 0):
        right = (*right[:-2], right[-1], right[-2])
    dtype = {"MatMulInteger": dtypes.INT32, "QLinearMatMul": call.input(7).dtype}.get(
        op_type, call.input(0).dtype
    )
    return [Fact(_matmul_shape(left, right), dtype)]


def _matmul_flops(call: Call, outputs: list[Fact]) -> int:
    left = call.shape(0)
    inner = left[-2] if call.attribute("transA", 0) and len(left) > 1 else left[-1]
    return arithmetic.product(_shape(outputs[0]), inner=inner)


def _matmul_nbits(call: Call) -> list[Fact]:
    return [Fact((*call.shape(0)[:-1], call.attribute("N", 0)), call.input(0).dtype)]


def _convolution(call: Call) -> list[Fact]:
    image, weight = call.shape(0), call.shape(_second_operand(call))
    kernel = call.attribute("kernel_shape", []) or weight[2:]
    sizes = shape_rules.windows(call, image[2:], kernel)
    dtype = {"ConvInteger": dtypes.INT32, "QLinearConv": call.input(7).dtype}.get(
        call.node.op_type, call.input(0).dtype
    )
    return [Fact((image[0], weight[0], *sizes), dtype)]


def _convolution_flops(call: Call, outputs: list[Fact]) -> int:
    return arithmetic.convolution(_shape(outputs[0]), weight=call.shape(_second_operand(call)))


def _transposed(call: Call) -> list[Fact]:
    image, weight = call.shape(0), call.shape(1)
    rank = len(image) - 2
    channels = weight[1] * call.attribute("group", 1)
    sizes = call.attribute("output_shape", [])
    if not sizes:
        sizes = [_transposed_size(call, image[2:], weight[2:], i) for i in range(rank)]
    return [Fact((image[0], channels, *sizes[-rank:]), call.input(0).dtype)]


def _transposed_size(call: Call, sizes: Shape, kernel: Shape, i: int) -> int:
    rank = len(sizes)
    stride = (call.attribute("strides", []) or [1] * rank)[i]
    if call.attribute("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
        return int(sizes[i] * stride)
    dilation = (call.attribute("dilations", []) or [1] * rank)[i]
    extra = (call.attribute("output_padding", []) or [0] * rank)[i]
    pads = call.attribute("pads", []) or [0] * (2 * rank)
    whole = stride * (sizes[i] - 1) + extra + (kernel[i] - 1) * dilation + 1
    return int(whole - pads[i] - pads[rank + i])


def _transposed_flops(call: Call, outputs: list[Fact]) -> int:
    return arithmetic.transposed_convolution(call.shape(0), weight=call.shape(1))


def _recurrent(call: Call) -> list[Fact]:
    steps, batch, _ = call.shape(0)
    directions, _, hidden = call.shape(2)
    dtype = call.input(0).dtype
    if call.attribute("layout", 0):
        batch, steps = steps, batch
        state = Fact((batch, directions, hidden), dtype)
        return [Fact((batch, steps, directions, hidden), dtype), state, state]
    state = Fact((directions, batch, hidden), dtype)
    return [Fact((steps, directions, batch, hidden), dtype), state, state]


def _recurrent_flops(call: Call, outputs: list[Fact]) -> int:
    steps, batch, _ = call.shape(0)
    # Both weight matrices hold all gates: [directions, gates * hidden, inputs].
    weights = prod(call.shape(1)) + prod(call.shape(2))
    return arithmetic.recurrent(positions=steps * batch, weights=weights)


def _einsum_terms(call: Call) -> tuple[dict[str, int], str]:
    text = call.attribute("equation", b"").decode("ascii").replace(" ", "")
    if "..." in text or "->" not in text:
        raise Undecided
    inputs, output = text.split("->")
    sizes: dict[str, int] = {}
    for i, term in enumerate(inputs.split(",")):
        for letter, size in zip(term, call.shape(i), strict=True):
            sizes[letter] = max(sizes.get(letter, 1), size)
    return sizes, output


def _einsum(call: Call) -> list[Fact]:
    sizes, output = _einsum_terms(call)
    return [Fact(tuple(sizes[letter] for letter in output), call.input(0).dtype)]


def _einsum_flops(call: Call, outputs: list[Fact]) -> int:
    # Contracted all at once, as ONNX defines it; a runtime may find a cheaper order.
    sizes, _ = _einsum_terms(call)
    return 2 * prod(sizes.values()) * max(len(call.inputs) - 1, 1)


def _attention(call: Call) -> list[Fact]:
    """ai.onnx Attention (query, key, value), and com.microsoft's, which projects first."""
    query = call.shape(0)
    dtype = call.input(0).dtype
    if call.node.domain == "com.microsoft":
        if call.node.op_type == "Attention":
            return [Fact((*query[:2], call.shape(1)[1] // 3), dtype)]
        return [Fact(query, dtype)]
    value = call.shape(2)
    if len(query) == 4:
        return [Fact((*query[:3], value[3]), dtype)]
    heads = call.attribute("q_num_heads", 1), call.attribute("kv_num_heads", 1)
    return [Fact((*query[:2], value[2] // heads[1] * heads[0]), dtype)]


def _attention_flops(call: Call, outputs: list[Fact]) -> int:
    query = call.shape(0)
    if call.node.domain == "com.microsoft" and call.node.op_type == "Attention":
        batch, length, hidden = query
        projected = call.shape(1)[1]
        return arithmetic.projected_attention(
            batch=batch, length=length, keys=length, hidden=hidden, projected=projected,
            values=projected // 3,
        )  # fmt: skip
    if any(call.given(i) for i in _PAST[call.node.domain]):
        raise Undecided
    return arithmetic.attention(
        query=prod(query), output=prod(_shape(outputs[0])), keys=call.shape(1)[-2]
    )


# Inputs that lengthen the keys by what earlier runs left; their sizes are not all declared.
_PAST = {"": (4, 5), "com.microsoft": (6, 7)}


def _shape(fact: Fact) -> Shape:
    if fact.shape is None:
        raise Undecided
    return fact.shape


_PRODUCTS = ("FusedMatMul", "Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "FusedGemm",
             "MatMulIntegerToFloat", "DynamicQuantizeMatMul")  # fmt: skip
_CONVOLUTIONS = ("Conv", "ConvInteger", "FusedConv", "QLinearConv")

FLOPS: dict[str, Callable[[Call, list[Fact]], int]] = {
    **dict.fromkeys(_PRODUCTS, _matmul_flops),
    **dict.fromkeys(_CONVOLUTIONS, _convolution_flops),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent_flops),
    **dict.fromkeys(("Attention", "MultiHeadAttention"), _attention_flops),
    "ConvTranspose": _transposed_flops,
    "Einsum": _einsum_flops,
    "MatMulNBits": lambda call, outputs: arithmetic.product(
        _shape(outputs[0]), inner=call.shape(0)[-1]
    ),
}
"""Multiplications and additions by operator."""

_NOT_COUNTED = ("DeformConv", "GroupQueryAttention", "QAttention", "PackedAttention", "MoE",
                "QMoE", "PagedAttention", "SparseAttention", "LinearAttention",
                "DecoderMaskedMultiHeadAttention", "CausalConvWithState")  # fmt: skip


def _unknown_work(call: Call, outputs: list[Fact]) -> int:
    """Operators that do such work, but whose count is not told by sizes alone."""
    raise Undecided


FLOPS.update(dict.fromkeys(_NOT_COUNTED, _unknown_work))

RULES: dict[str, Rule] = {
    **shape_rules.RULES,
    **dict.fromkeys(_PRODUCTS, _matmul),
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent),
    **dict.fromkeys(("Attention", "MultiHeadAttention"), _attention),
    "ConvTranspose": _transposed,
    "Einsum": _einsum,
    "MatMulNBits": _matmul_nbits,
}
"""Sizes by operator."""
