"""The graph of an ONNX file, walked field by field over a memory map; weights are stepped over.

The file is hostile until proved dull: nesting and counts are bounded here, lengths in
`protobuf`. The numbers that fields are compared with are those of onnx.proto.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from ortlab.worker.reading.protobuf import (
    MAX_NAME_BYTES,
    Buffer,
    Reader,
    corrupt,
    signed,
    too_large,
)

# Limits of facts/isolation-store-fleet.md: a graph of empty nodes took 340 times its size.
MAX_NODES = 200_000
# protobuf itself stops at 100 nested messages; a graph in an attribute of a node takes three.
MAX_GRAPH_DEPTH = 30
MAX_TYPE_DEPTH = 16
MAX_RANK = 64
# An empty tensor of two bytes costs a kilobyte here, so it counts for more than one field.
_FIELDS_PER_RECORD = 8
# Touching a page of the map makes 64 KiB around it resident; they are given back this often.
_RELEASE_EVERY_BYTES = 4 << 20


class Tensor(Struct, gc=False):
    """One initializer or constant; `payload` is where its bytes lie inside the graph file."""

    name: str = ""
    dtype: int = 0
    dims: tuple[int, ...] = ()
    payload: tuple[tuple[int, int, int], ...] = ()
    """(field number, start, end) of each run of data."""
    external: dict[str, str] | None = None


class Value(Struct, gc=False):
    """A declared type: `dtype` is ONNX's number, `shape` None when the rank is unknown."""

    name: str = ""
    kind: str = "tensor"
    dtype: int = 0
    shape: tuple[int | str | None, ...] | None = None
    optional: bool = False


class Node(Struct, gc=False):
    """One node; attributes that hold graphs are in `graphs` by name as well."""

    name: str
    op_type: str
    domain: str
    overload: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    graphs: list[Graph]
    metadata: tuple[tuple[int, int], ...] = ()
    """Where the entries of its metadata lie; read when somebody asks."""


class Graph(Struct):
    """A graph or the body of a local function (which has no types and its own opsets)."""

    name: str = ""
    nodes: list[Node] = []
    inputs: list[Value] = []
    outputs: list[Value] = []
    initializers: list[Tensor] = []
    value_info: list[tuple[int, int]] = []
    """Where the declared types of inner tensors lie; read when one is needed."""
    declared: dict[str, Value] | None = None
    """What lies there by name, once it was read."""
    domain: str = ""
    overload: str = ""
    opsets: dict[str, int] = {}


class Model(Struct):
    """Everything the graph file says, apart from the weights."""

    buffer: Buffer
    ir_version: int | None = None
    opsets: dict[str, int] = {}
    producer: str = ""
    graph: Graph | None = None
    functions: list[Graph] = []
    payloads: list[tuple[int, int]] = []
    """Start and end of every run of tensor bytes in the file, in order."""
    externals: list[Tensor] = []
    """Every tensor whose bytes lie in another file."""

    def declared(self, graph: Graph, name: str) -> Value | None:
        """The type that `graph` declares for the inner tensor `name`, if it does."""
        if graph.declared is None:
            walk = _Walk(self.buffer)
            values = (walk.value(*span) for span in graph.value_info)
            graph.declared = {value.name: value for value in values}
        return graph.declared.get(name)


def walk(buffer: Buffer) -> Model:
    """The model in `buffer`, without its weights.

    Raises:
        ModelError: not protobuf, cut off, or beyond a limit; the sentence names the byte.
    """
    return _Walk(buffer).model()


class _Walk(Reader):
    """One pass over one buffer."""

    def __init__(self, buffer: Buffer) -> None:
        super().__init__(buffer)
        self.nodes_left = MAX_NODES
        self.payloads: list[tuple[int, int]] = []
        self.externals: list[Tensor] = []
        self._released_at = 0
        self._release: Callable[[], None] = _page_release(buffer)

    def model(self) -> Model:
        """The outermost message."""
        found = Model(buffer=self.buffer)
        producer = {2: "", 3: ""}
        for number, wire, start, end in self.fields(0, len(self.buffer)):
            if number == 1 and wire == 0:
                found.ir_version = signed(start)
            elif number in producer and wire == 2:
                producer[number] = self.text(start, end)
            elif number == 7 and wire == 2:
                # Protobuf merges a message that is there twice, and so does ONNX Runtime.
                found.graph = self.graph(start, end, 0, into=found.graph)
            elif number == 8 and wire == 2:
                self._opset(start, end, found.opsets)
            elif number == 25 and wire == 2:
                found.functions.append(self._function(start, end))
        found.producer = " ".join(part for part in producer.values() if part)
        found.payloads, found.externals = self.payloads, self.externals
        return found

    def _opset(self, start: int, end: int, opsets: dict[str, int]) -> None:
        domain, version = "", 0
        for number, wire, at, stop in self.fields(start, end):
            if number == 1 and wire == 2:
                domain = self.text(at, stop)
            elif number == 2 and wire == 0:
                version = signed(at)
        opsets["" if domain == "ai.onnx" else domain] = version

    def graph(self, start: int, end: int, depth: int, *, into: Graph | None = None) -> Graph:
        """A graph with everything in it; `depth` counts the graphs around it."""
        if depth > MAX_GRAPH_DEPTH:
            raise corrupt(start, f"more than {MAX_GRAPH_DEPTH} graphs inside one another")
        found = into or Graph()
        for number, wire, at, stop in self.fields(start, end):
            if wire != 2:
                continue
            if number == 1:
                found.nodes.append(self._node(at, stop, depth))
            elif number == 13:
                found.value_info.append((at, stop))
            elif number == 5:
                found.initializers.append(self.tensor(at, stop))
            elif number == 11:
                found.inputs.append(self.value(at, stop))
            elif number == 12:
                found.outputs.append(self.value(at, stop))
            elif number == 2:
                found.name = self.text(at, stop)
            elif number == 15:
                found.initializers.append(self._sparse(at, stop))
        return found

    def _function(self, start: int, end: int) -> Graph:
        found = Graph()
        for number, wire, at, stop in self.fields(start, end):
            if wire != 2:
                continue
            if number == 7:
                found.nodes.append(self._node(at, stop, 0))
            elif number in (4, 5):
                value = Value(name=self.text(at, stop))
                (found.inputs if number == 4 else found.outputs).append(value)
            elif number == 9:
                self._opset(at, stop, found.opsets)
            elif number in (1, 10, 13):
                setattr(found, {1: "name", 10: "domain", 13: "overload"}[number],
                        self.text(at, stop))  # fmt: skip
        return found

    def _node(self, start: int, end: int, depth: int) -> Node:
        self.nodes_left -= 1
        if self.nodes_left < 0:
            raise too_large("nodes", MAX_NODES)
        inputs: list[str] = []
        outputs: list[str] = []
        texts = {3: "", 4: "", 7: "", 8: ""}
        metadata: list[tuple[int, int]] = []
        found = Node("", "", "", "", inputs, outputs, {}, [])
        for number, wire, at, stop in self.fields(start, end):
            if wire != 2:
                continue
            if number == 1:
                inputs.append(self.text(at, stop))
            elif number == 2:
                outputs.append(self.text(at, stop))
            elif number == 5:
                self._attribute(at, stop, found, depth)
            elif number in texts:
                texts[number] = self.text(at, stop)
            elif number == 9:
                metadata.append((at, stop))
        found.metadata = tuple(metadata)
        found.name, found.op_type, found.overload = texts[3], texts[4], texts[8]
        found.domain = "" if texts[7] == "ai.onnx" else texts[7]
        return found

    def _attribute(self, start: int, end: int, node: Node, depth: int) -> None:
        name, numbers = "", list[int]()
        value: Any = None
        for number, wire, at, stop in self.fields(start, end):
            if number == 1 and wire == 2:
                name = self.text(at, stop)
            elif number == 3 and wire == 0:
                value = signed(at)
            elif number == 8:
                numbers += [signed(at)] if wire == 0 else self.packed(at, stop)
            elif number == 2 and wire == 5:
                value = struct.unpack("<f", self.buffer[at:stop])[0]
            elif number == 4 and wire == 2:
                value = bytes(self.buffer[at : min(stop, at + MAX_NAME_BYTES)])
            elif number in (5, 10) and wire == 2:
                value = self.tensor(at, stop)
            elif number in (6, 11) and wire == 2:
                value = self.graph(at, stop, depth + 1)
                node.graphs.append(value)
            elif number in (22, 23) and wire == 2:
                value = self._sparse(at, stop)
            elif number == 21 and wire == 2:
                value = Reference(self.text(at, stop))
        node.attributes[name] = numbers if numbers else value

    def tensor(self, start: int, end: int) -> Tensor:
        """One tensor; where its bytes lie is noted, not what they are."""
        self.fields_left -= _FIELDS_PER_RECORD
        found = Tensor()
        dims: list[int] = []
        runs: list[tuple[int, int, int]] = []
        entries: dict[str, str] = {}
        external = False
        for number, wire, at, stop in self.fields(start, end):
            if number == 1:
                dims += [signed(at)] if wire == 0 else self.packed(at, stop)
            elif number == 2 and wire == 0:
                found.dtype = signed(at)
            elif number == 8 and wire == 2:
                found.name = self.text(at, stop)
            elif number in (4, 5, 6, 7, 9, 10, 11) and wire != 0:
                runs.append((number, at, stop))
            elif number == 13 and wire == 2:
                key, entry = self._entry(at, stop)
                entries[key] = entry
            elif number == 14 and wire == 0:
                external = at == 1
        found.dims, found.payload = self._checked_dims(dims, start), tuple(runs)
        if external:
            found.external = entries
            self.externals.append(found)
        self.payloads += [(at, stop) for _, at, stop in runs]
        if end - self._released_at > _RELEASE_EVERY_BYTES:
            self._released_at = end
            self._release()
        return found

    def _checked_dims(self, dims: list[int], at: int) -> tuple[int, ...]:
        if len(dims) > MAX_RANK or any(size < 0 for size in dims):
            raise corrupt(at, f"a tensor with the dimensions {str(dims)[:80]}")
        return tuple(dims)

    def _sparse(self, start: int, end: int) -> Tensor:
        """A sparse tensor as its values, under the name and with the shape of the whole."""
        found = Tensor()
        dims: list[int] = []
        for number, wire, at, stop in self.fields(start, end):
            if number == 1 and wire == 2:
                found = self.tensor(at, stop)
            elif number == 2 and wire == 2:
                self.tensor(at, stop)
            elif number == 3:
                dims += [signed(at)] if wire == 0 else self.packed(at, stop)
        found.dims = self._checked_dims(dims, start)
        return found

    def _entry(self, start: int, end: int) -> tuple[str, str]:
        entry = {1: "", 2: ""}
        for number, wire, at, stop in self.fields(start, end):
            if number in entry and wire == 2:
                entry[number] = self.text(at, stop)
        return entry[1], entry[2]

    def value(self, start: int, end: int) -> Value:
        """A declared name with its type."""
        self.fields_left -= _FIELDS_PER_RECORD
        found = Value()
        for number, wire, at, stop in self.fields(start, end):
            if number == 1 and wire == 2:
                found.name = self.text(at, stop)
            elif number == 2 and wire == 2:
                self._type(at, stop, found, 0)
        return found

    def _type(self, start: int, end: int, found: Value, depth: int) -> None:
        """Fill in the type; of a sequence, optional or map the innermost tensor is told."""
        if depth > MAX_TYPE_DEPTH:
            raise corrupt(start, f"more than {MAX_TYPE_DEPTH} types inside one another")
        kinds = {4: "sequence", 5: "map", 9: "optional"}
        for number, wire, at, stop in self.fields(start, end):
            if wire != 2:
                continue
            if number in (1, 8):
                found.kind = "sparse" if number == 8 and depth == 0 else found.kind
                self._tensor_type(at, stop, found)
            elif number in kinds:
                if kinds[number] == "optional":
                    found.optional = True
                elif found.kind == "tensor":
                    found.kind = kinds[number]
                inner = 2 if number == 5 else 1
                for part, part_wire, part_at, part_stop in self.fields(at, stop):
                    if part == inner and part_wire == 2:
                        self._type(part_at, part_stop, found, depth + 1)

    def _tensor_type(self, start: int, end: int, found: Value) -> None:
        for number, wire, at, stop in self.fields(start, end):
            if number == 1 and wire == 0:
                found.dtype = signed(at)
            elif number == 2 and wire == 2:
                found.shape = tuple(
                    self._dimension(*dim[2:]) for dim in self.fields(at, stop) if dim[:2] == (1, 2)
                )

    def _dimension(self, start: int, end: int) -> int | str | None:
        size: int | str | None = None
        for number, wire, at, stop in self.fields(start, end):
            if number == 1 and wire == 0:
                # Some converters write -1 for "unknown"; ONNX Runtime takes it so too.
                size = signed(at) if signed(at) >= 0 else None
            elif number == 2 and wire == 2:
                size = self.text(at, stop) or None
        return size


class Reference(Struct):
    """An attribute of a function body whose value the call gives."""

    name: str


def _page_release(buffer: Buffer) -> Callable[[], None]:
    """What drops the pages of a memory map from this process; they stay in the file cache."""
    if isinstance(buffer, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        return lambda: buffer.madvise(mmap.MADV_DONTNEED)
    return lambda: None
