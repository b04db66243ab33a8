"""What feeds need of a model's graph: its inputs and outputs, and the values of small constants."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ortlab.errors import ModelError
from ortlab.worker.feeding import types as feed_types
from ortlab.worker.reading import wire
from ortlab.worker.reading.protobuf import Buffer

Dim = int | str | None
# Constants up to this many elements have their values read (shapes, axes, sampling rates).
SMALL_ELEMENTS = 64
# ONNX element number → numpy type of the bytes of the constants that decide shapes.
_RAW = {1: "<f4", 2: "u1", 3: "i1", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"}


@dataclass(frozen=True)
class Input:
    """One model input that must be fed.

    `element` is ONNX's number of the (innermost) element type; `dims` is None where the rank
    is unknown; `kind` is tensor, sequence or map.
    """

    name: str
    element: int
    dims: tuple[Dim, ...] | None
    kind: str = "tensor"
    optional: bool = False


def read(path: Path) -> wire.Model | None:
    """The model's graph without its weights; None for ORT's own format, which has no protobuf.

    Raises:
        ModelError: the file is empty, cut off or not ONNX.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(8)[4:] == b"ORTM":
                return None
            # Not closed here: the graph's constants are read from it later.
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise ModelError(f"{path.name} is empty.", kind="not_onnx") from None
    model = wire.walk(mapped)
    if model.graph is None:
        raise ModelError(f"{path.name} holds no graph: it is not an ONNX model.", kind="not_onnx")
    return model


def inputs(model: wire.Model) -> list[Input]:
    """The inputs without a default value, in the model's order."""
    assert model.graph is not None
    given = {tensor.name for tensor in model.graph.initializers}
    return [
        Input(v.name, v.dtype, v.shape, v.kind, v.optional)
        for v in model.graph.inputs
        if v.name not in given
    ]


def inputs_of_session(session: Any) -> list[Input]:
    """The inputs as a session tells them, for files whose graph cannot be read."""
    found = []
    for value in session.get_inputs():
        kind, optional, element = feed_types.from_ort(value.type)
        found.append(Input(value.name, element, tuple(value.shape), kind, optional))
    return found


def as_graph(inputs: list[Input]) -> wire.Graph:
    """A graph of nothing but these inputs."""
    values = [wire.Value(i.name, i.kind, i.element, i.dims, i.optional) for i in inputs]
    return wire.Graph(inputs=values)


def reaching(model: wire.Model, node: str) -> set[str] | None:
    """The inputs whose values reach the node of this name; None when it is not in the graph."""
    assert model.graph is not None
    makers = {name: n for n in model.graph.nodes for name in n.outputs}
    found = next((n for n in model.graph.nodes if node and n.name == node), None)
    if found is None:
        return None
    waiting, seen = _read_by(found), set[str]()
    while waiting:
        name = waiting.pop()
        if name and name not in seen:
            seen.add(name)
            waiting += _read_by(makers[name]) if name in makers else []
    return seen


def _read_by(node: wire.Node) -> list[str]:
    """Every tensor a node reads, those that its subgraphs take from around them included."""
    inside = [name for graph in node.graphs for n in graph.nodes for name in _read_by(n)]
    return [*node.inputs, *inside]


def outputs_need_ort_values(model: wire.Model) -> bool:
    """Whether an output has an element type that `run` cannot return as a numpy array."""
    assert model.graph is not None
    known = (feed_types.TYPES.get(v.dtype) for v in model.graph.outputs)
    return any(t is not None and t.by_value for t in known)


def small_values(buffer: Buffer, tensor: wire.Tensor) -> np.ndarray[Any, Any] | None:
    """The values of a small constant of a plain type inside the graph file, else None."""
    count = int(np.prod(tensor.dims, dtype=object)) if tensor.dims else 1
    if count > SMALL_ELEMENTS or tensor.dtype not in _RAW or not tensor.payload:
        return None
    field, _, _ = tensor.payload[0]
    content = b"".join(bytes(buffer[start:end]) for _, start, end in tensor.payload)
    if field in (5, 7):
        flat: Any = np.array(_numbers(content), dtype=np.int64)
    elif field in (4, 9, 10):
        flat = np.frombuffer(content, {4: "<f4", 10: "<f8"}.get(field, _RAW[tensor.dtype]))
    else:
        return None
    return np.asarray(flat.reshape(tensor.dims)) if flat.size == count else None


def _numbers(content: bytes) -> list[int]:
    """Packed protobuf integers, signed."""
    numbers, value, shift = [], 0, 0
    for byte in content:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            value &= (1 << 64) - 1
            numbers.append(value - (1 << 64) if value >= 1 << 63 else value)
            value = shift = 0
    return numbers
