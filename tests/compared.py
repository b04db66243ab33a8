"""Profiles made of nodes that take so long, to be held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ortlab.domain.trace import NodeRow, Profile, ProviderRow, Run, Trust

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
RUNS = 20


def node(name: str, op: str = "MatMul", us: float = 100.0, **fields: Any) -> NodeRow:
    """A node that takes so long in every run, give or take two percent."""
    runs = fields.pop("runs", RUNS)
    values: dict[str, Any] = {
        "name": name, "op_type": op, "provider": CPU, "calls": runs, "total_us": round(us * runs),
        "self_us": round(us * runs), "p50_us": us, "self_p50_us": us, "run_count": runs,
        "min_us": us * 0.97, "p25_us": us * 0.99, "p75_us": us * 1.01, "max_us": us * 1.1,
        "ci95_us": (us * 0.98, us * 1.02) if runs >= 6 else None,
        "input_shapes": "float[1,8]", "output_shapes": "float[1,8]",
    }  # fmt: skip
    return NodeRow(**{**values, **fields})


def profile(*nodes: NodeRow, durations: Sequence[int] = (1000,) * RUNS, **fields: Any) -> Profile:
    """A steady profile whose nodes were executed in this order."""
    ordered = [
        NodeRow(**{f: getattr(n, f) for f in n.__struct_fields__ if f != "order"}, order=i)
        for i, n in enumerate(nodes)
    ]
    runs = tuple(
        Run(index=i, start_us=i * 10_000, duration_us=us, node_count=len(nodes), warmup=False)
        for i, us in enumerate(durations)
    )
    names = dict.fromkeys(n.provider for n in nodes)
    values: dict[str, Any] = {
        "source": "a test", "runs": runs, "counted_runs": len(runs), "nodes": tuple(ordered),
        "node_count": len(ordered), "steady_only": True, "trust": Trust("A"),
        "providers": tuple(
            ProviderRow(provider=p, node_count=1, total_us=1, share=None) for p in names
        ),
    }  # fmt: skip
    return Profile(**{**values, **fields})
