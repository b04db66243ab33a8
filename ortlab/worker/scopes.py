"""Which module each node of a model comes from, as its exporter noted it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ortlab.worker.inspect import opened
from ortlab.worker.protocol import Context
from ortlab.worker.reading import structure, wire
from ortlab.worker.reading.protobuf import Buffer, Reader

# torch.onnx writes both; the first is exact, the second is for viewers.
KEYS = ("pkg.torch.onnx.name_scopes", "namespace")
# Longer texts are stack traces or hostile; no path from model to node needs this.
MAX_TEXT_BYTES = 8192
# A hostile model may have 200,000 nodes with long names; what a real one tells is a few MB.
MAX_TOTAL_CHARACTERS = 32_000_000


def read(request: dict[str, Any], context: Context) -> dict[str, Any]:
    """How many nodes were written to `out`, and how many of them carry metadata.

    Args:
        request: `path` of the .onnx file, read only and without its weights; `out`, the JSON file
            to write: `{"scopes": [text], "nodes": [[name, outputs, number of its text or -1]]}`.
            Nodes of local functions are named as ONNX Runtime inlines them.
        context: of the worker.
    """
    context.phase("inspect")
    numbers: dict[str, int] = {}
    rows: list[list[Any]] = []
    left = MAX_TOTAL_CHARACTERS
    with opened(Path(request["path"])) as buffer:
        for name, outputs, scopes in _nodes(wire.walk(buffer), buffer):
            left -= len(name) + sum(map(len, outputs)) + len(scopes)
            if left < 0:
                break
            rows.append([name, outputs, numbers.setdefault(scopes, len(numbers)) if scopes else -1])
    document = {"scopes": list(numbers), "nodes": rows}
    Path(request["out"]).write_text(json.dumps(document), encoding="utf-8")
    return {"node_count": len(rows), "with_metadata": sum(row[2] >= 0 for row in rows)}


def _nodes(model: wire.Model, buffer: Buffer) -> Iterator[tuple[str, list[str], str]]:
    """Name, outputs and metadata of every node, those of nested graphs and functions too."""
    reader = _Metadata(buffer)
    for graph in filter(None, (model.graph, *model.functions)):
        inlined = f"_inlfunc_{graph.name}_" if graph is not model.graph else ""
        for node in structure.every_node(graph):
            name = inlined + node.name if node.name else ""
            # A function's tensors are named anew where it is inlined.
            outputs = [] if inlined else [o for o in node.outputs if o]
            yield name, outputs, reader.scopes(node)


class _Metadata(Reader):
    """Entries of nodes' metadata; those of other keys are stepped over."""

    def scopes(self, node: wire.Node) -> str:
        """The text of the first of `KEYS` that a node has; empty without one."""
        found = {}
        for start, end in node.metadata:
            key, value = self._entry(start, end)
            if key in KEYS:
                found[key] = value
        return next((found[key] for key in KEYS if found.get(key)), "")

    def _entry(self, start: int, end: int) -> tuple[str, str]:
        parts = {1: "", 2: ""}
        for number, kind, at, stop in self.fields(start, end):
            if number in parts and kind == 2 and stop - at <= MAX_TEXT_BYTES:
                parts[number] = self.text(at, stop)
        return parts[1], parts[2]
