"""Names of nodes and operators without what ONNX Runtime adds to them.

The same work has other names at another level, on another provider or in another version:
fused nodes are called after a tensor, layout changes add a number, a compiled part carries a
hash of the model. What is left after taking that away can be held against each other.
"""

from __future__ import annotations

import re

from msgspec import Struct

from ortlab.analysis.naming.module_names import spellings
from ortlab.domain.trace import NodeRow

# A compiled part's operator ends in a hash of the model and its number in the session.
_HASHED = re.compile(r"_\d{6,}(?=_|$)")
_TOKEN = re.compile(r"_token_\d+$")
_TRAILING_NUMBERS = re.compile(r"(?:_\d+)+$")
_SAME_WORK = {
    "BiasGelu": "Gelu",
    "ConvInteger": "Conv",
    "DynamicQuantizeLSTM": "LSTM",
    "DynamicQuantizeMatMul": "MatMul",
    "FastGelu": "Gelu",
    "Gemm": "MatMul",
    "MatMulInteger": "MatMul",
    "MatMulIntegerToFloat": "MatMul",
    "MatMulNBits": "MatMul",
    "MultiHeadAttention": "Attention",
    "PackedAttention": "Attention",
    "PackedMultiHeadAttention": "Attention",
    "QAttention": "Attention",
    "QGemm": "MatMul",
    "QuickGelu": "Gelu",
    "SkipLayerNormalization": "LayerNormalization",
    "TransposeMatMul": "MatMul",
}
"""Operators that do the work of another one, in another number format or with more fused in."""
_INSERTED = frozenset({"ReorderInput", "ReorderOutput", "MemcpyToHost", "MemcpyFromHost"})
_PUT_IN_TOO = frozenset({"Transpose", "Cast"})
_VARIANT_PREFIXES = ("QLinear", "QOrdered", "Nhwc", "Fused")
_DIMENSIONS = re.compile(r"\[([^\]]*)\]")


class Names(Struct, frozen=True):
    """What one node can be recognized by."""

    scope: str
    name: str
    """Without decorations; empty where the node has no name of its own."""
    family: str
    """The operator, without number format and layout."""
    first_input: tuple[str, ...] | None
    """Sizes of its first input in ascending order, as layouts permute them; None: not told."""
    first_output: tuple[str, ...] | None

    @property
    def modules(self) -> tuple[str, ...]:
        """The parts of its name, outermost first."""
        return tuple(self.name.split("/"))


def names(row: NodeRow) -> Names:
    """What a node can be recognized by in another recording."""
    return Names(
        scope=canonical_scope(row.scope),
        name="" if is_nameless(row) else canonical(row.name, row.op_type),
        family=family(row.op_type),
        first_input=_first_sizes(row.input_shapes),
        first_output=_first_sizes(row.output_shapes),
    )


def canonical(name: str, op_type: str = "") -> str:
    """A node's name without what optimizers, layouts and compilers added."""
    if _HASHED.search(op_type):
        return _partition(name)
    *_, plainest = spellings(name)
    return plainest.strip("/")


def canonical_scope(scope: str) -> str:
    """The enclosing nodes' names without numbers that ORT gave them."""
    return "/".join(filter(None, (_TOKEN.sub("", part) for part in scope.split("/"))))


def family(op_type: str) -> str:
    """The operator a variant stands for: `Conv` of `QLinearConv`, `NhwcFusedConv`, `FusedConv`."""
    if _HASHED.search(op_type):
        return _HASHED.split(op_type)[0]
    found = op_type
    while prefix := next((p for p in _VARIANT_PREFIXES if _stands_before(p, found)), None):
        found = found.removeprefix(prefix)
    return _SAME_WORK.get(found, found)


def operator_name(op_type: str) -> str:
    """The operator as it is; compiled parts of a provider together, whatever their hash."""
    return f"{_HASHED.split(op_type)[0]} part" if _HASHED.search(op_type) else op_type


def is_positional(row: NodeRow) -> bool:
    """True for a node that has no name, so that ORT calls it by operator and index."""
    if not row.name:
        return True
    return row.node_index is not None and row.name == f"{row.op_type}_{row.node_index}"


def is_nameless(row: NodeRow) -> bool:
    """True for a node whose name tells nothing: it has none, or ORT put the node in itself.

    Copies, reordering and transposes between layouts are numbered as they come.
    """
    if is_positional(row) or row.op_type in _INSERTED:
        return True
    return row.op_type in _PUT_IN_TOO and canonical(row.name) == row.op_type


def _partition(name: str) -> str:
    """A compiled part by its provider and number: the hash changes with the model."""
    numbers = _TRAILING_NUMBERS.search(_HASHED.sub("", name))
    ordinal = numbers[0].rsplit("_", 1)[-1] if numbers else "0"
    return f"{_HASHED.split(name)[0]} part {ordinal}"


def _stands_before(prefix: str, op_type: str) -> bool:
    rest = op_type.removeprefix(prefix)
    return rest != op_type and rest[:1].isupper()


def _first_sizes(shapes: str) -> tuple[str, ...] | None:
    found = _DIMENSIONS.search(shapes)
    return None if found is None else tuple(sorted(found[1].split(",")))
