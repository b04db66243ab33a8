"""A model against the ONNX Runtime that is installed: versions, operators, open dimensions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from msgspec import Struct

from ortlab.catalog import operators, runtimes
from ortlab.domain.model import Problem
from ortlab.worker.reading.dtypes import FIRST_IR_VERSION
from ortlab.worker.reading.structure import every_node
from ortlab.worker.reading.wire import Graph, Model

# The newest formats that `ortlab fix` knows how to lower.
KNOWN_IR_VERSION = 14
KNOWN_OPSET = 28

# One message is at most this long, in protobuf itself.
MAX_GRAPH_FILE_BYTES = (1 << 31) - 1


class Limits(Struct, frozen=True, kw_only=True):
    """What the installed release reads; `runtime` is how sentences name it."""

    runtime: str
    max_ir_version: int
    max_opset: int
    max_ml_opset: int


def limits(request: dict[str, Any]) -> Limits:
    """The limits the request states, completed from the table for the release.

    The release is the installed one, unless the request names the version of another as
    `onnxruntime_version`.
    """
    version = request.get("onnxruntime_version") or _installed_version()
    row = runtimes.runtime(version or runtimes.RUNTIMES[-1].version)
    return Limits(
        runtime=f"ONNX Runtime {version or row.version}",
        max_ir_version=request.get("max_ir_version") or row.max_ir_version,
        max_opset=request.get("max_opset") or row.max_opset,
        max_ml_opset=row.max_ml_opset,
    )


def _installed_version() -> str | None:
    for package in runtimes.PACKAGES:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return None


def version_problems(model: Model, found: Limits, *, file_bytes: int) -> Iterator[Problem]:
    """IR version and opsets against what the installed release reads."""
    if file_bytes > MAX_GRAPH_FILE_BYTES:
        yield Problem(
            code="graph-over-2-gib",
            message=f"The graph file has {file_bytes:,} bytes; a protobuf file ends at 2 GiB.",
            hint="Export it with external data, which keeps the weights in a file of their own.",
        )
    yield from _ir_problems(model, found)
    if not model.opsets:
        yield Problem(
            code="no-opset", message="The file does not say which opset it uses.",
            hint="Export the model again; onnx.checker.check_model names the same fault.",
        )  # fmt: skip
    for domain, version in model.opsets.items():
        yield from _opset_problems(domain, version, found)


def _ir_problems(model: Model, found: Limits) -> Iterator[Problem]:
    ir, top = model.ir_version, found.max_ir_version
    if ir is None or ir < 1:
        yield Problem(
            code="no-ir-version", message="The file does not say which IR version it has.",
            hint="`ortlab fix` writes the version that its opset needs.", fix="lower-ir",
        )  # fmt: skip
    elif ir > top:
        obstacle = lowering_obstacle(model, top)
        yield Problem(
            code="ir-too-new",
            message=f"The file has IR version {ir}, {found.runtime} reads up to {top}.",
            hint=obstacle or f"`ortlab fix` can write it as IR {top}; nothing in it needs more.",
            fix=None if obstacle else "lower-ir",
        )


def lowering_obstacle(model: Model, top: int) -> str | None:
    """Why the file cannot be written with IR version `top`; None when it can."""
    if (model.ir_version or 0) > KNOWN_IR_VERSION:
        return (
            f"No release of ONNX known here writes IR {model.ir_version} (newest: "
            f"{KNOWN_IR_VERSION}), so what is in it cannot be judged. Export the model again."
        )
    newest = max(_needed_ir_versions(model), default=0)
    if newest > top:
        return f"It uses element types or features that came with IR {newest}; update ONNX Runtime."
    return None


def _needed_ir_versions(model: Model) -> Iterator[int]:
    if model.functions:
        yield 10 if any(function.overload for function in model.functions) else 8
    graph = model.graph or Graph()
    for tensor in graph.initializers:
        yield FIRST_IR_VERSION.get(tensor.dtype, 0)
    for value in (*graph.inputs, *graph.outputs):
        yield FIRST_IR_VERSION.get(value.dtype, 0)
    for nested in (graph, *model.functions):
        for node in every_node(nested):
            target = node.attributes.get("to") if node.op_type == "Cast" else None
            yield FIRST_IR_VERSION.get(target, 0) if isinstance(target, int) else 0


def _opset_problems(domain: str, version: int, found: Limits) -> Iterator[Problem]:
    top = {"": found.max_opset, "ai.onnx.ml": found.max_ml_opset}.get(
        domain, runtimes.CONTRIB_OPSETS.get(domain)
    )
    shown = domain or "ai.onnx"
    if top is not None and version > top:
        fixable = domain == "" and version <= KNOWN_OPSET
        yield Problem(
            code="opset-too-new",
            message=f"The file uses opset {version} of {shown}, {found.runtime} reads up to {top}.",
            hint=f"`ortlab fix` can convert it to opset {top}." if fixable
            else f"Export it again with opset {top} or lower, or update ONNX Runtime.",
            fix="convert-opset" if fixable else None,
        )  # fmt: skip
    elif domain == "" and 0 < version < runtimes.MIN_OPSET:
        yield Problem(
            code="opset-too-old", severity="warning",
            message=f"The file uses opset {version}; {found.runtime} promises {runtimes.MIN_OPSET}"
            " and newer, so some operators may have no kernel.",
            hint="`ortlab fix --only convert-opset` can raise it.", fix="convert-opset",
        )  # fmt: skip


def operator_problems(model: Model, found: Limits) -> Iterator[Problem]:
    """Operators and domains that the installed release does not have."""
    local = {(f.domain, f.name) for f in model.functions}
    unknown: dict[tuple[str, str], str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for graph in (model.graph or Graph(), *model.functions):
        opsets = graph.opsets or model.opsets
        for node in every_node(graph):
            key = (node.domain, node.op_type)
            if key in local:
                continue
            table = operators.operators(node.domain)
            since, until = table.get(node.op_type, (operators.FOREVER, 0))
            if not since <= opsets.get(node.domain, since) < until:
                unknown.setdefault(key, node.name or ", ".join(node.outputs))
                counts[key] += 1
    if unknown:
        yield from _unknown(model, unknown, counts, found)


def _unknown(
    model: Model,
    unknown: dict[tuple[str, str], str],
    counts: Counter[tuple[str, str]],
    found: Limits,
) -> Iterator[Problem]:
    registered = _registered()
    for (domain, op_type), node in unknown.items():
        versions = registered.get((domain, op_type), [])
        imported = model.opsets.get(domain)
        if any(since <= (imported or since) < until for since, until in versions):
            continue
        times = f" ({counts[domain, op_type]:,} nodes)" if counts[domain, op_type] > 1 else ""
        what = f"The node '{node[:120]}' is a {domain or 'ai.onnx'}.{op_type}{times}"
        if versions:
            yield _wrong_opset(what, op_type, imported, versions)
        elif any(known == domain for known, _ in registered):
            yield Problem(
                code="unknown-operator",
                message=f"{what}; {found.runtime} has no operator of that name.",
                hint="Check the exporter, or replace the operator by standard ones.",
            )
        else:
            yield Problem(
                code="unknown-domain",
                message=f"{what}; {found.runtime} knows no domain '{domain}'.",
                hint="It needs a custom operator library, which ortlab does not load, or an "
                "export with standard operators only.",
            )


def _wrong_opset(
    what: str, op_type: str, imported: int | None, versions: list[tuple[int, int]]
) -> Problem:
    since, until = versions[0]
    newer = (imported or 0) < since
    came = f"came with opset {since}" if newer else f"was dropped in opset {until}"
    return Problem(
        code="operator-not-in-opset",
        message=f"{what}, which {came}; the file uses opset {imported}.",
        hint="Export the model again with a fitting opset.",
    )


def _registered() -> dict[tuple[str, str], list[tuple[int, int]]]:
    """The operators of the installed release itself; asked only for a model with odd ones."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        schemas = state.get_all_operator_schema()
    except (ImportError, AttributeError):
        return {
            (domain, name): [span]
            for domain in operators.DOMAINS
            for name, span in operators.operators(domain).items()
        }
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for schema in schemas:
        key = (schema.domain, schema.name)
        since, until = spans.get(key, [(operators.FOREVER, operators.FOREVER)])[0]
        version = schema.since_version
        dropped = min(until, version) if schema.deprecated else until
        spans[key] = [(min(since, version), dropped)]
    return spans
