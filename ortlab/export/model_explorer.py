"""Node data for Google's Model Explorer: a value per node that colours the graph.

Source: the node data format of Model Explorer (`results`, `gradient`), keyed by what its ONNX
adapter takes as a node's id, which is the node's name in the model. Without the name of a
graph around them, the values belong to the graph that is on screen.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import msgspec

from ortlab.domain.trace import NodeRow, Profile

# White to a red on which black text can be read.
GRADIENT = ({"stop": 0, "bgColor": "#ffffff"}, {"stop": 0.25, "bgColor": "#fde7c8"},
            {"stop": 1, "bgColor": "#f2836b"})  # fmt: skip
# What ORT appends to a node's name when it moves the node to another layout, or copies it.
_ADDED = re.compile(r"(?:_token_\d+|_nchwc)+$")
_INLINED = re.compile(r"^_inlfunc_")


def files(profile: Profile) -> dict[str, bytes]:
    """Metric → file. Times are per run, with the bodies of Loop, If and Scan in their node.

    Only nodes of the main graph are in it: names of bodies come back in every graph. Where
    shares are not claimed there is no file of them, and times of launches are called so.
    """
    runs = max(1, profile.counted_runs)
    main = [node for node in profile.nodes if not node.scope]
    time = _sums(main, lambda node: node.total_us / runs)
    kind = "launch" if profile.async_providers else "time"
    metrics = {f"{kind}_us_per_run": time}
    total = sum(time.values())
    if total and all(row.share is not None for row in profile.operators):
        metrics["share"] = {name: value / total for name, value in time.items()}
    device = [node for node in main if node.device_us is not None]
    if device:
        metrics["device_us_per_run"] = _sums(device, lambda node: (node.device_us or 0) / runs)
    return {metric: _file(values) for metric, values in metrics.items()}


def original_name(name: str) -> str:
    """The name that the node, or the tensor it makes, has in the model, as far as it tells.

    A fused node keeps the name that ONNX Runtime gave it: the trace does not say of what it
    was made.
    """
    return _ADDED.sub("", _INLINED.sub("", name))


def _sums(nodes: list[NodeRow], value: Any) -> dict[str, float]:
    """Nodes that were one node in the model count together."""
    sums: dict[str, float] = defaultdict(float)
    for node in sorted(nodes, key=lambda node: node.order):
        sums[original_name(node.name) or node.op_type] += value(node)
    return dict(sums)


def _file(values: dict[str, float]) -> bytes:
    results = {name: {"value": round(value, 6)} for name, value in values.items()}
    return msgspec.json.format(
        msgspec.json.encode({"results": results, "gradient": list(GRADIENT)}), indent=1
    )
