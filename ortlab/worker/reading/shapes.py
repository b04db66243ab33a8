"""Sizes of every tensor for given input sizes, worked out node by node.

onnx's own shape inference gives the same, but importing onnx alone takes longer than all of
inspecting may, and it wants the whole model. Here sizes are plain numbers; a small integer
tensor (a shape, an index) also keeps its values, because Reshape and Slice depend on them.
A tensor whose size cannot be known before a run (the result of NonZero) has none.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from math import prod
from typing import Any

from msgspec import Struct

from ortlab.worker.reading import dtypes
from ortlab.worker.reading.protobuf import Buffer
from ortlab.worker.reading.wire import MAX_RANK, Graph, Model, Node, Tensor, Value

Shape = tuple[int, ...]

# Shapes and indices have few elements; longer tensors are data.
_MAX_VALUES = 64
_HUGE = 1 << 63


class Fact(Struct, gc=False):
    """What is known about a tensor: its size, element type, and values where it is tiny."""

    shape: Shape | None = None
    dtype: int = 0
    values: list[int] | None = None
    floats: list[float] | None = None
    """Of a tiny float32 weight: the scales of a Resize."""


UNKNOWN = Fact()
Rule = Callable[["Call"], "list[Fact]"]


class Call(Struct):
    """One node with what is known about its inputs."""

    node: Node
    inputs: list[Fact]
    buffer: Buffer = b""
    """Of the graph file, where constants lie."""

    def input(self, index: int) -> Fact:
        """Input `index`, unknown when it was left out."""
        return self.inputs[index] if index < len(self.inputs) else UNKNOWN

    def shape(self, index: int = 0) -> Shape:
        """The size of an input; `Undecided` when it is not known."""
        found = self.input(index).shape
        if found is None:
            raise Undecided
        return found

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's value, of the type `default` has."""
        found = self.node.attributes.get(name)
        if found is None or (default is not None and not isinstance(found, type(default))):
            return default
        return found

    def axes(self, index: int) -> list[int] | None:
        """Integers given as attribute `axes`, or as input `index` in newer opsets."""
        found = self.attribute("axes", [])
        if found:
            return list(found)
        return self.values(index) if self.given(index) else None

    def given(self, index: int) -> bool:
        """Whether the input was given at all."""
        return index < len(self.node.inputs) and bool(self.node.inputs[index])

    def values(self, index: int) -> list[int]:
        """The values of a small integer input; `Undecided` when they are not known."""
        found = self.input(index).values
        if found is None:
            raise Undecided
        return found


class Undecided(Exception):  # noqa: N818 - not an error: the size is not known before a run
    """A size that depends on what is not known here."""


def initial_facts(
    model: Model, graph: Graph, named: list[tuple[Value, tuple[int | str | None, ...]]],
    sizes: dict[str, int],
) -> dict[str, Fact]:  # fmt: skip
    """What is known before the first node: the inputs under `sizes`, and the weights."""
    facts = {
        value.name: Fact(_sized(shape, sizes) if value.shape is not None else None, value.dtype)
        for value, shape in named
        if value.kind == "tensor"
    }
    for tensor in graph.initializers:
        facts[tensor.name] = tensor_fact(tensor, model.buffer)
    return facts


def _sized(shape: tuple[int | str | None, ...], sizes: dict[str, int]) -> Shape | None:
    found = [sizes.get(dim) if isinstance(dim, str) else dim for dim in shape]
    return None if None in found else tuple(dim for dim in found if dim is not None)


def tensor_fact(tensor: Tensor, buffer: Buffer) -> Fact:
    """What is known about a weight: its dimensions, and its values when it is tiny."""
    if tensor.dtype == dtypes.FLOAT32:
        return Fact(tensor.dims, tensor.dtype, floats=_tiny_floats(tensor, buffer))
    return Fact(tensor.dims, tensor.dtype, _tiny_values(tensor, buffer))


def _tiny_floats(tensor: Tensor, buffer: Buffer) -> list[float] | None:
    if len(tensor.dims) != 1 or tensor.dims[0] > 8 or len(tensor.payload) != 1:
        return None
    _, start, end = tensor.payload[0]
    if end - start != 4 * tensor.dims[0]:
        return None
    return list(struct.unpack(f"<{tensor.dims[0]}f", buffer[start:end]))


def _tiny_values(tensor: Tensor, buffer: Buffer) -> list[int] | None:
    count = prod(tensor.dims)
    if tensor.dtype not in (dtypes.INT32, dtypes.INT64) or count > _MAX_VALUES or tensor.external:
        return None
    values: list[int] = []
    for number, start, end in tensor.payload:
        if end - start > 10 * _MAX_VALUES:
            return None
        data = bytes(buffer[start:end])
        if number == 9:
            code, width = ("q", 8) if tensor.dtype == dtypes.INT64 else ("i", 4)
            whole = len(data) // width
            values += struct.unpack(f"<{whole}{code}", data[: whole * width])
        else:
            values += _varints(data)
    return values if len(values) == count else None


def _varints(data: bytes) -> list[int]:
    values, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            values.append(value - (1 << 64) if value >> 63 else value)
            value = shift = 0
    return values


def node_facts(rules: dict[str, Rule], call: Call) -> list[Fact]:
    """What is known about the outputs of one node; empty when its rule cannot tell."""
    rule = rules.get(call.node.op_type)
    if rule is None:
        return []
    try:
        return [_bounded(fact) for fact in rule(call)]
    except (Undecided, IndexError, ValueError, TypeError, ZeroDivisionError, OverflowError):
        # A malformed node (too few inputs, axes out of range) is for ONNX Runtime to refuse.
        return []


def _bounded(fact: Fact) -> Fact:
    """The fact, unless a hostile graph blew it up: doubling ranks, squaring values."""
    shape, values = fact.shape, fact.values
    if shape is not None and (len(shape) > MAX_RANK or any(not 0 <= n < _HUGE for n in shape)):
        return Fact(None, fact.dtype)
    if values is not None and (len(values) > _MAX_VALUES or any(abs(n) >= _HUGE for n in values)):
        return Fact(shape, fact.dtype)
    return fact


def declared_fact(model: Model, graph: Graph, name: str, sizes: dict[str, int]) -> Fact:
    """What the file itself says about an inner tensor."""
    value = model.declared(graph, name)
    if value is None or value.shape is None or value.kind != "tensor":
        return Fact(dtype=value.dtype if value else 0)
    return Fact(_sized(value.shape, sizes), value.dtype)


def broadcast(*shapes: Shape) -> Shape:
    """The size that numpy's rule gives for these together."""
    if shapes[0] == shapes[-1] and len(shapes) == 2:
        return shapes[0]
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(max(column) if 0 not in column else 0 for column in zip(*padded, strict=True))


def axis_of(axis: int, rank: int) -> int:
    """A non-negative axis."""
    found = axis + rank if axis < 0 else axis
    if not 0 <= found < max(rank, 1):
        raise IndexError(axis)
    return found
