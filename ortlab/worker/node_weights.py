"""The weights of each node of an optimized graph, which a trace leaves out once they are packed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ortlab.worker.inspect import opened
from ortlab.worker.protocol import Context
from ortlab.worker.reading import wire
from ortlab.worker.reading.dtypes import dtype_name

# As ONNX Runtime names these two types in a trace; all others have ONNX's names.
_TRACE_NAMES = {"float32": "float", "float64": "double"}
# What a real graph of 10,000 nodes tells is 1 MB.
MAX_TOTAL_CHARACTERS = 32_000_000


def read(request: dict[str, Any], context: Context) -> dict[str, Any]:
    """How many nodes of the main graph were written to `out`.

    Args:
        request: `path` of the graph, `out`, the JSON file to write: node name → for each input
            that it has, its weight as `int8[16,3,3,3]`, or nothing for what other nodes make.
            Nodes without a name of their own, and without weights, are left out.
        context: of the worker.
    """
    context.phase("inspect")
    with opened(Path(request["path"])) as buffer:
        found = _weights(wire.walk(buffer))
    Path(request["out"]).write_text(json.dumps(found), encoding="utf-8")
    return {"node_count": len(found)}


def _weights(model: wire.Model) -> dict[str, list[str]]:
    if model.graph is None:
        return {}
    known = {tensor.name: _text(tensor) for tensor in model.graph.initializers}
    found: dict[str, list[str]] = {}
    twice, left = set(), MAX_TOTAL_CHARACTERS
    for node in model.graph.nodes:
        texts = [known.get(name, "") for name in node.inputs if name]
        if not node.name or not any(texts):
            continue
        if node.name in found:
            twice.add(node.name)
        left -= len(node.name) + sum(map(len, texts))
        if left < 0:
            break
        found[node.name] = texts
    return {name: texts for name, texts in found.items() if name not in twice}


def _text(tensor: wire.Tensor) -> str:
    name = dtype_name(tensor.dtype)
    return f"{_TRACE_NAMES.get(name, name)}[{','.join(map(str, tensor.dims))}]"
