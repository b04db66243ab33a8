"""What becomes of each model input inside the graph, as far as it limits what may be fed.

Values are followed from the inputs through ops that only move them about, into subgraphs and
functions, until an op that sets a limit: an id into a table, a shape, a count, an axis.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ortlab.worker.feeding import graph as feed_graph
from ortlab.worker.reading.wire import Graph, Model, Node, Tensor

Array = np.ndarray[Any, Any]

# Functions that call functions can unfold without end; real models stay far below this.
MAX_NODE_VISITS = 300_000

Size = int | tuple[str, int]
"""A size: a number, or (model input, axis)."""


@dataclass
class Use:
    """What limits one input. `bounds`: ids stay below each; `roles`: (role, element count)."""

    bounds: list[tuple[Size, int, str]] = field(default_factory=list)
    """(size of the table, what is added to the id on its way, the table's name)."""
    roles: dict[str, str] = field(default_factory=dict)
    """Role → the data tensor it acts on; see `ROLES`."""
    equals: set[int] = field(default_factory=set)
    """Constants that the input is compared with."""
    nodes: set[str] = field(default_factory=set)
    """Names of the nodes where a limit was found."""


@dataclass(frozen=True)
class _Flow:
    """One tensor that carries an input's values: the input, and what was added to them."""

    source: str
    added: int = 0


# Ops whose output holds values of these inputs, unchanged. None: all inputs.
_CARRIERS: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(
        ("Cast", "CastLike", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Transpose",
         "Flatten", "Expand", "Tile", "Slice", "Gather", "Split", "GatherElements", "GatherND",
         "Dropout", "ReduceMax", "ReduceMin", "Pad", "Trilu", "DepthToSpace", "SpaceToDepth",
         "SplitToSequence", "SequenceAt", "OptionalGetElement", "Optional", "ConcatFromSequence",
         "ReverseSequence", "Compress", "TopK"),
        (0,),
    ),
    "Concat": None, "SequenceConstruct": None, "Where": (1, 2), "ScatterND": (0, 2),
    "ScatterElements": (0, 2), "Max": None, "Min": None,
}  # fmt: skip

# (op, input index) → role of what is fed there.
_ROLES = {
    ("Reshape", 1): "reshape", ("Expand", 1): "ones", ("Tile", 1): "ones",
    ("ConstantOfShape", 0): "new shape", ("AffineGrid", 1): "new shape",
    ("RandomNormal", 0): "new shape", ("Resize", 3): "sizes", ("Resize", 2): "ones",
    ("Upsample", 1): "ones", ("Slice", 1): "zeros", ("Slice", 2): "ends", ("Slice", 3): "axes",
    ("Slice", 4): "ones", ("Pad", 1): "zeros", ("TopK", 1): "ones", ("Split", 1): "split",
    ("Squeeze", 1): "axes", ("Unsqueeze", 1): "axes", ("Range", 0): "zeros",
    ("Range", 1): "count", ("Range", 2): "ones", ("Loop", 0): "trips", ("Loop", 1): "true",
    ("If", 0): "condition", ("OneHot", 1): "count", ("CumSum", 1): "zeros", ("Trilu", 1): "zeros",
    ("HannWindow", 0): "count", ("HammingWindow", 0): "count", ("BlackmanWindow", 0): "count",
    ("MaxUnpool", 2): "sizes", ("LSTM", 4): "length", ("GRU", 4): "length", ("RNN", 4): "length",
    ("ReverseSequence", 1): "length", ("Dropout", 1): "ratio", ("Dropout", 2): "false",
    ("GroupQueryAttention", 5): "last index", ("GroupQueryAttention", 6): "total",
    ("NonMaxSuppression", 2): "count", ("NonMaxSuppression", 3): "unit",
    ("NonMaxSuppression", 4): "unit", ("SequenceAt", 1): "zeros", ("SequenceInsert", 2): "zeros",
    ("SequenceErase", 1): "zeros", ("Bernoulli", 0): "unit", ("SplitToSequence", 1): "ones",
    ("CenterCropPad", 1): "new shape", ("Col2Im", 1): "sizes",
}  # fmt: skip
_REDUCTIONS = "Reduce"

# (op, index of the ids) → (index of the table, the axis that bounds them or its attribute).
_TABLES: dict[tuple[str, int], tuple[int, int | str]] = {
    ("Gather", 1): (0, "axis"), ("GatherBlockQuantized", 1): (0, "gather_axis"),
    ("GatherElements", 1): (0, "axis"), ("ScatterElements", 1): (0, "axis"),
    ("Scatter", 1): (0, "axis"), ("GatherND", 1): (0, 0), ("ScatterND", 1): (0, 0),
    ("ArrayFeatureExtractor", 1): (0, -1),
    ("EmbedLayerNormalization", 0): (2, 0), ("EmbedLayerNormalization", 1): (4, 0),
    ("NegativeLogLikelihoodLoss", 1): (0, 1), ("SoftmaxCrossEntropyLoss", 1): (0, 1),
}  # fmt: skip


def uses(model: Model) -> dict[str, Use]:
    """How each required input of the model is used."""
    assert model.graph is not None
    walk = _Walk(model)
    walk.graph(model.graph, walk.start())
    return walk.uses


class _Scope:
    """What is known about the tensors visible at one place: flows, constants, known sizes."""

    def __init__(self, outer: _Scope | None = None) -> None:
        self.flows: ChainMap[str, tuple[_Flow, ...]]
        self.constants: ChainMap[str, Array]
        self.sizes: ChainMap[str, tuple[Size | None, ...]]
        self.flows = outer.flows.new_child() if outer else ChainMap()
        self.constants = outer.constants.new_child() if outer else ChainMap()
        self.sizes = outer.sizes.new_child() if outer else ChainMap()


class _Walk:
    def __init__(self, model: Model) -> None:
        self.buffer = model.buffer
        self.functions = {(f.domain, f.name): f for f in model.functions}
        self.inputs = feed_graph.inputs(model)
        self.uses = {given.name: Use() for given in self.inputs}
        self.visits_left = MAX_NODE_VISITS

    def start(self) -> _Scope:
        """The scope in which each input flows into the main graph under its own name."""
        scope = _Scope()
        for given in self.inputs:
            scope.flows[given.name] = (_Flow(given.name),)
            if given.kind == "tensor" and given.dims is not None:
                scope.sizes[given.name] = tuple(
                    d if isinstance(d, int) else (given.name, i) for i, d in enumerate(given.dims)
                )
        return scope

    def graph(self, graph: Graph, scope: _Scope) -> None:
        """Follow every node of a graph in order."""
        for tensor in graph.initializers:
            self._constant(tensor, tensor.name, scope)
        for node in graph.nodes:
            self.visits_left -= 1
            if self.visits_left < 0:
                return
            self._node(node, scope)

    def _constant(self, tensor: Tensor, name: str, scope: _Scope) -> None:
        scope.sizes[name] = tensor.dims
        values = feed_graph.small_values(self.buffer, tensor)
        if values is not None:
            scope.constants[name] = values

    def _node(self, node: Node, scope: _Scope) -> None:
        if node.op_type == "Constant" and not node.domain:
            self._constant_node(node, scope)
            return
        body = self.functions.get((node.domain, node.op_type))
        if body is not None:
            self._enter(body, node.inputs, node.outputs, scope=_Scope(), outer=scope)
            return
        for index, name in enumerate(node.inputs):
            for flow in scope.flows.get(name, ()):
                self._limit(node, index, flow, scope)
        _carry(node, scope)
        for graph in node.graphs:
            # A Loop's body gets an iteration number and a condition where the node has
            # a trip count and a condition; an If's branches get nothing.
            hidden = 2 if node.op_type == "Loop" else 0
            first = [] if node.op_type == "If" else [""] * hidden + node.inputs[hidden:]
            self._enter(graph, first, node.outputs, scope=_Scope(scope), outer=scope,
                        skip_outputs=1 if node.op_type == "Loop" else 0)  # fmt: skip

    def _constant_node(self, node: Node, scope: _Scope) -> None:
        tensor = node.attributes.get("value")
        name = node.outputs[0] if node.outputs else ""
        if isinstance(tensor, Tensor):
            self._constant(tensor, name, scope)
            return
        number = node.attributes.get("value_int", node.attributes.get("value_ints"))
        if isinstance(number, int | list):
            scope.constants[name] = np.asarray(number)
            scope.sizes[name] = scope.constants[name].shape

    def _enter(
        self, body: Graph, given: Sequence[str], outputs: Sequence[str], *,
        scope: _Scope, outer: _Scope, skip_outputs: int = 0,
    ) -> None:  # fmt: skip
        """Follow flows into a subgraph or function, and out of it again."""
        for inner, name in zip(body.inputs, given, strict=False):
            _alias(name, outer, inner.name, scope)
        self.graph(body, scope)
        for name, inner in zip(outputs, body.outputs[skip_outputs:], strict=False):
            if inner.name in scope.flows:
                flows = outer.flows.get(name, ()) + scope.flows[inner.name]
                outer.flows[name] = tuple(set(flows))

    def _limit(self, node: Node, index: int, flow: _Flow, scope: _Scope) -> None:
        use = self.uses[flow.source]
        role = _ROLES.get((node.op_type, index))
        if node.op_type.startswith(_REDUCTIONS) and index == 1:
            role = "axes"
        if role is not None:
            use.roles.setdefault(role, node.inputs[0])
            use.nodes.add(node.name)
        if (node.op_type, index) in _TABLES:
            self._bound(node, index, flow, scope)
        if node.op_type == "OneHot" and index == 0:
            depth = _small(scope, node, 1)
            if depth is not None:
                use.bounds.append((int(depth.flat[0]), flow.added, "the OneHot depth"))
        if node.op_type in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"):
            other = _small(scope, node, 1 - index)
            if node.op_type == "Equal" and other is not None and other.dtype.kind in "iu":
                use.equals.update(int(v) - flow.added for v in other.flat)

    def _bound(self, node: Node, index: int, flow: _Flow, scope: _Scope) -> None:
        table, where = _TABLES[node.op_type, index]
        axis = _attribute(node, where) if isinstance(where, str) else where
        if table >= len(node.inputs):
            return
        sizes = scope.sizes.get(node.inputs[table])
        use = self.uses[flow.source]
        use.nodes.add(node.name)
        if sizes is None or not -len(sizes) <= axis < len(sizes):
            return
        reached = [axis] if node.op_type not in ("GatherND", "ScatterND") else range(len(sizes))
        for i in reached:
            size = sizes[i]
            if size is not None:
                use.bounds.append((size, flow.added, node.inputs[table]))


def _alias(name: str, outer: _Scope, inner: str, scope: _Scope) -> None:
    """`inner` is `name` of the scope around."""
    if name in outer.flows:
        scope.flows[inner] = outer.flows[name]
    if name in outer.constants:
        scope.constants[inner] = outer.constants[name]
    if name in outer.sizes:
        scope.sizes[inner] = outer.sizes[name]


def _attribute(node: Node, name: str) -> int:
    value = node.attributes.get(name)
    return value if isinstance(value, int) else 0


def _small(scope: _Scope, node: Node, index: int) -> Array | None:
    """The values of one of the node's inputs, when it is a small constant."""
    return scope.constants.get(node.inputs[index]) if index < len(node.inputs) else None


def _carry(node: Node, scope: _Scope) -> None:
    """Pass flows, sizes and constants on to the node's outputs."""
    if not node.outputs or not node.inputs:
        return
    if node.op_type in (
        "Cast",
        "Identity",
        "DequantizeLinear",
        "CastLike",
        "Relu",
        "QuantizeLinear",
    ):
        # A table may be stored in another precision: the result has the table's size.
        if node.inputs[0] in scope.sizes:
            scope.sizes[node.outputs[0]] = scope.sizes[node.inputs[0]]
        if node.op_type != "QuantizeLinear" and node.inputs[0] in scope.constants:
            scope.constants[node.outputs[0]] = scope.constants[node.inputs[0]]
    _carry_sizes(node, scope)
    flows = _shifted(node, scope) if node.op_type in ("Add", "Sub") else _carried(node, scope)
    if flows:
        for name in node.outputs[: 1 if node.op_type == "TopK" else None]:
            scope.flows[name] = flows


def _carry_sizes(node: Node, scope: _Scope) -> None:
    sizes = scope.sizes.get(node.inputs[0])
    if sizes is None:
        return
    if node.op_type == "Transpose":
        order = node.attributes.get("perm") or tuple(reversed(range(len(sizes))))
        if len(order) == len(sizes) and all(0 <= i < len(sizes) for i in order):
            scope.sizes[node.outputs[0]] = tuple(sizes[i] for i in order)
    elif node.op_type in ("Softmax", "LogSoftmax", "Sigmoid", "Tanh", "Abs", "Neg"):
        scope.sizes[node.outputs[0]] = sizes


def _carried(node: Node, scope: _Scope) -> tuple[_Flow, ...]:
    if node.op_type not in _CARRIERS:
        return ()
    which = _CARRIERS[node.op_type]
    chosen = range(len(node.inputs)) if which is None else which
    names = [node.inputs[i] for i in chosen if i < len(node.inputs)]
    return tuple({flow for name in names for flow in scope.flows.get(name, ())})


def _shifted(node: Node, scope: _Scope) -> tuple[_Flow, ...]:
    """Flows through an addition of a constant, which moves the ids up or down."""
    if len(node.inputs) != 2:
        return ()
    for index in (0, 1) if node.op_type == "Add" else (0,):
        constant = _small(scope, node, 1 - index)
        flows = scope.flows.get(node.inputs[index], ())
        if flows and constant is not None and constant.size and constant.dtype.kind in "iu":
            moved = int(constant.max()) if node.op_type == "Add" else -int(constant.min())
            return tuple(_Flow(f.source, f.added + moved) for f in flows)
    return ()
