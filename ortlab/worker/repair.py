"""The repairs that `inspect` offers; each changes a loaded model and says what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import onnx

from ortlab.catalog import runtimes
from ortlab.domain.model import AppliedFix, FixReport, ModelInfo
from ortlab.errors import ModelError, RequestError
from ortlab.worker.inspect import model_info
from ortlab.worker.protocol import Context
from ortlab.worker.reading import preflight, structure, wire
from ortlab.worker.repairing import check as repair_check
from ortlab.worker.repairing import data as repair_data

Repair = Callable[[onnx.ModelProto, preflight.Limits], str]

# Written where a file states no IR version: the oldest that has local functions, read by all.
_PLAIN_IR_VERSION = 8


def fix(request: dict[str, Any], context: Context) -> dict[str, Any]:
    """`FixReport` as plain data.

    Args:
        request: `path`, `out`, and optionally `only`: the name of one repair, or the code of
            the problem it cures. `max_ir_version` and `max_opset` as for `inspect`.
        context: of the worker.

    Raises:
        RequestError: `out` would overwrite the source, or `only` names no repair on offer.
        ModelError: the model cannot be repaired.
    """
    source, out = Path(request["path"]), Path(request["out"])
    limits = preflight.limits(request)
    context.phase("inspect")
    before = model_info(source, limits)
    _refuse_overwriting(source, out, before)
    names = _chosen(before, request.get("only"))
    context.phase("repair")
    model = _loaded(source)
    applied = [AppliedFix(code=name, message=_REPAIRS[name](model, limits)) for name in names]
    repair_data.save(model, source=source, out=out)
    context.phase("compare")
    checked = repair_check.compare(before, source, out, context)
    if not names:
        checked.note = "Nothing needed repair; the output is a copy. " + checked.note
    report = FixReport(
        source=str(source), output=str(out), applied=tuple(applied),
        outputs_equal=checked.equal, max_abs_error=checked.max_abs_error,
        note=checked.note.strip(), model=model_info(out, limits),
    )  # fmt: skip
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return plain


def _refuse_overwriting(source: Path, out: Path, info: ModelInfo) -> None:
    mine = {source.resolve(), *((source.parent / d.location).resolve() for d in info.external_data)}
    if {out.resolve(), repair_data.data_path_of(out).resolve()} & mine:
        raise RequestError(
            f"'{out}' would overwrite the model that is being repaired.",
            hint="Choose another name with -o.",
        )


def _chosen(info: ModelInfo, only: str | None) -> list[str]:
    """The repairs to make, in the order of the table."""
    offered = {problem.fix for problem in info.problems if problem.fix}
    if only is None:
        # An old opset that runs is raised only when that is all there is, or asked for by name.
        offered = {p.fix for p in info.problems if p.fix and p.code != "opset-too-old"} or offered
    else:
        named = {p.fix for p in info.problems if p.fix and only in (p.fix, p.code)}
        if not named:
            there = ", ".join(sorted(name for name in offered if name)) or "none"
            raise RequestError(
                f"'{only}' is no repair that this model needs.", hint=f"Repairs on offer: {there}."
            )
        offered = named
    return [name for name in _REPAIRS if name in offered]


def _loaded(source: Path) -> onnx.ModelProto:
    if source.stat().st_size > preflight.MAX_GRAPH_FILE_BYTES:
        raise ModelError(
            f"'{source.name}' is larger than the 2 GiB that protobuf can load, so it cannot be "
            "repaired.",
            hint="Export it again with external data.",
        )
    return onnx.load(str(source), load_external_data=False)


def _lower_ir(model: onnx.ModelProto, limits: preflight.Limits) -> str:
    old = model.ir_version
    model.ir_version = limits.max_ir_version if old else _PLAIN_IR_VERSION
    if not old:
        return f"Wrote the missing IR version: {model.ir_version}."
    return (
        f"Lowered the IR version from {old} to {model.ir_version}; nothing in the graph needs "
        "the newer one."
    )


def _convert_opset(model: onnx.ModelProto, limits: preflight.Limits) -> str:
    entry = next(i for i in model.opset_import if i.domain in ("", "ai.onnx"))
    old = entry.version
    new = min(max(old, runtimes.MIN_OPSET), limits.max_opset)
    changed = _changed_operators(model, old, new)
    if not changed:
        entry.version = new
        return f"Stated opset {new} instead of {old}; every operator in it means the same in both."
    try:
        converted = onnx.version_converter.convert_version(model, new)
    except Exception as error:  # the converter raises RuntimeError, IndexError and its own
        raise ModelError(
            f"Opset {old} cannot be converted to {new}: {_reason(error)}.",
            hint=f"{', '.join(changed[:5])} changed in between. Export the model again with "
            f"opset {new}, or update ONNX Runtime.",
        ) from None
    model.CopyFrom(converted)
    return f"Converted from opset {old} to {new}, which changes {', '.join(changed[:5])}."


def _reason(error: Exception) -> str:
    """What the converter says, without the place in its own source."""
    return " ".join(str(error).split()).rpartition("failed: ")[2].rstrip(".")[:300]


def _changed_operators(model: onnx.ModelProto, old: int, new: int) -> list[str]:
    """Standard operators in the model whose definition differs between two opsets."""
    used = {
        node.op_type
        for graph in (model.graph, *model.functions)
        for node in every_node(graph)
        if node.domain in ("", "ai.onnx")
    }
    return sorted(op for op in used if _since(op, old) != _since(op, new))


def _since(op_type: str, opset: int) -> int | None:
    try:
        return int(onnx.defs.get_schema(op_type, opset, "").since_version)
    except onnx.defs.SchemaError:
        return None


def _rename_nodes(model: onnx.ModelProto, limits: preflight.Limits) -> str:
    renamed = 0
    for graph in (*every_graph(model.graph), *model.functions):
        taken = {node.name for node in graph.node}
        seen: set[str] = set()
        for node in graph.node:
            if node.name and node.name in seen:
                node.name = _free_name(node.name, taken)
                taken.add(node.name)
                renamed += 1
            seen.add(node.name)
    return f"Gave {renamed:,} nodes names of their own."


def _free_name(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def _sort_nodes(model: onnx.ModelProto, limits: preflight.Limits) -> str:
    moved = 0
    for graph in (*every_graph(model.graph), *model.functions):
        nodes = [_names_of(node) for node in graph.node]
        sequence = structure.order(nodes)
        if sequence is None or sequence == sorted(sequence):
            continue
        moved += sum(i != j for i, j in enumerate(sequence))
        ordered = [graph.node[i] for i in sequence]
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
        del graph.node[:]
        graph.node.extend(copies)
    return f"Put {moved:,} nodes after those that compute what they need."


def _names_of(node: onnx.NodeProto) -> wire.Node:
    """The node as `structure` sees it: its names, and those of the graphs in it."""
    nested = [
        wire.Graph(
            nodes=[_names_of(inner) for inner in graph.node],
            inputs=[wire.Value(name=v.name) for v in graph.input],
            outputs=[wire.Value(name=v.name) for v in graph.output],
            initializers=[wire.Tensor(name=t.name) for t in graph.initializer],
        )
        for graph in _nested(node)
    ]
    return wire.Node(
        node.name, node.op_type, node.domain, "", list(node.input), list(node.output), {}, nested
    )


def _repack_external(model: onnx.ModelProto, limits: preflight.Limits) -> str:
    return "Put all external data into one file beside the new model, and refer to that."


_REPAIRS: dict[str, Repair] = {
    "lower-ir": _lower_ir,
    "convert-opset": _convert_opset,
    "rename-nodes": _rename_nodes,
    "sort-nodes": _sort_nodes,
    "repack-external": _repack_external,
}
"""In the order they are made. Saving always repacks external data, so that the output stands
on its own; the last row says so when that was the point."""


def every_graph(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those nested in its nodes."""
    yield graph
    for node in graph.node:
        for nested in _nested(node):
            yield from every_graph(nested)


def every_node(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    """Each node of a graph or function body, nested ones too."""
    for node in graph.node:
        yield node
        for nested in _nested(node):
            yield from every_node(nested)


def _nested(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
